package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

func TestFromAccountToReceivers(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 230}, Rate: 1, RateSlack: onTheWay})
	hook := newReceiver(t, nil)
	r.env["CONNECTOR_CRM_TYPE"] = "webhook"
	r.env["CONNECTOR_CRM_URL"] = hook.URL
	p := r.start()
	r.awaitReady(15 * time.Second)
	if got := hook.events(); len(got) != 0 {
		t.Errorf("%d events of the first run, want none", len(got))
	}
	id, err := r.account.Create("clients", map[string]any{"name": "Acme"})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the new client reaches the webhook", 4*time.Second, func() bool { return find(hook.events(), id, events.Created) != nil })
	if err := r.account.Change("clients", id, map[string]any{"name": "Acme Ltd"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the change reaches the webhook", 4*time.Second, func() bool { return find(hook.events(), id, events.Updated) != nil })
	e := find(hook.events(), id, events.Updated)
	found := false
	for _, c := range e.Data.Changes {
		found = found || c.Path == "/name" && string(c.From) == `"Acme"` && string(c.To) == `"Acme Ltd"`
	}
	if !found {
		t.Errorf("changes %v, want /name from Acme to Acme Ltd", e.Data.Changes)
	}
	out, _, err := r.command("events", "--json")
	if err != nil || strings.Count(out, "\n") != 2 {
		t.Errorf("events --json = %q, %v, want two lines", out, err)
	}
	for _, q := range r.account.Requests() {
		if q.Status != http.StatusOK {
			t.Errorf("a request was answered with %d: %+v", q.Status, q)
		}
	}
	if err := p.stop(); err != nil {
		t.Errorf("run = %v, want nil after an interrupt", err)
	}
	noSecrets(t, p.stdout.String()+p.stderr.String())
}

// What one answer shows is told in the order in which it happened, though the
// answer has the newest first.
func TestEventsOfOneAnswerAreInOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 20}})
	r.start()
	r.awaitReady(20 * time.Second)
	var created []string
	for n := range 12 {
		created = append(created, r.create(map[string]any{"name": fmt.Sprint("client ", n)}))
	}
	var told []string
	until(t, "all are in the stream", 20*time.Second, func() bool {
		told = nil
		for _, e := range r.stream() {
			told = append(told, e.Data.ID)
		}
		return len(told) == len(created)
	})
	// The first may have been shown by an answer of their own.
	if !slices.Equal(told, created) {
		t.Errorf("told %v, created %v", told, created)
	}
}

func TestMetricsAndHealth(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 3}})
	r.env["CONNECTOR_SCREEN_TYPE"] = "console"
	r.start()
	r.awaitReady(10 * time.Second)
	if _, _, err := r.command("health"); err != nil {
		t.Errorf("health = %v", err)
	}
	report, _ := r.ready()
	if len(report.Collections) != 1 || report.Collections[0].Records != 3 || len(report.Connectors) != 1 || !report.NATS.Connected {
		t.Errorf("readyz = %+v", report)
	}
	resp, err := http.Get("http://" + r.env["HTTP_LISTEN"] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body syncBuffer
	if _, err := body.b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		`trackops_notifier_requests_total{account="acme",collection="clients",kind="baseline",outcome="ok"}`,
		`trackops_notifier_records{account="acme",collection="clients"} 3`,
		`trackops_notifier_outbox_events{state="pending"} 0`,
		`trackops_notifier_connector_pending_events{connector="screen"} 0`,
		`trackops_notifier_connector_dead_letters{connector="screen"} 0`,
		`trackops_notifier_last_success_age_seconds`,
		`trackops_notifier_nats_connected 1`,
	} {
		if !strings.Contains(body.String(), name) {
			t.Errorf("no metric %s in\n%s", name, body.String())
		}
	}
}

func TestDeadLettersAndReplay(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 1}})
	hook := newReceiver(t, func(n int) int {
		if n <= 2 {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	r.env["CONNECTOR_CRM_TYPE"] = "webhook"
	r.env["CONNECTOR_CRM_URL"] = hook.URL
	r.env["CONNECTOR_CRM_RETRY"] = "10ms"
	r.start()
	r.awaitReady(10 * time.Second)
	id, err := r.account.Create("clients", nil)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the event is given up", 10*time.Second, func() bool {
		report, _ := r.ready()
		return len(report.Connectors) == 1 && report.Connectors[0].Dead == 1
	})
	list, _, err := r.command("dead", "list")
	if err != nil || !strings.Contains(list, "crm") || !strings.Contains(list, "500") {
		t.Errorf("dead list = %q, %v", list, err)
	}
	fields := strings.Fields(strings.Split(list, "\n")[1])
	show, _, err := r.command("dead", "show", fields[0])
	if err != nil || strings.Count(show, `"outcome": "failed"`) != 2 || !strings.Contains(show, `"event"`) {
		t.Errorf("dead show = %s, %v, want two attempts and the event", show, err)
	}
	if _, _, err := r.command("dead", "replay", fields[0]); err != nil {
		t.Errorf("dead replay = %v", err)
	}
	until(t, "the replayed event arrives", 10*time.Second, func() bool { return find(hook.events(), id, events.Created) != nil })
	until(t, "no letter is left", 5*time.Second, func() bool {
		report, _ := r.ready()
		return report.Connectors[0].Dead == 0 && report.Connectors[0].Pending == 0
	})
	if _, _, err := r.command("dead", "show", fields[0]); err == nil {
		t.Error("dead show of a replayed event = nil, want an error")
	}
}

func TestSecondInstanceIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{})
	r.start()
	r.awaitReady(10 * time.Second)
	for _, with := range []string{"the same environment", "no ports"} {
		_, _, err := r.command("run")
		if exitCode(err) != exitFailed || !errors.Is(err, state.ErrLocked) || !strings.Contains(err.Error(), "one process per DATA_DIR") {
			t.Errorf("a second run with %s = %v (exit %d), want a failure that names DATA_DIR", with, err, exitCode(err))
		}
		r.env["HTTP_LISTEN"], r.env["NATS_LISTEN"] = "off", "off"
	}
}

func TestEmptyStateIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{})
	file := stateFile(r.dir)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := r.command("run")
	if exitCode(err) != exitFailed || !strings.Contains(err.Error(), file+" is damaged: it is empty: restore a backup of it, or move it away") {
		t.Errorf("run with an empty state = %v (exit %d), want a failure that says what to do", err, exitCode(err))
	}
	if left, err := os.ReadFile(file); err != nil || len(left) != 0 {
		t.Errorf("the empty state has %d bytes now, %v", len(left), err)
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{"HTTP_LISTEN", "NATS_LISTEN"} {
		t.Run(variable, func(t *testing.T) {
			r := newRig(t, trackopstest.Options{})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			r.env[variable] = l.Addr().String()
			_, _, err = r.command("run")
			if err == nil || !strings.Contains(err.Error(), variable) || exitCode(err) != exitMisuse {
				t.Errorf("run = %v (exit %d), want a misuse that names %s", err, exitCode(err), variable)
			}
			r.env[variable] = freeAddress(t)
			p := r.start()
			r.awaitReady(10 * time.Second)
			if err := p.stop(); err != nil {
				t.Errorf("run with another port = %v, so the first has left something", err)
			}
		})
	}
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{}, {"rum"}, {"run", "now"}, {"demo", "--for", "soon"}, {"demo", "--for", "0"}, {"demo", "--for", "-5s"}, {"events", "--since", "yesterday"},
		{"dead"}, {"dead", "bury"}, {"test-send"}, {"test-send", "nobody"}, {"help", "nothing"}, {"run", "--fast"},
	} {
		r := newRig(t, trackopstest.Options{})
		_, _, err := r.command(args...)
		if exitCode(err) != exitMisuse {
			t.Errorf("%q ends with %d (%v), want %d", args, exitCode(err), err, exitMisuse)
		}
	}
	var out, errs syncBuffer
	err := run(t.Context(), []string{"run", "now"}, nil, &out, &errs)
	if err == nil || err.Error() != "usage: trackops-notifier run; see trackops-notifier help run" {
		t.Errorf("run now = %v", err)
	}
	err = run(t.Context(), []string{"run"}, nil, &out, &errs)
	if exitCode(err) != exitMisuse || !strings.Contains(err.Error(), "TRACKOPS_API_SUBDOMAIN") {
		t.Errorf("run without variables = %v, exit %d", err, exitCode(err))
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"help"}, {"help", "run"}, {"run", "--help"}, {"help", "env"}, {"version"}, {"--version"}} {
		var out, errs syncBuffer
		if err := run(t.Context(), args, nil, &out, &errs); err != nil || out.String() == "" || errs.String() != "" {
			t.Errorf("%q = %v, stdout %q, stderr %q", args, err, out.String(), errs.String())
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t, nil)
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 3}})
	r.env["CONNECTOR_CRM_TYPE"] = "webhook"
	r.env["CONNECTOR_CRM_URL"] = hook.URL
	out, _, err := r.command("check")
	if err != nil || strings.Contains(out, "FAIL") {
		t.Errorf("check = %v\n%s", err, out)
	}
	if n := len(r.account.Requests()); n != 1 {
		t.Errorf("check made %d requests, want 1", n)
	}
	if len(hook.events()) != 0 || hook.requests != 0 {
		t.Error("check sent something")
	}
	if _, err := os.Stat(filepath.Join(r.dir, "state.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("check left a state file: %v", err)
	}
	r.env["TRACKOPS_API_TOKEN"] = "wrong-token"
	out, _, err = r.command("check")
	if exitCode(err) != exitFailed || !strings.Contains(out, "FAIL  Trackops") {
		t.Errorf("check with a wrong token = %v\n%s", err, out)
	}
	noSecrets(t, out, "wrong-token")
}

func TestTestSend(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t, nil)
	r := newRig(t, trackopstest.Options{})
	r.env["CONNECTOR_CRM_TYPE"] = "webhook"
	r.env["CONNECTOR_CRM_URL"] = hook.URL
	_, errs, err := r.command("test-send", "crm")
	if err != nil || len(hook.events()) != 1 || !strings.Contains(errs, "accepted") {
		t.Errorf("test-send = %v, %q, received %v", err, errs, hook.events())
	}
	hook.Close()
	if _, _, err := r.command("test-send", "crm"); exitCode(err) != exitFailed {
		t.Errorf("test-send to nobody = %v, exit %d", err, exitCode(err))
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out, errs syncBuffer
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"demo"}, nil, &out, &errs) }()
	until(t, "the first change", 20*time.Second, func() bool { return strings.Contains(out.String(), "revision") })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("demo = %v", err)
	}
	if !strings.Contains(out.String(), "nats sub") {
		t.Errorf("the demo does not say how to subscribe:\n%s", out.String())
	}
}

// TestKill kills the program twelve times while its account changes and its
// receiver is moody. Nothing is lost: what the receiver accepted, less
// repetitions, is what the stream holds, in order per record.
func TestKill(t *testing.T) {
	t.Parallel()
	const rounds = 12
	r := newRig(t, trackopstest.Options{
		Sizes:   map[string]int{"clients": 150},
		Weights: map[string]float64{"clients": 1},
	})
	hook := newReceiver(t, func(n int) int {
		if n%5 == 0 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	r.env["CONNECTOR_CRM_TYPE"] = "webhook"
	r.env["CONNECTOR_CRM_URL"] = hook.URL
	r.env["CONNECTOR_CRM_RETRY"] = "20ms,50ms,100ms,200ms,400ms,1s,2s"
	cmd, log := r.spawn()
	r.awaitReady(20 * time.Second)
	for round := range rounds {
		before := len(hook.events())
		for range 40 {
			r.account.Step()
		}
		until(t, "something arrives", 15*time.Second, func() bool { return len(hook.events()) > before+round })
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		cmd, log = r.spawn()
	}
	r.awaitReady(20 * time.Second)
	until(t, "everything is delivered", 30*time.Second, func() bool {
		report, _ := r.ready()
		return report.NATS.Outbox == 0 && report.Connectors[0].Pending == 0 && r.settled()
	})
	if t.Failed() {
		t.Log(log)
	}
	// A deletion may still come to light; what the stream has then is delivered too.
	var stream, delivered []events.Event
	until(t, "the receiver has what the stream has", 30*time.Second, func() bool {
		out, _, err := r.command("events", "--json")
		if err != nil {
			return false
		}
		stream, delivered = decodeLines(t, out), firstOf(hook.events())
		return len(delivered) == len(stream)
	})
	checkOrder(t, stream)
	checkOrder(t, delivered)
	for _, e := range stream {
		if !slices.ContainsFunc(delivered, func(d events.Event) bool { return d.ID == e.ID }) {
			t.Errorf("%s was not delivered", e.ID)
		}
	}
	t.Logf("%d events, %d repetitions in %d kills", len(stream), len(hook.events())-len(delivered), rounds)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

// spawn starts the program in a process of its own.
func (r *rig) spawn() (*exec.Cmd, *syncBuffer) {
	r.t.Helper()
	log := &syncBuffer{}
	cmd := exec.Command(os.Args[0], "run")
	cmd.Env = append(r.environ(), asProgram+"=1")
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if r.t.Failed() {
			r.t.Log(log)
		}
	})
	return cmd, log
}

// settled reports whether the stream's last version of each living client is the
// account's.
func (r *rig) settled() bool {
	out, _, err := r.command("events", "--json")
	if err != nil {
		return false
	}
	last := make(map[string]events.Event)
	for _, e := range decodeLines(r.t, out) {
		last[e.Data.ID] = e
	}
	changed := make(map[string]bool)
	for _, m := range r.account.History() {
		if m.Collection == "clients" && m.Action != events.Deleted {
			changed[m.ID] = true
		}
	}
	for id := range r.account.Snapshot("clients") {
		if _, told := last[id]; changed[id] && !told {
			return false
		}
	}
	return true
}

func decodeLines(t *testing.T, text string) []events.Event {
	t.Helper()
	var all []events.Event
	for line := range strings.Lines(text) {
		e, err := events.Decode([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// firstOf drops repetitions.
func firstOf(all []events.Event) []events.Event {
	seen := make(map[string]bool)
	var first []events.Event
	for _, e := range all {
		if !seen[e.ID] {
			seen[e.ID] = true
			first = append(first, e)
		}
	}
	return first
}
