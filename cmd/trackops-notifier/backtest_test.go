package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// performed is the line of a message.
var performed = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d .+ (New client|Client updated): (Acme|#)`)

// TestBacktest: a connector that does not run yet shows what it would have sent,
// and sends nothing.
func TestBacktest(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 3}})
	hook := r.addWebhook("CRM")
	p := r.start()
	r.awaitReady(10 * time.Second)
	id := r.create(map[string]any{"name": "Acme \x1b[2J"})
	awaitEvent(t, hook, id, events.Created)
	for i, name := range []string{"Acme Ltd", "Acme & Sons"} {
		r.change(id, map[string]any{"name": name})
		until(t, "the client is "+name, 5*time.Second, func() bool { return len(hook.events()) == i+2 })
	}

	plan := newReceiver(t, nil)
	r.connect("PLAN", plan.URL+"/s3cret-path")
	backtest := func(settings string, args ...string) string {
		t.Helper()
		for s := range strings.FieldsSeq(settings) {
			name, value, _ := strings.Cut(s, "=")
			r.env["CONNECTOR_PLAN_"+name] = value
			defer delete(r.env, "CONNECTOR_PLAN_"+name)
		}
		out, errs, err := r.command(append([]string{"backtest", "plan"}, args...)...)
		if err != nil {
			t.Fatalf("backtest with %s = %v %s", settings, err, errs)
		}
		checkTerminal(t, out)
		return out
	}
	tests := []struct {
		settings, args string
		lines          int // of messages
		want           string
	}{
		{"", "", 3, "New client: Acme|Client updated: Acme Ltd|Client updated: Acme & Sons|3 messages for 3 events. Nothing was sent.|observed           3|told               3"},
		{"", "--limit 1", 1, "New client: Acme|… and 2 more; --limit 0 shows all|3 messages for 3 events"},
		{"", "--since 2099-01-01T00:00:00Z", 0, "0 messages for 0 events"},
		{"EVENTS=clients.created", "", 1, "New client|1 message for 1 event."},
		{`FILTER="/name"in(changed)`, "", 2, "Client updated|filtered           1|2 messages for 3 events"},
		{"OMIT=/name,/updated_at", "", 1, "New client|omitted            2|1 message for 3 events"},
		{"DIGEST=7d", "", 1, "New client: Acme & Sons|(not yet)|1 message for 3 events|told               3  in 1 message"},
		{`DIGEST=7d URGENT=data.action=="updated"`, "", 2, "New client: Acme Ltd|urgent             3"},
		{"DIGEST=7d TIMEZONE=Asia/Kathmandu", "", 1, "+0545"},
		{"RATE=0.01", "", 3, "late, by the rate|The rate of 0.01 a second delays 2 messages, by 3m1"},
		{"", "--full", 3, "Acme Ltd"},
	}
	for _, tt := range tests {
		out := backtest(tt.settings, strings.Fields(tt.args)...)
		for want := range strings.SplitSeq(tt.want, "|") {
			if !strings.Contains(out, want) {
				t.Errorf("backtest with %q %s: no %q in\n%s", tt.settings, tt.args, want, out)
			}
		}
		if n := len(performed.FindAllString(out, -1)); n != tt.lines {
			t.Errorf("backtest with %q %s: %d messages, want %d:\n%s", tt.settings, tt.args, n, tt.lines, out)
		}
		noSecrets(t, out, "s3cret-path")
	}
	r.env["CONNECTOR_SCREEN_TYPE"] = "console"
	if out, _, err := r.command("backtest", "screen", "--full"); err != nil || !strings.Contains(out, "    ") || strings.Count(out, "Acme Ltd") < 2 {
		t.Errorf("backtest --full = %v\n%s", err, out)
	}
	if plan.requests != 0 || len(hook.events()) != 3 || len(r.stream()) != 3 {
		t.Errorf("%d requests, %d deliveries, %d events in the stream, want 0, 3, 3", plan.requests, len(hook.events()), len(r.stream()))
	}
	stopClean(t, p)
	if _, _, err := r.command("backtest", "plan"); exitCode(err) != exitFailed {
		t.Errorf("backtest without a notifier = %v, want a failure", err)
	}
}

func TestBacktestMisused(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{})
	r.env["CONNECTOR_SCREEN_TYPE"] = "console"
	for _, tt := range []struct{ args, want string }{
		{"", "usage"},
		{"nobody", "no connector \"nobody\""},
		{"screen --since soon", "--since"},
		{"screen --limit -1", "--limit"},
	} {
		_, _, err := r.command(append([]string{"backtest"}, strings.Fields(tt.args)...)...)
		if exitCode(err) != exitMisuse || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("backtest %s = %v, want a misuse with %s", tt.args, err, tt.want)
		}
	}
}

func TestPlaybill(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var out strings.Builder
	b := &playbill{
		out: &out, limit: 2, zone: time.UTC, since: now.Add(-7 * 24 * time.Hour), now: now, first: now.Add(-50 * time.Hour),
		days: map[string]int{}, connector: connectorConfig{Name: "team", Rate: 1},
	}
	client := func(name string) events.Event {
		return events.Event{Data: events.Data{
			Account: "acme", Collection: "clients", Action: events.Created, ID: "7", Record: []byte(`{"name":"` + name + `"}`),
		}}.Stamp("ep0c")
	}
	due := now.Add(-2 * time.Hour)
	performances := []connectors.Performance{
		{Observed: 1, Due: due, At: due, Delivery: connectors.Delivery{Events: []events.Event{client("Acme")}}},
		{Observed: 1234, Due: due, At: due.Add(59 * time.Second), Delivery: connectors.Delivery{
			Events: []events.Event{client("Acme"), client("Bolt")}, Digest: &connectors.Digest{From: due.Add(-time.Hour), To: due},
		}},
		{Observed: 1, Due: due, At: due.Add(60 * time.Second), Delivery: connectors.Delivery{Events: []events.Event{{}}}},
	}
	for _, p := range performances {
		if err := b.perform(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.total(connectors.Tally{Observed: 1240, Filtered: 3, Muted: 1, Unreadable: 2, Told: 1234}); err != nil {
		t.Fatal(err)
	}
	want := `TIME                     EVENTS  MESSAGE
2026-11-23 10:00:00 UTC       1  New client: Acme
2026-11-23 10:00:59 UTC   1,234  2 changes in acme, 09:00 to 10:00 UTC (59s late, by the rate)
… and 1 more; --limit 0 shows all

Connector team since 2026-11-16 12:00:00 UTC: 3 messages for 1,240 events. Nothing was sent.
  observed       1,240  events in its events list
  filtered           3  not wanted by its filter, or about itself
  omitted            0  updates of which FIELDS and OMIT leave nothing
  muted              1  void at the end of their window
  unreadable         2  not events
  told           1,234  in 3 messages
A day: 1.4 messages on average, 3 on 2026-11-23.
The busiest minute: 2026-11-23 10:00 UTC, with 2 messages.
The rate of 1 a second delays 2 messages, by 1m0s at most.
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

// brokenConnector cannot render anything.
type brokenConnector struct{ connectors.Connector }

func (brokenConnector) Preview(connectors.Delivery) (string, error) {
	return "", errors.New("no \x1b[2J template")
}

func TestPlaybillOfWhatCannotBeShown(t *testing.T) {
	broken := connectors.Performance{Delivery: connectors.Delivery{Events: []events.Event{events.Event{Data: events.Data{
		Collection: "clients", Action: events.Updated, Changes: []events.Change{{Path: "/name", To: []byte(`{`)}},
	}}.Stamp("ep0c")}}}
	for _, target := range []connectors.Connector{brokenConnector{}, connectors.Func(nil)} {
		var out strings.Builder
		b := &playbill{out: &out, zone: time.UTC, days: map[string]int{}, target: target}
		if err := b.perform(broken); err != nil {
			t.Fatal(err)
		}
		checkTerminal(t, out.String())
		if !strings.Contains(out.String(), "cannot be told: ") || !strings.Contains(out.String(), "\n    ") {
			t.Errorf("got %q", out.String())
		}
	}
	b := &playbill{out: brokenPipe{}, zone: time.UTC, days: map[string]int{}}
	if err := b.perform(broken); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("perform = %v, want the output's error", err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, fmt.Errorf("write: %w", io.ErrClosedPipe) }
