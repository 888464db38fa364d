package connectors

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// More than the rate lets through becomes a few deliveries, in order.
func TestBurstCollapses(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 500 {
			w.publish(fmt.Sprint(i), "")
		}
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.Pace, c.Burst, c.Concurrency = NewPace(1, true), 25, 1 })
		pass(time.Minute)
		all, at := w.deliveries()
		next := uint64(1)
		for _, one := range all {
			for _, sequence := range one {
				if sequence != next {
					t.Fatalf("%d was told where %d was next", sequence, next)
				}
				next++
			}
		}
		if s := e.Stats(); s.Delivered != 500 || len(all) > 40 {
			t.Errorf("%d of 500 told within a minute in %d deliveries", s.Delivered, len(all))
		}
		for i := 1; i < len(at); i++ {
			if at[i].Sub(at[i-1]) < time.Second {
				t.Errorf("deliveries %s apart", at[i].Sub(at[i-1]))
			}
		}
	})
}

// One event that the other side does not take costs the others of its delivery
// nothing.
func TestSpoiledBurstIsSentOneByOne(t *testing.T) {
	for name, refusal := range map[string]error{"refused": status(400), "permanent": fault.Permanent(errors.New("no text"))} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T, w *world) {
				for i := range 20 {
					w.publish(fmt.Sprint(i), "")
				}
				w.reply = func(_ int, d Delivery, _ uint64) answer {
					for _, ev := range d.Events {
						if ev.Data.Revision == 7 {
							return answer{err: refusal}
						}
					}
					return answer{}
				}
				e, _ := start(t, w.newLife(nil), func(c *Config) {
					c.Pace, c.Burst, c.Retry = NewPace(1, true), 25, []time.Duration{time.Minute, time.Hour}
				})
				pass(12 * time.Hour)
				if s := e.Stats(); s.Delivered != 19 || s.Dead != 1 || w.outcome(7) != Dead {
					t.Errorf("%d delivered, %d dead; 7 is %s", s.Delivered, s.Dead, w.outcome(7))
				}
			})
		})
	}
}

func TestSharedPaceIsOneForAll(t *testing.T) {
	within(t, func(t *testing.T, one *world) {
		other := newWorld()
		pace := NewPace(1, true)
		for i := range 10 {
			one.publish(fmt.Sprint(i), "")
			other.publish(fmt.Sprint(i), "")
		}
		share := func(c *Config) { c.Pace = pace }
		start(t, one.newLife(nil), share)
		start(t, other.newLife(nil), share)
		pass(40 * time.Second)
		var at []time.Time
		for _, a := range append(one.attempts(), other.attempts()...) {
			at = append(at, a.at)
		}
		slices.SortFunc(at, time.Time.Compare)
		if len(at) != 20 {
			t.Errorf("%d attempts, want 20", len(at))
		}
		for i := 1; i < len(at); i++ {
			if at[i].Sub(at[i-1]) < time.Second {
				t.Errorf("attempts %s apart", at[i].Sub(at[i-1]))
			}
		}
	})
}

// The updates of one record are a burst as well.
func TestBurstOfOneRecordCollapses(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for range 500 {
			w.publish("1", "")
		}
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.Pace, c.Burst = NewPace(1, true), 25 })
		pass(time.Minute)
		if s := e.Stats(); s.Delivered != 500 {
			t.Errorf("%d of 500 told within a minute", s.Delivered)
		}
	})
}

// A delivery of several that is throttled stays together.
func TestThrottledBurstStaysTogether(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 26 {
			w.publish(fmt.Sprint(i), "")
		}
		w.reply = func(call int, d Delivery, _ uint64) answer {
			if call == 1 && len(d.Events) > 1 {
				return answer{err: fault.RetryAfter(time.Minute, status(429))}
			}
			return answer{}
		}
		start(t, w.newLife(nil), func(c *Config) { c.Pace, c.Burst = NewPace(1, true), 25 })
		pass(2 * time.Minute)
		if all, _ := w.deliveries(); len(all) != 2 {
			t.Errorf("delivered %v, want the first and the others together", all)
		}
	})
}

// Who rides together: what is due, and nothing that has to go by itself.
func TestCollapseTakesWhatMayRide(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		lanes [][]entry
		want  int
	}{
		"of one record":              {[][]entry{{{sequence: 1}, {sequence: 2}}}, 2},
		"one of them is not due yet": {[][]entry{{{sequence: 1}, {sequence: 2, past: &progress{next: now.Add(time.Hour)}}}}, 1},
		"one is to go alone":         {[][]entry{{{sequence: 1}, {sequence: 2, solo: true}}}, 1},
		"it is of another record":    {[][]entry{{{sequence: 1}}, {{sequence: 2, solo: true}}, {{sequence: 3}}}, 1},
		"it is the first":            {[][]entry{{{sequence: 1, solo: true}}, {{sequence: 2}}}, 1},
		"more than it takes":         {[][]entry{{{sequence: 1}, {sequence: 2}, {sequence: 3}}, {{sequence: 4}, {sequence: 5}}}, 4},
	} {
		s := newScheduler(NewEngine(Config{Burst: 4}), newMemory(), newHealth(now), nil)
		for i, l := range test.lanes {
			for _, e := range l {
				s.lanes.add(fmt.Sprint(i), e, now)
			}
		}
		if got := s.collapse(now).events(); got != test.want {
			t.Errorf("%s: %d ride together, want %d", name, got, test.want)
		}
	}
}

// A burst that is too large says nothing of the size of a digest.
func TestBurstTooLarge(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		pass(7 * time.Hour)
		for i := range 20 {
			w.publish(fmt.Sprint(i), "")
		}
		w.reply = func(_ int, d Delivery, _ uint64) answer {
			if d.Digest == nil && len(d.Events) > 1 {
				return answer{err: status(413)}
			}
			return answer{}
		}
		l := w.newLife(nil)
		e, _ := start(t, l, func(c *Config) {
			c.Calendar, c.Pace, c.Burst = calendar(t, "", "22:00-07:00"), NewPace(1, true), 25
		})
		pass(15*time.Hour + time.Minute)
		if s := e.Stats(); s.Delivered != 20 {
			t.Fatalf("%d of 20 delivered", s.Delivered)
		}
		for i := range 30 {
			l.feed(w.publish(fmt.Sprint(i), ""))
		}
		pass(10 * time.Hour)
		if all, _ := w.deliveries(); len(all[len(all)-1]) != 30 {
			t.Errorf("the last delivery is of %d events, want a digest of 30", len(all[len(all)-1]))
		}
	})
}
