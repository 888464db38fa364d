package connectortest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// A Sample is a named event.
type Sample struct {
	Name  string // "client-created": fit for a file name
	Event events.Event
}

// Samples returns ordinary events: each action of a client and of a case update,
// and an operational one. The first is a client created.
func Samples() []Sample {
	client := `{"id":1042,"name":"Smith & Sons <Investigations>","account_code":"SMI-01","website":"https://smith.example/?a=1&b=2","notes":"","has_invoice_reminders":true,"salesperson_id":7,"credit_limit":12500.50,"Salesperson":{"id":7,"name":"Spade, Sam"},"created_at":"2026-11-23 09:30:00","updated_at":"2026-11-23 09:30:00"}`
	update := `{"id":88123,"casefile_id":55,"subject_id":null,"formatted_update_number":"2026-0055-12","notes":"Subject left the house at 07:40.\nFollowed to the station; lost sight at 08:05.","is_valid":false,"activity_at":"2026-11-23 08:10:00","created_at":"2026-11-23 09:29:58"}`
	clientChanges := []events.Change{
		{Path: "/name", From: json.RawMessage(`"Smith & Sons"`), To: json.RawMessage(`"Smith & Sons <Investigations>"`)},
		{Path: "/credit_limit", From: json.RawMessage(`9007199254740993`), To: json.RawMessage(`12500.50`)},
		{Path: "/website", To: json.RawMessage(`"https://smith.example/?a=1&b=2"`)},
		{Path: "/Salesperson/name", From: json.RawMessage(`null`), To: json.RawMessage(`"Spade, Sam"`)},
		{Path: "/updated_at", From: json.RawMessage(`"2026-11-22 10:00:00"`), To: json.RawMessage(`"2026-11-23 09:30:00"`)},
	}
	updateChanges := []events.Change{{Path: "/is_valid", From: json.RawMessage(`false`), To: json.RawMessage(`true`)}}
	out := []Sample{
		sample("client-created", "clients", events.Created, "1042", 1, nil, client),
		sample("client-updated", "clients", events.Updated, "1042", 2, clientChanges, client),
		sample("client-deleted", "clients", events.Deleted, "1042", 3, nil, client),
		sample("client-restored", "clients", events.Restored, "1042", 4, nil, client),
		sample("case-update-created", "case_updates", events.Created, "88123", 1, nil, update),
		sample("case-update-updated", "case_updates", events.Updated, "88123", 2, updateChanges, update),
		sample("case-update-deleted", "case_updates", events.Deleted, "88123", 3, nil, update),
	}
	system := sample("system", events.System, "connector_failing", "sales", 12, nil, "")
	system.Event.Data.Record = nil
	system.Event.Data.Message = "Connector sales has failed for 30 minutes: status 404 Not Found, no_service."
	system.Event.Data.Detail = map[string]any{"connector": "sales", "pending": 12, "since": "2026-11-23T09:00:00Z"}
	return append(out, system)
}

func sample(name, collection string, action events.Action, id string, revision uint64, changes []events.Change, record string) Sample {
	at := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	e := events.Event{
		Source: "https://acme.viewcases.com/api/v1/" + strings.ReplaceAll(collection, "_", "/"),
		Time:   at,
		Data: events.Data{
			Account: "acme", Collection: collection, Action: action, ID: id, Revision: revision,
			ObservedAt: at.Add(4120 * time.Millisecond), Changes: changes, Record: json.RawMessage(record),
		},
	}
	return Sample{Name: name, Event: e.Stamp("k7q2")}
}

// Hostile returns events whose records hold what breaks programs that print,
// quote, shorten or forward them.
func Hostile() []Sample {
	texts := []struct{ name, text string }{
		{"mention", "<!channel> <@U012AB3CD> <!here|here> <https://evil.example|Open> & &lt; @channel"},
		{"header-lines", "Acme\r\nX-Injected: yes\r\nBcc: all@evil.example\r\n\r\n<b>body</b>\r\n.\r\nMAIL FROM:<x@evil.example>"},
		{"control", "a\x00b\x1b[2J\x1b]0;title\x07c\x7f\u0085\u009b31m\x08\x08\x08\rgone"},
		{"long", strings.Repeat("lorem & <ipsum> ", 150_000/16)},
		{"long-word", strings.Repeat("x", 150_000)},
		{"long-wide", strings.Repeat("日本語🕵️", 20_000)},
		{"direction", "\u202ecod.exe\u202c \u2066isolated\u2069 שלום עולם مرحبا"},
		{"emoji", "👩🏽‍💻🏳️‍🌈🇩🇪" + strings.Repeat("\u0301", 500)},
		{"html", `"><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}{{define "x"}}`},
		{"mrkdwn", "*b* _i_ ~s~ `c` ```\n> q\n:boom: \\ "},
		{"blank", " \t\r\n\u00a0\u2028"},
		{"separators", "line\u2028para\u2029\u000b\u000c\ufeff"},
	}
	var out []Sample
	for _, h := range texts {
		raw, err := json.Marshal(h.text)
		if err != nil {
			panic(err) // a string is always JSON
		}
		out = append(out, hostile(h.name, raw)...)
	}
	for name, raw := range map[string]string{
		"lone-surrogate": `"\ud800 \udc00x \uD83D"`,
		"null-escape":    `"\u0000\u001b[31m\u202e"`,
		"invalid-utf8":   "\"\xff\xfe\xc3(\"",
		"deep":           strings.Repeat(`{"a":[`, 2000) + strings.Repeat(`]}`, 2000),
		"number":         "1" + strings.Repeat("0", 5000),
		"array":          `[` + strings.Repeat(`{"name":"<x>"},`, 3000) + `null]`,
	} {
		out = append(out, hostile(name, json.RawMessage(raw))...)
	}
	return append(out, manyChanges())
}

// hostile puts raw where connectors read: names, values, changes, keys, details.
func hostile(name string, raw json.RawMessage) []Sample {
	record := `{"id":1,"name":` + string(raw) + `,"notes":` + string(raw) + `,"Nested":{"name":` + string(raw) + `}`
	changes := []events.Change{{Path: "/notes", From: raw}, {Path: "/notes", From: raw, To: json.RawMessage(`1`)}, {Path: "", To: raw}}
	var key string
	if err := json.Unmarshal(raw, &key); err == nil && key != "" {
		escaped, err := json.Marshal(key)
		if err != nil {
			panic(err) // a string is always JSON
		}
		record += `,` + string(escaped) + `:"under a hostile key"`
		changes = append(changes, events.Change{Path: "/" + key, To: raw})
	}
	record += `}`
	created := sample(name+"-created", "clients", events.Created, "1", 1, nil, record)
	updated := sample(name+"-updated", "clients", events.Updated, "1", 2, changes, record)
	odd := sample(name+"-id", "clients", events.Deleted, key, 3, nil, record)
	system := sample(name+"-system", events.System, "schema_changed", "1", 4, nil, "")
	system.Event.Data.Record = nil
	system.Event.Data.Message = key
	system.Event.Data.Detail = map[string]any{"value": key, "x" + key: []string{key}}
	return []Sample{created, updated, odd, system}
}

func manyChanges() Sample {
	var changes []events.Change
	for i := range 500 {
		changes = append(changes, events.Change{
			Path: fmt.Sprintf("/field_%d", i),
			From: json.RawMessage(`"` + strings.Repeat("&", 200) + `"`),
			To:   json.RawMessage(`"` + strings.Repeat("<", 200) + `"`),
		})
	}
	return sample("many-changes", "cases", events.Updated, "7", 2, changes, `{"id":7}`)
}
