package poller

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// The kinds of ids: large numbers, texts, composite ones, and records without
// any time.
func TestIDs(t *testing.T) {
	for _, test := range []struct {
		name, collection string
		opts             trackopstest.Options
		edit             func(map[string]any)
	}{
		{"above 2^53", "clients", trackopstest.Options{IDs: 1 << 60}, nil},
		{"texts", "clients", trackopstest.Options{AsText: true}, nil},
		{"composite", "case_contacts", trackopstest.Options{}, nil},
		{"milliseconds", "clients", trackopstest.Options{Fraction: true, TimeFormat: trackops.ISO, Ties: 0.3}, nil},
		{"no times", "clients", trackopstest.Options{}, func(r map[string]any) { delete(r, "created_at"); delete(r, "updated_at") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				opts := test.opts
				opts.Rate = 1
				opts.Sizes = map[string]int{"cases": 30, "staff": 20, test.collection: 250}
				w := newWorld(t, 2, opts, test.collection)
				if test.edit != nil {
					w.rewrite(func(_ trackops.Request, r map[string]any) { test.edit(r) })
				}
				w.start()
				w.await(10 * time.Minute)
				ids := w.account.IDs(test.collection)
				created, err := w.account.Create(test.collection, nil)
				must(t, err)
				must(t, w.account.Change(test.collection, ids[10], nil))
				must(t, w.account.Delete(test.collection, ids[20]))
				w.told(time.Hour, test.collection, created, events.Created)
				w.told(time.Hour, test.collection, ids[10], events.Updated)
				w.told(3*time.Hour, test.collection, ids[20], events.Deleted)
				must(t, w.account.Restore(test.collection, ids[20]))
				w.told(time.Hour, test.collection, ids[20], events.Restored)
				if len(w.events) != 4 {
					t.Errorf("%d events, want 4", len(w.events))
				}
				if test.edit == nil {
					w.verify()
				}
			})
		})
	}
}

func TestFeasible(t *testing.T) {
	for _, test := range []struct {
		collections int
		rate        float64
		maxAge      time.Duration
		ok          bool
	}{
		{15, 1, 0, true},
		{15, 1, 18 * time.Second, true},
		{15, 1, 15 * time.Second, false}, // nothing would be left for sweeps
		{15, 0.5, 20 * time.Second, false},
		{200, 1, time.Minute, false},
		{200, 0, time.Minute, true},
	} {
		err := Feasible(test.collections, test.rate, test.maxAge, 0.05)
		if (err == nil) != test.ok {
			t.Errorf("Feasible(%d, %g, %s) = %v, want it to be possible: %t", test.collections, test.rate, test.maxAge, err, test.ok)
		}
	}
}

// walking reports whether a poll of several questions is under way.
func (w *world) walking(collection string) bool {
	watch := w.watch(collection)
	w.poller.mu.Lock()
	defer w.poller.mu.Unlock()
	return watch.walks(kindIncremental) || watch.walks(kindHead)
}

// Under a load that could use every request twice, with bulk edits that take many
// questions, no collection gets older than was promised, and sweeps keep their
// share.
func TestPromisesUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := []string{"clients", "cases", "files", "staff", "events", "invoices", "subjects", "case_updates", "expense_entries", "client_contacts"}
		w := newWorld(t, 6, trackopstest.Options{Records: 150, Sizes: map[string]int{"clients": 3000}, Rate: 1}, names...)
		const maxAge, share = 40 * time.Second, 0.1
		w.configure = func(c *Config) { c.MaxAge, c.SweepShare = maxAge, share }
		w.start()
		w.await(10 * time.Minute)
		w.sleep(2 * time.Minute)
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		live := make(chan struct{})
		go func() { defer close(live); w.account.Live(ctx, 2) }()
		for i := range 3600 {
			w.sleep(time.Second)
			if i == 1200 {
				for _, id := range w.account.IDs("clients")[:2000] {
					must(t, w.account.Change("clients", id, map[string]any{"notes": json.RawMessage(`"bulk"`)}))
				}
			}
			for _, s := range w.poller.Status(time.Now()) {
				limit := maxAge
				if w.walking(s.Collection) {
					limit *= 3 // a poll of many questions, beside others that are due
				}
				if s.Age > limit {
					t.Fatalf("%s was %s old, want at most %s", s.Collection, s.Age, limit)
				}
			}
		}
		sweeps, all := w.asked(began, kindSweep), w.asked(began, "")
		if float64(sweeps) < share*float64(all)*0.99 {
			t.Errorf("%d of %d requests were sweeps, want a share of %g", sweeps, all, share)
		}
		cancel()
		<-live
		w.sleep(time.Hour)
		w.verify()
	})
}
