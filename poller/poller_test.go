package poller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// must fails the test on an error of the simulator.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFirstRunIsSilentAndQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, trackopstest.Options{Sizes: map[string]int{"clients": 230}, Rate: 1}, "clients")
		w.start()
		w.await(10 * time.Second)
		if len(w.events) != 0 {
			t.Errorf("%d events of a first run, want none", len(w.events))
		}
		if n := len(w.held("clients")); n != 230 {
			t.Errorf("held %d clients, want 230", n)
		}
		id, err := w.account.Create("clients", map[string]any{"name": "Acme"})
		must(t, err)
		w.sleep(3 * time.Second)
		if got := w.actions("clients", id); got != " created@1" {
			t.Errorf("events of the new client:%s, want created@1", got)
		}
		must(t, w.account.Change("clients", id, map[string]any{"name": "Acme Ltd"}))
		w.sleep(3 * time.Second)
		last := w.events[len(w.events)-1].Data
		name := slices.IndexFunc(last.Changes, func(c events.Change) bool { return c.Path == "/name" })
		if name < 0 || string(last.Changes[name].From) != `"Acme"` || string(last.Changes[name].To) != `"Acme Ltd"` {
			t.Errorf("changes %s, want /name from Acme to Acme Ltd", fmt.Sprint(last.Changes))
		}
		for _, r := range w.account.Requests() {
			if r.Status == 429 {
				t.Error("too fast for the account")
			}
		}
		w.verify()
	})
}

// Records that are as new as the first answer, or newer by a clock of their own,
// were there before it all the same. What comes behind it is told.
func TestFirstRunIsSilentAboutTheNewest(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"stamped in this second": 0, "stamped by a clock an hour ahead": time.Hour} {
		for kind, quirks := range map[string]map[string]trackopstest.Quirks{"windows": nil, "pages upwards": {"*": {NoCreated: true}}} {
			t.Run(name+", "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, 1, trackopstest.Options{Sizes: map[string]int{"clients": 150}, Rate: 1, StampSkew: ahead, Latency: 50 * time.Millisecond, Quirks: quirks}, "clients")
					for range 120 {
						_, err := w.account.Create("clients", nil)
						must(t, err)
					}
					w.start()
					w.sleep(3 * time.Second) // into the reading
					id, err := w.account.Create("clients", nil)
					must(t, err)
					w.await(20 * time.Second)
					w.sleep(time.Minute)
					if len(w.events) != 1 || w.actions("clients", id) != " created@1" {
						t.Errorf("%d events, want the client that was made meanwhile alone, which has%s", len(w.events), w.actions("clients", id))
					}
				})
			})
		}
	}
}

func TestBaselineGoesOnAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, trackopstest.Options{Sizes: map[string]int{"clients": 3000, "files": 40}, Rate: 1}, "clients", "files")
		asked := 0
		for range 6 {
			w.start()
			w.sleep(9 * time.Second)
			w.account.Step()
			w.crash()
			w.sleep(time.Second)
		}
		w.start()
		w.await(time.Minute)
		asked = len(w.account.Requests())
		if asked > 75 {
			t.Errorf("the baseline took %d requests, want it to go on where it stood", asked)
		}
		w.sleep(time.Minute)
		w.verify()
	})
}

// TestModel compares the account's history with what is held and told, over
// accounts that behave in every way the documents leave open.
func TestModel(t *testing.T) {
	for seed := range uint64(modelSeeds) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { runModel(t, seed) })
		})
	}
}

func pick[T any](seed *uint64, choices ...T) T {
	c := choices[*seed%uint64(len(choices))]
	*seed = *seed/uint64(len(choices)) + *seed*0x9e3779b97f4a7c15>>7
	return c
}

func runModel(t *testing.T, seed uint64) {
	s := seed
	opts := trackopstest.Options{
		Records:     pick(&s, 0, 30, 100, 250, 450),
		Rate:        1,
		Sort:        pick(&s, trackopstest.ByID, trackopstest.ByCreated, trackopstest.ByBusiness),
		TimeFormat:  pick(&s, trackops.SQL, trackops.ISO, trackops.Unix),
		NullUpdated: pick(&s, false, false, true),
		Skew:        pick(&s, 0, 3*time.Hour, -3*time.Hour),
		StampSkew:   pick(&s, 0, 0, time.Hour, -time.Hour),
		Lag:         pick(&s, 0, 0, 20*time.Second),
		AsText:      pick(&s, false, true),
		PastEnd:     pick(&s, trackopstest.EmptyPage, trackopstest.NotFoundPage, trackopstest.NullPage),
		MaxPerPage:  pick(&s, 0, 0, 40),
		Ties:        pick(&s, 0, 0.5),
		StrictTime:  pick(&s, true, false),
		Lenient:     pick(&s, false, true),
		Silent:      0.1,
		FaultRate:   pick(&s, 0, 0.05),
		Faults: []trackopstest.Fault{
			{Status: 500}, {Cut: true}, {HTML: true}, {Reset: true}, {Status: 503, RetryAfter: "3"}, {Body: `{"error":"no"}`}, {Body: "null"},
		},
		Quirks: map[string]trackopstest.Quirks{"*": {
			NoCount:           pick(&s, false, true),
			NoUpdatedFrom:     pick(&s, false, false, true),
			NoCreated:         pick(&s, false, false, true),
			NoCombination:     pick(&s, false, true),
			IgnoreUpdatedFrom: pick(&s, false, false, false, true),
			IgnoreCreated:     pick(&s, false, false, false, true),
		}},
	}
	w := newWorld(t, seed, opts, "clients", "cases", "files", "case_contacts", "fields")
	w.start()
	w.await(30 * time.Minute)
	if n := len(w.events) - w.count(events.System, ""); n != 0 {
		t.Errorf("%d events before anything changed", n)
	}
	for range 40 {
		w.sleep(time.Duration(w.rng.IntN(20_000)) * time.Millisecond)
		w.account.Step()
		if w.rng.IntN(15) == 0 {
			w.crash()
			w.start()
		}
	}
	w.sleep(30 * time.Minute) // silent changes are found by sweeps
	w.verify()
	if t.Failed() {
		t.Logf("seed %d: %+v", seed, opts)
		t.Logf("status: %+v", w.poller.Status(time.Now()))
	}
}

// A state that cannot be written for a while loses nothing: the same answers are
// asked for again.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, trackopstest.Options{Sizes: map[string]int{"clients": 30}, Rate: 1}, "clients")
		w.options.MaxSize = 160 << 10
		w.start()
		w.await(time.Minute)
		var ids []string
		for range 400 {
			id, err := w.account.Create("clients", map[string]any{"notes": strings.Repeat(fmt.Sprint(len(ids), "-"), 500)})
			must(t, err)
			ids = append(ids, id)
		}
		w.sleep(5 * time.Minute)
		if s := w.poller.Status(time.Now())[0]; s.State != "failing" || s.LastError == "" {
			t.Errorf("status with a full disk: %+v", s)
		}
		w.crash()
		w.options.MaxSize = 0
		w.start()
		w.sleep(5 * time.Minute)
		if n := w.count("clients", events.Created); n != len(ids) {
			t.Errorf("%d new clients told, want %d", n, len(ids))
		}
		w.verify()
	})
}
