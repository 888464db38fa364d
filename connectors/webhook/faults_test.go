package webhook

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// retry is short, and rises: a wait that is left out or taken twice shows.
var retry = []time.Duration{20 * time.Millisecond, 60 * time.Millisecond}

// A bench is the connector behind a real engine, in front of a receiver that does
// as its script says.
type bench struct {
	*stream
	engine *connectors.Engine
	remote *connectortest.HTTPRemote
}

func newBench(t *testing.T, script ...connectortest.HTTPAnswer) *bench {
	t.Helper()
	return newBenchWith(t, retry, script...)
}

func newBenchWith(t *testing.T, retry []time.Duration, script ...connectortest.HTTPAnswer) *bench {
	t.Helper()
	remote := connectortest.HTTPS(t, connectortest.HTTPAnswer{Status: 202})
	remote.Script(script...)
	c, err := build(&settings{URL: "https://" + remote.Addr() + path, Secret: current + "," + previous, CAFile: remote.CAFile(t)}, connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	var clock sync.Mutex
	now := time.Now().Add(-time.Minute)
	c.now = func() time.Time { // each attempt has a second of its own
		clock.Lock()
		defer clock.Unlock()
		now = now.Add(time.Second)
		return now
	}
	b := &bench{stream: newStream(), remote: remote}
	b.engine = b.stream.engine(t, c, retry...)
	return b
}

// record returns n events of one record.
func record(id string, n int) []events.Event {
	var all []events.Event
	for i := range n {
		e := connectortest.Samples()[1].Event
		e.Data.ID, e.Data.Revision = id, uint64(i+1)
		all = append(all, e.Stamp("k7q2"))
	}
	return all
}

// seen returns the requests for the event with id.
func (b *bench) seen(id string) []connectortest.Received {
	return slices.DeleteFunc(b.remote.Received(), func(r connectortest.Received) bool { return r.Header.Get("webhook-id") != id })
}

// delivered waits until n events were delivered.
func (b *bench) delivered(t *testing.T, n uint64) {
	t.Helper()
	until(t, fmt.Sprintf("%d events delivered", n), func() bool { return b.engine.Stats().Delivered == n })
}

// failed waits until n attempts have failed.
func (b *bench) failed(t *testing.T, n uint64) {
	t.Helper()
	until(t, fmt.Sprintf("%d attempts failed", n), func() bool { return b.engine.Stats().Failed == n })
}

// resume takes the engine out of state, which each of n failed attempts brings.
func (b *bench) resume(t *testing.T, state connectors.State, n uint64) {
	t.Helper()
	for i := range n {
		until(t, string(state), func() bool { s := b.engine.Stats(); return s.Failed == i+1 && s.State == state })
		if s := b.engine.Stats(); s.Delivered != 0 || s.Waiting != 2 {
			t.Errorf("%d delivered, %d kept, want none and both", s.Delivered, s.Waiting)
		}
		if err := b.engine.Resume(t.Context()); err != nil {
			t.Fatalf("Resume = %v", err)
		}
	}
}

// checkAttempts checks what the receiver saw of e: as many requests as there are
// waits and one, none too early, all with one id and one body, each with a time and
// signatures of its own. Then e was accepted, and only then came next.
func (b *bench) checkAttempts(t *testing.T, e, next events.Event, waits ...time.Duration) {
	t.Helper()
	got := b.seen(e.ID)
	if len(got) != len(waits)+1 {
		t.Fatalf("the receiver saw %d attempts, want %d", len(got), len(waits)+1)
	}
	var times, signatures []string
	for i, r := range got {
		times = append(times, r.Header.Get("webhook-timestamp"))
		signatures = append(signatures, strings.Fields(r.Header.Get("webhook-signature"))...)
		for _, secret := range []string{current, previous} {
			wh, err := standardwebhooks.NewWebhook(secret)
			if err != nil {
				t.Fatal(err)
			}
			if err := wh.Verify(r.Body, http.Header(r.Header)); err != nil {
				t.Errorf("attempt %d: %v", i+1, err)
			}
		}
		if !bytes.Equal(r.Body, got[0].Body) {
			t.Errorf("attempt %d has another body: %s, first %s", i+1, r.Body, got[0].Body)
		}
		if i > 0 && r.At.Sub(got[i-1].At) < waits[i-1] {
			t.Errorf("attempt %d came %v after the one before, want %v at least", i+1, r.At.Sub(got[i-1].At), waits[i-1])
		}
	}
	if !slices.IsSorted(times) || len(slices.Compact(slices.Clone(times))) != len(got) {
		t.Errorf("times of the attempts: %v, want each later than the one before", times)
	}
	slices.Sort(signatures)
	if len(slices.Compact(signatures)) != 2*len(got) {
		t.Errorf("signatures of %d attempts: %v, want two new ones each", len(got), signatures)
	}
	if later := b.seen(next.ID); len(later) != 1 || later[0].At.Before(got[len(got)-1].At) {
		t.Errorf("the next event of the record was seen %d times, or before this one was accepted", len(later))
	}
}

// All rows play at the same time: most of it is waiting.
func TestEveryFaultThroughTheEngine(t *testing.T) {
	events := record("1042", 2)
	benches := make(map[string]*bench)
	for _, f := range connectortest.Faults() {
		benches[f.Name] = newBench(t, f.Answer, f.Answer)
		benches[f.Name].publish(t, events...)
	}
	for _, f := range connectortest.Faults() {
		t.Run(f.Name, func(t *testing.T) {
			b := benches[f.Name]
			waits := make([]time.Duration, len(retry))
			for i, wait := range retry {
				waits[i] = max(wait, f.After)
			}
			switch {
			case f.Accepted:
				waits = nil
			case f.Answer.Status == http.StatusGone: // nothing more until somebody says so
				b.resume(t, connectors.Parked, 2)
				waits = make([]time.Duration, 2)
			case f.Answer.BadCertificate: // nothing was sent, so nothing was seen
				b.resume(t, connectors.Open, 2)
				waits = nil
			}
			b.delivered(t, 2)
			b.checkAttempts(t, events[0], events[1], waits...)
		})
	}
}

// A 429 says nothing about the event: it spends no attempt of the schedule.
func TestThrottlingSpendsNoAttempt(t *testing.T) {
	busy, broken := connectortest.HTTPAnswer{Status: 429}, connectortest.HTTPAnswer{Status: 500}
	b := newBench(t, busy, broken, busy, broken, busy)
	events := record("1042", 2)
	b.publish(t, events...)
	b.delivered(t, 2)
	b.checkAttempts(t, events[0], events[1], retry[0], retry[0], retry[1], retry[1], retry[1])
}

// What the schedule is not enough for is given up, and the next event comes.
func TestExhausted(t *testing.T) {
	broken := connectortest.HTTPAnswer{Status: 500}
	b := newBench(t, broken, broken, broken)
	events := record("1042", 2)
	b.publish(t, events...)
	b.delivered(t, 1)
	b.checkAttempts(t, events[0], events[1], retry...)
	if got, want := b.outcomes(events[0].ID), []connectors.Outcome{connectors.Failed, connectors.Failed, connectors.Failed, connectors.Dead}; !slices.Equal(got, want) {
		t.Errorf("the ledger has %v, want %v", got, want)
	}
}

// A time to come back is the receiver's, not the event's: other records wait too.
func TestRetryAfterPausesEveryRecord(t *testing.T) {
	asked, other := record("1042", 1)[0], record("1043", 1)[0]
	benches := make(map[int]*bench)
	for _, status := range []int{404, 429, 503} {
		b := newBench(t, connectortest.HTTPAnswer{Status: status, Header: map[string]string{"Retry-After": "1"}})
		b.publish(t, asked)
		b.failed(t, 1)
		b.publish(t, other)
		benches[status] = b
	}
	for status, b := range benches {
		b.delivered(t, 2)
		first, later := b.seen(asked.ID)[0].At, b.seen(other.ID)[0].At
		if waited := later.Sub(first); waited < time.Second {
			t.Errorf("%d: another record was sent %v after the receiver asked for a second", status, waited)
		}
	}
}

// Any other failure is the event's: other records do not wait for its schedule.
func TestAFailureHoldsUpNoOtherRecord(t *testing.T) {
	b := newBenchWith(t, []time.Duration{time.Hour}, connectortest.HTTPAnswer{Status: 500})
	b.publish(t, record("1042", 1)...)
	b.failed(t, 1)
	b.publish(t, record("1043", 1)...)
	b.delivered(t, 1)
}
