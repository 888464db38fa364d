package connectors

import (
	"testing"
	"time"
)

// What leaves the stream while it waits is counted and on record soon, whatever it
// waits for.
func TestWhatAgesWhileItWaitsIsExpired(t *testing.T) {
	digest := func(window string) func(*Config) {
		return func(c *Config) { c.Calendar = calendar(t, window, "") }
	}
	for name, test := range map[string]struct {
		memory string
		change func(*Config)
		sent   int // attempts
	}{
		"for an operator":                  {`{"state":"active","paused":true}`, nil, 0},
		"for an operator, with its window": {`{"state":"active","paused":true}`, digest("1m"), 0},
		"for a probe":                      {`{"state":"open","probe":"2000-01-01T00:04:50Z"}`, nil, 0},
		"for its next attempt":             {"", func(c *Config) { c.Retry = []time.Duration{100 * time.Hour} }, 4},
		"for its window to end":            {"", digest("daily@08:00"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T, w *world) {
				w.down(status(500), time.Now().Add(5*time.Minute))
				l := w.newLife(nil)
				w.memory[stateKey] = test.memory
				e, _ := start(t, l, test.change)
				for _, record := range []string{"1", "1", "2", "2", "3"} {
					l.feed(w.publish(record, ""))
				}
				pass(2 * time.Minute)
				w.mu.Lock()
				w.aged[1], w.aged[2], w.aged[3] = true, true, true
				w.mu.Unlock()
				pass(2 * lookForAged)
				if s := e.Stats(); s.Expired != 3 || s.Pending != 2 || s.Observed != 5 {
					t.Errorf("observed %d, expired %d, pending %d, want 5, 3 and 2", s.Observed, s.Expired, s.Pending)
				}
				for sequence := range uint64(5) {
					want := Expired
					if sequence >= 3 {
						want = ""
					}
					if got := w.outcome(sequence + 1); got != want {
						t.Errorf("event %d is %q on record, want %q", sequence+1, got, want)
					}
				}
				if n := len(w.attempts()); n != test.sent {
					t.Errorf("%d attempts, want %d", n, test.sent)
				}
				pass(time.Minute)
				l.resume(t.Context(), e)
				pass(200 * time.Hour)
				if s := e.Stats(); s.Delivered+s.Digested != 2 || s.Pending != 0 || s.Expired != 3 {
					t.Errorf("at the end: %+v, want the other two sent", s)
				}
			})
		})
	}
}

// An event that was attempted, and left the stream while nobody ran, does not come
// again: the ledger says that there was one.
func TestWhatAgedWhileNobodyRanIsExpired(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		w.publish("2", "")
		w.reply = func(int, Delivery, uint64) answer { return answer{err: status(500)} }
		patient := func(c *Config) { c.Retry = []time.Duration{100 * time.Hour} }
		_, stop := start(t, w.newLife(nil), patient)
		pass(time.Second)
		stop()
		w.aged[1] = true
		for range 2 {
			e, stop := start(t, w.newLife(nil), patient)
			pass(time.Second)
			if s := e.Stats(); w.outcome(1) != Expired || s.Pending != 1 || s.Observed != s.Expired+1 {
				t.Errorf("event 1 is %q on record; %+v", w.outcome(1), s)
			}
			stop()
		}
		if notes := w.ledger(1, 0); len(notes) != 2 || notes[0].EventID != notes[1].EventID {
			t.Errorf("notes of event 1: %+v, want the attempt and one end", notes)
		}
	})
}
