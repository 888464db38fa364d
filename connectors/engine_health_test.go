package connectors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// down answers with err until the time comes.
func (w *world) down(err error, until time.Time) {
	w.reply = func(int, Delivery, uint64) answer {
		if time.Now().Before(until) {
			return answer{err: err}
		}
		return answer{}
	}
}

// told lists the states that were told of.
func (w *world) told() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, h := range w.health {
		all = append(all, string(h.State))
	}
	return strings.Join(all, " ")
}

func outage() []time.Duration {
	return []time.Duration{5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, time.Hour, 6 * time.Hour}
}

// An endpoint that is down gets a probe now and then instead of every event, and
// everything as soon as it is back.
func TestBreakerProbesInsteadOfHammering(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 40 {
			w.publish(fmt.Sprint(i%20), "")
		}
		back := time.Now().Add(2 * time.Hour)
		w.down(status(500), back)
		e, stop := start(t, w.newLife(nil), func(c *Config) { c.Retry = outage() })
		pass(110 * time.Second)
		if s := e.Stats(); s.State != Open || w.told() != "open" || s.Health.Reason == "" {
			t.Fatalf("State = %s, told %q, after two minutes of 500", s.State, w.told())
		}
		before := len(w.attempts())
		pass(10 * time.Minute)
		if n := len(w.attempts()) - before; n < 3 || n > 8 {
			t.Errorf("%d attempts in ten minutes with the breaker open, want some probes", n)
		}
		records := map[string]bool{}
		for _, a := range w.attempts()[before:] {
			records[w.record(a.sequence)] = true
		}
		if len(records) < 3 {
			t.Errorf("the probes were of %d records, want others each time", len(records))
		}
		pass(time.Until(back) + 6*time.Minute)
		if s := e.Stats(); s.State != Active || s.Delivered != 40 || w.told() != "open active" {
			t.Errorf("State = %s, %d delivered, told %q, six minutes after it is back", s.State, s.Delivered, w.told())
		}
		stop()
		for sequence := uint64(1); sequence <= 40; sequence++ {
			for _, n := range w.ledger(sequence, 0) {
				if n.Outcome == Failed && !n.Probe && n.At.After(back.Add(-100*time.Minute)) {
					t.Errorf("%d spent an attempt at %s with the breaker open", sequence, n.At)
				}
			}
		}
	})
}

func TestBreakerNeedsItsNumbers(t *testing.T) {
	for name, test := range map[string]struct {
		records int
		err     error
		state   State
		told    string
	}{
		"ten failures of three records":       {3, status(500), Open, "open"},
		"of two records":                      {2, status(500), Active, ""},
		"of many records, but of the message": {20, status(422), Failing, "failing"},
		"throttled":                           {20, status(429), Active, ""},
		"a mistake of the configuration":      {1, status(404), Failing, "failing"},
		"moved":                               {1, status(301), Failing, "failing"},
		"a busy moment":                       {1, status(503), Active, ""},
		"an unsafe other side":                {1, fault.Unsafe(errors.New("certificate")), Open, "open"},
		"gone":                                {1, status(410), Parked, "parked"},
		"gone, as a chat says it":             {1, fault.Gone(errors.New("no_service")), Parked, "parked"},
		"an event that cannot be written":     {20, fault.Permanent(errors.New("no JSON")), Active, ""},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T, w *world) {
				for i := range test.records {
					w.publish(fmt.Sprint(i), "")
				}
				w.down(test.err, time.Now().Add(time.Hour))
				e, _ := start(t, w.newLife(nil), func(c *Config) {
					c.Retry = slices.Repeat([]time.Duration{10 * time.Second}, 100)
				})
				pass(3 * time.Minute)
				if s := e.Stats(); s.State != test.state || w.told() != test.told {
					t.Errorf("State = %s, told %q, want %s, %q", s.State, w.told(), test.state, test.told)
				}
			})
		})
	}
}

// One that fails now and then is not cut off.
func TestBreakerStaysClosedWhileSomethingIsAccepted(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 40 {
			w.publish(fmt.Sprint(i), "")
		}
		w.reply = func(call int, _ Delivery, sequence uint64) answer {
			if sequence%2 == 0 && call <= 20 {
				return answer{err: status(500)}
			}
			return answer{}
		}
		e, _ := start(t, w.newLife(nil), func(c *Config) {
			c.Rate = 2
			c.Retry = slices.Repeat([]time.Duration{10 * time.Second}, 100)
		})
		for range 50 {
			pass(time.Second)
			if s := e.Stats().State; s != Active {
				t.Fatalf("State = %s", s)
			}
		}
	})
}

func TestLowTrafficIsToldOfToo(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		w.down(status(500), time.Now().Add(time.Hour))
		e, _ := start(t, w.newLife(nil), func(c *Config) {
			c.Retry = slices.Repeat([]time.Duration{time.Minute}, 100)
		})
		pass(5 * time.Minute)
		if w.told() != "" {
			t.Errorf("told %q after five minutes", w.told())
		}
		pass(7 * time.Minute)
		if w.told() != "failing" || e.Stats().State != Failing {
			t.Errorf("told %q after twelve minutes, want that it fails", w.told())
		}
	})
}

// 410 ends everything until an operator says otherwise, also across a restart.
func TestParkedUntilResumed(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 5 {
			w.publish(fmt.Sprint(i), "")
		}
		mended := false
		w.reply = func(int, Delivery, uint64) answer {
			if !mended {
				return answer{err: status(410)}
			}
			return answer{}
		}
		one := func(c *Config) { c.Concurrency = 1 }
		_, stop := start(t, w.newLife(nil), one)
		pass(40 * 24 * time.Hour)
		stop()
		if n := len(w.attempts()); n != 1 || w.told() != "parked" {
			t.Fatalf("%d attempts, told %q, want one and no more", n, w.told())
		}
		e, _ := start(t, w.newLife(nil), one)
		pass(40 * 24 * time.Hour)
		if s := e.Stats(); len(w.attempts()) != 1 || s.State != Parked || s.Waiting != 5 || w.told() != "parked" {
			t.Fatalf("%d attempts, %+v, told %q after a restart", len(w.attempts()), s, w.told())
		}
		w.mu.Lock()
		mended = true
		w.mu.Unlock()
		if err := e.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if s := e.Stats(); s.State != Active || s.Delivered != 5 || w.told() != "parked active" {
			t.Errorf("%+v, told %q after it was resumed", s, w.told())
		}
	})
}

func TestPauseKeepsEverything(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		l := w.newLife(nil)
		e, stop := start(t, l, nil)
		pass(time.Minute)
		if err := e.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.feed(w.publish("1", ""), w.publish("2", ""))
		pass(time.Hour)
		stop()
		e, _ = start(t, w.newLife(nil), nil)
		pass(24 * time.Hour)
		if s := e.Stats(); s.State != Paused || s.Waiting != 2 || len(w.attempts()) != 1 {
			t.Fatalf("%+v, %d attempts while it is paused", s, len(w.attempts()))
		}
		if err := e.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if s := e.Stats(); s.State != Active || s.Delivered != 2 || w.told() != "" {
			t.Errorf("%+v, told %q after it was resumed", s, w.told())
		}
	})
}

func TestPauseOfAnEngineThatDoesNotRun(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := NewEngine(w.newLife(nil).config()).Pause(ctx); !errors.Is(err, ErrNotRunning) {
			t.Errorf("Pause = %v, want %v", err, ErrNotRunning)
		}
	})
}

// Throttling says nothing of how the connector does, before a failure or between.
func TestThrottlingIsNoFailure(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 20 {
			w.publish(fmt.Sprint(i), "")
		}
		w.reply = func(call int, _ Delivery, sequence uint64) answer {
			switch {
			case call == 1:
				return answer{err: status(429)}
			case call == 2 && sequence%3 == 0:
				return answer{err: status(503)}
			}
			return answer{}
		}
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.Retry = outage() })
		pass(time.Hour)
		if s := e.Stats(); w.told() != "" || s.Delivered != 20 {
			t.Errorf("told %q, %d delivered", w.told(), s.Delivered)
		}
	})
}

// What would have had all its attempts by now is not sent days late.
func TestHeldEventsDoNotOutliveTheirSchedule(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 30 {
			w.publish(fmt.Sprint(i), "")
		}
		w.down(status(500), time.Now().Add(1000*time.Hour))
		l := w.newLife(nil)
		e, _ := start(t, l, func(c *Config) { c.Retry = outage(); c.Concurrency = 4; c.Rate = 1 })
		pass(3 * time.Hour)
		late := w.publish("late", "")
		l.feed(late)
		if s := e.Stats(); s.Dead != 0 || s.State != Open {
			t.Fatalf("%d dead after three hours, state %s", s.Dead, s.State)
		}
		pass(5 * time.Hour)
		if s := e.Stats(); s.Dead != 30 || w.outcome(late) != "" {
			t.Errorf("%d dead after eight hours, want the 30 whose schedule of seven hours is over; the late one: %q", s.Dead, w.outcome(late))
		}
		pass(6 * time.Hour)
		if w.outcome(late) != Dead {
			t.Errorf("the late event is %q, want %s", w.outcome(late), Dead)
		}
	})
}

func TestOneConnectorsTroubleIsItsOwn(t *testing.T) {
	within(t, func(t *testing.T, slow *world) {
		quick := newWorld()
		for i := range 100 {
			slow.publish(fmt.Sprint(i), "")
			quick.publish(fmt.Sprint(i), "")
		}
		slow.reply = func(int, Delivery, uint64) answer { return answer{after: 30 * time.Second} }
		start(t, slow.newLife(nil), nil)
		e, _ := start(t, quick.newLife(nil), nil)
		pass(time.Millisecond)
		if s := e.Stats(); s.Delivered != 100 {
			t.Errorf("%d of 100 delivered while another endpoint takes 30 s", s.Delivered)
		}
	})
}
