package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// connector returns the line of the only connector in /readyz.
func (r *rig) connector() connectorReady {
	report, _ := r.ready()
	if len(report.Connectors) != 1 {
		return connectorReady{}
	}
	return report.Connectors[0]
}

// inState checks that /metrics shows one state of the connector crm, and this one.
func (r *rig) inState(want connectors.State) {
	r.t.Helper()
	resp, err := http.Get("http://" + r.env["HTTP_LISTEN"] + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var body syncBuffer
	if _, err := body.b.ReadFrom(resp.Body); err != nil {
		r.t.Fatal(err)
	}
	var on []string
	all := 0
	for line := range strings.Lines(body.String()) {
		if state, value, found := strings.Cut(line, "} "); found && strings.HasPrefix(state, "trackops_notifier_connector_state{") {
			all++
			if strings.TrimSpace(value) == "1" {
				on = append(on, state)
			}
		}
	}
	if want := []string{fmt.Sprintf(`trackops_notifier_connector_state{connector="crm",state="%s"`, want)}; !slices.Equal(on, want) || all != 5 {
		r.t.Errorf("metrics show %q of %d states, want %q of 5", on, all, want)
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 1}})
	hook := newReceiver(t, nil)
	r.env["CONNECTOR_CRM_TYPE"], r.env["CONNECTOR_CRM_URL"] = "webhook", hook.URL
	p := r.start()
	r.awaitReady(10 * time.Second)
	r.inState(connectors.Active)
	if _, errs, err := r.command("pause", "crm"); err != nil || !strings.Contains(errs, "0 events wait") || !strings.Contains(errs, "STREAM_MAX_AGE (720h)") || !strings.Contains(errs, "resume crm") {
		t.Errorf("pause = %q, %v", errs, err)
	}
	id, err := r.account.Create("clients", nil)
	if err != nil {
		t.Fatal(err)
	}
	waits := func() bool { c := r.connector(); return c.State == string(connectors.Paused) && c.Pending == 1 }
	until(t, "the event waits", 10*time.Second, waits)
	r.inState(connectors.Paused)
	if out, _, err := r.command("status"); err != nil || !strings.Contains(out, "crm: paused; to go on: trackops-notifier resume crm") {
		t.Errorf("status = %v\n%s", err, out)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	r.start()
	until(t, "the event waits after a restart", 10*time.Second, waits)
	if got := hook.events(); len(got) != 0 {
		t.Errorf("%d events arrived while the connector was paused", len(got))
	}
	if _, errs, err := r.command("pause", "crm"); err != nil || !strings.Contains(errs, "1 event waits") {
		t.Errorf("a second pause = %q, %v", errs, err)
	}
	if _, errs, err := r.command("resume", "crm"); err != nil || !strings.Contains(errs, "crm delivers again") {
		t.Errorf("resume = %q, %v", errs, err)
	}
	until(t, "the event arrives", 10*time.Second, func() bool { return find(hook.events(), id, events.Created) != nil })
	until(t, "nothing waits", 10*time.Second, func() bool { c := r.connector(); return c.State == "idle" && c.Pending == 0 })
	r.inState(connectors.Active)
	if _, _, err := r.command("resume", "crm"); err != nil {
		t.Errorf("a second resume = %v", err)
	}
}

// A 410 parks the connector, until an operator says that the endpoint is back.
func TestResumeOfAParkedConnector(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 1}})
	var gone atomic.Bool
	gone.Store(true)
	hook := newReceiver(t, func(int) int {
		if gone.Load() {
			return http.StatusGone
		}
		return http.StatusOK
	})
	r.env["CONNECTOR_CRM_TYPE"], r.env["CONNECTOR_CRM_URL"] = "webhook", hook.URL+"/s3cret-path"
	r.start()
	r.awaitReady(10 * time.Second)
	id, err := r.account.Create("clients", nil)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the connector is parked", 10*time.Second, func() bool { return r.connector().State == string(connectors.Parked) })
	r.inState(connectors.Parked)
	if c := r.connector(); c.Since == nil || !strings.Contains(c.Reason, "410") || c.Dead != 0 {
		t.Errorf("readyz = %+v, want since when and why", c)
	}
	out, _, err := r.command("status")
	if flat := strings.Join(strings.Fields(out), " "); err != nil || !strings.Contains(flat, "crm: parked for ") || !strings.Contains(flat, "410") || !strings.Contains(flat, "trackops-notifier resume crm") {
		t.Errorf("status = %v\n%s", err, out)
	}
	noSecrets(t, out, "s3cret-path")
	gone.Store(false)
	if _, _, err := r.command("resume", "crm"); err != nil {
		t.Fatal(err)
	}
	until(t, "the event arrives", 10*time.Second, func() bool { return find(hook.events(), id, events.Created) != nil })
}

func TestOrdersRefuse(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{})
	if _, _, err := r.command("pause", "crm"); exitCode(err) != exitFailed || !strings.Contains(err.Error(), "trackops-notifier run") {
		t.Errorf("pause without a notifier = %v", err)
	}
	r.env["CONNECTOR_CRM_TYPE"], r.env["CONNECTOR_NEW_CLIENTS_TYPE"] = "console", "console"
	r.start()
	r.awaitReady(10 * time.Second)
	for name, want := range map[string]string{
		"crn": "did you mean crm?", "NEW_CLIENTS": "did you mean ", "new_clients": "did you mean new-clients?",
		"": "not the name", ".": "not the name", "../records": "not the name", "crm/": "not the name", "crm?x=1": "did you mean crm?", "crm/pause": "did you mean crm?",
	} {
		for _, verb := range []string{"pause", "resume"} {
			_, _, err := r.command(verb, name)
			if exitCode(err) != exitMisuse || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %q = %v (exit %d), want a misuse that says %s", verb, name, err, exitCode(err), want)
			}
		}
	}
	report, _ := r.ready()
	for _, c := range report.Connectors {
		if c.State != "idle" {
			t.Errorf("connector %s is %s", c.Name, c.State)
		}
	}
}

// While NATS is away, there is no engine that could be paused.
func TestPauseWithoutNATS(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{})
	r.env["NATS_URL"] = "nats://" + freeAddress(t)
	r.env["CONNECTOR_CRM_TYPE"] = "console"
	r.start()
	var err error
	until(t, "the notifier answers", 10*time.Second, func() bool {
		_, _, err = r.command("pause", "crm")
		return err != nil && strings.Contains(err.Error(), "connector crm")
	})
	if exitCode(err) != exitFailed || !strings.Contains(err.Error(), "NATS was not reached") {
		t.Errorf("pause = %v", err)
	}
}
