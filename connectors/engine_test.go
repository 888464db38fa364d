package connectors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// start runs an engine with l and returns it, and what ends it.
func start(t *testing.T, l *life, change func(*Config)) (*Engine, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cfg := l.config()
	if change != nil {
		change(&cfg)
	}
	e := NewEngine(cfg)
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		for _, broken := range l.broken {
			t.Error(broken)
		}
	}
	t.Cleanup(stop)
	return e, stop
}

// within runs f in virtual time, with a fresh world.
func within(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld()) })
}

// pass lets virtual time pass, and everything come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) attempts() []ask {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]ask(nil), w.asked...)
}

// outcomes are the ledger's, by sequence, of originals.
func (w *world) outcome(sequence uint64) Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.settled[ident{sequence: sequence}]
}

func (w *world) ledger(sequence, replay uint64) []Note {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.notesOf(ident{sequence, replay})
}

func TestAttemptsFollowTheSchedule(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		began := time.Now()
		w.publish("1", "")
		w.publish("1", "")
		w.reply = func(_ int, _ Delivery, sequence uint64) answer {
			if sequence == 1 {
				return answer{err: status(500), after: time.Second}
			}
			return answer{}
		}
		retry := []time.Duration{5 * time.Second, 5 * time.Minute, 2 * time.Hour}
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.Retry = retry })
		pass(5 * time.Hour)

		notes, asked := w.ledger(1, 0), w.attempts()
		if len(asked) != 5 || len(notes) != 5 {
			t.Fatalf("%d attempts, %d notes, want 4 of event 1 and 1 of event 2, 4 failed and 1 dead", len(asked), len(notes))
		}
		if !asked[0].at.Equal(began) {
			t.Errorf("first attempt after %s, want at once", asked[0].at.Sub(began))
		}
		for i, wait := range retry {
			gap := asked[i+1].at.Sub(asked[i].at.Add(time.Second))
			if gap < wait || gap > wait+wait/10 {
				t.Errorf("attempt %d came %s after the one before, want %s and up to a tenth more", i+2, gap, wait)
			}
			if !notes[i].Next.Equal(asked[i+1].at) {
				t.Errorf("attempt %d at %s, noted as %s", i+2, asked[i+1].at, notes[i].Next)
			}
			if notes[i].DurationMS != 1000 || notes[i].Attempt != i+1 || notes[i].Status != 500 {
				t.Errorf("note %d = %+v", i, notes[i])
			}
		}
		letter := w.graves[notes[0].EventID+"0"]
		if len(letter.Attempts) != 4 || letter.Reason != "schedule exhausted: status 500 Internal Server Error" ||
			letter.Connector != "hook" || letter.Sequence != 1 || !bytes.Equal(letter.Event, w.stream[0].Body) {
			t.Errorf("dead letter = %+v", letter)
		}
		if asked[4].sequence != 2 || asked[4].at.Before(asked[3].at.Add(time.Second)) {
			t.Errorf("event 2 was sent at %s, want after event 1 died", asked[4].at)
		}
		s := e.Stats()
		if s.Dead != 1 || s.Delivered != 1 || s.Failed != 4 || s.Failures != 0 || s.Waiting != 0 || s.InFlight != 0 {
			t.Errorf("Stats = %+v", s)
		}
	})
}

func TestRetryAfterOutlivesTheProcess(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		w.reply = func(call int, _ Delivery, sequence uint64) answer {
			if call == 1 && sequence == 1 {
				return answer{err: fault.RetryAfter(2*time.Minute, status(503))}
			}
			return answer{}
		}
		began := time.Now()
		patient := func(c *Config) { c.Retry = []time.Duration{20 * time.Second} }
		_, stop := start(t, w.newLife(nil), patient)
		pass(10 * time.Second)
		stop()
		w.publish("2", "")
		e, _ := start(t, w.newLife(nil), patient)
		pass(time.Second)
		if got := e.Stats().PausedUntil.Sub(began); got != 2*time.Minute {
			t.Errorf("paused for %s after the restart, want two minutes from the answer", got)
		}
		pass(time.Hour)
		all := w.attempts()
		if len(all) != 3 || all[1].at.Sub(began) < 2*time.Minute {
			t.Errorf("attempts %v, want the second after two minutes, and three", all)
		}
	})
}

// Connectors that write to the same place are asked together to be silent.
func TestRetryAfterHoldsForThePlace(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		pace, other := NewPace(1, true), newWorld()
		w.publish("1", "")
		w.reply = func(call int, _ Delivery, _ uint64) answer {
			if call == 1 {
				return answer{err: fault.RetryAfter(time.Minute, status(429))}
			}
			return answer{}
		}
		began := time.Now()
		start(t, w.newLife(nil), func(c *Config) { c.Pace = pace })
		pass(10 * time.Second)
		other.publish("1", "")
		start(t, other.newLife(nil), func(c *Config) { c.Pace = pace })
		pass(time.Hour)
		if all := other.attempts(); len(all) != 1 || all[0].at.Sub(began) < time.Minute {
			t.Errorf("the other's attempts %v, want one, after the minute", all)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for name, test := range map[string]struct {
		err         error
		again       time.Duration // until the second attempt at the failed event
		other       time.Duration // until another record's first, published after 10 s
		attempt     int           // the number of the second attempt
		jitterAbove time.Duration
	}{
		"503 pauses the connector":            {fault.RetryAfter(2*time.Minute, status(503)), 2 * time.Minute, 2 * time.Minute, 2, 0},
		"429 pauses, and spends no attempt":   {fault.RetryAfter(2*time.Minute, status(429)), 2 * time.Minute, 2 * time.Minute, 1, 0},
		"so does any other answer":            {fault.RetryAfter(2*time.Minute, status(500)), 2 * time.Minute, 2 * time.Minute, 2, 0},
		"without an answer it is the record":  {fault.RetryAfter(2*time.Minute, errors.New("451")), 2 * time.Minute, 10 * time.Second, 2, 0},
		"a shorter one than the schedule":     {fault.RetryAfter(time.Second, status(503)), 20 * time.Second, 10 * time.Second, 2, 2 * time.Second},
		"a day is the most":                   {fault.RetryAfter(240*time.Hour, status(503)), 24 * time.Hour, 24 * time.Hour, 2, 0},
		"429 without it follows the schedule": {status(429), 20 * time.Second, 10 * time.Second, 1, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T, w *world) {
				w.publish("1", "")
				w.reply = func(call int, _ Delivery, sequence uint64) answer {
					if sequence == 1 && call == 1 {
						return answer{err: test.err}
					}
					return answer{}
				}
				began := time.Now()
				l := w.newLife(nil)
				start(t, l, func(c *Config) { c.Retry = []time.Duration{20 * time.Second} })
				pass(10 * time.Second)
				l.feed(w.publish("2", ""))
				pass(25 * time.Hour)
				if n := len(w.attempts()); n != 3 {
					t.Errorf("%d attempts, want 3", n)
				}
				for _, a := range w.attempts()[1:] {
					want, slack := test.other, time.Duration(0)
					if a.sequence == 1 {
						want, slack = test.again, test.jitterAbove
						if a.attempt != test.attempt {
							t.Errorf("the second attempt is numbered %d, want %d", a.attempt, test.attempt)
						}
					}
					if got := a.at.Sub(began); got < want || got > want+slack {
						t.Errorf("event %d was sent after %s, want %s", a.sequence, got, want)
					}
				}
			})
		})
	}
}

func TestThrottlingEndsAfterSevenDays(t *testing.T) {
	for name, err := range map[string]error{
		"with Retry-After":    fault.RetryAfter(time.Hour, status(http.StatusTooManyRequests)),
		"without Retry-After": status(http.StatusTooManyRequests),
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T, w *world) {
				w.publish("1", "")
				began := time.Now()
				w.reply = func(int, Delivery, uint64) answer { return answer{err: err} }
				start(t, w.newLife(nil), func(c *Config) { c.Retry = []time.Duration{time.Minute, 3 * time.Hour} })
				pass(8 * 24 * time.Hour)
				asked := w.attempts()
				last := asked[len(asked)-1].at.Sub(began)
				if w.outcome(1) != Dead || last > 7*24*time.Hour || last < 6*24*time.Hour {
					t.Errorf("outcome %q, last attempt after %s; want dead, and nearly seven days", w.outcome(1), last)
				}
				letter := w.graves[w.notes[0].EventID+"0"]
				if !strings.HasPrefix(letter.Reason, "throttled for seven days: ") || len(letter.Attempts) > 100 || len(letter.Attempts) < 50 {
					t.Errorf("dead letter with %d attempts, reason %q", len(letter.Attempts), letter.Reason)
				}
			})
		})
	}
}

func TestConcurrencyIsBoundedAndUsed(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 40 {
			w.publish(fmt.Sprint(i), "")
		}
		w.reply = func(int, Delivery, uint64) answer { return answer{after: time.Second} }
		began := time.Now()
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.Concurrency = 4 })
		pass(9500 * time.Millisecond)
		if s := e.Stats(); s.InFlight != 4 || s.Delivered != 36 {
			t.Errorf("Stats = %+v, want 4 in flight and 36 delivered", s)
		}
		pass(time.Minute)
		if w.peak != 4 {
			t.Errorf("%d attempts at a time, want 4", w.peak)
		}
		if last := w.attempts()[39].at.Sub(began); last != 9*time.Second {
			t.Errorf("the last of 40 attempts, 4 at a time, began after %s, want 9s", last)
		}
	})
}

func TestOneRecordDoesNotHoldUpOthers(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 200 {
			w.publish([]string{"stubborn", "fine"}[i%2], "")
		}
		w.reply = func(_ int, d Delivery, _ uint64) answer {
			if d.Events[0].Data.ID == "stubborn" {
				return answer{after: time.Hour}
			}
			return answer{}
		}
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.Retry = []time.Duration{time.Hour}; c.Concurrency = 2 })
		pass(time.Second)
		if s := e.Stats(); s.Delivered != 100 || s.Waiting != 99 || s.InFlight != 1 {
			t.Errorf("Stats = %+v, want 100 delivered, 1 in flight and 99 behind it", s)
		}
		pass(time.Minute)
		if s := e.Stats(); s.Failed != 1 || !strings.Contains(s.LastError, "deadline exceeded") || s.Waiting != 100 {
			t.Errorf("Stats = %+v, want a time-out after 30 s", s)
		}
	})
}

func TestRateKeepsItsDistance(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 20 {
			w.publish(fmt.Sprint(i), "")
		}
		w.reply = func(call int, _ Delivery, sequence uint64) answer {
			if sequence == 5 && call == 1 {
				return answer{err: fault.RetryAfter(time.Minute, status(429))}
			}
			return answer{after: 700 * time.Millisecond}
		}
		start(t, w.newLife(nil), func(c *Config) { c.Rate, c.Retry = 3, []time.Duration{time.Millisecond} })
		pass(2 * time.Minute)
		asked := w.attempts()
		if len(asked) != 21 {
			t.Fatalf("%d attempts, want 21", len(asked))
		}
		for i, a := range asked[1:] {
			gap := a.at.Sub(asked[i].at)
			want := time.Second / 3
			if i == 4 {
				want = time.Minute
			}
			if gap < want-2 || gap > want+time.Microsecond {
				t.Errorf("attempt %d came %s after the one before, want %s", i+2, gap, want)
			}
		}
	})
}

func TestRestartResumesWhereTheLedgerSays(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		w.publish("2", "")
		w.reply = func(_ int, _ Delivery, sequence uint64) answer {
			if sequence == 1 {
				return answer{err: status(500)}
			}
			return answer{}
		}
		retry := func(c *Config) { c.Retry = []time.Duration{time.Minute, time.Hour} }
		_, stop := start(t, w.newLife(nil), retry)
		pass(10 * time.Second)
		stop()
		w.acks = nil // all of them lost
		e, _ := start(t, w.newLife(nil), retry)
		pass(3 * time.Hour)
		asked := w.attempts()
		if len(asked) != 4 {
			t.Fatalf("%d attempts, want 3 of event 1 and 1 of event 2", len(asked))
		}
		if notes := w.ledger(1, 0); !asked[2].at.Equal(notes[0].Next) || asked[2].attempt != 2 || w.outcome(1) != Dead {
			t.Errorf("the second attempt is %+v, want at %s", asked[2], notes[0].Next)
		}
		if s := e.Stats(); s.Skipped != 1 || s.Delivered != 0 {
			t.Errorf("Stats = %+v, want event 2 skipped", s)
		}
	})
}

func TestReplayBeginsAnew(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		w.publish("2", "")
		fail := true
		w.reply = func(_ int, _ Delivery, sequence uint64) answer {
			if fail && sequence == 1 {
				return answer{err: fault.Permanent(errors.New("cannot be rendered"))}
			}
			return answer{}
		}
		l := w.newLife(nil)
		_, stop := start(t, l, nil)
		pass(time.Minute)
		w.mu.Lock()
		fail = false
		w.mu.Unlock()
		l.replay(1, 7)
		l.replay(2, 8)
		pass(time.Minute)
		if asked := w.attempts(); len(asked) != 4 || asked[2].attempt != 1 || asked[2].replay == 0 || asked[3].replay == 0 {
			t.Errorf("attempts = %+v, want each again as a first attempt", asked)
		}
		if notes := w.ledger(1, 7); len(notes) != 1 || notes[0].Outcome != Delivered || notes[0].Replay != 7 || notes[0].EventID != w.ledger(1, 0)[0].EventID {
			t.Errorf("the replay's notes = %+v", notes)
		}
		stop()
		w.acks = nil
		start(t, w.newLife(nil), nil)
		pass(time.Minute)
		if n := len(w.attempts()); n != 4 {
			t.Errorf("%d attempts after a restart, want no more than the 4 before", n)
		}
	})
}

func TestReplayOutlivesTheEventInTheStream(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		w.reply = func(call int, _ Delivery, _ uint64) answer {
			if call == 1 {
				return answer{err: status(500)}
			}
			return answer{}
		}
		w.settled[ident{sequence: 1}] = Dead
		w.aged[1] = true
		l := w.newLife(nil)
		patient := func(c *Config) { c.Feed, c.Retry = &replayKeeper{l}, []time.Duration{time.Hour} }
		_, stop := start(t, l, patient)
		l.replay(1, 7)
		pass(10 * time.Minute)
		stop()
		l = w.newLife(nil)
		start(t, l, patient)
		pass(2 * time.Hour)
		if w.settled[ident{1, 7}] != Delivered {
			t.Errorf("outcomes = %v, want the replay delivered", w.settled)
		}
	})
}

// A replayKeeper keeps the bodies of replays.
type replayKeeper struct{ *life }

func (k *replayKeeper) ReadReplay(_ context.Context, replay uint64) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, ev := range k.replays {
		if ev.Replay == replay {
			return ev.Body, nil
		}
	}
	return nil, fs.ErrNotExist
}

func TestReplayGoesInFrontOfWhatWaits(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		w.publish("1", "")
		w.publish("1", "")
		w.reply = func(call int, _ Delivery, sequence uint64) answer {
			if sequence == 2 && call == 1 {
				return answer{err: status(500)}
			}
			return answer{}
		}
		l := w.newLife(nil)
		start(t, l, func(c *Config) { c.Retry = []time.Duration{time.Hour} })
		pass(time.Minute)
		l.replay(1, 7)
		pass(2 * time.Hour)
		var order []uint64
		for _, a := range w.attempts() {
			order = append(order, a.sequence)
		}
		if fmt.Sprint(order) != "[1 2 1 2 3]" {
			t.Errorf("sent in the order %v, want the replay of 1 while 2 waits", order)
		}
		if asked := w.attempts(); asked[2].at.Sub(asked[1].at) > time.Minute {
			t.Errorf("the replay was sent after %s, want at once", asked[2].at.Sub(asked[1].at))
		}
	})
}

func TestWhatLeftTheStreamIsExpired(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for range 4 {
			w.publish("1", "")
		}
		w.reply = func(call int, _ Delivery, sequence uint64) answer {
			if call == 1 && sequence == 1 {
				return answer{err: status(500)}
			}
			return answer{}
		}
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.Retry = []time.Duration{time.Hour} })
		pass(time.Minute)
		w.mu.Lock()
		w.aged[1], w.aged[3] = true, true
		w.mu.Unlock()
		pass(2 * time.Hour)
		if w.outcome(1) != Expired || w.outcome(2) != Delivered || w.outcome(3) != Expired || w.outcome(4) != Delivered {
			t.Errorf("outcomes = %v", w.settled)
		}
		if notes := w.ledger(1, 0); notes[1].EventID != notes[0].EventID || len(w.acks) != 4 {
			t.Errorf("expired as %q, attempted as %q; %d acknowledged", notes[1].EventID, notes[0].EventID, len(w.acks))
		}
		if s := e.Stats(); s.Expired != 2 || s.Delivered != 2 || s.Waiting != 0 {
			t.Errorf("Stats = %+v", s)
		}
	})
}

func TestAnotherEventUnderTheNumberIsNotSentInItsPlace(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		w.reply = func(call int, _ Delivery, _ uint64) answer { return answer{err: status(500)} }
		w.strict = false // to the receiver they are one
		l := w.newLife(nil)
		start(t, l, func(c *Config) { c.Retry = []time.Duration{time.Hour} })
		pass(time.Minute)
		w.mu.Lock()
		other := strings.ReplaceAll(string(w.stream[0].Body), `"id":"1"`, `"id":"2"`)
		w.stream[0].Body = []byte(other)
		w.mu.Unlock()
		pass(2 * time.Hour)
		if n := len(w.attempts()); n != 1 || w.outcome(1) != Expired || len(w.acks) != 0 {
			t.Errorf("%d attempts, outcome %q, %d acknowledged; want the first, expired, none", n, w.outcome(1), len(w.acks))
		}
		w.mu.Lock()
		delete(w.settled, ident{sequence: 1})
		w.mu.Unlock()
		l.feed(1)
		pass(time.Minute)
		if n := len(w.attempts()); n != 2 {
			t.Errorf("%d attempts when the other one has come, want 2", n)
		}
	})
}

func TestUndecodableEventsDoNotBlock(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publishRaw("{\"id\": \xff not json")
		w.publishRaw(`{"valid":"but not ours"}`)
		w.publish("1", "")
		e, _ := start(t, w.newLife(nil), nil)
		pass(time.Second)
		if w.outcome(1) != Dead || w.outcome(2) != Dead || w.outcome(3) != Delivered {
			t.Fatalf("outcomes = %v", w.settled)
		}
		first, second := w.graves["undecodable-10"], w.graves["undecodable-20"]
		if !strings.HasPrefix(first.Reason, "undecodable: decode event") || string(first.Event) != `"{\"id\": \ufffd not json"` {
			t.Errorf("first letter = %+v, event %s", first, first.Event)
		}
		if string(second.Event) != `{"valid":"but not ours"}` || second.Attempts == nil || len(second.Attempts) != 0 {
			t.Errorf("second letter = %+v", second)
		}
		if s := e.Stats(); s.Dead != 2 || s.Failed != 0 {
			t.Errorf("Stats = %+v", s)
		}
	})
}

func TestFilteredEventsAreSettledUnsent(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		filter, err := CompileFilter("data.record.amount > 10")
		if err != nil {
			t.Fatal(err)
		}
		w.publish("1", `"amount":5`)
		w.publish("1", `"amount":50`)
		w.publish("1", ``)
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.Filter = filter })
		pass(time.Second)
		if w.outcome(1) != Filtered || w.outcome(2) != Delivered || w.outcome(3) != Filtered {
			t.Errorf("outcomes = %v", w.settled)
		}
		if s := e.Stats(); s.Filtered != 2 || s.Delivered != 1 || len(w.acks) != 3 {
			t.Errorf("Stats = %+v, %d acknowledged", s, len(w.acks))
		}
	})
}

func TestStopWaitsForWhatIsInFlight(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("quick", "")
		w.publish("slow", "")
		w.publish("fails", "")
		w.publish("quick", "")
		w.reply = func(_ int, d Delivery, _ uint64) answer {
			switch d.Events[0].Data.ID {
			case "slow":
				return answer{after: 20 * time.Second}
			case "fails":
				return answer{after: 6 * time.Second, err: status(500)}
			}
			return answer{after: 5 * time.Second}
		}
		_, stop := start(t, w.newLife(nil), func(c *Config) { c.Retry = []time.Duration{time.Hour} })
		pass(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("stopped after %s, want the 10 s of grace", took)
		}
		if w.outcome(1) != Delivered || w.outcome(4) != "" || len(w.attempts()) != 3 {
			t.Errorf("outcomes = %v; want the first delivered, the last not begun", w.settled)
		}
		if n := w.ledger(3, 0); len(n) != 1 || n[0].Outcome != Failed {
			t.Errorf("notes of the one that failed meanwhile = %+v, want its failure", n)
		}
		if n := w.ledger(2, 0); len(n) != 0 {
			t.Errorf("notes of the one that was cut off = %+v, want none: nobody knows its outcome", n)
		}
		start(t, w.newLife(nil), nil)
		pass(2 * time.Hour)
		if w.outcome(2) != Delivered || w.attempts()[3].attempt != 1 {
			t.Errorf("after the restart the one that was cut off is %q", w.outcome(2))
		}
	})
}

func TestConnectorThatIgnoresItsContextDoesNotHoldUpTheEnd(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		l := w.newLife(nil)
		released := make(chan struct{})
		_, stop := start(t, l, func(c *Config) {
			c.Connector = Func(func(context.Context, Delivery) error { <-released; return nil })
		})
		pass(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took != 14*time.Second {
			t.Errorf("stopped after %s, want 14s", took)
		}
		close(released)
	})
}

func TestLedgerAwayForAWhile(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		w.publish("1", "")
		l := w.newLife(nil)
		away := true
		l.refuse = func(what string) error {
			if away && what != "attempt" && what != "accept" {
				return errors.New("no responders")
			}
			return nil
		}
		e, _ := start(t, l, nil)
		pass(10 * time.Minute)
		if n := len(w.attempts()); n != 1 || len(w.notes) != 0 || len(w.acks) != 0 {
			t.Errorf("%d attempts, %d notes, %d acknowledged; want 1, 0, 0", n, len(w.notes), len(w.acks))
		}
		if s := e.Stats(); s.StoreError != "note an outcome: no responders" || s.InFlight != 1 {
			t.Errorf("Stats = %+v", s)
		}
		l.mu.Lock()
		away = false
		l.mu.Unlock()
		pass(time.Minute)
		if n := len(w.attempts()); n != 2 || w.outcome(1) != Delivered || w.outcome(2) != Delivered || len(w.acks) != 2 {
			t.Errorf("%d attempts, outcomes %v, %d acknowledged; want each once", n, w.settled, len(w.acks))
		}
		if s := e.Stats(); s.StoreError != "" {
			t.Errorf("StoreError = %q after it came back", s.StoreError)
		}
	})
}

func TestPanicIsAFailedAttemptWithoutItsValue(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		w.reply = func(call int, _ Delivery, _ uint64) answer {
			if call == 1 {
				return answer{panic: "token s3cret"}
			}
			return answer{}
		}
		start(t, w.newLife(nil), func(c *Config) { c.Retry = []time.Duration{time.Second} })
		pass(time.Minute)
		notes := w.ledger(1, 0)
		if len(notes) != 2 || notes[0].Error != "the connector panicked with a string" || notes[1].Outcome != Delivered {
			t.Errorf("notes = %+v", notes)
		}
	})
}

func TestIntakePausesWhenEnoughIsHeld(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for range 100 {
			w.publish("1", "")
		}
		w.publish("2", "")
		fail := true
		w.reply = func(_ int, d Delivery, _ uint64) answer {
			if fail && d.Events[0].Data.ID == "1" {
				return answer{err: status(500)}
			}
			return answer{}
		}
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.MaxWaiting = 30; c.Retry = []time.Duration{time.Hour} })
		pass(time.Minute)
		if s := e.Stats(); s.Waiting != 30 || w.outcome(101) != "" {
			t.Errorf("%d events held, event 101 %q; want 30, and 101 not taken yet", s.Waiting, w.outcome(101))
		}
		w.mu.Lock()
		fail = false
		w.mu.Unlock()
		pass(2 * time.Hour)
		if s := e.Stats(); s.Delivered != 101 {
			t.Errorf("%d delivered after the receiver recovered, want 101", s.Delivered)
		}
	})
}

func TestLetterTooLargeIsBuriedWithoutTheEvent(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", `"long":"`+strings.Repeat("x", 5000)+`"`)
		w.reply = func(int, Delivery, uint64) answer { return answer{err: status(400)} }
		l := w.newLife(nil)
		yard := &smallYard{Graveyard: l}
		start(t, l, func(c *Config) { c.Graveyard = yard })
		pass(time.Minute)
		letter := w.graves[w.notes[0].EventID+"0"]
		if w.outcome(1) != Dead || letter.Event != nil || letter.Sequence != 1 || len(letter.Attempts) != 1 {
			t.Errorf("outcome %q, letter %+v", w.outcome(1), letter)
		}
	})
}

func TestEachAttemptIsOneLine(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		w.reply = func(call int, _ Delivery, _ uint64) answer {
			if call == 1 {
				return answer{err: errors.New("connection\nrefused"), after: time.Second}
			}
			return answer{}
		}
		var log bytes.Buffer
		var heard []string
		_, stop := start(t, w.newLife(nil), func(c *Config) {
			c.Retry = []time.Duration{time.Hour}
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			c.Observer = Observer{
				Attempt: func(n Note, took time.Duration) { heard = append(heard, fmt.Sprint("attempt ", n.Outcome, " ", took)) },
				Settled: func(n Note) { heard = append(heard, fmt.Sprint("settled ", n.Outcome)) },
			}
		})
		pass(2 * time.Hour)
		stop()
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 {
			t.Fatalf("log:\n%s\nwant two lines", log.String())
		}
		for _, want := range []string{"level=WARN", "connector=hook", "event_id=acme_clients_1_1_k7q2", "collection=clients", "action=updated",
			"attempt=1", "outcome=failed", "duration_ms=1000", `error="connection refused"`, "next_at="} {
			if !strings.Contains(lines[0], want) {
				t.Errorf("line 1 = %s, want %s in it", lines[0], want)
			}
		}
		if !strings.Contains(lines[1], "level=INFO") || !strings.Contains(lines[1], "outcome=delivered") || strings.Contains(lines[1], "error") {
			t.Errorf("line 2 = %s", lines[1])
		}
		if got := fmt.Sprint(heard); got != "[attempt failed 1s attempt delivered 0s settled delivered]" {
			t.Errorf("heard %s", got)
		}
	})
}

// A smallYard takes no large letters.
type smallYard struct{ Graveyard }

func (y *smallYard) Bury(ctx context.Context, ev events.Stored, id string, headers map[string]string, letter []byte) error {
	if len(letter) > 4000 {
		return fault.Permanent(errors.New("maximum payload exceeded"))
	}
	return y.Graveyard.Bury(ctx, ev, id, headers, letter)
}

// A stream that lost its end goes on with numbers that it had given before. What
// has them now is sent.
func TestStreamThatLostItsEnd(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 130 {
			w.publish(fmt.Sprint(i), "")
		}
		l := w.newLife(nil)
		e, _ := start(t, l, nil)
		pass(time.Minute)
		w.mu.Lock()
		w.stream = w.stream[:60]
		for id := range w.settled {
			if id.sequence > 60 {
				delete(w.settled, id)
			}
		}
		w.acks = slices.DeleteFunc(w.acks, func(id ident) bool { return id.sequence > 60 })
		w.asked = slices.DeleteFunc(w.asked, func(a ask) bool { return a.sequence > 60 })
		w.mu.Unlock()
		pass(time.Second)
		for i := range 10 {
			l.feed(w.publish(fmt.Sprint("other", i), ""))
		}
		l.mu.Lock()
		l.refeed()
		l.mu.Unlock()
		pass(time.Minute)
		if s := e.Stats(); s.Delivered != 140 || len(w.attempts()) != 70 {
			t.Errorf("%d delivered, want 130 and 10 more, these in %d attempts", s.Delivered, len(w.attempts())-60)
		}
	})
}
