package connectors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// A standIn is the other end of a fallback.
type standIn struct {
	*Fallback
	w    *world
	sent []uint64 // guarded by w.mu
}

func newStandIn(w *world, latest bool) *standIn {
	s := &standIn{w: w}
	s.Fallback = &Fallback{Name: "mail", After: 10 * time.Minute, Latest: latest,
		Forward: func(_ context.Context, ev events.Stored) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			s.sent = append(s.sent, ev.Sequence)
			return nil
		}}
	return s
}

func (s *standIn) got() []uint64 {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return slices.Clone(s.sent)
}

func TestFallbackStandsIn(t *testing.T) {
	for _, latest := range []bool{false, true} {
		t.Run(fmt.Sprintf("latest %v", latest), func(t *testing.T) {
			within(t, func(t *testing.T, w *world) {
				for i := range 12 {
					w.publish(fmt.Sprint(i%4), "")
				}
				w.down(status(500), time.Now().Add(2*time.Hour))
				mail := newStandIn(w, latest)
				mail.Gets = func(ev events.Event) bool { return ev.Data.ID == "3" }
				change := func(c *Config) { c.Retry, c.Fallback = outage(), mail.Fallback }
				_, stop := start(t, w.newLife(nil), change)
				pass(9 * time.Minute)
				if got := mail.got(); len(got) != 0 {
					t.Fatalf("forwarded %v before ten minutes", got)
				}
				pass(3 * time.Minute)
				stop()
				e, _ := start(t, w.newLife(nil), change)
				pass(20 * time.Minute)
				if got, want := mail.got(), []uint64{1, 2, 3, 5, 6, 7, 9, 10, 11}; !slices.Equal(got, want) {
					t.Errorf("forwarded %v, want %v", got, want)
				}
				if s := e.Stats(); s.Diverted != 0 {
					t.Errorf("%d given to the fallback again after a restart", s.Diverted)
				}
				pass(2 * time.Hour)
				s := e.Stats()
				// The probe that found it well may have told an older one.
				if latest && (s.Delivered > 5 || s.Delivered+s.Muted != 12) || !latest && (s.Delivered != 12 || s.Muted != 0) || s.Pending != 0 {
					t.Errorf("%d delivered, %d muted, %d pending when it is back", s.Delivered, s.Muted, s.Pending)
				}
			})
		})
	}
}

// While it takes long to give the fallback one event, others are given up.
func TestFallbackIsNotGivenWhatIsSettledMeanwhile(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 20 {
			w.publish(fmt.Sprint(i), "")
		}
		w.down(status(500), time.Now().Add(24*time.Hour))
		mail := newStandIn(w, false)
		away, forward := true, mail.Forward
		mail.Forward = func(ctx context.Context, ev events.Stored) error {
			w.mu.Lock()
			refused := ev.Sequence == 3 && away
			w.mu.Unlock()
			if refused {
				return errors.New("the bus is away")
			}
			return forward(ctx, ev)
		}
		e, _ := start(t, w.newLife(nil), func(c *Config) {
			c.Retry, c.Fallback, c.Concurrency = slices.Repeat([]time.Duration{2 * time.Minute}, 9), mail.Fallback, 2
		})
		pass(time.Hour)
		if s := e.Stats(); s.Dead < 15 {
			t.Fatalf("%d dead after an hour", s.Dead)
		}
		w.mu.Lock()
		away = false
		w.mu.Unlock()
		pass(time.Hour)
		if got := mail.got(); len(got) > 3+20-15 {
			t.Errorf("the fallback was given %v, also what was given up before", got)
		}
	})
}

// Also after a restart in the middle of catching up.
func TestLatestAcrossARestart(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 12 {
			w.publish(fmt.Sprint(i%4), "")
		}
		w.down(status(500), time.Now().Add(time.Hour))
		mail := newStandIn(w, true)
		slowly := func(c *Config) {
			c.Retry, c.Rate, c.Concurrency, c.Fallback = outage(), 0.1, 1, mail.Fallback
		}
		e, stop := start(t, w.newLife(nil), slowly)
		for e.Stats().Delivered == 0 {
			pass(time.Second)
		}
		stop()
		before := e.Stats().Delivered
		e, _ = start(t, w.newLife(nil), slowly)
		pass(10 * time.Minute)
		if s := e.Stats(); s.Pending != 0 || before+s.Delivered > 5 {
			t.Errorf("%d and %d delivered, %d pending, want each record's latest", before, s.Delivered, s.Pending)
		}
	})
}

// An operator's resume ends an outage too: only the latest is caught up with.
func TestLatestAfterResume(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 12 {
			w.publish(fmt.Sprint(i%4), "")
		}
		w.down(status(410), time.Now().Add(time.Hour))
		mail := newStandIn(w, true)
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.Fallback, c.Concurrency = mail.Fallback, 1 })
		pass(2 * time.Hour)
		if len(mail.got()) != 12 || e.Stats().State != Parked {
			t.Fatalf("the fallback was given %v, state %s", mail.got(), e.Stats().State)
		}
		if err := e.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if s := e.Stats(); s.Delivered > 5 || s.Delivered+s.Muted != 12 {
			t.Errorf("%d delivered and %d muted after it was resumed, want each record's latest", s.Delivered, s.Muted)
		}
	})
}

// The latest of a record is the latest that is sent.
func TestLatestIsNotOneThatIsLeftOut(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.filter = must(CompileFilter("data.record.skip != true"))
		w.publish("probe", "")
		w.publish("1", "")
		last := w.publish("1", "")
		w.publish("1", `"skip":true`)
		w.down(fault.Unsafe(errors.New("certificate")), time.Now().Add(time.Hour))
		mail := newStandIn(w, true)
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.Retry, c.Fallback, c.Concurrency = outage(), mail.Fallback, 1 })
		pass(2 * time.Hour)
		if s := e.Stats(); w.outcome(last) != Delivered || s.Filtered != 1 || s.Pending != 0 {
			t.Errorf("the latest is %q, %+v", w.outcome(last), s)
		}
	})
}

// What the fallback gets by itself is decided of the event as it is, and not of
// what this connector may be given.
func TestFallbackIsAskedOfTheWholeEvent(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.mask = must(CompileMask(nil, []string{"/city"}))
		var body string
		w.publish("1", `"city":"Ulm"`)
		w.publish("2", `"city":"Bonn"`)
		w.down(status(410), time.Now().Add(time.Hour))
		mail := newStandIn(w, false)
		mail.Gets = must(CompileFilter(`data.record.city == "Ulm"`)).Match
		forward := mail.Forward
		mail.Forward = func(ctx context.Context, ev events.Stored) error {
			body = string(ev.Body)
			return forward(ctx, ev)
		}
		start(t, w.newLife(nil), func(c *Config) { c.Fallback = mail.Fallback })
		pass(30 * time.Minute)
		if got := mail.got(); !slices.Equal(got, []uint64{2}) {
			t.Errorf("the fallback was given %v, want the one that it does not get by itself", got)
		}
		if strings.Contains(body, "Bonn") || !strings.Contains(body, `"id":"2"`) {
			t.Errorf("the fallback was given %s, want it without the city", body)
		}
	})
}

// What another connector could not send is told in this one's digest, though
// nothing of its own comes.
func TestLentEventsAreDigested(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		w.settled[ident{sequence: 1}], w.acks = Filtered, []ident{{sequence: 1}}
		l := w.newLife(nil)
		e, _ := start(t, l, func(c *Config) {
			c.Calendar, c.Filter = calendar(t, "15m", ""), must(CompileFilter("false"))
		})
		l.lend(1, 7, time.Now())
		pass(14 * time.Minute)
		if n := len(w.attempts()); n != 0 {
			t.Errorf("%d attempts before its window ends", n)
		}
		pass(2 * time.Minute)
		if s := e.Stats(); s.Digested != 1 {
			t.Errorf("%+v when its window has ended", s)
		}
	})
}

// lend makes an event come because another connector fails.
func (l *life) lend(sequence, number uint64, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ev := l.stream[sequence-1]
	ev.Replay, ev.For, ev.At = number, "other", at
	l.replays = append(l.replays, ev)
	l.queue = append(l.queue, ev)
	l.wake()
}

// A lent event of a window may come to stand in front of one that waits for its turn.
func TestLentEventInFrontOfAReadyOne(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		pass(7 * time.Hour)
		w.publish("9", "")
		w.settled[ident{sequence: 1}], w.acks = Filtered, []ident{{sequence: 1}}
		for i := range 10 {
			w.publish(fmt.Sprint(1+i), "")
		}
		l := w.newLife(nil)
		e, _ := start(t, l, func(c *Config) {
			c.Calendar, c.Burst, c.Pace = calendar(t, "", "22:00-07:00"), 25, NewPace(0.01, true)
		})
		pass(time.Second)
		l.lend(1, 7, time.Now().Add(-time.Hour))
		pass(time.Hour)
		if s := e.Stats(); s.Delivered != 10 || s.Digested != 1 {
			t.Errorf("%d delivered and %d digested, want 10 and the lent one", s.Delivered, s.Digested)
		}
	})
}

// To look for what is due makes no haste while a worker gives away what was found.
func TestDetourWaitsForItsWorker(t *testing.T) {
	now := time.Now()
	h := newHealth(now)
	h.Down = now.Add(-time.Hour)
	f := newStandIn(newWorld(), false).Fallback
	for name, test := range map[string]struct {
		detour detour
		want   time.Time
	}{
		"idle":         {detour{looked: now}, now.Add(lookEvery)},
		"on the go":    {detour{looked: now.Add(-time.Hour), onTheGo: true}, time.Time{}},
		"more to give": {detour{looked: now.Add(-time.Hour), queue: make([]rider, 1)}, time.Time{}},
	} {
		if got := test.detour.next(now, h, f); !got.Equal(test.want) {
			t.Errorf("%s: next = %s, want %s", name, got, test.want)
		}
	}
	h.Down = now.Add(-time.Minute)
	if got, want := new(detour).next(now, h, f), now.Add(9*time.Minute); !got.Equal(want) {
		t.Errorf("next = %s, want %s, when it has failed long enough", got, want)
	}
}

// What is not due, what another connector lent and what an operator holds up is not
// given to the fallback.
func TestFallbackIsNotGivenWhatWaitsForAnotherReason(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		pass(21*time.Hour + 30*time.Minute)
		lent := w.publish("2", "")
		due := w.publish("1", "")
		w.settled[ident{sequence: lent}], w.acks = Filtered, []ident{{sequence: lent}}
		w.down(status(410), time.Now().Add(24*time.Hour))
		mail := newStandIn(w, false)
		l := w.newLife(nil)
		e, _ := start(t, l, func(c *Config) { c.Fallback, c.Calendar = mail.Fallback, calendar(t, "", "22:00-07:00") })
		l.lend(lent, 7, time.Now())
		pass(5 * time.Minute)
		if err := e.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(15 * time.Minute)
		if got := mail.got(); len(got) != 0 {
			t.Errorf("the fallback was given %v while the connector is paused", got)
		}
		if err := e.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(15 * time.Minute)
		later := w.publish("3", "")
		l.feed(later)
		pass(time.Hour)
		if got := mail.got(); !slices.Equal(got, []uint64{due}) {
			t.Errorf("the fallback was given %v in quiet hours, want %d", got, due)
		}
		pass(10 * time.Hour)
		if got := mail.got(); !slices.Equal(got, []uint64{due, later}) {
			t.Errorf("the fallback was given %v after them, want %d too", got, later)
		}
	})
}

// The latest does not wait for the time of one that it made void.
func TestLatestDoesNotWaitForWhatIsVoid(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		last := w.publish("1", "")
		well := false
		w.reply = func(int, Delivery, uint64) answer {
			if well {
				return answer{}
			}
			return answer{err: status(503)}
		}
		mail := newStandIn(w, true)
		l := w.newLife(nil)
		start(t, l, func(c *Config) { c.Fallback, c.Retry = mail.Fallback, []time.Duration{24 * time.Hour} })
		pass(time.Hour)
		w.mu.Lock()
		well = true
		w.mu.Unlock()
		l.feed(w.publish("2", ""))
		pass(time.Minute)
		if w.outcome(1) != Muted || w.outcome(last) != Delivered {
			t.Errorf("a minute after it is back the first is %q and the last %q", w.outcome(1), w.outcome(last))
		}
	})
}

// What is superseded while it waits with the others of its window is no part of
// their digest, and does not wait until something else happens.
func TestSupersededInItsWindow(t *testing.T) {
	now := time.Now()
	mail := newStandIn(newWorld(), true)
	s := newScheduler(NewEngine(Config{Fallback: mail.Fallback}), newMemory(), newHealth(now), nil)
	w := &Window{From: now.Add(-time.Hour).UTC(), To: now.Add(-time.Minute).UTC()}
	s.lanes.add("1", entry{sequence: 1, window: w, diverted: true}, now)
	s.lanes.add("1", entry{sequence: 2, window: w}, now)
	s.supersede(s.lanes.byKey["1"], now)
	j, ok := s.next(now)
	if !ok || j.task != fetch || j.entry.sequence != 1 || j.entry.fate != void {
		t.Errorf("next = %+v, %v, want that 1 is passed over", j, ok)
	}
}

// What a worker has is not superseded: its outcome says what becomes of it.
func TestWhatIsUnderWayIsNotSuperseded(t *testing.T) {
	now := time.Now()
	mail := newStandIn(newWorld(), true)
	s := newScheduler(NewEngine(Config{Fallback: mail.Fallback}), newMemory(), newHealth(now), nil)
	for sequence := range uint64(3) {
		s.lanes.add("1", entry{sequence: sequence, diverted: true}, now)
	}
	l, _ := s.lanes.take()
	s.supersede(l, now)
	if l.queue[0].fate != wanted || l.queue[1].fate != void || l.queue[2].fate != wanted {
		t.Errorf("fates %d, %d, %d", l.queue[0].fate, l.queue[1].fate, l.queue[2].fate)
	}
}

// Nothing is given away while every worker is busy, and it is not looked for again
// at once.
func TestDetourNeedsAWorker(t *testing.T) {
	now := time.Now()
	h := newHealth(now)
	h.Down = now.Add(-time.Hour)
	mail := newStandIn(newWorld(), false)
	s := newScheduler(NewEngine(Config{Fallback: mail.Fallback, Concurrency: 1}), newMemory(), h, nil)
	s.lanes.add("1", entry{sequence: 1}, now)
	s.inFlight = 1
	if s.divert(now); s.detour.onTheGo || len(s.detour.queue) != 1 {
		t.Errorf("on the go %v, %d to go", s.detour.onTheGo, len(s.detour.queue))
	}
	s.inFlight = 0
	if s.divert(now); !s.detour.onTheGo {
		t.Error("nothing is given away")
	}
	<-s.jobs
	s.detour.onTheGo, s.inFlight = false, 0
	if s.divert(now.Add(lookEvery - 1)); len(s.detour.queue) != 0 || s.detour.onTheGo {
		t.Error("it is looked for again at once")
	}
	if s.divert(now.Add(lookEvery)); !s.detour.onTheGo {
		t.Error("it is not looked for again")
	}
}
