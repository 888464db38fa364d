package connectors

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// One event that spoils a digest costs the others nothing but their being together.
func TestSpoiledDigestIsSentOneByOne(t *testing.T) {
	for n, attempts := range map[int]int{1: 1, 20: 20 + 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			within(t, func(t *testing.T, w *world) {
				for i := range n {
					w.publish(fmt.Sprint(i), "")
				}
				w.reply = func(_ int, d Delivery, _ uint64) answer {
					for _, ev := range d.Events {
						if ev.Data.Revision == 1 {
							return answer{err: fault.Permanent(errors.New("no text"))}
						}
					}
					return answer{}
				}
				e, _ := start(t, w.newLife(nil), func(c *Config) { c.Calendar, c.Retry = calendar(t, "15m", ""), outage() })
				pass(time.Hour)
				if s := e.Stats(); int(s.Delivered) != n-1 || s.Dead != 1 || len(w.attempts()) != attempts || w.told() != "" {
					t.Errorf("%d delivered, %d dead after %d attempts, told %q", s.Delivered, s.Dead, len(w.attempts()), w.told())
				}
			})
		})
	}
}

// What has another event under its number is expired, in a digest too, is not
// acknowledged, and costs the others nothing.
func TestReplacedInADigest(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint("fails ", fails), func(t *testing.T) {
			within(t, func(t *testing.T, w *world) {
				for i := range 3 {
					w.publish(fmt.Sprint(i), "")
				}
				attempts := 0
				w.reply = func(int, Delivery, uint64) answer {
					if attempts++; attempts == 1 || fails && attempts == 2 {
						return answer{err: status(500)}
					}
					return answer{}
				}
				w.strict = false // to the receiver they are one
				l := w.newLife(nil)
				e, _ := start(t, l, func(c *Config) {
					c.Calendar, c.Retry = calendar(t, "15m", ""), []time.Duration{time.Hour, time.Hour}
				})
				pass(30 * time.Minute)
				w.mu.Lock()
				w.stream[1].Body = []byte(strings.ReplaceAll(string(w.stream[1].Body), `"id":"1"`, `"id":"7"`))
				w.mu.Unlock()
				pass(5 * time.Hour)
				if s := e.Stats(); s.Digested != 2 || s.Expired != 1 || w.outcome(2) != Expired || s.Pending != 0 {
					t.Errorf("%+v", s)
				}
				for _, id := range w.acks {
					if id.sequence == 2 {
						t.Error("what has the number now is acknowledged")
					}
				}
				w.mu.Lock()
				delete(w.settled, ident{sequence: 2})
				w.mu.Unlock()
				l.feed(2)
				pass(time.Hour)
				if w.outcome(2) != Digested {
					t.Errorf("what has the number now is %q", w.outcome(2))
				}
			})
		})
	}
}

// A delivery of several that is cut off at the end is not noted, and made again.
func TestCutOffDigestIsNotNoted(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 3 {
			w.publish(fmt.Sprint(i), "")
		}
		w.reply = func(int, Delivery, uint64) answer { return answer{after: 25 * time.Second} }
		_, stop := start(t, w.newLife(nil), func(c *Config) { c.Calendar = calendar(t, "15m", "") })
		pass(15*time.Minute + 5*time.Second)
		stop()
		if len(w.notes) != 0 || len(w.attempts()) != 3 {
			t.Errorf("notes %+v of %d attempts", w.notes, len(w.attempts()))
		}
	})
}

// Of a delivery of several each event has its own count of attempts.
func TestAttemptsAreEachEventsOwn(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("old", "")
		w.down(status(500), time.Now().Add(time.Hour))
		l := w.newLife(nil)
		var settled []Note
		start(t, l, func(c *Config) {
			c.Pace, c.Burst, c.Retry = NewPace(1.0/60, true), 25, []time.Duration{5 * time.Minute, 10 * time.Minute, 2 * time.Hour}
			c.Observer.Settled = func(n Note) { settled = append(settled, n) }
		})
		pass(5*time.Minute + 55*time.Second)
		for i := range 9 {
			l.feed(w.publish(fmt.Sprint(i), ""))
		}
		pass(24 * time.Hour)
		together := false
		for sequence := uint64(1); sequence <= 10; sequence++ {
			for i, n := range w.ledger(sequence, 0) {
				if n.Attempt != i+1 {
					t.Errorf("attempt %d of %d is noted as %d", i+1, sequence, n.Attempt)
				}
			}
		}
		for _, a := range w.attempts() {
			together = together || a.sequence == 1 && a.several > 1
		}
		if !together || len(settled) != 10 {
			t.Errorf("the first was attempted with others: %v; heard of %d settled", together, len(settled))
		}
	})
}

// Attempts at a digest that fail together come back together, and a little later
// than the schedule says.
func TestDigestsHaveJitter(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 3 {
			w.publish(fmt.Sprint(i), "")
		}
		w.down(status(500), time.Now().Add(time.Hour))
		start(t, w.newLife(nil), func(c *Config) { c.Calendar, c.Retry = calendar(t, "15m", ""), []time.Duration{time.Hour} })
		pass(20 * time.Minute)
		first := w.ledger(1, 0)[0]
		if wait := first.Next.Sub(first.At); wait <= time.Hour || wait > 66*time.Minute {
			t.Errorf("the next attempt is after %s", wait)
		}
		if !w.ledger(3, 0)[0].Next.Equal(first.Next) {
			t.Error("they do not come back together")
		}
	})
}

// An operator's replay is told at once, whatever the calendar says.
func TestReplayDoesNotWaitForItsWindow(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		l := w.newLife(nil)
		start(t, l, func(c *Config) { c.Calendar = calendar(t, "1h", "") })
		pass(2 * time.Hour)
		l.replay(1, 7)
		pass(time.Minute)
		if n := len(w.attempts()); n != 2 {
			t.Errorf("%d attempts, want the digest and the replay", n)
		}
	})
}

// What is urgent takes along only what waits for a window, and nothing that is
// under way.
func TestUrgentBehindOthers(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		pass(21*time.Hour + 50*time.Minute)
		w.publish("1", "")
		ids := map[string]int{}
		w.reply = func(call int, d Delivery, sequence uint64) answer {
			ids[d.ID]++
			if call == 1 && sequence < 3 {
				return answer{err: status(500), after: 20 * time.Second}
			}
			return answer{}
		}
		l := w.newLife(nil)
		start(t, l, func(c *Config) {
			c.Calendar, c.Retry = calendar(t, "", "22:00-23:00"), []time.Duration{30 * time.Minute}
			c.Urgent = must(CompileFilter(`data.record.urgent == true`))
		})
		pass(20 * time.Minute)
		l.feed(w.publish("1", ""))
		l.feed(w.publish("1", `"urgent":true`))
		pass(30 * time.Minute)
		if all, _ := w.deliveries(); fmt.Sprint(all) != "[[1]]" {
			t.Errorf("delivered %v, want 1 by itself, and the digest to fail", all)
		}
		l.feed(w.publish("1", `"urgent":true`))
		pass(time.Hour)
		if all, _ := w.deliveries(); fmt.Sprint(all) != "[[1] [2 3] [4]]" {
			t.Errorf("delivered %v", all)
		}
		for id, n := range ids {
			if strings.HasPrefix(id, "several") && n != 2 {
				t.Errorf("the digest was sent %d times as %s", n, id)
			}
		}
	})
}

// A digest that is under way when something urgent comes is tried again as it was.
func TestUrgentDuringADigest(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		ids := map[string]bool{}
		w.reply = func(call int, d Delivery, sequence uint64) answer {
			if sequence == 1 {
				ids[d.ID] = true
			} else if d.Digest != nil {
				t.Error("what is urgent is told as a digest of its own")
			}
			if call == 1 && sequence == 1 {
				return answer{err: status(500), after: 20 * time.Second}
			}
			return answer{}
		}
		l := w.newLife(nil)
		start(t, l, func(c *Config) {
			c.Calendar, c.Retry = calendar(t, "15m", ""), []time.Duration{time.Minute}
			c.Urgent = must(CompileFilter(`data.record.urgent == true`))
		})
		pass(15*time.Minute + 10*time.Second)
		l.feed(w.publish("1", `"urgent":true`))
		pass(5 * time.Minute)
		if all, _ := w.deliveries(); fmt.Sprint(all) != "[[1] [2]]" || len(ids) != 1 {
			t.Errorf("delivered %v, the digest under %d ids", all, len(ids))
		}
	})
}

// A replay that comes while a digest of younger events is under way goes in front of
// them when it fails.
func TestReplayDuringADigest(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		l := w.newLife(nil)
		w.reply = func(call int, _ Delivery, sequence uint64) answer {
			if sequence == 2 && call == 1 {
				return answer{err: status(500), after: 20 * time.Second}
			}
			return answer{}
		}
		start(t, l, func(c *Config) { c.Calendar, c.Retry = calendar(t, "15m", ""), []time.Duration{time.Hour} })
		pass(20 * time.Minute)
		l.feed(w.publish("1", `"n":1`), w.publish("1", `"n":2`))
		pass(10*time.Minute + 10*time.Second)
		l.replay(1, 7)
		pass(5 * time.Minute)
		if all, _ := w.deliveries(); fmt.Sprint(all) != "[[1] [1]]" {
			t.Errorf("delivered %v, want the replay while the digest waits", all)
		}
		pass(2 * time.Hour)
		if all, _ := w.deliveries(); fmt.Sprint(all) != "[[1] [1] [2 3]]" {
			t.Errorf("delivered %v", all)
		}
	})
}
