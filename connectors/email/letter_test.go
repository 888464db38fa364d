package email

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/mail"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/diff"
	"github.com/trackops-notifier/trackops-notifier/events"
)

func TestMarks(t *testing.T) {
	samples := connectortest.Samples()
	client, changed := samples[0].Event, samples[1].Event
	other := samples[4].Event
	elsewhere := client
	elsewhere.Data.Account = "beta"
	elsewhere = elsewhere.Stamp("k7q2")
	l := letter{from: &mail.Address{Address: "alerts@example.com"}, connector: "new clients!"}
	for _, c := range []struct {
		name           string
		events         []events.Event
		thread, listID string
	}{
		{"one event", []events.Event{client}, "<acme_clients_1042_0_thread@example.com>", `"Trackops notifier acme new-clients" <new-clients.acme.trackops-notifier.example.com>`},
		{"the next of the record", []events.Event{changed}, "<acme_clients_1042_0_thread@example.com>", `"Trackops notifier acme new-clients" <new-clients.acme.trackops-notifier.example.com>`},
		{"several of one record", []events.Event{client, changed}, "<acme_clients_1042_0_thread@example.com>", `"Trackops notifier acme new-clients" <new-clients.acme.trackops-notifier.example.com>`},
		{"several records", []events.Event{client, other}, "", `"Trackops notifier acme new-clients" <new-clients.acme.trackops-notifier.example.com>`},
		{"several accounts", []events.Event{client, elsewhere}, "", `"Trackops notifier new-clients" <new-clients.trackops-notifier.example.com>`},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := map[string]string{
				"Message-ID": "<an-id@example.com>", "List-Id": c.listID,
				"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All",
			}
			if c.thread != "" {
				want["References"], want["In-Reply-To"] = c.thread, c.thread
			}
			if diff := cmp.Diff(want, l.marks(connectors.Delivery{ID: "an-id", Events: c.events})); diff != "" {
				t.Errorf("marks (-want +got):\n%s", diff)
			}
		})
	}
}

// record is a version of a record, with lists and what is in them.
func record(t *rapid.T) []byte {
	value := rapid.SampledFrom([]any{nil, 1, 2, "a", "b", []any{}, []any{1}, []any{1, 2, 3}, map[string]any{"x": 1}, map[string]any{"x": 2, "y": nil}})
	raw, err := json.Marshal(rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), value, 0, 4).Draw(t, "record"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Whatever happens to a record within a delivery, the mail shows what differs
// between its first and its last version.
func TestUpdatesComeToTheirSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := record(t)
		before, all := first, []events.Event(nil)
		for i := range rapid.IntRange(2, 6).Draw(t, "updates") {
			after := record(t)
			changes, err := diff.Changes(before, after)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, events.Event{Data: events.Data{Collection: "clients", ID: "1", Action: events.Updated, Revision: uint64(i), Record: after, Changes: changes}})
			before = after
		}
		got := strands(all)
		if len(got) != 1 || got[0].count != len(all) || !diff.Equal(got[0].sum.Data.Record, before) {
			t.Fatalf("strands = %+v, want one of %d events with the last record", got, len(all))
		}
		shown, err := diff.Apply(first, got[0].sum.Data.Changes)
		if err != nil || !diff.Equal(shown, before) {
			t.Fatalf("the changes shown make %s of %s: %v; want %s", shown, first, err, before)
		}
		if same := diff.Equal(first, before); same != (len(got[0].sum.Data.Changes) == 0) {
			t.Fatalf("%d changes shown; the same record: %v", len(got[0].sum.Data.Changes), same)
		}
	})
}

func TestStrands(t *testing.T) {
	event := func(collection, id string, action events.Action, changes ...events.Change) events.Event {
		return events.Event{Data: events.Data{Collection: collection, ID: id, Action: action, Changes: changes}}
	}
	change := events.Change{Path: "/a", From: json.RawMessage(`1`), To: json.RawMessage(`2`)}
	got := strands([]events.Event{
		event("clients", "1", events.Updated, change),
		event("clients", "2", events.Created),
		event(events.System, "sales", events.ConnectorFailing),
		event("clients", "2", events.Updated, change),
		event("clients", "3", events.Deleted),
		event("clients", "3", events.Restored),
		event("clients", "3", events.Updated, change),
		event(events.System, "sales", events.ConnectorRecovered),
		event("cases", "1", events.Created),
		event("cases", "1", events.Deleted),
		event("clients", "1", events.Updated, change), // of a record that was left out, so it cannot be undone
	})
	var lines []string
	for _, s := range got {
		d := s.sum.Data
		lines = append(lines, fmt.Sprintf("%s %s %s: %d events, %d changes %s", d.Collection, d.ID, d.Action, s.count, len(d.Changes), s.note))
	}
	want := []string{
		"clients 1 updated: 2 events, 2 changes ",
		"clients 2 created: 2 events, 0 changes ",
		"system sales connector_failing: 1 events, 0 changes ",
		"clients 3 updated: 3 events, 1 changes ",
		"system sales connector_recovered: 1 events, 0 changes ",
		"cases 1 deleted: 2 events, 0 changes Created, and deleted again.",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("strands (-want +got):\n%s", diff)
	}
}

func TestChangedAndChangedBack(t *testing.T) {
	e := connectortest.Samples()[0].Event
	there, back := e, e
	there.Data.Action, back.Data.Action = events.Updated, events.Updated
	there.Data.Record = json.RawMessage(`{"name":"B"}`)
	there.Data.Changes = []events.Change{{Path: "/name", From: json.RawMessage(`"A"`), To: json.RawMessage(`"B"`)}}
	back.Data.Record = json.RawMessage(`{"name":"A"}`)
	back.Data.Changes = []events.Change{{Path: "/name", From: json.RawMessage(`"B"`), To: json.RawMessage(`"A"`)}}
	c, err := testLetter(t, nil, "office").compose(deliveryOf(there, back))
	if err != nil || !strings.Contains(c.text, "Changed, and changed back.") || c.subject != "[acme] Client updated: A (2 changes)" {
		t.Errorf("compose = %+v, %v", c, err)
	}
}

// A mail stays below a size that every server takes, and says what it left out.
func TestBoundedSize(t *testing.T) {
	for _, piece := range []string{"日", "&", "\n", "x"} {
		for _, c := range []struct{ records, changes, length int }{{1, 105, 5200}, {100, 14, 520}} {
			t.Run(fmt.Sprintf("%q in %d records", piece, c.records), func(t *testing.T) {
				l, d := testLetter(t, nil, "office"), large(t, strings.Repeat(piece, c.length), c.records, c.changes)
				m, err := l.write(d)
				if err != nil {
					t.Fatal(err)
				}
				var b bytes.Buffer
				if _, err := m.WriteTo(&b); err != nil {
					t.Fatal(err)
				}
				if b.Len() > maxBody {
					t.Errorf("a mail of %d bytes, want at most %d", b.Len(), maxBody)
				}
				if err := checkMail(b.Bytes()); err != nil {
					t.Error(err)
				}
				got, err := l.compose(d)
				if err != nil || !strings.Contains(got.text, "… and") || !strings.Contains(got.html, "… and") {
					t.Errorf("compose: %v; or the mail does not say what it left out", err)
				}
			})
		}
	}
}

// large is a delivery about so many records with so many changes of a value.
func large(t *testing.T, value string, records, changes int) connectors.Delivery {
	t.Helper()
	from, err := json.Marshal("a" + value)
	if err != nil {
		t.Fatal(err)
	}
	to, err := json.Marshal("b" + value)
	if err != nil {
		t.Fatal(err)
	}
	d := connectors.Delivery{ID: "id"}
	for i := range records {
		e := connectortest.Samples()[1].Event
		e.Data.ID, e.Data.Changes = fmt.Sprint(i), nil
		for j := range changes {
			e.Data.Changes = append(e.Data.Changes, events.Change{Path: fmt.Sprintf("/f%d", j), From: from, To: to})
		}
		d.Events = append(d.Events, e.Stamp("k7q2"))
	}
	return d
}

// Of a large digest every id is listed, up to a limit that is said.
func TestAllIDsAreListed(t *testing.T) {
	d := deliveryOf(connectortest.Samples()[0].Event)
	d.Digest = &connectors.Digest{}
	for i := range maxIDs + 7 {
		d.Digest.IDs = append(d.Digest.IDs, fmt.Sprintf("acme_clients_%d_1_k7q2", i))
	}
	c, err := testLetter(t, nil, "office").compose(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{c.text, c.html} {
		if !strings.Contains(text, d.Digest.IDs[maxIDs-1]) || strings.Contains(text, d.Digest.IDs[maxIDs]) || !strings.Contains(text, "… and 7 more") {
			t.Errorf("not %d ids and a word on 7 more:\n%.2000s", maxIDs, text)
		}
	}
}
