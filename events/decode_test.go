package events

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	whole, err := updated().Stamp("k7q2").Encode()
	if err != nil {
		t.Fatal(err)
	}
	body := string(whole.Body)
	replaced := func(old, with string) string {
		if !strings.Contains(body, old) {
			t.Fatalf("body lacks %s", old)
		}
		return strings.Replace(body, old, with, 1)
	}
	const stranger = "decode event: not an event of ours"
	for name, test := range map[string]struct{ body, want string }{
		"nothing":                    {"", "decode event: "},
		"text":                       {"hello", "decode event: "},
		"cut off":                    {body[:len(body)-1], "decode event: "},
		"two":                        {body + body, "decode event: "},
		"something behind":           {body + "x", "decode event: "},
		"array":                      {"[" + body + "]", "decode event: "},
		"null":                       {"null", stranger},
		"empty object":               {"{}", stranger},
		"another version":            {replaced(`"specversion":"1.0"`, `"specversion":"0.3"`), stranger},
		"no version":                 {replaced(`"specversion":"1.0",`, ``), stranger},
		"no id":                      {replaced(`"id":"acme_clients_1042_3_k7q2",`, ``), stranger},
		"empty id":                   {replaced(`"id":"acme_clients_1042_3_k7q2"`, `"id":""`), stranger},
		"no collection":              {replaced(`"collection":"clients",`, ``), stranger},
		"someone else's data":        {`{"specversion":"1.0","id":"1","source":"/x","type":"y","data":{"hello":1}}`, stranger},
		"data of another type":       {`{"specversion":"1.0","id":"1","source":"/x","type":"y","data":"hello"}`, "decode event: "},
		"number for a string":        {replaced(`"subject":"1042"`, `"subject":1042`), "decode event: "},
		"negative revision":          {replaced(`"revision":3`, `"revision":-3`), "decode event: "},
		"fraction of a revision":     {replaced(`"revision":3`, `"revision":3.5`), "decode event: "},
		"revision beyond all bounds": {replaced(`"revision":3`, `"revision":18446744073709551616`), "decode event: "},
		"time in words":              {replaced(`"time":"2026-11-23T09:30:00Z"`, `"time":"yesterday"`), "decode event: "},
		"time without a zone":        {replaced(`"time":"2026-11-23T09:30:00Z"`, `"time":"2026-11-23T09:30:00"`), "decode event: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Decode([]byte(test.body))
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("Decode = %v, want %s…", err, test.want)
			}
			if !reflect.DeepEqual(got, Event{}) {
				t.Errorf("Decode = %+v beside an error", got)
			}
		})
	}
}

// A newer notifier may say more.
func TestUnknownFieldsAreNoMistake(t *testing.T) {
	t.Parallel()
	e, err := Decode([]byte(`{"specversion":"1.0","id":"1","traceparent":"00-x","data":{"collection":"clients","mood":"good"}}`))
	if err != nil || e.ID != "1" || e.Data.Collection != "clients" {
		t.Errorf("Decode = %+v, %v", e, err)
	}
}

// values are JSON texts in the compact form of an event.
func values(depth int) *rapid.Generator[string] {
	text := rapid.Custom(func(t *rapid.T) string { return quoted(rapid.String().Draw(t, "text")) })
	all := []*rapid.Generator[string]{
		text,
		rapid.SampledFrom([]string{"null", "true", "false", "{}", "[]", `""`, "9007199254740993", "12.50", "-0", "1e400", "1.0E+2", "\"\u2028<&>\\u003c\""}),
		rapid.StringMatching(`-?[1-9][0-9]{0,30}(\.[0-9]{1,10})?([eE][+-]?[0-9]{1,3})?`),
	}
	if depth > 0 {
		all = append(all, rapid.Custom(func(t *rapid.T) string {
			return "[" + strings.Join(rapid.SliceOfN(values(depth-1), 0, 3).Draw(t, "items"), ",") + "]"
		}), rapid.Custom(func(t *rapid.T) string {
			var members []string
			for _, v := range rapid.SliceOfN(values(depth-1), 0, 3).Draw(t, "members") {
				members = append(members, text.Draw(t, "key")+":"+v)
			}
			return "{" + strings.Join(members, ",") + "}"
		}))
	}
	return rapid.OneOf(all...)
}

func quoted(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return `""`
	}
	return strings.TrimSpace(b.String())
}

func someEvents() *rapid.Generator[Event] {
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "second"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanosecond")).UTC()
	})
	raw := rapid.Custom(func(t *rapid.T) json.RawMessage {
		if rapid.Bool().Draw(t, "absent") {
			return nil
		}
		return json.RawMessage(values(2).Draw(t, "value"))
	})
	maybe := rapid.Custom(func(t *rapid.T) *time.Time {
		if rapid.Bool().Draw(t, "unknown") {
			return nil
		}
		at := moment.Draw(t, "moment")
		return &at
	})
	change := rapid.Custom(func(t *rapid.T) Change {
		return Change{Path: rapid.String().Draw(t, "path"), From: raw.Draw(t, "from"), To: raw.Draw(t, "to")}
	})
	return rapid.Custom(func(t *rapid.T) Event {
		k := keys().Draw(t, "key")
		e := Event{
			Source: Source(k.account),
			Time:   moment.Draw(t, "time"),
			Data: Data{
				Account: k.account, Collection: k.collection, Action: rapid.SampledFrom(append(Actions(), SystemActions()...)).Draw(t, "action"),
				ID: k.record, Revision: k.revision, ObservedAt: moment.Draw(t, "observed"),
				NotBefore: maybe.Draw(t, "not before"), NotAfter: maybe.Draw(t, "not after"), Record: raw.Draw(t, "record"),
				Truncated: rapid.Bool().Draw(t, "truncated"), Message: rapid.String().Draw(t, "message"),
			},
		}
		if changes := rapid.SliceOfN(change, 0, 3).Draw(t, "changes"); len(changes) > 0 {
			e.Data.Changes = changes
		}
		for _, name := range rapid.SliceOfN(rapid.String(), 0, 2).Draw(t, "details") {
			if e.Data.Detail == nil {
				e.Data.Detail = map[string]any{}
			}
			e.Data.Detail[name] = rapid.SampledFrom([]any{"text", 12.5, true, nil, []any{"a", 1.0}, map[string]any{"<": "&"}}).Draw(t, "detail")
		}
		return e.Stamp(k.epoch)
	})
}

// What is decoded is what was encoded, to the byte: absent stays absent, null
// stays null, numbers stay as they were written.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := someEvents().Draw(t, "event")
		encoded, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(encoded.Body, "\n\r") || encoded.ID != e.ID || encoded.Subject != e.NATSSubject() {
			t.Fatalf("encoded as %q", encoded)
		}
		back, err := Decode(encoded.Body)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, e) {
			t.Fatalf("decoded\n%+v, want\n%+v, from\n%s", back, e, encoded.Body)
		}
		again, err := back.Encode()
		if err != nil || !bytes.Equal(again.Body, encoded.Body) {
			t.Fatalf("encoded again\n%s, want\n%s (%v)", again.Body, encoded.Body, err)
		}
	})
}

// What passes for an event can be encoded, in a form that does not change any
// more.
func FuzzDecode(f *testing.F) {
	for _, e := range []Event{created(), updated(), deleted(), restored(), system()} {
		encoded, err := e.Stamp("k7q2").Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded.Body)
	}
	for _, data := range []string{
		`{"collection":"c","record":null,"changes":[null,{"from":null}],"detail":{"x":1e308},"observed_at":"0000-01-01T00:00:00+23:59"}`,
		"{\"collection\":\"c\",\"record\":{\"a\":\"\xff\u2028\"},\"message\":\"\xff\",\"changes\":[]}",
		`{"COLLECTION":"c","collection":"d","not_before":null,"revision":18446744073709551615,"record": [ 1 , 2 ] }`,
	} {
		f.Add([]byte(`{"specversion":"1.0","id":` + strconv.Quote("x") + `,"data":` + data + `}`))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := Decode(body)
		if err != nil {
			return
		}
		first, err := e.Encode()
		if err != nil {
			t.Fatalf("decoded and not encoded again: %v", err)
		}
		if bytes.ContainsAny(first.Body, "\n\r") {
			t.Fatalf("more than a line: %q", first.Body)
		}
		back, err := Decode(first.Body)
		if err != nil {
			t.Fatalf("encoded and not decoded again: %v", err)
		}
		second, err := back.Encode()
		if err != nil || !bytes.Equal(first.Body, second.Body) {
			t.Fatalf("encoded as\n%s and then as\n%s (%v)", first.Body, second.Body, err)
		}
	})
}
