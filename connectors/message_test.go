package connectors

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

func messageOf(t *testing.T, d events.Data) Message {
	t.Helper()
	m, err := NewMessage(events.Event{Data: d, Time: time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestHeadline(t *testing.T) {
	for _, c := range []struct {
		collection string
		action     events.Action
		record     string
		want       string
	}{
		{"clients", events.Created, `{"id":1042,"name":"Acme Ltd"}`, "New client: Acme Ltd"},
		{"case_updates", events.Updated, `{"id":1042,"formatted_update_number":"U-7","case_number":9}`, "Case update changed: U-7"},
		{"cases", events.Deleted, `{"id":1042,"case_number":9007199254740993}`, "Case deleted: 9007199254740993"},
		{"client_contacts", events.Restored, `{"first_name":"Sam","last_name":"Spade","email":"s@x"}`, "Client contact restored: Sam Spade"},
		{"staff", events.Created, `{"last_name":"Spade"}`, "New staff member: Spade"},
		{"events", events.Created, `{"title":"Call\n\tback"}`, "New calendar event: Call back"},
		{"case_requests", events.Created, `{"name":null,"title":"","number":""}`, "New case request: #1042"},
		{"invoices", events.Created, `{"reference_number":"R","invoice_number":"17"}`, "New invoice: 17"},
		{"files", events.Created, `{"filename":"a.pdf"}`, "New file: a.pdf"},
		{"expense_entries", events.Created, ``, "New expense entry: #1042"},
		{"case_statuses", events.Created, `[1]`, "New case status: #1042"},
		{"case_access", events.Created, `{"name":{"a":1}}`, "New case access: #1042"},
		{"invoice_taxes", events.Created, `{}`, "New invoice tax: #1042"},
	} {
		m := messageOf(t, events.Data{Collection: c.collection, Action: c.action, ID: "1042", Record: json.RawMessage(c.record)})
		if got := m.Headline(); got != c.want {
			t.Errorf("Headline of %s %s %s = %q, want %q", c.collection, c.action, c.record, got, c.want)
		}
	}
}

func TestFactsAreWhatPeopleRead(t *testing.T) {
	m := messageOf(t, events.Data{Collection: "clients", Action: events.Created, ID: "1", Record: json.RawMessage(
		`{"id":1,"name":"Acme","zip":"01234","empty":"","blank":" \n","nothing":null,"none":[],"Owner":{"name":"x"},"owner_id":7,
		  "is_open":false,"budget_money":12.50,"big":12345678901234567890,"created_at":"x","updated_at":"y","notes":"a\r\nb"}`)})
	want := []Fact{{"Zip", "01234"}, {"Owner", "x"}, {"Is open", "no"}, {"Budget money", "12.50"}, {"Big", "12345678901234567890"}, {"Notes", "a\nb"}}
	if diff := cmp.Diff(want, m.Facts); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestChangesAreBeforeAndAfter(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	m := messageOf(t, events.Data{Collection: "clients", Action: events.Updated, ID: "1", Record: raw(`{}`), Changes: []events.Change{
		{Path: "/updated_at", From: raw(`1`), To: raw(`2`)},
		{Path: "/due_on", From: raw(`null`), To: raw(`"2026-12-01"`)},
		{Path: "/notes", From: raw(`""`)},
		{Path: "/ExpenseDetails/0/unitPrice", From: raw(`12.50`), To: raw(`{"a": [1, true]}`)},
		{Path: "/a~1b/~0", To: raw(`true`)},
		{Path: "", To: raw(`[]`)},
	}})
	want := []Changed{
		{"Due on", "(null)", "1 Dec 2026", "/due_on"}, {"Notes", "(empty)", "(not set)", "/notes"},
		{"Expense details › 1 › Unit price", "12.50", `{"a":[1,true]}`, "/ExpenseDetails/0/unitPrice"},
		{"A/b › ~", "(not set)", "yes", "/a~1b/~0"}, {"Record", "(not set)", "[]", ""},
	}
	if diff := cmp.Diff(want, m.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	alone := messageOf(t, events.Data{Collection: "clients", Action: events.Updated, Changes: []events.Change{{Path: "/updated_at", From: raw(`1`), To: raw(`2`)}}})
	if len(alone.Changes) != 1 {
		t.Errorf("a change of updated_at alone = %v, want it shown", alone.Changes)
	}
}

func TestOperationalEvent(t *testing.T) {
	m := messageOf(t, events.Data{Account: "acme", Collection: events.System, Action: "source_recovered", ID: "9", Message: "Trackops\nanswers again.", Detail: map[string]any{"b_c": []int{1}, "a": "<x>"}})
	if got := m.Headline(); got != "Trackops answers again." || m.Icon != "✅" || m.Verb != "Source recovered" {
		t.Errorf("headline %q, icon %s, verb %q", got, m.Icon, m.Verb)
	}
	if diff := cmp.Diff([]Fact{{"A", "<x>"}, {"B c", "[1]"}}, m.Facts); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if got := messageOf(t, events.Data{Collection: events.System, Action: "schema_changed"}).Headline(); got != "System: Schema changed" {
		t.Errorf("headline without a message = %q", got)
	}
}

func TestBrokenJSONIsPermanent(t *testing.T) {
	for _, d := range []events.Data{
		{Collection: "clients", Action: events.Created, Record: json.RawMessage(`{"a":`)},
		{Collection: "clients", Action: events.Created, Record: json.RawMessage(`nonsense`)},
		{Collection: "clients", Action: events.Updated, Changes: []events.Change{{From: json.RawMessage(`{`)}}},
		{Collection: events.System, Detail: map[string]any{"x": func() {}}},
	} {
		if _, err := NewMessage(events.Event{Data: d}); !fault.IsPermanent(err) {
			t.Errorf("NewMessage(%+v) = %v, want a permanent error", d, err)
		}
	}
}

func TestShortenCountsCharacters(t *testing.T) {
	for _, unit := range []string{"x", "é", "日", "🕵"} {
		for n := 98; n <= 2000; n += 1 + n/100*60 {
			s := strings.Repeat(unit, n)
			got := Shorten(s, 100)
			if n <= 100 && got != s {
				t.Errorf("Shorten(%d × %s, 100) = %q, want it whole", n, unit, got)
			}
			if n > 100 {
				kept := strings.Count(got, unit) - strings.Count(" more characters", unit)
				want := strings.Repeat(unit, kept) + fmt.Sprintf("… %s more characters", Count(n-kept))
				if got != want || utf8.RuneCountInString(got) > 100 {
					t.Errorf("Shorten(%d × %s, 100) = %q, want %q", n, unit, got, want)
				}
			}
		}
	}
	for s, want := range map[string]string{"": "", "abc": "abc", "abcdef": "ab…"} {
		if got := Shorten(s, 3); got != want {
			t.Errorf("Shorten(%q, 3) = %q, want %q", s, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestContrastShowsWhereLongTextsDiffer(t *testing.T) {
	same := strings.Repeat("日本 ", 1000)
	from, to := Contrast(same+"old end", same+"new end", 100)
	if !strings.HasPrefix(from, "(2,970 equal characters) … ") || !strings.HasSuffix(from, "old end") || !strings.HasSuffix(to, "new end") || len(from) > 200 {
		t.Errorf("Contrast = %q, %q", from, to)
	}
	for _, c := range [][2]string{{"short", "shorter"}, {strings.Repeat("a", 200), strings.Repeat("b", 200)}, {"", strings.Repeat("b", 200)}} {
		if from, to := Contrast(c[0], c[1], 100); from != c[0] || to != c[1] {
			t.Errorf("Contrast(%q, %q) = %q, %q, want them as they are", c[0], c[1], from, to)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("a\x00\x1b[2J\r\n\u202e\u2028\xff\u0085")
	f.Fuzz(func(t *testing.T, s string) {
		got := Visible(s)
		for _, r := range got {
			if unicode.IsControl(r) && r != '\n' && r != '\t' || turnsDirection(r) {
				t.Errorf("Visible(%q) = %q holds %U", s, got, r)
			}
		}
		if !utf8.ValidString(got) || Visible(got) != got {
			t.Errorf("Visible(%q) = %q is not valid, or not stable", s, got)
		}
		if strings.ContainsAny(OneLine(s), "\n\t\r") {
			t.Errorf("OneLine(%q) = %q", s, OneLine(s))
		}
		from, to := Contrast(s+got, s+"x", 20)
		if !utf8.ValidString(Shorten(Visible(from), 20)) || utf8.RuneCountInString(Shorten(to, 20)) > 20 {
			t.Errorf("Contrast(%q) = %q, %q", s, from, to)
		}
	})
}
