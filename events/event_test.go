package events

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

var epochStart = time.Date(2026, time.November, 23, 9, 30, 4, 120_000_000, time.UTC)

// updated is the example of the documentation.
func updated() Event {
	return Event{
		Source: Source("acme") + "/clients",
		Time:   time.Date(2026, time.November, 23, 9, 30, 0, 0, time.UTC),
		Data: Data{
			Account: "acme", Collection: "clients", Action: Updated, ID: "1042", Revision: 3, ObservedAt: epochStart,
			Changes: []Change{{Path: "/name", From: json.RawMessage(`"Acme"`), To: json.RawMessage(`"Acme Ltd"`)}},
			Record:  json.RawMessage(`{ "id": 1042, "name": "Acme Ltd" }`),
		},
	}
}

func created() Event {
	e := updated()
	e.Data.Action, e.Data.Revision, e.Data.Changes = Created, 1, nil
	before, after := epochStart.Add(-time.Minute), epochStart
	e.Data.NotBefore, e.Data.NotAfter = &before, &after
	return e
}

func deleted() Event {
	e := updated()
	e.Time = time.Time{}
	e.Data.Action, e.Data.Revision, e.Data.Changes, e.Data.Truncated = Deleted, 4, nil, true
	e.Data.Record = nil
	return e
}

func restored() Event {
	e := updated()
	e.Time = time.Time{}
	e.Source, e.Data.Collection, e.Data.ID = Source("acme")+"/case/updates", "case_updates", "a/b"
	e.Data.Action, e.Data.Revision = Restored, 5
	e.Data.Changes = []Change{
		{Path: "/new", To: json.RawMessage(`null`)},
		{Path: "/gone", From: json.RawMessage(`12.50`)},
		{Path: "/set", From: json.RawMessage(`null`), To: json.RawMessage(`[1, 2]`)},
	}
	return e
}

func system() Event {
	return NewSystem("acme", DeadLettered, "new-clients", 12, time.Date(2026, time.November, 23, 10, 30, 4, 120_999_999, time.FixedZone("CET", 3600)),
		"Connector new-clients gave up: <410> & gone", map[string]any{"status": 410, "event_id": "acme_clients_1042_3_k7q2"})
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	const ce, end = `{"specversion":"1.0","id":"acme_`, `"datacontenttype":"application/json","data":{"account":"acme",`
	tests := map[string]struct {
		event   Event
		subject string
		want    string
	}{
		"created": {created(), "trackops.acme.clients.created",
			ce + `clients_1042_1_k7q2","source":"https://acme.viewcases.com/api/v1/clients","type":"com.trackops.clients.created","subject":"1042","time":"2026-11-23T09:30:00Z",` + end +
				`"collection":"clients","action":"created","id":"1042","revision":1,"observed_at":"2026-11-23T09:30:04.12Z",` +
				`"not_before":"2026-11-23T09:29:04.12Z","not_after":"2026-11-23T09:30:04.12Z","record":{"id":1042,"name":"Acme Ltd"}}}`},
		"updated": {updated(), "trackops.acme.clients.updated",
			ce + `clients_1042_3_k7q2","source":"https://acme.viewcases.com/api/v1/clients","type":"com.trackops.clients.updated","subject":"1042","time":"2026-11-23T09:30:00Z",` + end +
				`"collection":"clients","action":"updated","id":"1042","revision":3,"observed_at":"2026-11-23T09:30:04.12Z",` +
				`"changes":[{"path":"/name","from":"Acme","to":"Acme Ltd"}],"record":{"id":1042,"name":"Acme Ltd"}}}`},
		"deleted, and too large": {deleted(), "trackops.acme.clients.deleted",
			ce + `clients_1042_4_k7q2","source":"https://acme.viewcases.com/api/v1/clients","type":"com.trackops.clients.deleted","subject":"1042","time":"2026-11-23T09:30:04.12Z",` + end +
				`"collection":"clients","action":"deleted","id":"1042","revision":4,"observed_at":"2026-11-23T09:30:04.12Z","truncated":true}}`},
		"restored, values absent and null": {restored(), "trackops.acme.case_updates.restored",
			ce + `case-updates_-mexwe_5_k7q2","source":"https://acme.viewcases.com/api/v1/case/updates","type":"com.trackops.case_updates.restored","subject":"a/b","time":"2026-11-23T09:30:04.12Z",` + end +
				`"collection":"case_updates","action":"restored","id":"a/b","revision":5,"observed_at":"2026-11-23T09:30:04.12Z",` +
				`"changes":[{"path":"/new","to":null},{"path":"/gone","from":12.50},{"path":"/set","from":null,"to":[1,2]}],"record":{"id":1042,"name":"Acme Ltd"}}}`},
		"system": {system(), "trackops.acme.system.dead_lettered",
			ce + `system_-nzsxolldnruwk3tuom_12_k7q2","source":"https://acme.viewcases.com/api/v1","type":"com.trackops.system.dead_lettered","subject":"new-clients","time":"2026-11-23T09:30:04.12Z",` + end +
				`"collection":"system","action":"dead_lettered","id":"new-clients","revision":12,"observed_at":"2026-11-23T09:30:04.12Z",` +
				`"message":"Connector new-clients gave up: <410> & gone","detail":{"event_id":"acme_clients_1042_3_k7q2","status":410}}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := test.event.Stamp("k7q2").Encode()
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Body) != test.want {
				t.Errorf("body\n%s, want\n%s", got.Body, test.want)
			}
			id, _, _ := strings.Cut(strings.TrimPrefix(test.want, `{"specversion":"1.0","id":"`), `"`)
			if got.ID != id || got.Account != "acme" || got.Subject != test.subject {
				t.Errorf("encoded as %q of %q on %q, want %q of acme on %q", got.ID, got.Account, got.Subject, id, test.subject)
			}
		})
	}
}

// Stamp leaves what the caller knows better.
func TestStamp(t *testing.T) {
	t.Parallel()
	at := epochStart.Add(-time.Hour)
	e := updated()
	e.Time, e.Source, e.ID = at, "https://elsewhere.example.com", "an old one"
	got := e.Stamp("k7q2")
	if !got.Time.Equal(at) || got.Source != e.Source || got.ID != "acme_clients_1042_3_k7q2" {
		t.Errorf("stamped %+v", got)
	}
	if e.ID != "an old one" {
		t.Error("Stamp changes the event it is called on")
	}
	if again := got.Stamp("zzzz"); again.ID != "acme_clients_1042_3_zzzz" || !again.Time.Equal(at) {
		t.Errorf("stamped again: %q at %s", again.ID, again.Time)
	}
}

func TestRecordsKeepTheirDigits(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"9007199254740993", "-9007199254740993", "18446744073709551616", "12.50", "1.0", "-0", "1e400", "1E+2", "0.1000000000000000055511151231257827",
	} {
		e := updated()
		e.Data.Record = json.RawMessage(`{"id":` + value + `}`)
		e.Data.Changes = []Change{{Path: "/id", From: json.RawMessage(value), To: json.RawMessage(`[` + value + `]`)}}
		encoded, err := e.Stamp("k7q2").Encode()
		if err != nil {
			t.Fatal(err)
		}
		if want := `"changes":[{"path":"/id","from":` + value + `,"to":[` + value + `]}],"record":{"id":` + value + `}}}`; !strings.HasSuffix(string(encoded.Body), want) {
			t.Errorf("%s is encoded as\n%s", value, encoded.Body)
		}
		back, err := Decode(encoded.Body)
		if err != nil {
			t.Fatal(err)
		}
		if string(back.Data.Record) != `{"id":`+value+`}` || string(back.Data.Changes[0].From) != value || string(back.Data.Changes[0].To) != `[`+value+`]` {
			t.Errorf("%s is decoded as %s, changes %s → %s", value, back.Data.Record, back.Data.Changes[0].From, back.Data.Changes[0].To)
		}
	}
}

// A pretty record is one line in the event, and no character is escaped for the
// sake of HTML. What Trackops escaped itself stays escaped.
func TestOneLineWithoutHTML(t *testing.T) {
	t.Parallel()
	e := updated()
	e.Data.Record = json.RawMessage("{\n\t\"note\": \"<b>A & B</b> \\u003c \\n \u2028\",\r\n\t\"ids\": [ 1,\n 2 ]\n}")
	e.Data.Changes = []Change{{Path: "/<&>", From: json.RawMessage("[\n\"<&>\"\n]"), To: json.RawMessage(`"<&>"`)}}
	e.Data.Message, e.Data.ID = "line\nline <&> Ünïcode 🙂", "<&>"
	encoded, err := e.Stamp("k7q2").Encode()
	if err != nil {
		t.Fatal(err)
	}
	body := string(encoded.Body)
	if strings.ContainsAny(body, "\n\r\t") {
		t.Errorf("body is more than a line: %q", body)
	}
	for _, want := range []string{
		`"record":{"note":"<b>A & B</b> \u003c \n ` + "\u2028" + `","ids":[1,2]}`, `{"path":"/<&>","from":["<&>"],"to":"<&>"}`,
		`"message":"line\nline <&> Ünïcode 🙂"`, `"subject":"<&>"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("body\n%s\nlacks %s", body, want)
		}
	}
}

func TestWhatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Event){
		"record that is no JSON":           func(e *Event) { e.Data.Record = json.RawMessage(`{"id":`) },
		"record with something behind":     func(e *Event) { e.Data.Record = json.RawMessage(`{} {}`) },
		"empty record":                     func(e *Event) { e.Data.Record = json.RawMessage(" ") },
		"change that is no JSON":           func(e *Event) { e.Data.Changes[0].To = json.RawMessage(`nul`) },
		"number that JSON does not have":   func(e *Event) { e.Data.Detail = map[string]any{"x": math.NaN()} },
		"time that RFC 3339 does not have": func(e *Event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := updated()
			spoil(&e)
			got, err := e.Stamp("k7q2").Encode()
			if err == nil || !strings.HasPrefix(err.Error(), "encode event acme_clients_1042_3_k7q2: ") {
				t.Errorf("Encode = %s, %v, want an error that names the event", got.Body, err)
			}
			if got.ID != "" || got.Body != nil {
				t.Errorf("Encode = %+v beside an error", got)
			}
		})
	}
}

func TestNewSystem(t *testing.T) {
	t.Parallel()
	e := system()
	if want := time.Date(2026, time.November, 23, 9, 30, 4, 120_000_000, time.UTC); e.Data.ObservedAt != want {
		t.Errorf("observed at %s, want %s", e.Data.ObservedAt, want)
	}
	if e.ID != "" {
		t.Errorf("id %q before it was stamped", e.ID)
	}
	seen := make(map[string]bool)
	for n := range uint64(100) {
		seen[NewSystem("acme", SourceUnreachable, "acme", n, epochStart, "", nil).Stamp("k7q2").ID] = true
	}
	if len(seen) != 100 {
		t.Errorf("100 operational events have %d ids", len(seen))
	}
}
