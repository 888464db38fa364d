package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// connect declares a webhook connector with the settings given as SUFFIX=value.
func (r *rig) connect(name, url string, settings ...string) {
	r.env["CONNECTOR_"+name+"_TYPE"], r.env["CONNECTOR_"+name+"_URL"] = "webhook", url
	for _, s := range settings {
		suffix, value, _ := strings.Cut(s, "=")
		r.env["CONNECTOR_"+name+"_"+suffix] = value
	}
}

// explained returns what explain --json says of an event at one connector.
func (r *rig) explained(id, connector string) (explanation, fate) {
	r.t.Helper()
	out, _, err := r.command("explain", "--json", id, connector)
	if err != nil {
		r.t.Fatalf("explain %s %s = %v", id, connector, err)
	}
	var e explanation
	if err := json.Unmarshal([]byte(out), &e); err != nil || len(e.Connectors) != 1 || e.Connectors[0].Connector != connector {
		r.t.Fatalf("explain --json = %s, %v", out, err)
	}
	return e, e.Connectors[0]
}

func TestExplain(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 1}})
	moody := newReceiver(t, func(n int) int { return map[bool]int{true: http.StatusBadGateway, false: http.StatusOK}[n == 1] })
	broken := newReceiver(t, func(int) int { return http.StatusInternalServerError })
	well := newReceiver(t, nil)
	r.connect("MOODY", moody.URL, "RETRY=10ms", "EVENTS=*.*,system.*")
	r.connect("DEAD", broken.URL, "RETRY=off", "EVENTS=clients.*,system.*")
	r.connect("SLOW", broken.URL, "RETRY=1h")
	r.connect("OTHER", well.URL, "EVENTS=clients.deleted,clients.restored")
	r.connect("RICH", well.URL, "FILTER=data.record.amount > 1000 and data.record.ssn == \"123\" or \"/x\" in changed", "OMIT=/ssn")
	r.connect("BLIND", well.URL, "OMIT=/name,/updated_at", "EVENTS=clients.updated")
	r.connect("LATER", well.URL, "DIGEST=7d")
	p := r.start()
	r.awaitReady(15 * time.Second)
	client, err := r.account.Create("clients", map[string]any{"amount": 500, "ssn": "123", "name": "Acme"})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the new client arrives", 10*time.Second, func() bool { return find(moody.events(), client, events.Created) != nil })
	id := find(moody.events(), client, events.Created).ID

	await := func(id, connector, state string) (f fate) {
		t.Helper()
		until(t, connector+" is "+state, 10*time.Second, func() bool {
			_, f = r.explained(id, connector)
			return f.State == state && (state != statePending || f.Next != nil)
		})
		return f
	}
	f := await(id, "moody", "delivered")
	if len(f.Notes) != 2 || f.Notes[0].Outcome != connectors.Failed || f.Notes[0].Status != 502 || f.Notes[1].Attempt != 2 || !f.Wanted {
		t.Errorf("moody: %+v, want a failed attempt and one that was accepted", f)
	}
	if f = await(id, "dead", "dead"); !f.Letter || f.Reason == "" {
		t.Errorf("dead: %+v, want a reason and a letter", f)
	}
	if f = await(id, "slow", statePending); time.Until(*f.Next) < 50*time.Minute || len(f.Notes) != 1 {
		t.Errorf("slow: %+v, want the next try in an hour", f)
	}
	if f = await(id, "other", stateUnlisted); f.Wanted || f.Unwanted != "CONNECTOR_OTHER_EVENTS is clients.deleted,clients.restored" {
		t.Errorf("other: %+v, want its list", f)
	}
	f = await(id, "rich", "filtered")
	if len(f.Conditions) != 3 || f.Conditions[0].True || !f.Conditions[1].True || f.Conditions[2].True ||
		f.Conditions[0].Values[0] != (connectors.FilterValue{Name: "data.record.amount", Value: "500"}) ||
		f.Conditions[1].Values[0].Value != "(omitted)" {
		t.Errorf("rich: %+v, want its conditions", f.Conditions)
	}
	if f = await(id, "later", statePending); time.Until(*f.Next) > 7*24*time.Hour || len(f.Notes) != 0 {
		t.Errorf("later: %+v, want the end of the digest's window", f)
	}
	until(t, "the dead letter is told", 10*time.Second, func() bool { return find(moody.events(), "dead", events.DeadLettered) != nil })
	f = await(find(moody.events(), "dead", events.DeadLettered).ID, "dead", "filtered")
	if f.Wanted || f.Unwanted != "what concerns a connector is never told to it" {
		t.Errorf("dead, of its own dead letter: %+v", f)
	}
	checkExplainText(t, r, id)

	if err := r.account.Change("clients", client, map[string]any{"name": "Acme Ltd"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the change arrives", 10*time.Second, func() bool { return find(moody.events(), client, events.Updated) != nil })
	change := find(moody.events(), client, events.Updated).ID
	if f = await(change, "blind", "filtered"); f.Wanted || !strings.Contains(f.Unwanted, "CONNECTOR_BLIND_OMIT") {
		t.Errorf("blind: %+v, want that everything is omitted", f)
	}
	e, _ := r.explained(change, "moody")
	if e.Sequence < 2 || e.Record != client || e.Action != events.Updated || e.Revision != 2 || e.NotAfter == nil || e.NotBefore == nil || e.ObservedAt.IsZero() {
		t.Errorf("explain --json = %+v, want what the event says", e)
	}
	if _, _, err := r.command("dead", "drop", id); err != nil {
		t.Fatal(err)
	}
	if f = await(id, "dead", "dead"); f.Letter {
		t.Error("dead: the letter is still there after dead drop")
	}

	// A connector that comes later begins behind what is there.
	r.connect("NOVICE", well.URL)
	await(id, "novice", stateNew)
	r.connect("RICH", well.URL, "FILTER=true")
	if _, f = r.explained(id, "rich"); f.State != "filtered" || !f.Wanted {
		t.Errorf("rich with another filter: %+v, want filtered then and wanted now", f)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.awaitReady(15 * time.Second)
	await(id, "novice", stateBefore)
}

// The state follows from the whole story, not only from its end.
func TestFateFollowsTheLedger(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	failed := connectors.Note{Outcome: connectors.Failed, Attempt: 1, Next: at}
	diverted := connectors.Note{Outcome: connectors.Diverted, To: "email"}
	dead := connectors.Note{Outcome: connectors.Dead, Reason: "schedule exhausted"}
	for name, c := range map[string]struct {
		notes []connectors.Note
		want  fate
	}{
		"failed":                   {[]connectors.Note{failed}, fate{State: statePending, Next: &at}},
		"failed for the last time": {[]connectors.Note{failed, {Outcome: connectors.Failed, Reason: "x"}}, fate{State: statePending}},
		"diverted":                 {[]connectors.Note{failed, diverted}, fate{State: statePending, Next: &at, Reason: "the fallback email has it meanwhile"}},
		"delivered after all":      {[]connectors.Note{failed, diverted, {Outcome: connectors.Delivered}}, fate{State: "delivered"}},
		"diverted at that moment":  {[]connectors.Note{failed, {Outcome: connectors.Delivered}, diverted}, fate{State: "delivered"}},
		"given up":                 {[]connectors.Note{failed, dead}, fate{State: "dead", Reason: "schedule exhausted"}},
		"replayed in vain so far":  {[]connectors.Note{failed, dead, failed}, fate{State: statePending, Next: &at}},
		"muted":                    {[]connectors.Note{{Outcome: connectors.Muted, Reason: "void"}}, fate{State: "muted", Reason: "void"}},
	} {
		got := fate{Notes: c.notes}
		got.follow()
		got.Notes = nil
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// What the connector is like says more than when an attempt is due.
func TestExplainOfWhatIsHeld(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	probe := now.Add(40 * time.Second)
	ready := connectorReady{State: string(connectors.Open), Since: &now, Reason: "status 503", NextProbe: &probe}
	f := fate{State: statePending, Next: &probe, Held: ready.notes(now)[0]}
	if got, want := strings.Join(append(f.lines("x"), f.headline()), "|"), "the connector is only probed, since it fails for 0.0s: status 503; next probe in 40s|pending"; got != want || !ready.isHeld() {
		t.Errorf("explain: %s, want %s", got, want)
	}
	f.Held = ""
	if got, want := f.headline(), "pending, to be tried at 2026-11-23T09:30:40.000Z"; got != want {
		t.Errorf("explain: %s, want %s", got, want)
	}
	for state, want := range map[string]bool{"paused": true, "parked": true, "failing": false, "idle": false, "delivering": false, "starting": false} {
		if got := (connectorReady{State: state}).isHeld(); got != want {
			t.Errorf("a connector that is %s is held: %v", state, got)
		}
	}
	replayed := connectors.Note{Outcome: connectors.Delivered, Attempt: 1, Replay: 3}
	for lender, want := range map[string]string{"": "delivered, a replay", "crm": "delivered, as the fallback of crm"} {
		if got := (fate{FallbackOf: lender}).noteLine(replayed); !strings.HasSuffix(got, want) {
			t.Errorf("explain: %s, want %s", got, want)
		}
	}
}

func TestWhatACalendarHoldsUp(t *testing.T) {
	t.Parallel()
	taken := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	noon, retry := taken.Add(150*time.Minute), taken.Add(time.Hour)
	calendar, err := connectors.NewCalendar("daily@12:00", "", "")
	if err != nil {
		t.Fatal(err)
	}
	urgent, err := connectors.CompileFilter("data.action == \"created\"")
	if err != nil {
		t.Fatal(err)
	}
	created := explanation{StoredAt: taken, event: events.Event{Data: events.Data{Action: events.Created}}}
	for name, c := range map[string]struct {
		cfg  connectorConfig
		fate fate
		want *time.Time
	}{
		"in a digest":          {connectorConfig{Calendar: calendar}, fate{Wanted: true}, &noon},
		"failed in a digest":   {connectorConfig{Calendar: calendar}, fate{Wanted: true, Next: &retry}, &retry},
		"urgent":               {connectorConfig{Calendar: calendar, Urgent: urgent}, fate{Wanted: true}, nil},
		"not wanted":           {connectorConfig{Calendar: calendar}, fate{}, nil},
		"without any calendar": {connectorConfig{}, fate{Wanted: true}, nil},
	} {
		created.hold(&c.fate, c.cfg)
		if got := c.fate.Next; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: to be tried at %v, want %v", name, got, c.want)
		}
	}
}

func TestNotesOfAnEvent(t *testing.T) {
	t.Parallel()
	server, err := bus.Start(bus.ServerConfig{Dir: t.TempDir(), SecretFile: filepath.Join(t.TempDir(), "secret")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	b, err := server.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Ensure(t.Context(), bus.StreamConfig{}); err != nil {
		t.Fatal(err)
	}
	feed, err := b.Attach(t.Context(), "crm", []string{"trackops.>"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(feed.Close)
	for _, n := range []connectors.Note{
		{EventID: "a_b_1_1_x", Outcome: connectors.Failed, Attempt: 1},
		{EventID: "a_b_1_1_xy", Outcome: connectors.Failed, Attempt: 1, Reason: "about a_b_1_1_x"},
		{EventID: "several_1", Outcome: connectors.Digested, Attempt: 2, Status: 200, Events: []connectors.Member{
			{EventID: "a_b_1_1_xy", Sequence: 4, Outcome: connectors.Digested}, {EventID: "a_b_1_1_x", Sequence: 3, Attempt: 2, Outcome: connectors.Muted},
		}},
	} {
		line, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := feed.Note(t.Context(), line); err != nil {
			t.Fatal(err)
		}
	}
	got, err := notesOf(t.Context(), b, "crm", "a_b_1_1_x")
	want := []connectors.Note{
		{EventID: "a_b_1_1_x", Outcome: connectors.Failed, Attempt: 1},
		{EventID: "a_b_1_1_x", Sequence: 3, Outcome: connectors.Muted, Attempt: 2, Status: 200},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("notesOf = %+v, %v, want %+v", got, err, want)
	}
}

// checkExplainText checks what people see.
func checkExplainText(t *testing.T, r *rig, id string) {
	t.Helper()
	out, _, err := r.command("explain", id)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		id + "\n  clients.created, record ", "  observed 20", "number 1\n",
		"\nblind (webhook): not delivered\n  CONNECTOR_BLIND_EVENTS is clients.updated\n",
		"\ndead (webhook): given up\n", "dead show " + id, "Z attempt 1, ", ": failed, status 500",
		"\nlater (webhook): pending, to be tried at ",
		"\nmoody (webhook): delivered\n", ", next",
		"\nother (webhook): not delivered\n", "\nslow (webhook): pending, to be tried at ",
		"\nrich (webhook): left out\n  CONNECTOR_RICH_FILTER is false of it\n" +
			"  false: data.record.amount > 1000, where data.record.amount = 500\n" +
			"  true: data.record.ssn == \"123\", where data.record.ssn = (omitted)\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("explain lacks %q:\n%s", want, out)
		}
	}
	noSecrets(t, out)
}

func TestExplainMistakes(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 1}})
	r.connect("CRM", "http://127.0.0.1:1/secret-path")
	r.start()
	r.awaitReady(15 * time.Second)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"acme_clients_1_2_k7q2"}, exitFailed, "there is no event \"acme_clients_1_2_k7q2\" in the stream; events come from changes in Trackops and are kept for 30d (STREAM_MAX_AGE)"},
		{[]string{"1", "crm"}, exitFailed, "trackops-notifier events --json"},
		{[]string{"1", "cmr"}, exitMisuse, "did you mean crm?"},
		{nil, exitMisuse, "usage: trackops-notifier explain <event-id> [connector]"},
		{[]string{"1", "crm", "x"}, exitMisuse, "usage"},
	} {
		_, _, err := r.command(append([]string{"explain"}, c.args...)...)
		if exitCode(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("explain %q = %v (exit %d), want %q (exit %d)", c.args, err, exitCode(err), c.want, c.code)
		}
	}
}
