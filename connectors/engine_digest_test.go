package connectors

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

func calendar(t *testing.T, digest, quiet string) *Calendar {
	t.Helper()
	c, err := NewCalendar(digest, quiet, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// deliveries are what the receiver accepted, each as its events' sequences.
func (w *world) deliveries() (all [][]uint64, at []time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := 0; i < len(w.asked); {
		var one []uint64
		a := w.asked[i]
		for range a.several {
			one = append(one, w.asked[i].sequence)
			i++
		}
		if a.accepted {
			all, at = append(all, one), append(at, a.at)
		}
	}
	return all, at
}

func TestDigestTellsAWindowAtItsEnd(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		l := w.newLife(nil)
		e, _ := start(t, l, func(c *Config) { c.Calendar = calendar(t, "15m", "") })
		for i := range 20 {
			pass(time.Minute)
			l.feed(w.publish(fmt.Sprint(i%3), fmt.Sprintf(`"n":%d`, i)))
		}
		pass(30 * time.Minute)
		all, at := w.deliveries()
		if len(all) != 2 || len(all[0]) != 14 || len(all[1]) != 6 {
			t.Fatalf("delivered %v, want two digests, of 14 and 6", all)
		}
		for i, end := range []int{15, 30} {
			if late := at[i].Sub(epoch.Add(time.Duration(end) * time.Minute)); late < 0 || late > 3*time.Second {
				t.Errorf("digest %d was sent %s after its window", i, late)
			}
		}
		if s := e.Stats(); s.Digested != 20 || s.Observed != 20 || s.Pending != 0 {
			t.Errorf("Stats = %+v", s)
		}
	})
}

// epoch is when virtual time begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// What cancels out is not told, and settled all the same.
func TestDigestLeavesOutWhatCancelsOut(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", `"n":1`)
		first, again := w.change("2", `"n":1`, `"n":2`), w.change("2", `"n":2`, `"n":1`)
		var told []events.Event
		w.reply = func(_ int, d Delivery, _ uint64) answer {
			told = d.Events
			return answer{}
		}
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.Calendar = calendar(t, "15m", "") })
		pass(time.Hour)
		if len(told) != 1 || told[0].Data.ID != "1" || w.outcome(first) != Muted || w.outcome(again) != Muted {
			t.Errorf("told %v; %d is %s, %d is %s", told, first, w.outcome(first), again, w.outcome(again))
		}
		if s := e.Stats(); s.Digested != 1 || s.Muted != 2 {
			t.Errorf("Stats = %+v", s)
		}
	})
}

// A digest that fails is tried again as it was, after a restart too: the same id,
// the next attempt.
func TestDigestSurvivesARestart(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 10 {
			w.publish(fmt.Sprint(i), "")
		}
		ids, attempts := map[string]bool{}, []int(nil)
		w.reply = func(_ int, d Delivery, _ uint64) answer {
			ids[d.ID] = true
			attempts = append(attempts, d.Attempt)
			return answer{err: status(500)}
		}
		change := func(c *Config) {
			c.Calendar, c.Retry = calendar(t, "15m", ""), []time.Duration{time.Minute, 10 * time.Minute, time.Hour}
		}
		_, stop := start(t, w.newLife(nil), change)
		pass(20 * time.Minute)
		stop()
		w.reply = func(_ int, d Delivery, _ uint64) answer {
			ids[d.ID] = true
			attempts = append(attempts, d.Attempt)
			return answer{}
		}
		e, _ := start(t, w.newLife(nil), change)
		pass(time.Hour)
		if len(ids) != 1 || !slices.Equal(attempts, []int{1, 2, 3}) {
			t.Errorf("ids %v, attempts %v, want one id and attempts 1 to 3", ids, attempts)
		}
		if s := e.Stats(); s.Digested != 10 {
			t.Errorf("Stats = %+v", s)
		}
	})
}

// A digest says its window in the times of its readers.
func TestDigestTellsItsWindowInItsZone(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		var window string
		w.reply = func(_ int, d Delivery, _ uint64) answer {
			window = d.Digest.From.Format("15:04 MST") + " to " + d.Digest.To.Format("15:04 MST")
			return answer{}
		}
		c, err := NewCalendar("1h", "", "Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		start(t, w.newLife(nil), func(cfg *Config) { cfg.Calendar = c })
		pass(2 * time.Hour)
		if window != "01:00 CET to 02:00 CET" {
			t.Errorf("window %s", window)
		}
	})
}

func TestQuietHoursDeferAndCatchUp(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		pass(21*time.Hour + 30*time.Minute)
		l := w.newLife(nil)
		var quiet []bool
		w.reply = func(_ int, d Delivery, _ uint64) answer {
			quiet = append(quiet, d.Digest != nil && d.Digest.Quiet)
			return answer{}
		}
		start(t, l, func(c *Config) { c.Calendar = calendar(t, "", "22:00-07:00") })
		for i := range 14 {
			l.feed(w.publish(fmt.Sprint(i), ""))
			pass(time.Hour)
		}
		all, at := w.deliveries()
		if len(all) != 6 || len(all[1]) != 9 || !slices.Equal(quiet, []bool{false, true, false, false, false, false}) {
			t.Fatalf("delivered %v, quiet %v, want what came in nine quiet hours at once", all, quiet)
		}
		if h := at[1].Hour(); h != 7 {
			t.Errorf("caught up at %s, want 7 o'clock", at[1])
		}
	})
}

// What is urgent is told at once, and takes along what waits of its record.
func TestUrgentBreaksThrough(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		urgent, err := CompileFilter(`data.record.urgent == true`)
		if err != nil {
			t.Fatal(err)
		}
		l := w.newLife(nil)
		start(t, l, func(c *Config) { c.Calendar, c.Urgent = calendar(t, "1h", ""), urgent })
		l.feed(w.publish("1", ""), w.publish("2", ""), w.publish("1", ""))
		pass(time.Minute)
		l.feed(w.publish("3", `"urgent":true`))
		pass(time.Minute)
		l.feed(w.publish("1", `"urgent":true`))
		pass(time.Minute)
		all, _ := w.deliveries()
		if fmt.Sprint(all) != "[[4] [1 3 5]]" {
			t.Errorf("delivered %v at once, want 4, then 5 with what came before it in its record", all)
		}
		pass(2 * time.Hour)
		if all, _ = w.deliveries(); fmt.Sprint(all) != "[[4] [1 3 5] [2]]" {
			t.Errorf("delivered %v in all", all)
		}
	})
}

// An omitted value goes nowhere: not to the receiver, not into a dead letter.
func TestMaskedEvents(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		mask, err := CompileMask(nil, []string{"/secret"})
		if err != nil {
			t.Fatal(err)
		}
		w.publish("1", `"secret":"s3cret","n":1`)
		void := w.change("2", `"secret":"s3cret"`, `"secret":"s3cret2"`)
		broken := w.publishRaw(`{"s3cret"`)
		w.reply = func(_ int, d Delivery, _ uint64) answer {
			if text := string(d.Events[0].Data.Record); text != `{"n":1}` {
				t.Errorf("the connector was given %s", text)
			}
			return answer{err: status(500)}
		}
		start(t, w.newLife(nil), func(c *Config) { c.Mask, c.Retry = mask, nil })
		pass(time.Hour)
		for id, letter := range w.graves {
			raw, err := encodeJSON(letter)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(raw), "s3cret") {
				t.Errorf("letter of %s: %s", id, raw)
			}
		}
		if w.outcome(1) != Dead || w.outcome(void) != Filtered || w.outcome(broken) != Dead {
			t.Errorf("outcomes %v", w.settled)
		}
	})
}

// One message for the window, also where the filter leaves something out between.
func TestFilterDoesNotDivideADigest(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.filter = must(CompileFilter("data.record.skip != true"))
		w.change("1", `"n":1`, `"n":2`)
		out := w.change("1", `"n":2`, `"n":2,"skip":true`)
		w.change("1", `"n":2,"skip":true`, `"n":3`)
		fails := true
		w.reply = func(int, Delivery, uint64) answer {
			if fails {
				return answer{err: status(500)}
			}
			return answer{}
		}
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.Calendar, c.Retry = calendar(t, "15m", ""), outage() })
		pass(15*time.Minute + 2*time.Second)
		if w.outcome(out) != Filtered {
			t.Errorf("what is left out is %q after the first attempt", w.outcome(out))
		}
		w.mu.Lock()
		fails = false
		w.mu.Unlock()
		pass(time.Hour)
		if all, _ := w.deliveries(); fmt.Sprint(all) != "[[1 3]]" {
			t.Errorf("delivered %v, want one digest of 1 and 3", all)
		}
		if s := e.Stats(); s.Digested != 2 || s.Filtered != 1 || s.Pending != 0 || len(w.acks) != 3 {
			t.Errorf("%+v", s)
		}
	})
}

// A clock of the stream that is ahead, or was, holds nothing up for longer than its
// window, and changes no order.
func TestEventsOfTheFuture(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i, ahead := range []time.Duration{0, 5 * time.Hour, 1000 * time.Hour, -3 * time.Hour} {
			sequence := w.publish("1", fmt.Sprintf(`"n":%d`, i))
			w.stream[sequence-1].At = time.Now().Add(ahead)
		}
		e, _ := start(t, w.newLife(nil), func(c *Config) { c.Calendar = calendar(t, "15m", "") })
		pass(16 * time.Minute)
		if s := e.Stats(); s.Digested != 4 {
			t.Errorf("%+v after the window", s)
		}
	})
}

// After a while away, windows are told in their order.
func TestWindowsAreToldInOrder(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 20 {
			w.publish(fmt.Sprint(i), "")
			pass(15 * time.Minute)
		}
		start(t, w.newLife(nil), func(c *Config) { c.Calendar, c.Rate, c.Concurrency = calendar(t, "15m", ""), 1, 1 })
		pass(time.Hour)
		all, _ := w.deliveries()
		for i, one := range all {
			if len(all) != 20 || one[0] != uint64(i+1) {
				t.Fatalf("delivered %v", all)
			}
		}
	})
}

// A window waits for what the stream still has of it.
func TestDigestWaitsForTheRestOfItsWindow(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 50 {
			w.publish(fmt.Sprint(i), "")
		}
		pass(time.Hour)
		l := w.newLife(nil)
		start(t, l, func(c *Config) { c.Calendar, c.Feed = calendar(t, "15m", ""), &slowFeed{l} })
		pass(time.Hour)
		if all, _ := w.deliveries(); len(all) != 1 || len(all[0]) != 50 {
			t.Errorf("delivered %d digests, the first of %d events, want one of 50", len(all), len(all[0]))
		}
	})
}

// A slowFeed takes a moment for each event.
type slowFeed struct{ *life }

func (f *slowFeed) Next(ctx context.Context) (events.Stored, error) {
	sleep(ctx, 10*time.Millisecond)
	return f.life.Next(ctx)
}

// What is too large for the other side is halved until it fits, at no one's cost;
// only one that is too large by itself is given up.
func TestDigestTooLargeIsHalved(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 100 {
			w.publish(fmt.Sprint(i), "")
		}
		w.reply = func(_ int, d Delivery, _ uint64) answer {
			spoiled := slices.ContainsFunc(d.Events, func(ev events.Event) bool { return ev.Data.ID == "99" })
			if len(d.Events) > 15 || spoiled {
				return answer{err: status(413)}
			}
			return answer{}
		}
		e, _ := start(t, w.newLife(nil), func(c *Config) {
			c.Calendar, c.Retry, c.Rate, c.Concurrency = calendar(t, "15m", ""), []time.Duration{time.Minute}, 1, 1
		})
		pass(2 * time.Hour)
		all, _ := w.deliveries()
		if s := e.Stats(); s.Digested != 99 || s.Dead != 1 || w.told() != "failing" {
			t.Errorf("%d told in %d digests, %d dead, told %q, want all but one, and of that one", s.Digested, len(all), s.Dead, w.told())
		}
	})
}

// Why an event is in no message is on record with it.
func TestReasonOfTheMuted(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		w.publish("1", "")
		w.change("2", `"n":1`, `"n":2`)
		w.change("2", `"n":2`, `"n":1`)
		start(t, w.newLife(nil), func(c *Config) { c.Calendar = calendar(t, "15m", "") })
		pass(time.Hour)
		if n := w.ledger(2, 0); len(n) != 1 || n[0].Outcome != Muted || n[0].Reason != "nothing differs at the end of the window" {
			t.Errorf("notes = %+v", n)
		}
	})
}

// An event that the stream took just before the window ended is in its digest.
func TestLatecomersAreOfTheirWindow(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		l := w.newLife(nil)
		start(t, l, func(c *Config) { c.Calendar = calendar(t, "15m", "") })
		l.feed(w.publish("1", ""))
		pass(15*time.Minute - 100*time.Millisecond)
		late := w.publish("2", "")
		pass(500 * time.Millisecond)
		l.feed(late)
		pass(time.Minute)
		if all, _ := w.deliveries(); fmt.Sprint(all) != "[[1 2]]" {
			t.Errorf("delivered %v, want one digest", all)
		}
	})
}

// A window is told when the stream goes on behind it, though it has much more.
func TestWindowDoesNotWaitForTheWholeStream(t *testing.T) {
	within(t, func(t *testing.T, w *world) {
		for i := range 5 {
			w.publish(fmt.Sprint(i), "")
		}
		w.publish("0", `"urgent":true`)
		pass(20 * time.Minute)
		for i := range 500 {
			w.publish(fmt.Sprint("later", i), "")
		}
		pass(time.Hour)
		l := w.newLife(nil)
		start(t, l, func(c *Config) {
			c.Calendar, c.Feed = calendar(t, "15m", ""), &slowFeed{l}
			c.Urgent = must(CompileFilter(`data.record.urgent == true`))
		})
		pass(time.Second)
		all, _ := w.deliveries()
		slices.SortFunc(all, func(a, b []uint64) int { return int(a[0]) - int(b[0]) })
		if fmt.Sprint(all) != "[[1 6] [2 3 4 5]]" {
			t.Errorf("delivered %v after a second, want what is urgent and the first window", all)
		}
	})
}
