package connectors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// opened starts an engine whose breaker is open and whose next probe is due.
func (w *world) opened() {
	w.memory[stateKey] = `{"state":"open","told":true,"failures":10,"down":"1999-12-31T23:00:00Z"}`
}

// However short the schedule is, a connector that is well again is found to be.
func TestShortSchedulesAreProbedToo(t *testing.T) {
	for _, retry := range [][]time.Duration{nil, {time.Second}} {
		t.Run(fmt.Sprint(retry), func(t *testing.T) {
			within(t, func(t *testing.T, w *world) {
				w.down(status(500), time.Now().Add(10*time.Minute))
				l := w.newLife(nil)
				e, _ := start(t, l, func(c *Config) { c.Retry = retry })
				come := func(record string) {
					sequence := w.publish(record, "")
					pass(2 * time.Second) // on its way
					l.feed(sequence)
				}
				for i := range 60 {
					come(fmt.Sprint(i))
					pass(3 * time.Second)
				}
				if s := e.Stats(); s.State != Open {
					t.Fatalf("State = %s, want it open", s.State)
				}
				pass(30 * time.Minute)
				come("late")
				pass(10 * time.Minute)
				if s := e.Stats(); s.State != Active || w.outcome(61) != Delivered {
					t.Errorf("State = %s, the event that came when it was back is %q", s.State, w.outcome(61))
				}
			})
		})
	}
}

// A probe that is due and has nothing to send waits for something, at rest.
func TestNothingToProbeMakesNoHaste(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		e := NewEngine(w.newLife(nil).config())
		e.cfg.Calendar = calendar(t, "", "22:00-07:00")
		h := newHealth(time.Now())
		h.State, h.Probe = Open, time.Now().Add(-time.Minute)
		s := newScheduler(e, newMemory(), h, newKeeper(e))
		w.publish("1", "")
		s.arrive(e.arrive(w.stream[0]))
		s.dispatch(time.Now())
		s.arm(time.Now())
		pass(6 * time.Hour)
		select {
		case <-s.timer.C:
			t.Error("it looks again before the event is due")
		default:
		}
		pass(2 * time.Hour)
		select {
		case <-s.timer.C:
		default:
			t.Error("it does not look again when the event is due")
		}
	})
}

// A probe is an attempt like others to those who share the place it goes to.
func TestProbeKeepsThePace(t *testing.T) {
	within(t, func(t *testing.T, failing *world) {
		well, pace := newWorld(), NewPace(1, true)
		failing.opened()
		failing.reply = func(int, Delivery, uint64) answer { return answer{err: status(500)} }
		well.reply = func(int, Delivery, uint64) answer { return answer{after: 1700 * time.Millisecond} }
		for i := range 40 {
			failing.publish(fmt.Sprint(i), "")
			well.publish(fmt.Sprint(i), "")
		}
		share := func(c *Config) { c.Pace, c.Retry = pace, outage() }
		start(t, well.newLife(nil), share)
		start(t, failing.newLife(nil), share)
		pass(3 * time.Minute)
		probes := failing.attempts()
		if len(probes) < 3 {
			t.Fatalf("%d probes in three minutes", len(probes))
		}
		for _, p := range probes {
			for _, a := range well.attempts() {
				if d := p.at.Sub(a.at); d > -time.Second && d < 2700*time.Millisecond {
					t.Errorf("a probe %s after an attempt that takes 1.7 s", d)
				}
			}
		}
	})
}

// An engine that is stopped with an attempt that does not end leaves the pace to
// the others.
func TestStoppedEngineLeavesThePace(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		other, pace := newWorld(), NewPace(1, true)
		w.publish("1", "")
		released := make(chan struct{})
		_, stop := start(t, w.newLife(nil), func(c *Config) {
			c.Pace = pace
			c.Connector = Func(func(context.Context, Delivery) error { <-released; return nil })
		})
		pass(time.Second)
		other.publish("1", "")
		e, _ := start(t, other.newLife(nil), func(c *Config) { c.Pace = pace })
		stop()
		pass(time.Minute)
		if s := e.Stats(); s.Delivered != 1 {
			t.Errorf("%+v", s)
		}
		close(released)
	})
}

// A memory that cannot be reached holds up nothing but those who wait for it.
func TestMemoryAwayForDays(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.strict = false // probes come early
		w.down(status(500), time.Now().Add(48*time.Hour))
		l := w.newLife(nil)
		l.refuse = func(what string) error {
			if what == "remember" {
				return errors.New("no responders")
			}
			return nil
		}
		e, stop := start(t, l, func(c *Config) { c.Retry = outage() })
		for i := range 50 {
			l.feed(w.publish(fmt.Sprint(i), ""))
			pass(time.Hour)
		}
		if s := e.Stats(); s.State != Active || w.outcome(50) != Delivered {
			t.Errorf("State = %s, the last event is %q", s.State, w.outcome(50))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := e.Pause(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Pause = %v, want that it is not on record", err)
		}
		began := time.Now()
		stop()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("stopped after %s", took)
		}
	})
}

// Whoever asks at the same time is answered, and what was told is told in order.
func TestKeeperPutsTogether(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		l := w.newLife(nil)
		k := newKeeper(NewEngine(l.config()))
		var answers []chan error
		for _, s := range []State{Open, Failing, Active} {
			answers = append(answers, make(chan error, 1))
			k.put(memo{text: string(s), told: []Health{{State: s}}, done: []chan<- error{answers[len(answers)-1]}})
		}
		go k.run(t.Context())
		k.close(func() {})
		for i, a := range answers {
			if err := <-a; err != nil {
				t.Errorf("answer %d = %v", i, err)
			}
		}
		if w.told() != "open failing active" || w.memory[stateKey] != "active" {
			t.Errorf("told %q, remembered %q", w.told(), w.memory[stateKey])
		}
	})
}

// What an earlier process remembered, or what became of it, stops nothing for good.
func TestStaleMemoryDoesNoHarm(t *testing.T) {
	for name, text := range map[string]string{
		"cut off":              `{"state":"op`,
		"of another program":   `{"state":"half-open"}`,
		"no state":             `{"state":""}`,
		"nothing":              `null`,
		"paused as a state":    `{"state":"paused"}`,
		"a clock that was off": `{"state":"open","told":true,"since":"2040-01-01T00:00:00Z","probe":"2040-01-01T00:00:00Z"}`,
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T, w *world) {
				w.memory[stateKey] = text
				w.publish("1", "")
				e, _ := start(t, w.newLife(nil), nil)
				pass(lastProbe)
				if s := e.Stats(); s.State != Active || s.Delivered != 1 {
					t.Errorf("State = %s, %d delivered", s.State, s.Delivered)
				}
			})
		})
	}
}

func TestFallbackAfterAClockThatWasOff(t *testing.T) {
	h, now := newHealth(time.Now()), time.Now()
	if err := h.restore(`{"state":"open","down":"2100-01-01T00:00:00Z","since":"2100-01-01T00:00:00Z"}`, now); err != nil {
		t.Fatal(err)
	}
	if !h.Down.Equal(now) || !h.Since.Equal(now) {
		t.Errorf("down since %s, open since %s, want now", h.Down, h.Since)
	}
}

// Only an operator ends what a 410 began, whatever else comes back after it.
func TestParkedWhateverWasUnderWay(t *testing.T) {
	for name, late := range map[string]error{
		"not found": status(404), "unsafe": fault.Unsafe(errors.New("certificate")), "failed": status(500), "refused": status(400), "accepted": nil,
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T, w *world) {
				for i := range 20 {
					w.publish(fmt.Sprint(i), "")
				}
				w.reply = func(_ int, _ Delivery, sequence uint64) answer {
					if sequence == 1 {
						return answer{err: status(410), after: time.Second}
					}
					return answer{err: late, after: 2 * time.Second}
				}
				e, _ := start(t, w.newLife(nil), func(c *Config) { c.Retry = outage() })
				pass(time.Hour)
				if s := e.Stats(); s.State != Parked || len(w.attempts()) != 16 || w.told() != "parked" {
					t.Errorf("State = %s after %d attempts, told %q", s.State, len(w.attempts()), w.told())
				}
			})
		})
	}
}

// What waits because the connector failed is sent when it is well again: all of it,
// not only the first of each record.
func TestAllThatWaitedIsSentWhenItIsBack(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.strict = false // probes come early
		for i := range 3 {
			w.publish("1", fmt.Sprintf(`"n":%d`, i))
		}
		back := time.Now().Add(20 * time.Minute)
		w.down(status(500), back)
		l := w.newLife(nil)
		e, _ := start(t, l, func(c *Config) {
			c.Calendar, c.Retry = calendar(t, "10s", ""), slices.Repeat([]time.Duration{2 * time.Hour}, 5)
		})
		for i := range 60 {
			pass(10 * time.Second)
			l.feed(w.publish(fmt.Sprint("other", i), ""))
		}
		if s := e.Stats(); s.State != Open {
			t.Fatalf("State = %s, want it open", s.State)
		}
		pass(20 * time.Minute)
		if s := e.Stats(); s.Pending != 0 || s.Digested != 63 {
			t.Errorf("%d pending, %d told, minutes after it is back", s.Pending, s.Digested)
		}
	})
}

// holding is a scheduler that holds an event with the given progress, its breaker open
// since the time given.
func holding(w *world, retry []time.Duration, since, took time.Time, past *progress) *scheduler {
	e := NewEngine(w.newLife(nil).config())
	e.retry = retry
	h := newHealth(since)
	h.State = Open
	s := newScheduler(e, newMemory(), h, newKeeper(e))
	s.lanes.add("1", entry{sequence: 1, at: took.UnixNano(), past: past}, time.Now())
	s.lanes.hold()
	return s
}

// An event is given up when its schedule would be over that began when it came, or
// when the breaker opened, or with the attempt that was to be next.
func TestHeldEventsAreGivenUpInTheirTime(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		now := time.Now()
		retry := []time.Duration{time.Hour, 2 * time.Hour}
		for name, test := range map[string]struct {
			since, took time.Duration
			past        *progress
			want        time.Duration // from now
		}{
			"came later":          {-5 * time.Hour, -time.Hour, nil, 2 * time.Hour},
			"came before":         {-time.Hour, -50 * time.Hour, nil, 2 * time.Hour},
			"attempted once":      {-time.Hour, -2 * time.Hour, &progress{spent: 1, next: now.Add(-30 * time.Minute)}, 90 * time.Minute},
			"to be attempted yet": {-time.Hour, -2 * time.Hour, &progress{spent: 1, next: now}, 2 * time.Hour},
		} {
			s := holding(w, retry, now.Add(test.since), now.Add(test.took), test.past)
			if s.giveUpOverdue(now.Add(test.want - time.Second)) {
				t.Errorf("%s: given up too early", name)
			}
			if !s.giveUpOverdue(now.Add(test.want + time.Second)) {
				t.Errorf("%s: not given up", name)
			}
		}
	})
}

// A restart does not make a connector be probed anew from the start.
func TestProbesGoOnAfterARestart(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.opened()
		for i := range 10 {
			w.publish(fmt.Sprint(i), "")
		}
		w.down(status(500), time.Now().Add(24*time.Hour))
		_, stop := start(t, w.newLife(nil), func(c *Config) { c.Retry = outage() })
		pass(30 * time.Minute)
		stop()
		before := len(w.attempts())
		start(t, w.newLife(nil), func(c *Config) { c.Retry = outage() })
		pass(15 * time.Minute)
		if n := len(w.attempts()) - before; n < 2 || n > 4 {
			t.Errorf("%d probes in fifteen minutes after a restart, want one every five", n)
		}
	})
}

// A probe that was answered is on record: after a restart the connector sends.
func TestAnsweredProbeIsOnRecord(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.opened()
		w.publish("1", "")
		w.down(status(422), time.Now().Add(24*time.Hour))
		_, stop := start(t, w.newLife(nil), func(c *Config) { c.Retry = outage() })
		pass(time.Second)
		stop()
		h := newHealth(time.Now())
		if err := h.restore(w.memory[stateKey], time.Now()); err != nil || h.State != Failing {
			t.Errorf("State = %s on record, error %v", h.State, err)
		}
	})
}

// A wait that the receiver asks for is kept by the probes as well, and no shorter
// one takes its place.
func TestProbesKeepRetryAfter(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.opened()
		for i := range 10 {
			w.publish(fmt.Sprint(i), "")
		}
		w.down(fault.RetryAfter(time.Hour, status(503)), time.Now().Add(24*time.Hour))
		start(t, w.newLife(nil), func(c *Config) { c.Retry = outage() })
		pass(4*time.Hour + time.Minute)
		if n := len(w.attempts()); n != 5 {
			t.Errorf("%d probes in four hours, want five", n)
		}
	})
}

func TestTheLongestRetryAfterCounts(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 3 {
			w.publish(fmt.Sprint(i), "")
		}
		w.reply = func(call int, _ Delivery, sequence uint64) answer {
			if call == 1 && sequence < 3 {
				wait := time.Hour / time.Duration(sequence*sequence*sequence*sequence*sequence*sequence)
				return answer{err: fault.RetryAfter(wait, status(503)), after: time.Duration(sequence) * time.Second}
			}
			return answer{}
		}
		l := w.newLife(nil)
		start(t, l, func(c *Config) { c.Retry = outage(); c.Concurrency = 2 })
		pass(59 * time.Minute)
		if n := len(w.attempts()); n != 2 {
			t.Errorf("%d attempts within the hour that was asked for", n)
		}
	})
}

// The probe that finds it well does not hold up what follows it in its record.
func TestWhatFollowsTheProbeIsSent(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.strict = false // probes come early
		w.opened()
		for i := range 3 {
			sequence := w.publish("1", fmt.Sprintf(`"n":%d`, i))
			ev := w.record(sequence)
			w.notes = append(w.notes, Note{EventID: fmt.Sprintf("acme_clients_%s_%d_k7q2", ev, sequence), Sequence: sequence,
				Attempt: 1, At: time.Now(), Outcome: Failed, Status: 500, Next: time.Now().Add(10 * time.Hour)})
		}
		pass(time.Hour)
		// The next probe is a moment away: all have come by then.
		w.memory[stateKey] = fmt.Sprintf(`{"state":"open","told":true,"failures":10,"down":"1999-12-31T23:00:00Z","probe":%q}`,
			time.Now().Add(time.Minute).Format(time.RFC3339))
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.Calendar, c.Retry = calendar(t, "15m", ""), outage() })
		pass(10 * time.Minute)
		if s := e.Stats(); s.Digested != 3 {
			t.Errorf("%+v", s)
		}
	})
}

// What was refused for its own sake keeps its schedule when the connector is well.
func TestRefusedMessagesKeepTheirSchedule(t *testing.T) {
	now := time.Now()
	ls := newLanes()
	for i, code := range []int{422, 500} {
		p := &progress{next: now.Add(time.Hour), tries: []try{{status: code}}}
		ls.add(fmt.Sprint(code), entry{sequence: uint64(i), past: p}, now)
	}
	ls.hasten(now)
	if ls.ready.len() != 1 || len(ls.delayed) != 1 || ls.delayed[0].key != "422" {
		t.Errorf("%d ready, %d delayed", ls.ready.len(), len(ls.delayed))
	}
}

// A replay says nothing of how far the stream was read.
func TestReplaysAreNotTheEndOfTheStream(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		s := holding(w, nil, time.Now(), time.Now(), nil)
		w.publish("1", "")
		ev := w.stream[0]
		ev.Behind = 5
		s.arrive(s.engine.arrive(ev))
		ev.Replay, ev.Behind = 7, 0
		s.arrive(s.engine.arrive(ev))
		if s.upToDate {
			t.Error("it takes the stream to be read to its end")
		}
	})
}

// What has to go by itself is no digest as a probe either.
func TestProbeOfWhatGoesByItself(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for _, solo := range []bool{false, true} {
			s := holding(w, nil, time.Now(), time.Now(), &progress{})
			l := s.lanes.byKey["1"]
			l.queue[0].window, l.queue[0].solo = &Window{}, solo
			if j, ok := s.candidate(time.Now()); !ok || (j.window == nil) != solo {
				t.Errorf("solo %v: a digest %v", solo, j.window != nil)
			}
		}
	})
}

// What is said of a connector is not told to it, though it asks for such events.
func TestNothingAboutItself(t *testing.T) {
	e := NewEngine(Config{Name: "hook"})
	for id, want := range map[string]fate{"hook": unwanted, "other": wanted} {
		enc, err := events.Event{Data: events.Data{
			Account: "acme", Collection: events.System, Action: events.ConnectorFailing, ID: id, Revision: 1,
		}}.Stamp("k7q2").Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got := e.arrive(events.Stored{Body: enc.Body}).entry.fate; got != want {
			t.Errorf("the fate of an event about %s is %d, want %d", id, got, want)
		}
	}
}
