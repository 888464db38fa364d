package poller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// gaps returns the times between requests since, without those of the wait that
// a refusal asked for.
func (w *world) gaps(since time.Time) []time.Duration {
	var gaps []time.Duration
	var last time.Time
	for _, r := range w.account.Requests() {
		if r.At.Before(since) {
			continue
		}
		if !last.IsZero() {
			gaps = append(gaps, r.At.Sub(last))
		}
		last = r.At
	}
	return gaps
}

// A server that says we are too fast is obeyed: its wait is kept, the gap between
// requests doubles, and it is won back slowly.
func TestTooManyRequests(t *testing.T) {
	for _, after := range []string{"40", "", "date"} {
		t.Run("Retry-After "+after, func(t *testing.T) {
			simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 50}}, []string{"clients"}, func(t *testing.T, w *world) {
				w.sleep(time.Minute)
				header, least := after, 2*time.Second
				switch after {
				case "date":
					header, least = time.Now().Add(40*time.Second).UTC().Format(http.TimeFormat), 35*time.Second
				case "40":
					least = 40 * time.Second
				}
				began := time.Now()
				w.account.Fail(trackopstest.Fault{Status: 429, RetryAfter: header})
				w.sleep(5 * time.Minute)
				gaps := w.gaps(began)
				if gaps[0] < least || gaps[0] > least+10*time.Second {
					t.Errorf("the first request came %s after the refusal, want %s", gaps[0], least)
				}
				if gaps[1] < 2*time.Second || gaps[1] > 2100*time.Millisecond {
					t.Errorf("then a request every %s, want 2s", gaps[1])
				}
				if n := w.count(events.System, ""); n != 0 {
					t.Errorf("%d system events, want none", n)
				}
				w.sleep(2 * time.Hour)
				if gaps := w.gaps(time.Now().Add(-time.Minute)); gaps[0] > 1100*time.Millisecond {
					t.Errorf("two hours later a request every %s, want 1s", gaps[0])
				}
				w.verify()
			})
		})
	}
}

// The gap doubles with each refusal, and a walk goes on where it stood.
func TestTheWalkGoesOnAfterRefusals(t *testing.T) {
	simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 600}}, []string{"clients"}, func(t *testing.T, w *world) {
		for _, id := range w.account.IDs("clients") {
			must(t, w.account.Change("clients", id, map[string]any{"notes": "moved"}))
		}
		began := time.Now()
		w.within(time.Minute, "some changes", func() bool { return w.count("clients", events.Updated) > 0 })
		w.account.Fail(trackopstest.Fault{Status: 429, Times: 3})
		w.within(5*time.Minute, "600 changes", func() bool { return w.count("clients", events.Updated) == 600 })
		if n := w.asked(began, kindIncremental); n > 16 {
			t.Errorf("600 changes took %d questions, want the walk to go on where it stood", n)
		}
		if gap := w.gaps(time.Now().Add(-time.Minute))[0]; gap < 8*time.Second || gap > 8400*time.Millisecond {
			t.Errorf("a request every %s after three refusals, want 8s", gap)
		}
		w.verify()
	})
}

// Errors, cut answers and HTML pages cost no event and invent none; a long outage
// is told once, and its end.
func TestOutages(t *testing.T) {
	for name, f := range map[string]trackopstest.Fault{
		"status 500": {Status: 500}, "status 503 with HTML": {Status: 503, HTML: true}, "HTML": {HTML: true},
		"cut": {Cut: true}, "reset": {Reset: true}, "null": {Body: "null"}, "an object": {Body: `{"error":"maintenance"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 230, "files": 40}}, []string{"clients", "files"}, func(t *testing.T, w *world) {
				began := time.Now()
				f.Times = -1
				w.account.Fail(f)
				id, err := w.account.Create("clients", nil)
				must(t, err)
				w.sleep(20 * time.Minute)
				if n := len(w.account.Requests()); name != "null" && w.asked(began, "") > 80 {
					t.Errorf("%d requests in 20 minutes of outage", n)
				}
				w.account.Heal()
				w.told(3*time.Minute, "clients", id, events.Created)
				w.sleep(2 * time.Hour)
				want := 1
				if name == "null" || name == "an object" {
					want = w.count(events.System, events.SourceUnreachable) // an empty list is an answer
				}
				if told, over := w.count(events.System, events.SourceUnreachable), w.count(events.System, events.SourceRecovered); told != want || over != told {
					t.Errorf("unreachable told %d times and recovered %d times, want once each", told, over)
				}
				if n := w.count("clients", "") + w.count("files", ""); n != 1 {
					t.Errorf("%d events about records, want 1", n)
				}
				w.verify()
			})
		})
	}
}

// deny lets the account answer a status to what is to be denied.
func (w *world) deny(status *int, denied func(trackops.Request) bool) {
	w.source = sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
		page, err := w.account.Do(ctx, r)
		if *status != 0 && denied(r) {
			return trackops.Page{}, &fault.StatusError{Code: *status}
		}
		return page, err
	})
	w.crash()
	w.start()
	w.await(5 * time.Minute)
}

// An account whose token is refused is told once, asked ever more rarely, and
// goes on by itself.
func TestCredentialsRejected(t *testing.T) {
	for _, denied := range []int{401, 403} {
		t.Run(fmt.Sprint(denied), func(t *testing.T) {
			simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 130, "files": 40, "staff": 10}}, []string{"clients", "files", "staff"}, func(t *testing.T, w *world) {
				status := 0
				w.deny(&status, func(trackops.Request) bool { return true })
				status = denied
				began := time.Now()
				id, err := w.account.Create("files", nil)
				must(t, err)
				w.sleep(6 * time.Hour)
				if n := w.asked(began, ""); n > 20 {
					t.Errorf("%d requests in six hours of refusal", n)
				}
				if n := w.count(events.System, events.CredentialsRejected); n != 1 || len(w.events) != 1 {
					t.Errorf("credentials_rejected told %d times among %d events, want once and nothing else", n, len(w.events))
				}
				status = 0
				w.told(70*time.Minute, "files", id, events.Created)
				w.sleep(10 * time.Minute)
				if n := w.count(events.System, events.SourceRecovered); n != 1 {
					t.Errorf("source_recovered told %d times, want once", n)
				}
				for _, s := range w.poller.Status(time.Now()) {
					if s.State != "live" || s.Age > 5*time.Minute {
						t.Errorf("afterwards: %+v", s)
					}
				}
				w.verify()
			})
		})
	}
}

// A collection that is refused alone is off, which is told once as records of it
// are held, and the others go on.
func TestOneCollectionRefused(t *testing.T) {
	for _, denied := range []int{401, 403} {
		t.Run(fmt.Sprint(denied), func(t *testing.T) {
			simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 130, "invoices": 40, "staff": 10}}, []string{"clients", "invoices", "staff"}, func(t *testing.T, w *world) {
				status := 0
				w.rate = 0.05
				w.deny(&status, func(r trackops.Request) bool { return r.Collection.Name == "invoices" })
				status = denied
				w.sleep(time.Hour)
				began := time.Now()
				id, err := w.account.Create("clients", nil)
				must(t, err)
				w.told(5*time.Minute, "clients", id, events.Created)
				w.sleep(20 * time.Hour)
				if n := w.count(events.System, events.SourceSuspicious); n != 1 || w.count(events.System, "") != 1 {
					t.Errorf("%d times told, want once and nothing else", n)
				}
				asked := 0
				for _, p := range w.polls {
					if p.Collection == "invoices" && p.at.After(began) {
						asked++
					}
				}
				if asked > 30 {
					t.Errorf("the refused collection was asked %d times in 20 hours", asked)
				}
				if s := w.poller.Status(time.Now())[1]; s.State != "off" || !s.Ready() {
					t.Errorf("status of the refused collection: %+v", s)
				}
				status = 0
				w.sleep(2 * time.Hour)
				if s := w.poller.Status(time.Now())[1]; s.State != "live" {
					t.Errorf("status two hours after: %+v", s)
				}
				w.verify()
			})
		})
	}
}

// A collection that exists and answers 404 as a whole lost nothing.
func TestACollectionThatVanishes(t *testing.T) {
	simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 130, "staff": 10}}, []string{"clients", "staff"}, func(t *testing.T, w *world) {
		w.account.Fail(trackopstest.Fault{Collection: "clients", Status: 500}) // trouble of another kind before
		w.sleep(time.Second)
		w.account.SetQuirks("clients", trackopstest.Quirks{Denied: 404})
		id, err := w.account.Create("staff", nil)
		must(t, err)
		w.told(time.Minute, "staff", id, events.Created)
		w.sleep(8 * time.Hour)
		if n := w.count(events.System, events.SourceSuspicious); n != 1 {
			t.Errorf("source_suspicious told %d times, want once", n)
		}
		if n := w.count("clients", ""); n != 0 || w.poller.Status(time.Now())[0].Held != 130 {
			t.Errorf("%d events about clients and %d held, want none and 130", n, w.poller.Status(time.Now())[0].Held)
		}
		w.account.SetQuirks("clients", trackopstest.Quirks{})
		w.sleep(70 * time.Minute)
		if s := w.poller.Status(time.Now())[0]; s.State != "live" || s.Age > 2*time.Minute {
			t.Errorf("afterwards: %+v", s)
		}
		w.verify()
	})
}

// A busy collection that goes quiet is looked into: a record that is there shows
// whether we can see.
func TestSilence(t *testing.T) {
	for _, blind := range []bool{false, true} {
		t.Run(fmt.Sprintf("blind %t", blind), func(t *testing.T) {
			simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 130}}, []string{"clients"}, func(t *testing.T, w *world) {
				status := 0
				w.deny(&status, func(r trackops.Request) bool { return r.ID != "" })
				ids := w.account.IDs("clients")
				for i := range 240 {
					w.sleep(15 * time.Second)
					must(t, w.account.Change("clients", ids[i%len(ids)], nil))
				}
				w.sleep(time.Minute)
				began := time.Now()
				if n := w.asked(time.Time{}, kindCanary); n != 0 {
					t.Errorf("%d canaries while changes came in", n)
				}
				if blind {
					status = 404
				}
				w.within(2*time.Hour, "a canary", func() bool { return w.asked(began, kindCanary) > 0 })
				w.sleep(time.Hour)
				want := 0
				if blind {
					want = 1
				}
				if n := w.count(events.System, events.SourceSuspicious); n != want {
					t.Errorf("source_suspicious told %d times, want %d", n, want)
				}
				if n := w.asked(began, kindCanary); n > 100 {
					t.Errorf("%d canaries in an hour", n)
				}
				status = 0
				w.sleep(10 * time.Minute)
				if s := w.poller.Status(time.Now())[0]; s.Braked != "" {
					t.Errorf("readable again, and still %q", s.Braked)
				}
				w.verify()
			})
		})
	}
}

// Accounts that share a state share no trouble.
func TestTheTroubleOfOneAccountIsItsOwn(t *testing.T) {
	simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 130}}, []string{"clients"}, func(t *testing.T, w *world) {
		other := trackopstest.New(trackopstest.Options{Seed: 9, Sizes: map[string]int{"clients": 230}, Rate: 1})
		globex, err := New(Config{
			Account: "globex", Store: w.store, Collections: w.collections, Rate: 1, Logger: slog.New(slog.DiscardHandler),
			Source: sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
				if len(other.Requests()) > 60 {
					return trackops.Page{}, &fault.StatusError{Code: http.StatusUnauthorized}
				}
				return other.Do(ctx, r)
			}),
		})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- globex.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
		w.sleep(2 * time.Minute)
		began := time.Now()
		for range 20 {
			w.sleep(time.Minute)
			id, err := w.account.Create("clients", nil)
			must(t, err)
			w.told(5*time.Second, "clients", id, events.Created)
		}
		if n := w.asked(began, ""); n < 1000 {
			t.Errorf("%d requests of the healthy account in 20 minutes, want one a second", n)
		}
		rejected := 0
		for _, e := range w.events {
			if e.Data.Action == events.CredentialsRejected {
				rejected++
				if e.Data.Account != "globex" {
					t.Errorf("credentials of %s rejected", e.Data.Account)
				}
			}
		}
		if rejected != 1 {
			t.Errorf("credentials_rejected told %d times, want once", rejected)
		}
		must(t, w.store.View(func(tx *state.Tx) error {
			if live, _ := tx.Records("globex", "clients").Len(); live != 230 {
				t.Errorf("%d clients of globex held, want 230", live)
			}
			return nil
		}))
	})
}
