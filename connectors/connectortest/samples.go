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

// Samples returns ordinary events: each action of a client, a case, an invoice
// and a case update, what people wait for most (a case changes its status, an
// invoice is paid, an update is validated), and an operational one. The first is
// a client created.
func Samples() []Sample {
	all := append(clientSamples(), caseSamples()...)
	all = append(append(all, invoiceSamples()...), updateSamples()...)
	system := sample("system", events.System, events.ConnectorFailing, "sales", 12, nil, "")
	system.Event.Data.Record = nil
	system.Event.Data.Message = "Connector sales has failed for 30 minutes: status 404 Not Found, no_service."
	system.Event.Data.Detail = map[string]any{"connector": "sales", "pending": 12, "since": "2026-11-23T09:00:00Z"}
	return append(all, system)
}

// fourActions are one record created, updated, deleted and restored.
func fourActions(name, collection, id, record string, changes ...events.Change) []Sample {
	var out []Sample
	for i, action := range events.Actions() {
		one := changes
		if action != events.Updated {
			one = nil
		}
		out = append(out, sample(name+"-"+string(action), collection, action, id, uint64(i+1), one, record))
	}
	return out
}

// change is a change of a field from one JSON value to another; "" is absent.
func change(path, from, to string) events.Change {
	return events.Change{Path: path, From: json.RawMessage(from), To: json.RawMessage(to)}
}

func clientSamples() []Sample {
	return fourActions("client", "clients", "1042",
		`{"id":1042,"name":"Smith & Sons <Investigations>","account_code":"SMI-01","website":"https://smith.example/?a=1&b=2","notes":"","has_invoice_reminders":true,"salesperson_id":7,"credit_limit":12500.50,"Salesperson":{"id":7,"name":"Spade, Sam"},"created_at":"2026-11-23 09:30:00","updated_at":"2026-11-23 09:30:00"}`,
		change("/name", `"Smith & Sons"`, `"Smith & Sons <Investigations>"`),
		change("/credit_limit", `9007199254740993`, `12500.50`),
		change("/website", ``, `"https://smith.example/?a=1&b=2"`),
		change("/Salesperson/name", `null`, `"Spade, Sam"`),
		change("/updated_at", `"2026-11-22 10:00:00"`, `"2026-11-23 09:30:00"`))
}

func caseSamples() []Sample {
	const record = `{"id":55,"formatted_case_number":"C-2026-0055","client_id":1042,"Client":{"id":1042,"name":"Smith & Sons <Investigations>"},"primary_investigator_id":7,"PrimaryInvestigator":{"id":7,"name":"Spade, Sam"},"case_status_id":3,"CaseStatus":{"id":3,"name":"Active"},"created_on":"2026-11-20","due_on":"2026-12-18","reference_value_1":"CLM-7719","reference_value_2":null,"case_location":"San Francisco","notes":"Find the falcon.","budget_money":"4500.00","budget_hours":40,"is_request":false,"custom_fields":[],"created_at":"2026-11-23 09:29:58","updated_at":"2026-11-23 09:30:00"}`
	return append(fourActions("case", "cases", "55", record,
		change("/due_on", `"2026-12-11"`, `"2026-12-18"`),
		change("/budget_money", `"3000.00"`, `"4500.00"`),
		change("/updated_at", `"2026-11-22 10:00:00"`, `"2026-11-23 09:30:00"`),
	), sample("case-status", "cases", events.Updated, "55", 5, []events.Change{
		change("/case_status_id", `2`, `3`),
		change("/CaseStatus/id", `2`, `3`),
		change("/CaseStatus/name", `"Assigned"`, `"Active"`),
		change("/updated_at", `"2026-11-22 10:00:00"`, `"2026-11-23 09:30:00"`),
	}, record))
}

func invoiceSamples() []Sample {
	const open = `{"id":4017,"casefile_id":55,"Casefile":{"id":55,"name":"C-2026-0055"},"client_id":1042,"Client":{"id":1042,"name":"Smith & Sons <Investigations>"},"invoice_number":1042,"formatted_invoice_number":"INV-1042","reference_number":"PO 88","status":"sent","created_on":"2026-11-20","due_on":"2026-12-20","closed_on":null,"subtotal":"1150.00","tax":"100.00","balance":"1250.00","InvoiceItems":[{"id":1,"description":"Surveillance","quantity":10,"rate":"115.00"}],"created_at":"2026-11-20 14:02:11","updated_at":"2026-11-23 09:30:00"}`
	paid := strings.NewReplacer(`"sent"`, `"paid"`, `"closed_on":null`, `"closed_on":"2026-11-23"`, `"balance":"1250.00"`, `"balance":"0.00"`).Replace(open)
	return append(fourActions("invoice", "invoices", "4017", open,
		change("/due_on", `"2026-12-05"`, `"2026-12-20"`),
		change("/subtotal", `"1035.00"`, `"1150.00"`),
		change("/balance", `"1135.00"`, `"1250.00"`),
		change("/InvoiceItems/0/quantity", `9`, `10`),
	), sample("invoice-paid", "invoices", events.Updated, "4017", 5, []events.Change{
		change("/status", `"sent"`, `"paid"`),
		change("/closed_on", `null`, `"2026-11-23"`),
		change("/balance", `"1250.00"`, `"0.00"`),
		change("/updated_at", `"2026-11-22 10:00:00"`, `"2026-11-23 09:30:00"`),
	}, paid))
}

func updateSamples() []Sample {
	const record = `{"id":88123,"casefile_id":55,"Casefile":{"id":55,"name":"C-2026-0055"},"created_by_id":7,"CreatedBy":{"id":7,"name":"Spade, Sam"},"subject_id":null,"formatted_update_number":"2026-0055-12","notes":"Subject left the house at 07:40.\nFollowed to the station; lost sight at 08:05.","is_valid":false,"activity_at":"2026-11-23 08:10:00","created_at":"2026-11-23 09:29:58"}`
	return append(fourActions("case-update", "case_updates", "88123", record,
		change("/notes", `"Subject left the house at 07:40."`, `"Subject left the house at 07:40.\nFollowed to the station; lost sight at 08:05."`),
	), sample("case-update-validated", "case_updates", events.Updated, "88123", 5, []events.Change{
		change("/is_valid", `false`, `true`),
	}, strings.Replace(record, `"is_valid":false`, `"is_valid":true`, 1)))
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
