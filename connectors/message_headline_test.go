package connectors_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
)

func TestHeadlinesOfSamples(t *testing.T) {
	want := map[string]string{
		"client-created":        "🆕 New client: Smith & Sons <Investigations>",
		"client-updated":        "✏️ Client updated: Smith & Sons <Investigations>",
		"client-deleted":        "🗑️ Client deleted: Smith & Sons <Investigations>",
		"client-restored":       "♻️ Client restored: Smith & Sons <Investigations>",
		"case-created":          "🆕 New case: C-2026-0055, for Smith & Sons <Investigations>",
		"case-updated":          "✏️ Case updated: C-2026-0055, for Smith & Sons <Investigations>",
		"case-deleted":          "🗑️ Case deleted: C-2026-0055, for Smith & Sons <Investigations>",
		"case-restored":         "♻️ Case restored: C-2026-0055, for Smith & Sons <Investigations>",
		"case-status":           "✏️ Case status changed: C-2026-0055, Assigned → Active, for Smith & Sons <Investigations>",
		"invoice-created":       "🆕 New invoice: INV-1042, for Smith & Sons <Investigations>, 1,250.00",
		"invoice-updated":       "✏️ Invoice updated: INV-1042, for Smith & Sons <Investigations>",
		"invoice-deleted":       "🗑️ Invoice deleted: INV-1042, for Smith & Sons <Investigations>, 1,250.00",
		"invoice-restored":      "♻️ Invoice restored: INV-1042, for Smith & Sons <Investigations>, 1,250.00",
		"invoice-paid":          "💰 Invoice paid: INV-1042, for Smith & Sons <Investigations>, 1,250.00",
		"case-update-created":   "🆕 New case update: 2026-0055-12, case C-2026-0055, by Spade, Sam",
		"case-update-updated":   "✏️ Case update changed: 2026-0055-12, case C-2026-0055, by Spade, Sam",
		"case-update-deleted":   "🗑️ Case update deleted: 2026-0055-12, case C-2026-0055, by Spade, Sam",
		"case-update-restored":  "♻️ Case update restored: 2026-0055-12, case C-2026-0055, by Spade, Sam",
		"case-update-validated": "✅ Case update validated: 2026-0055-12, case C-2026-0055, by Spade, Sam",
		"system":                "⚠️ Connector sales has failed for 30 minutes: status 404 Not Found, no_service.",
	}
	got := make(map[string]string)
	for _, sample := range connectortest.Samples() {
		m := message(t, sample.Event)
		got[sample.Name] = m.Icon + " " + m.Headline()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headlines (-want +got):\n%s", diff)
	}
}

// The words speak of what a record has, and of nothing else.
func TestHeadlinesDegrade(t *testing.T) {
	status := func(from, to string) []events.Change {
		return []events.Change{{Path: "/status", From: json.RawMessage(from), To: json.RawMessage(to)}}
	}
	for _, c := range []struct {
		collection string
		action     events.Action
		record     string
		changes    []events.Change
		want       string
	}{
		{"invoices", events.Updated, `{"formatted_invoice_number":"1042"}`, status(`"sent"`, `"paid"`), "Invoice paid: 1042"},
		{"invoices", events.Updated, `{"invoice_number":"1042","total":"1250.5","Client":{"name":"Acme"}}`, status(`"sent"`, `"paid"`), "Invoice paid: 1042, for Acme, 1,250.50"},
		{"invoices", events.Updated, `{"number":3}`, append(status(`"sent"`, `"paid"`), events.Change{Path: "/balance", From: json.RawMessage(`null`)}), "Invoice paid: 3"},
		{"invoices", events.Updated, `{}`, status(`"sent"`, `"partial_paid"`), "Invoice partly paid: #7"},
		{"invoices", events.Updated, `{}`, status(`"none"`, `"draft"`), "Invoice status changed: #7, none → draft"},
		{"invoices", events.Updated, `{}`, status(`null`, `{"a":1}`), `Invoice status changed: #7, (null) → {"a":1}`},
		{"cases", events.Updated, ``, status(`"a"`, `"paid"`), "Case status changed: #7, a → paid"},
		{"cases", events.Created, `{"Client":null,"formatted_case_number":"C-1"}`, nil, "New case: C-1"},
		{"cases", events.Created, `{"Client":[],"Casefile":"x"}`, nil, "New case: #7"},
		{"invoice_payments", events.Created, `{"amount":"10","Invoice":{"formatted_invoice_number":"INV-3"},"Client":{"name":"Acme"}}`, nil, "Payment received: #7, invoice INV-3, from Acme, 10.00"},
		{"invoice_payments", events.Deleted, `{"amount":"ten"}`, nil, "Invoice payment deleted: #7, ten"},
		{"expense_entries", events.Updated, `{"formatted_entry_number":"EXP-1","User":{"name":"Spade, Sam"}}`, status(`"pending"`, `"approved"`), "Expense entry approved: EXP-1, of Spade, Sam"},
		{"client_contacts", events.Created, `{"first_name":"Sam","last_name":"Spade","ClientLocation":{"name":"HQ"}}`, nil, "New client contact: Sam Spade, of HQ"},
		{"client_locations", events.Created, `{"name":"HQ","Client":{"name":"Acme"}}`, nil, "New client location: HQ, of Acme"},
		{"case_contacts", events.Created, `{"User":{"name":"Spade, Sam"},"Casefile":{"formatted_case_number":"C-1"}}`, nil, "New case contact: Spade, Sam, case C-1"},
		{"files", events.Created, `{"name":"Report","CreatedBy":{"first_name":"Sam","last_name":"Spade"}}`, nil, "New file: Report, by Sam Spade"},
		{"case_updates", events.Updated, `{}`, []events.Change{{Path: "/validated_at", To: json.RawMessage(`"2026-11-23"`)}}, "Case update validated: #7"},
		{"subjects", events.Updated, `{}`, []events.Change{{Path: "/is_valid", From: json.RawMessage(`false`), To: json.RawMessage(`true`)}}, "Subject updated: #7"},
		{"cases", "archived", `{}`, nil, "Case Archived: #7"},
	} {
		m := message(t, events.Event{Data: events.Data{Collection: c.collection, Action: c.action, ID: "7", Record: json.RawMessage(c.record), Changes: c.changes}})
		if got := m.Headline(); got != c.want {
			t.Errorf("%s %s %s: %q, want %q", c.collection, c.action, c.record, got, c.want)
		}
	}
}

func TestReadableValues(t *testing.T) {
	m := message(t, events.Event{Data: events.Data{Collection: "clients", Action: events.Created, Record: json.RawMessage(`{
		"credit_limit":9007199254740993,"budget_money":"-1234.5","rate":"0.675","tax":"1,5","total":1e3,"amount":null,
		"due_on":"2026-12-01","signed_date":"soon","start_at":"2026-11-23 09:30:00","end_at":"2026-11-23T09:30:05+02:00","paid_at":1700000000,
		"count":1234567,"zip":"01234","User":{"id":1},"Office":{"title":"HQ"},"Deep":{"a":{"name":"x"}}}`)}})
	want := []connectors.Fact{
		{Label: "Credit limit", Value: "9,007,199,254,740,993.00"}, {Label: "Budget money", Value: "-1,234.50"}, {Label: "Rate", Value: "0.675"},
		{Label: "Tax", Value: "1,5"}, {Label: "Total", Value: "1e3"}, {Label: "Due on", Value: "1 Dec 2026"}, {Label: "Signed date", Value: "soon"},
		{Label: "Start at", Value: "23 Nov 2026, 09:30 UTC"}, {Label: "End at", Value: "23 Nov 2026, 07:30:05 UTC"}, {Label: "Paid at", Value: "1700000000"},
		{Label: "Count", Value: "1234567"}, {Label: "Zip", Value: "01234"}, {Label: "Office", Value: "HQ"},
	}
	if diff := cmp.Diff(want, m.Facts); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestChangesThatFollowFromOthers(t *testing.T) {
	change := func(path, from, to string) events.Change {
		return events.Change{Path: path, From: json.RawMessage(from), To: json.RawMessage(to)}
	}
	m := message(t, events.Event{Data: events.Data{Collection: "cases", Action: events.Updated, Changes: []events.Change{
		change("/case_status_id", `1`, `2`), change("/CaseStatus/id", `1`, `2`), change("/CaseStatus/name", `"New"`, `"Open"`),
		change("/client_id", `1`, `2`), change("/Casefile/formatted_case_number", `"C-1"`, `"C-2"`), change("/casefile_id", `1`, `2`),
		change("/budget_money", `"1.5"`, `"1.50"`), change("/ExpenseDetails/0/name", `"a"`, `"b"`), change("/updated_at", `1`, `2`),
	}}})
	want := []connectors.Changed{
		{Label: "Case status", From: "New", To: "Open", Path: "/CaseStatus/name"},
		{Label: "Client id", From: "1", To: "2", Path: "/client_id"},
		{Label: "Case", From: "C-1", To: "C-2", Path: "/Casefile/formatted_case_number"},
		{Label: "Budget money", From: `"1.5"`, To: `"1.50"`, Path: "/budget_money"},
		{Label: "Expense details › 1 › Name", From: "a", To: "b", Path: "/ExpenseDetails/0/name"},
	}
	if diff := cmp.Diff(want, m.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if got, want := m.Line(), `Case status changed: #, New → Open (Client id 1 → 2; Case C-1 → C-2; Budget money "1.5" → "1.50"; Expense details › 1 › Name a → b)`; got != want {
		t.Errorf("Line = %q, want %q", got, want)
	}
}

func TestSummary(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC)
	of := func(accounts ...string) []connectors.Message {
		var all []connectors.Message
		for i, a := range accounts {
			all = append(all, message(t, events.Event{Time: at.Add(time.Duration(i) * time.Minute), Data: events.Data{Account: a, Collection: "clients", Action: events.Created, ID: "1"}}))
		}
		return all
	}
	window := func(from time.Time, length time.Duration, quiet bool) *connectors.Digest {
		return &connectors.Digest{From: from, To: from.Add(length), Quiet: quiet}
	}
	for _, c := range []struct {
		messages []connectors.Message
		digest   *connectors.Digest
		want     string
	}{
		{of("acme"), nil, "New client: #1"},
		{of("acme", "acme"), nil, "2 changes in acme, 22:00 to 22:01 UTC"},
		{of("acme", "globex", "acme"), nil, "3 changes in acme, globex, 22:00 to 22:02 UTC"},
		{of("a", "b", "c", "d", "e"), nil, "5 changes in a and 4 other accounts, 22:00 to 22:04 UTC"},
		{of("acme"), window(at, 15*time.Minute, false), "1 change in acme, 22:00 to 22:15 UTC"},
		{of(strings.Split(strings.Repeat("acme,", 1199)+"acme", ",")...), window(at.In(berlin), time.Hour, false), "1,200 changes in acme, 00:00 to 01:00 CEST"},
		{of("acme"), window(at.In(berlin), 7*time.Hour, true), "1 change in acme during quiet hours, 00:00 CEST to 06:00 CET"},
		{of("acme"), window(at, 24*time.Hour, false), "1 change in acme, 24 Oct 22:00 to 25 Oct 22:00 UTC"},
		{nil, window(at, time.Hour, false), "0 changes, 22:00 to 23:00 UTC"},
		{nil, nil, "0 changes"},
	} {
		if got := connectors.Summary(c.messages, c.digest); got != c.want {
			t.Errorf("Summary of %d, %+v = %q, want %q", len(c.messages), c.digest, got, c.want)
		}
	}
}
