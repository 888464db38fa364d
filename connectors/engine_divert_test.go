package connectors

import (
	"context"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// What waits for a connector that fails is tried at once when an operator resumes
// it, also when it never stopped trying.
func TestResumeOfOneThatFails(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.strict = false // the attempt comes before its time
		w.publish("1", "")
		w.down(status(503), time.Now().Add(time.Minute))
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.Retry = []time.Duration{24 * time.Hour} })
		pass(time.Hour)
		if s := e.Stats(); !s.State.Sends() || s.Failed != 1 || s.Delivered != 0 {
			t.Fatalf("%+v, want one failure and a long wait", s)
		}
		if err := e.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if s := e.Stats(); s.Delivered != 1 {
			t.Errorf("%+v, want it delivered", s)
		}
	})
}

// TestLatestOnly: however the connector comes back, it is sent the latest event of
// the record that it wants, and before it at most the one that it was tried with;
// after a restart also what came before the stream showed more.
func TestLatestOnly(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		restart bool // it comes back while the process is down
		resume  bool // an operator says so
	}{
		"by itself":          {err: status(503)},
		"while we are down":  {err: status(503), restart: true},
		"when it is resumed": {err: status(410), resume: true},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T, w *world) {
				w.strict = false // attempts may come before their time
				for range 5 {
					w.publish("1", `"wanted":true`)
				}
				w.publish("1", `"wanted":false`)
				back := time.Now().Add(time.Hour)
				w.down(c.err, back)
				change := func(cfg *Config) {
					cfg.Retry = []time.Duration{30 * time.Second, 30 * time.Second, 30 * time.Minute, 30 * time.Minute, time.Hour}
					cfg.Filter = must(CompileFilter("data.record.wanted == true"))
					cfg.Fallback = &Fallback{Name: "mail", After: time.Minute, Latest: true,
						Forward: func(context.Context, events.Stored) error { return nil }}
				}
				e, stop := start(t, w.newLife(nil), change)
				pass(10 * time.Minute)
				if s := e.Stats(); s.Diverted != 5 || s.Delivered+s.Muted > 0 {
					t.Fatalf("%+v, want five diverted", s)
				}
				if c.restart {
					stop()
				}
				pass(time.Until(back))
				if c.restart {
					e, _ = start(t, w.newLife(nil), change)
				}
				if c.resume {
					if err := e.Resume(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				pass(2 * time.Hour)
				s := e.Stats()
				most := uint64(2)
				if c.restart {
					most = 5 // some may be sent before the stream shows what follows them
				}
				if s.Delivered == 0 || s.Delivered > most || s.Delivered+s.Muted != 5 || s.Pending != 0 {
					t.Errorf("%d delivered, %d muted, %d pending", s.Delivered, s.Muted, s.Pending)
				}
				if asks := w.attempts(); asks[len(asks)-1].sequence != 5 {
					t.Errorf("the last one sent is %d, want 5", asks[len(asks)-1].sequence)
				}
			})
		})
	}
}
