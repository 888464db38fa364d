package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// A moodyReceiver accepts most of what it gets, at a pace of its own.
type moodyReceiver struct {
	*httptest.Server
	pace     *time.Ticker
	mu       sync.Mutex
	requests int
	accepted []events.Event // with repetitions
}

func newMoodyReceiver(t *testing.T) *moodyReceiver {
	t.Helper()
	m := &moodyReceiver{pace: time.NewTicker(5 * time.Millisecond)}
	m.Server = httptest.NewServer(m)
	t.Cleanup(func() {
		m.Close()
		m.pace.Stop()
	})
	return m
}

func (m *moodyReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was killed
	}
	<-m.pace.C
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	switch {
	case m.requests%5 == 0:
		w.WriteHeader(http.StatusServiceUnavailable)
	case m.requests%17 == 0:
		w.WriteHeader(http.StatusTooManyRequests)
	case m.requests%23 == 0:
		panic(http.ErrAbortHandler) // a reset
	default:
		e, err := events.Decode(body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		m.accepted = append(m.accepted, e)
	}
}

func (m *moodyReceiver) events() []events.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.accepted)
}

// TestKillDuringDelivery kills the program thirty times while it works off a
// backlog, which a moody receiver makes it try several times. Nothing is lost,
// the order in each record is kept, what is repeated was in flight, and the
// ledger has settled each event once.
func TestKillDuringDelivery(t *testing.T) {
	t.Parallel()
	const rounds, records, changes = 30, 90, 6
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": records}})
	hook := newMoodyReceiver(t)
	r.env["CONNECTOR_CRM_TYPE"] = "webhook"
	r.env["CONNECTOR_CRM_URL"] = hook.URL
	r.env["CONNECTOR_CRM_RETRY"] = strings.Repeat("50ms,", 20) + "1s"
	cmd, _ := r.spawn()
	r.awaitReady(20 * time.Second)
	ids := slices.Sorted(func(yield func(string) bool) {
		for id := range r.account.Snapshot("clients") {
			if !yield(id) {
				return
			}
		}
	})
	if _, errs, err := r.command("pause", "crm"); err != nil {
		t.Fatal(err, errs)
	}
	for n := range changes {
		for _, id := range ids {
			r.change(id, map[string]any{"notes": fmt.Sprint("change ", n)})
		}
		until(t, "the changes are in the stream", 30*time.Second, func() bool { return len(r.stream()) >= (n+1)*records })
	}
	if _, errs, err := r.command("resume", "crm"); err != nil {
		t.Fatal(err, errs)
	}
	for round := range rounds {
		before := len(hook.events())
		until(t, "something arrives", 20*time.Second, func() bool { return len(hook.events()) > before+round%12 })
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		cmd, _ = r.spawn()
	}
	until(t, "everything is delivered", 60*time.Second, func() bool {
		report, _ := r.ready()
		return len(report.Connectors) == 1 && report.Connectors[0].State == "idle" && report.Connectors[0].Pending == 0 && len(firstOf(hook.events())) >= len(withoutSystem(r.stream()))
	})
	stream, all := withoutSystem(r.stream()), hook.events()
	delivered := firstOf(all)
	checkOrder(t, delivered)
	if len(delivered) != len(stream) {
		t.Errorf("%d events were delivered, the stream has %d", len(delivered), len(stream))
	}
	const inFlight = 16
	if repeated := len(all) - len(delivered); repeated > rounds*inFlight {
		t.Errorf("%d were repeated in %d kills, want at most the %d in flight each time", repeated, rounds, inFlight)
	} else {
		t.Logf("%d events, %d repeated in %d kills", len(stream), repeated, rounds)
	}
	r.checkLedger("crm", stream)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

func withoutSystem(all []events.Event) []events.Event {
	return slices.DeleteFunc(all, func(e events.Event) bool {
		return e.Data.Collection == events.System
	})
}

// checkLedger checks that each event of the stream is settled by the connector's
// ledger once, and that /metrics accounts for each, too.
func (r *rig) checkLedger(connector string, stream []events.Event) {
	r.t.Helper()
	cfg, err := loadConfig(r.environ(), kinds())
	if err != nil {
		r.t.Fatal(err)
	}
	b, err := connectCommand(r.t.Context(), cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	defer b.Close()
	settled := map[string]int{}
	count := func(id string, outcome connectors.Outcome) {
		if outcome != connectors.Failed && outcome != connectors.Diverted {
			settled[id]++
		}
	}
	err = b.Notes(r.t.Context(), connector, func(raw []byte) error {
		var n connectors.Note
		if err := json.Unmarshal(raw, &n); err != nil {
			return err
		}
		if len(n.Events) == 0 {
			count(n.EventID, n.Outcome)
		}
		for _, m := range n.Events {
			count(m.EventID, m.Outcome)
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range stream {
		if settled[e.ID] != 1 {
			r.t.Errorf("%s was settled %d times", e.ID, settled[e.ID])
		}
	}
	r.checkResidual(connector)
}

// checkResidual checks that /metrics accounts for every event.
func (r *rig) checkResidual(connector string) {
	r.t.Helper()
	text := r.metrics()
	if want := fmt.Sprintf("trackops_notifier_connector_residual_events{connector=%q} 0\n", connector); !strings.Contains(text, want) {
		r.t.Errorf("/metrics lacks %s", want)
	}
}

// metrics returns what /metrics says.
func (r *rig) metrics() string {
	r.t.Helper()
	resp, err := http.Get("http://" + r.env["HTTP_LISTEN"] + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(body)
}
