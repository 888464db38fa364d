package main

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/trackops-notifier/trackops-notifier/events"
)

func TestReadRecordURL(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"": "",
		"https://{subdomain}.viewcases.com/{collection}/{id}": "",
		"http://intranet:8080/?r={id}&n={field:name}#{id}":    "",
		"https://x.example/{ids}":                             "placeholder",
		"https://x.example/{field:}":                          "placeholder",
		"https://x.example/{id":                               "placeholder",
		"x.example/{id}":                                      "not an absolute",
		"javascript:alert({id})":                              "not an absolute",
		"ftp://x.example/{id}":                                "not an absolute",
		"https://x>example/{id}":                              "not an absolute",
		"https:///{id}":                                       "not an absolute",
		"https://{id}.example/":                               "before the path",
		"https://x.example{field:name}/":                      "before the path",
		"{field:website}://x":                                 "not an absolute",
		"https://user:pw@x.example/{id}":                      "before the path",
	} {
		got, err := readRecordURL(pattern)
		switch {
		case want == "" && (err != nil || got != pattern):
			t.Errorf("readRecordURL(%q) = %q, %v", pattern, got, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("readRecordURL(%q) = %q, %v, want an error with %q", pattern, got, err, want)
		}
	}
}

func TestReadRecordURLPercentEncodes(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"https://x.example/fälle/{id}":             "https://x.example/f%C3%A4lle/{id}",
		"https://x.example/my files/{field:größe}": "https://x.example/my%20files/{field:größe}",
		"https://x.example/%C3%A4/{id}\x8a":        "https://x.example/%C3%A4/{id}%8A",
	} {
		if got, err := readRecordURL(pattern); err != nil || got != want {
			t.Errorf("readRecordURL(%q) = %q, %v, want %q", pattern, got, err, want)
		}
	}
}

func TestRecordLink(t *testing.T) {
	t.Parallel()
	client := events.Event{Data: events.Data{Account: "acme", Collection: "clients", ID: "10/42 ?&+",
		Record: json.RawMessage(`{"big":9007199254740993,"name":"Ä & <b>\r\n","dots":"..","none":null,"flag":true,"Client":{"id":1}}`)}}
	system := client
	system.Data.Collection = events.System
	for _, c := range []struct {
		pattern string
		event   events.Event
		want    string
	}{
		{"", client, ""},
		{"https://{subdomain}.viewcases.com/{collection}/{id}", client, "https://acme.viewcases.com/clients/10%2F42%20%3F%26%2B"},
		{"https://x.example/?n={field:name}&b={field:big}", client, "https://x.example/?n=%C3%84%20%26%20%3Cb%3E%0D%0A&b=9007199254740993"},
		{"https://x.example/{field:dots}/", client, ""},
		{"https://x.example/{field:none}", client, ""},
		{"https://x.example/{field:flag}", client, ""},
		{"https://x.example/{field:Client}", client, ""},
		{"https://x.example/{field:absent}", client, ""},
		{"https://x.example/{field:name}", events.Event{Data: events.Data{Collection: "clients", ID: "1"}}, ""},
		{"https://x.example/{id}", system, ""},
	} {
		got := recordLink(c.pattern)(c.event)
		if got != c.want {
			t.Errorf("recordLink(%q) of %s %s = %q, want %q", c.pattern, c.event.Data.Collection, c.event.Data.ID, got, c.want)
		}
	}
}

// Whatever a record holds, its link stays on the operator's host.
func FuzzRecordLink(f *testing.F) {
	f.Add("https://x.example/{id}/{field:name}", "../..", "evil")
	f.Add("https://x.example/?a={field:name}", "1", "&b=2#")
	f.Add("https://x.example/{id}/{field:name}\x8a\xdb", ".\x80/..", "evil")
	f.Add("https://{subdomain}.example{field:name}", "@evil.example", ":80@evil")
	f.Fuzz(func(t *testing.T, pattern, id, name string) {
		pattern, err := readRecordURL(pattern)
		if err != nil || pattern == "" {
			return
		}
		record, err := json.Marshal(map[string]string{"name": name})
		if err != nil {
			t.Fatal(err)
		}
		plain := recordLink(pattern)(events.Event{Data: events.Data{Account: "acme", Collection: "clients", ID: "1", Record: json.RawMessage(`{"name":"x"}`)}})
		link := recordLink(pattern)(events.Event{Data: events.Data{Account: "acme", Collection: "clients", ID: id, Record: record}})
		if plain == "" || link == "" {
			return
		}
		a, errA := url.Parse(plain)
		b, errB := url.Parse(link)
		if errA != nil || errB != nil || a.Host != b.Host || a.Scheme != b.Scheme || len(strings.Split(a.EscapedPath(), "/")) != len(strings.Split(b.EscapedPath(), "/")) {
			t.Errorf("%q with %q, %q = %q, elsewhere than %q", pattern, id, name, link, plain)
		}
	})
}
