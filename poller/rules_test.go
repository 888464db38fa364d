package poller

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// bare is a collection that takes page, per_page and dir, and nothing else.
var bare = map[string]trackopstest.Quirks{"*": {NoCount: true, NoUpdatedFrom: true, NoCreated: true}}

// simulate runs test in virtual time with an account that was read once.
func simulate(t *testing.T, opts trackopstest.Options, collections []string, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if opts.Rate == 0 {
			opts.Rate = 1
		}
		w := newWorld(t, 1, opts, collections...)
		w.start()
		w.await(30 * time.Minute)
		test(t, w)
	})
}

// The list is sorted by a date that users set. One record is dated years ahead
// and leads it for ever, so the first record of each page is a known one.
func TestKnownRecordsDoNotEndAHeadPoll(t *testing.T) {
	opts := trackopstest.Options{Sizes: map[string]int{"events": 300}, Sort: trackopstest.ByBusiness, Quirks: bare}
	simulate(t, opts, []string{"events"}, func(t *testing.T, w *world) {
		ahead, err := w.account.Create("events", map[string]any{"start_at": time.Now().AddDate(5, 0, 0)})
		must(t, err)
		w.told(time.Minute, "events", ahead, events.Created)
		began := time.Now()
		for i := range 150 {
			_, err := w.account.Create("events", map[string]any{"start_at": time.Now().AddDate(1, 0, i)})
			must(t, err)
		}
		w.within(time.Minute, "150 new events", func() bool { return w.count("events", events.Created) == 151 })
		if n := w.found(began, kindHead, events.Created); n != 150 {
			t.Errorf("head polls found %d of 150 new events behind a known one, want all", n)
		}
		w.verify()
	})
}

// A record that is dated back stands far down the list. It is found all the same.
func TestBackDatedRecordsAreFound(t *testing.T) {
	for name, quirks := range map[string]map[string]trackopstest.Quirks{"all questions": nil, "bare pages": bare} {
		t.Run(name, func(t *testing.T) {
			opts := trackopstest.Options{Sizes: map[string]int{"clients": 450}, Sort: trackopstest.ByBusiness, Quirks: quirks}
			simulate(t, opts, []string{"clients"}, func(t *testing.T, w *world) {
				id, err := w.account.Create("clients", map[string]any{"signed_on": time.Now().AddDate(-4, 0, 0)})
				must(t, err)
				w.told(5*time.Minute, "clients", id, events.Created)
				w.verify()
			})
		})
	}
}

// A change that does not move updated_at is found by the next sweep that begins
// after it, wherever the record stands.
func TestSilentChangesAreFoundWithinOneSweep(t *testing.T) {
	for name, quirks := range map[string]map[string]trackopstest.Quirks{"windows": nil, "bare pages": bare} {
		t.Run(name, func(t *testing.T) {
			simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 730}, Quirks: quirks}, []string{"clients"}, func(t *testing.T, w *world) {
				for round := range 3 {
					ids := w.account.IDs("clients")
					last := ids[0] // the oldest stands on the last page
					must(t, w.account.ChangeSilently("clients", last, map[string]any{"name": fmt.Sprint("Acme ", round)}))
					changed := time.Now()
					w.within(time.Hour, "a whole sweep", func() bool { return w.poller.Status(time.Now())[0].Coverage.After(changed) })
					if e, _ := w.last("clients", last); e.Data.Action != events.Updated || e.Data.Revision != uint64(round+2) {
						t.Errorf("round %d, one sweep after a silent change:%s", round, w.actions("clients", last))
					}
				}
				if len(w.events) != 3 {
					t.Errorf("%d events, want 3", len(w.events))
				}
				w.verify()
			})
		})
	}
}

// A deletion moves every later record of a list up by one. 450 records lose one
// at each page turn, during the first reading and afterwards: all deletions are
// found and none is invented.
func TestDeletionsAtEveryPageTurn(t *testing.T) {
	for name, quirks := range map[string]map[string]trackopstest.Quirks{
		"all questions": nil,
		"no counts":     {"*": {NoCount: true}},
		"no windows":    {"*": {NoCreated: true}},
		"bare pages":    bare,
	} {
		for _, sort := range []trackopstest.Sort{trackopstest.ByID, trackopstest.ByBusiness} {
			t.Run(fmt.Sprintf("%s, by %s", name, sort), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { deleteAtPageTurns(t, quirks, sort) })
			})
		}
	}
}

func deleteAtPageTurns(t *testing.T, quirks map[string]trackopstest.Quirks, sort trackopstest.Sort) {
	const deletions = 60
	w := newWorld(t, 7, trackopstest.Options{Sizes: map[string]int{"clients": 450}, Sort: sort, Quirks: quirks, Rate: 1}, "clients")
	deleted := 0
	w.source = sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
		page, err := w.account.Do(ctx, r)
		if r.ID == "" && !r.Count && len(page.Records) > 0 && deleted < deletions {
			// One that was just read: what follows moves up, and it is held.
			key := struct {
				ID json.Number `json:"id"`
			}{}
			must(t, json.Unmarshal(page.Records[w.rng.IntN(len(page.Records))], &key))
			must(t, w.account.Delete("clients", key.ID.String()))
			deleted++
		}
		return page, err
	})
	w.start()
	w.await(30 * time.Minute)
	w.within(3*time.Hour, "all deletions", func() bool {
		return deleted == deletions && len(w.account.IDs("clients")) == w.poller.Status(time.Now())[0].Held
	})
	w.sleep(time.Hour)
	w.verify()
	if n := w.count("clients", events.Deleted); n != deletions {
		t.Errorf("%d deletions told, want %d", n, deletions)
	}
}

// However the clock of the account differs from ours, changes are found by
// questions for what was updated since.
func TestClocksThatDisagree(t *testing.T) {
	for _, test := range []struct {
		name  string
		skew  time.Duration // of the account's clock
		dates time.Duration // of its Date header beside that
	}{
		{"three hours ahead", 3 * time.Hour, 0},
		{"three hours behind", -3 * time.Hour, 0},
		{"Date header ahead of the stamps", 0, 3 * time.Hour},
		{"Date header behind the stamps", 0, -3 * time.Hour},
		{"Date header a minute ahead", time.Hour, time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 5, trackopstest.Options{Sizes: map[string]int{"clients": 300}, Rate: 1, Skew: test.skew}, "clients")
				w.source = sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
					page, err := w.account.Do(ctx, r)
					page.Date = page.Date.Add(test.dates)
					return page, err
				})
				w.start()
				w.await(time.Minute)
				w.changeOverHours(40, time.Minute)
			})
		})
	}
}

// changeOverHours changes records now and then, and checks that each change is
// found by a question for what was updated since, within limit.
func (w *world) changeOverHours(changes int, limit time.Duration) {
	w.t.Helper()
	began := time.Now()
	for i := range changes {
		w.sleep(time.Duration(w.rng.IntN(300_000)) * time.Millisecond)
		ids := w.account.IDs("clients")
		id := ids[w.rng.IntN(len(ids)/2)] // not on the first page
		name := fmt.Sprintf("%q", fmt.Sprint("Change ", i))
		must(w.t, w.account.Change("clients", id, map[string]any{"name": json.RawMessage(name)}))
		w.within(limit, "a change", func() bool {
			e, _ := w.last("clients", id)
			for _, c := range e.Data.Changes {
				if c.Path == "/name" && string(c.To) == name {
					return true
				}
			}
			return false
		})
	}
	// A sweep can be there first, now and then.
	if n := w.found(began, kindIncremental, events.Updated); n < changes*8/10 {
		w.t.Errorf("questions by updated_at found %d of %d changes", n, changes)
	}
	w.verify()
}

// A write that becomes visible a minute after the time it bears is found as soon
// as it is visible, although later ones were seen meanwhile.
func TestWritesThatBecomeVisibleLate(t *testing.T) {
	for _, lag := range []time.Duration{20 * time.Second, time.Minute} {
		t.Run(lag.String(), func(t *testing.T) {
			simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 300}, Lag: lag}, []string{"clients"}, func(t *testing.T, w *world) {
				w.changeOverHours(40, lag+time.Minute)
			})
		})
	}
}

// Two changes of one second, the second of them after the first was found: their
// time alone does not tell that there is something new.
func TestTwoChangesInOneSecond(t *testing.T) {
	simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 300}}, []string{"clients"}, func(t *testing.T, w *world) {
		ids := w.account.IDs("clients")
		began := time.Now()
		w.configure = func(c *Config) { c.Rate = 0 }
		w.source = sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
			page, err := w.account.Do(ctx, r)
			if !r.UpdatedFrom.IsZero() && len(ids) > 200 {
				// Directly after the answer, within its second.
				must(t, w.account.Change("clients", ids[0], map[string]any{"name": fmt.Sprint("Acme ", len(ids))}))
				ids = ids[1:]
			}
			return page, err
		})
		w.crash()
		w.start()
		w.within(10*time.Minute, "100 changes", func() bool { return w.count("clients", events.Updated) == 100 })
		if n := w.found(began, kindIncremental, events.Updated); n < 90 {
			t.Errorf("questions by updated_at found %d of 100 changes", n)
		}
		w.verify()
	})
}

// After an outage, a reading of several questions breaks off behind the first, and
// what was known of it is lost. The watermark stayed where it was, so the next
// reading asks for all of it again.
func TestTheWatermarkStaysWhereAWalkFailed(t *testing.T) {
	simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 600}}, []string{"clients"}, func(t *testing.T, w *world) {
		ids := w.account.IDs("clients")
		must(t, w.account.Change("clients", ids[0], nil)) // shows that the clocks agree
		w.told(time.Minute, "clients", ids[0], events.Updated)
		outage := trackopstest.Fault{Status: 500, Times: -1}
		w.account.Fail(outage)
		for _, id := range ids[1:351] {
			must(t, w.account.Change("clients", id, map[string]any{"notes": "moved to the new office"}))
		}
		w.sleep(time.Hour)
		began := time.Now()
		w.account.Heal()
		w.within(2*time.Minute, "the first question of the reading", func() bool {
			return w.asked(began, kindIncremental) > 1
		})
		w.crash()
		if n := w.found(began, kindIncremental, events.Updated); n == 0 || n == 350 {
			t.Fatalf("%d of 350 changes were found before the crash, want some", n)
		}
		w.account.Fail(outage)
		w.start()
		w.sleep(2 * time.Hour)
		w.account.Heal()
		w.within(5*time.Minute, "350 changes", func() bool { return w.count("clients", events.Updated) == 351 })
		if n := w.found(began, kindIncremental, events.Updated); n < 340 {
			t.Errorf("questions by updated_at found %d of 350 changes", n)
		}
		w.verify()
	})
}

// A replica that lags shows a version that is older than the one we hold. It is
// believed only when it is still there a minute later.
func TestAnOlderVersionHasToPersist(t *testing.T) {
	simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 60}, Quirks: bare}, []string{"clients"}, func(t *testing.T, w *world) {
		id := w.account.IDs("clients")[30]
		before := w.account.Snapshot("clients")[id]
		w.sleep(time.Minute)
		must(t, w.account.Change("clients", id, map[string]any{"name": "Acme"}))
		w.told(time.Minute, "clients", id, events.Updated)
		lags := true
		w.source = sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
			page, err := w.account.Do(ctx, r)
			for i, raw := range page.Records {
				if lags && strings.Contains(string(raw), `"id":`+id+",") {
					page.Records[i] = before
				}
			}
			return page, err
		})
		w.crash()
		w.start()
		w.sleep(45 * time.Second)
		lags = false
		w.sleep(2 * time.Minute)
		if got := w.actions("clients", id); got != " updated@2" {
			t.Errorf("after a replica that lagged for 45 seconds:%s, want no further event", got)
		}
		w.verify()
		lags = true // from a backup, say
		w.within(5*time.Minute, "the older version", func() bool { return w.actions("clients", id) == " updated@2 updated@3" })
	})
}

// A server that begins to cut pages to 40 rows, without a word, hides nothing and
// deletes nothing.
func TestPagesThatGetShorter(t *testing.T) {
	simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 330}, Quirks: bare}, []string{"clients"}, func(t *testing.T, w *world) {
		w.source = sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
			r.PerPage = 40
			return w.account.Do(ctx, r)
		})
		w.crash()
		w.start()
		w.sleep(10 * time.Minute)
		for range 100 {
			_, err := w.account.Create("clients", nil)
			must(t, err)
		}
		began := time.Now()
		w.within(10*time.Minute, "100 new clients", func() bool { return w.count("clients", events.Created) == 100 })
		if n := w.found(began, kindHead, events.Created); n != 100 {
			t.Errorf("head polls found %d of 100 new clients, want all", n)
		}
		w.sleep(20 * time.Minute)
		if len(w.events) != 100 || w.asked(time.Time{}, kindVerify) > 0 {
			t.Errorf("%d events and %d records asked about, want 100 and none", len(w.events), w.asked(time.Time{}, kindVerify))
		}
		w.verify()
	})
}

// A full last page is not the end.
func TestRecordsThatFillTheirPages(t *testing.T) {
	for _, records := range []int{100, 200, 300} {
		for _, end := range []trackopstest.PastEnd{trackopstest.EmptyPage, trackopstest.NotFoundPage, trackopstest.NullPage} {
			for name, quirks := range map[string]map[string]trackopstest.Quirks{"all questions": nil, "bare pages": bare} {
				t.Run(fmt.Sprintf("%d, %s past the end, %s", records, end, name), func(t *testing.T) {
					opts := trackopstest.Options{Sizes: map[string]int{"clients": records}, PastEnd: end, Quirks: quirks}
					simulate(t, opts, []string{"clients"}, func(t *testing.T, w *world) {
						w.sleep(8 * time.Minute)
						if s := w.poller.Status(time.Now())[0]; s.Held != records || len(w.events) != 0 || s.LastError != "" {
							t.Errorf("held %d of %d, %d events, error %q", s.Held, records, len(w.events), s.LastError)
						}
						w.verify()
					})
				})
			}
		}
	}
}

// What happens while the first reading is under way is news, where it concerns
// what was read already or did not exist.
func TestChangesDuringTheFirstReading(t *testing.T) {
	for name, quirks := range map[string]map[string]trackopstest.Quirks{"all questions": nil, "bare pages": bare} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3, trackopstest.Options{Sizes: map[string]int{"clients": 3000}, Rate: 1, Quirks: quirks}, "clients")
				w.start()
				w.sleep(20 * time.Second)
				read := make([]string, 0, 2000)
				for id := range w.held("clients") {
					read = append(read, id)
				}
				must(t, w.account.Change("clients", read[0], map[string]any{"name": "Acme"}))
				must(t, w.account.Delete("clients", read[1]))
				id, err := w.account.Create("clients", map[string]any{"name": "Globex"})
				must(t, err)
				w.told(30*time.Minute, "clients", read[0], events.Updated)
				w.told(30*time.Minute, "clients", id, events.Created)
				w.told(3*time.Hour, "clients", read[1], events.Deleted)
				if n := w.count("clients", events.Created); quirks == nil && n != 1 {
					t.Errorf("%d records told as new, want 1", n)
				}
				w.verify()
			})
		})
	}
}

// A reading whose windows hold next to nothing makes them wider and wider. A
// server may refuse a moment that lies before its time.
func TestWindowsDoNotReachIntoTheDeepPast(t *testing.T) {
	top := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := reading{To: top, Width: 24 * time.Hour}
	for !r.Done {
		from, to := r.bounds()
		if !from.IsZero() && from.Before(time.Unix(earliest, 0)) {
			t.Fatalf("asks from %s to %s", from, to)
		}
		r.answered([]time.Time{to.Add(-time.Second)}, false, -1)
	}
}
