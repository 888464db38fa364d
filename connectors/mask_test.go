package connectors

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/trackops-notifier/trackops-notifier/events"
)

func maskOf(t testing.TB, fields, omit []string) *Mask {
	t.Helper()
	m, err := CompileMask(fields, omit)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func pointerList(list string) []string { return strings.Fields(list) }

func updateOf(record string, changes ...events.Change) events.Event {
	return events.Event{SpecVersion: "1.0", ID: "acme_clients_7_2_k7q2", Data: events.Data{
		Account: "acme", Collection: "clients", Action: events.Updated, ID: "7", Revision: 2,
		Record: json.RawMessage(record), Changes: changes,
	}}
}

// oneChange writes a change as path, from and to; "-" is an absent side.
func oneChange(path, from, to string) events.Change {
	side := func(text string) json.RawMessage {
		if text == "-" {
			return nil
		}
		return json.RawMessage(text)
	}
	return events.Change{Path: path, From: side(from), To: side(to)}
}

func TestMaskOfTheRecord(t *testing.T) {
	const record = `{"id":9007199254740993,"rate":12.50,"name":"Ann","address":{"city":"Oslo","zip":"0150"},"tags":["a","b"],` +
		`"contacts":[{"name":"Bo","email":"b@x"},{"name":"Cy","email":"c@x"}],"a/b":1,"c~d":2,"none":null}`
	for _, c := range []struct{ fields, omit, in, want string }{
		{"", "/none", record, strings.Replace(record, `,"none":null`, "", 1)},
		{"", "/missing /name/deeper", record, record},
		{"", "/id /a~1b /c~0d /contacts /address /tags /none", record, `{"rate":12.50,"name":"Ann"}`},
		{"/rate /name", "", record, `{"rate":12.50,"name":"Ann"}`},
		{"/name /rate", "/rate", record, `{"name":"Ann"}`},
		{"/address", "/address/zip", record, `{"address":{"city":"Oslo"}}`},
		{"/address/city /name/first", "", record, `{"address":{"city":"Oslo"}}`},
		{"/address/none", "", record, `{"address":{}}`},
		{"/contacts/*/name", "", record, `{"contacts":[{"name":"Bo"},{"name":"Cy"}]}`},
		{"/contacts/1", "", record, `{"contacts":[null,{"name":"Cy","email":"c@x"}]}`},
		{"/contacts /tags", "/contacts/0/email /tags/1 /tags/01", record, `{"tags":["a",null],"contacts":[{"name":"Bo"},{"name":"Cy","email":"c@x"}]}`},
		{"/tags /none", "/tags/*", record, `{"tags":[null,null],"none":null}`},
		{"/tags/name", "", record, `{"tags":[null,null]}`},
		{"/contacts/*/name /contacts/0", "/*/1/name", record, `{"contacts":[{"name":"Bo","email":"b@x"},{}]}`},
		{"/*/name", "", record, `{"address":{},"tags":[null,null],"contacts":[null,null]}`},
		{"", "/*", record, `{}`},
		{"", "", record, record},
		{"", "/name", " { \"name\" : 1 , \"x\" : [ 1.0 ] }\n", `{"x":[ 1.0 ]}`},
		{"", "/none", ` {"x": 1} `, ` {"x": 1} `},
		{"", "/name", `{"name":1,"x":2,"n\u0061me":3,"name":{"x":4}}`, `{"x":2}`},
		{"/name", "", `{"x":1,"n\u0061me":2}`, `{"n\u0061me":2}`},
		{"", "/n\uFFFDme", "{\"n\xffme\":1,\"n\\ud800me\":2,\"x\":3}", `{"x":3}`},
		{"", "/", `{"":1,"x":{"":2}}`, `{"x":{"":2}}`},
		{"", "/0", `[1,2]`, `[null,2]`},
		{"/x", "", `5`, ""},
		{"", "/x", `5`, "5"},

		// What cannot be read is left out.
		{"", "/x", `{"x":1`, ""},
		{"", "/x", `{"y":1}{"x":2}`, ""},
		{"", "/x", `{"y":1} nonsense`, ""},
		{"", "/x", `{y:1}`, ""},
		{"", "/x", `[1,`, ""},
		{"", "/x", "  ", ""},
		{"", "/x", "", ""},
		{"", "/x", strings.Repeat("[", 20000), ""},
	} {
		ev := updateOf(c.in)
		got, ok := maskOf(t, pointerList(c.fields), pointerList(c.omit)).Apply(ev)
		if string(got.Data.Record) != c.want || !ok {
			t.Errorf("fields %q, omit %q of %.80s = %s, %v, want %s, true", c.fields, c.omit, c.in, got.Data.Record, ok, c.want)
		}
		if string(ev.Data.Record) != c.in {
			t.Errorf("fields %q, omit %q: the given record became %s", c.fields, c.omit, ev.Data.Record)
		}
	}
}

func TestMaskOfChanges(t *testing.T) {
	for _, c := range []struct {
		fields, omit string
		in           events.Change
		want         *events.Change
	}{
		{"", "/name", oneChange("/name", `1`, `2`), nil},
		{"", "/name", oneChange("/name/first", `1`, `2`), nil},
		{"", "/name", oneChange("/names", `1`, `2`), new(oneChange("/names", `1`, `2`))},
		{"", "/a~1b", oneChange("/a~1b", `1`, `2`), nil},
		{"", "/contacts/*/email", oneChange("/contacts/3/email", `1`, `2`), nil},
		{"", "/contacts/*/email", oneChange("/contacts/3", `-`, `{"email":1,"x":2}`), new(oneChange("/contacts/3", `-`, `{"x":2}`))},
		{"", "/a/b", oneChange("/a", `{"b":1}`, `-`), new(oneChange("/a", `{}`, `-`))},
		{"", "/a/b", oneChange("/a", `{"b":1,"c":2}`, `{"c":2.0}`), new(oneChange("/a", `{"c":2}`, `{"c":2.0}`))},
		{"", "/a/b", oneChange("/a", `{"b":1,"c":2,"d":"x"}`, `{"d":"\u0078", "c":2}`), nil},
		{"", "/a/b", oneChange("/a", `{"b":1}`, `{"b":2}`), nil},
		{"", "/a/b", oneChange("/a", `null`, `{"b":2}`), new(oneChange("/a", `null`, `{}`))},
		{"", "/a/b", oneChange("/a", `{"b":`, `3`), new(oneChange("/a", `-`, `3`))},
		{"", "/a/b", oneChange("/a", `{"b":`, `{"b"}`), nil},
		{"", "/a/b", oneChange("", `{"a":{"b":1},"c":2}`, `{"a":{"b":2},"c":3}`), new(oneChange("", `{"a":{},"c":2}`, `{"a":{},"c":3}`))},
		{"", "/a/b", oneChange("a", `1`, `2`), nil},
		{"", "/a/b", oneChange("/x~2", `1`, `2`), nil},
		{"/a/b", "", oneChange("/a/b/c", `-`, `2`), new(oneChange("/a/b/c", `-`, `2`))},
		{"/a/b", "", oneChange("/a/c", `1`, `2`), nil},
		{"/a/b", "", oneChange("/a", `1`, `2`), nil},
		{"/a/b", "", oneChange("/a", `1`, `{"b":3,"c":4}`), new(oneChange("/a", `-`, `{"b":3}`))},
		{"/a", "/a/b", oneChange("/a/b", `1`, `2`), nil},
	} {
		kept := oneChange("/kept", `1`, `2`)
		m := maskOf(t, pointerList(c.fields), pointerList(c.omit))
		if c.fields != "" {
			m = maskOf(t, append(pointerList(c.fields), "/kept"), pointerList(c.omit))
		}
		ev := updateOf(`{}`, c.in, kept)
		want := []events.Change{kept}
		if c.want != nil {
			want = []events.Change{*c.want, kept}
		}
		got, ok := m.Apply(ev)
		if !reflect.DeepEqual(got.Data.Changes, want) || !ok {
			t.Errorf("fields %q, omit %q of %s = %s, %v, want %s", c.fields, c.omit, quoted(c.in), quoted(got.Data.Changes), ok, quoted(want))
		}
		if !reflect.DeepEqual(ev.Data.Changes, []events.Change{c.in, kept}) {
			t.Errorf("fields %q, omit %q: the given changes became %s", c.fields, c.omit, quoted(ev.Data.Changes))
		}
	}
}

func quoted(v any) string { return fmt.Sprintf("%q", v) }

func TestMaskSaysWhenThereIsNothingToTell(t *testing.T) {
	secret, open, touch := oneChange("/ssn", `1`, `2`), oneChange("/name", `1`, `2`), oneChange("/updated_at", `1`, `2`)
	for _, c := range []struct {
		name   string
		action events.Action
		in     []events.Change
		want   bool
	}{
		{"an update of what is omitted", events.Updated, []events.Change{secret}, false},
		{"an update of that and more", events.Updated, []events.Change{secret, open}, true},
		{"an update of that at a new time", events.Updated, []events.Change{secret, touch}, false},
		{"an update of the time alone", events.Updated, []events.Change{touch}, true},
		{"an update without changes", events.Updated, nil, true},
		{"a new record", events.Created, []events.Change{secret}, true},
		{"a deletion", events.Deleted, nil, true},
	} {
		ev := updateOf(`{"ssn":2}`, c.in...)
		ev.Data.Action = c.action
		if _, ok := maskOf(t, nil, []string{"/ssn"}).Apply(ev); ok != c.want {
			t.Errorf("%s: ok = %v, want %v", c.name, ok, c.want)
		}
	}
}

func TestMaskOfATruncatedEvent(t *testing.T) {
	ev := updateOf("", oneChange("/a", "-", "-"), oneChange("/a/b", "-", "-"), oneChange("/c", `1`, "-"))
	ev.Data.Record, ev.Data.Truncated = nil, true
	got, ok := maskOf(t, nil, []string{"/a/b"}).Apply(ev)
	want := []events.Change{oneChange("/a", "-", "-"), oneChange("/c", `1`, "-")}
	if !ok || got.Data.Record != nil || !reflect.DeepEqual(got.Data.Changes, want) {
		t.Errorf("Apply = %s, %v, want %s", quoted(got.Data.Changes), ok, quoted(want))
	}
}

func TestMaskLetsPass(t *testing.T) {
	ev := updateOf(`{"a":`, oneChange("a", "-", "-"))
	if got, ok := (*Mask)(nil).Apply(ev); !ok || !reflect.DeepEqual(got, ev) {
		t.Errorf("nil Mask: %v, %v", got, ok)
	}
	if got, ok := maskOf(t, nil, nil).Apply(ev); !ok || !reflect.DeepEqual(got, ev) {
		t.Errorf("empty Mask: %v, %v", got, ok)
	}
	ev.Data.Collection = events.System
	if got, ok := maskOf(t, []string{"/x"}, []string{""}).Apply(ev); !ok || !reflect.DeepEqual(got, ev) {
		t.Errorf("a system event: %v, %v", got, ok)
	}
}

func TestMaskMistakes(t *testing.T) {
	_, err := CompileMask([]string{"/name", "name", "/a~2"}, []string{"/x~", "/\xff", "", "/"})
	var got []string
	for _, e := range SettingErrors(err) {
		got = append(got, e.Setting+" "+e.Problem)
	}
	want := []string{`FIELDS "name" is not a JSON Pointer`, `FIELDS "/a~2" is not a JSON Pointer`, `OMIT "/x~" is not a JSON Pointer`, `OMIT "/\xff" is not a JSON Pointer`}
	if !slices.Equal(got, want) {
		t.Errorf("CompileMask = %q, want %q", got, want)
	}
}
