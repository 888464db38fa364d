package poller

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// Between the count that shows a deletion and its event lie at most 20 requests,
// those that poll meanwhile included.
func TestOneDeletionAmongManyIsFoundInFewRequests(t *testing.T) {
	simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 50_000}}, []string{"clients"}, func(t *testing.T, w *world) {
		for _, at := range []int{31_415, 0, 49_000} {
			id := w.account.IDs("clients")[at]
			must(t, w.account.Delete("clients", id))
			began := time.Now()
			w.told(time.Hour, "clients", id, events.Deleted)
			noticed, told := time.Time{}, time.Time{}
			for i, p := range w.polls {
				switch {
				case p.at.Before(began):
				case p.Events[events.Deleted] > 0:
					told = p.at
				case noticed.IsZero() && p.Kind == string(kindCount) && w.searches(i):
					noticed = p.at
				}
			}
			requests := 0
			for _, r := range w.account.Requests() {
				if r.At.After(noticed) && !r.At.After(told) {
					requests++
				}
			}
			if noticed.IsZero() || requests > 20 {
				t.Errorf("record %d: %d requests from the count that noticed (%s) to the event, want at most 20", at, requests, noticed)
			}
			t.Logf("record %d of 50,000: noticed after %s, told %d requests later", at, noticed.Sub(began), requests)
		}
		w.verify()
	})
}

// searches reports whether a search followed poll i, before any other count.
func (w *world) searches(i int) bool {
	for _, p := range w.polls[i+1:] {
		switch p.Kind {
		case string(kindBisect):
			return true
		case string(kindCount):
			return false
		}
	}
	return false
}

// A deletion and a new record leave the count of all records as it was.
func TestADeletionIsNotHiddenByANewRecord(t *testing.T) {
	simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 3000}}, []string{"clients"}, func(t *testing.T, w *world) {
		w.withoutSweeps()
		id := w.account.IDs("clients")[1200]
		must(t, w.account.Delete("clients", id))
		_, err := w.account.Create("clients", nil)
		must(t, err)
		w.told(30*time.Minute, "clients", id, events.Deleted)
		w.verify()
	})
}

// withoutSweeps takes the sweeps' turns away for a day, so that what is found is
// found by other means.
func (w *world) withoutSweeps() {
	w.poller.mu.Lock()
	defer w.poller.mu.Unlock()
	for _, watch := range w.poller.watches {
		watch.cursor.Sweep, watch.cursor.SweptTo = nil, time.Now().Add(24*time.Hour)
	}
}

func TestFourWitnessesAreInTheEvent(t *testing.T) {
	for name, quirks := range map[string]map[string]trackopstest.Quirks{"counted": nil, "no counts": {"*": {NoCount: true}}} {
		t.Run(name, func(t *testing.T) {
			simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 250}, Quirks: quirks}, []string{"clients"}, func(t *testing.T, w *world) {
				id := w.account.IDs("clients")[100]
				must(t, w.account.Delete("clients", id))
				began := time.Now()
				e := w.told(2*time.Hour, "clients", id, events.Deleted)
				witnesses, _ := e.Data.Detail["witnesses"].(map[string]any)
				for _, want := range []string{"absent", "not_found", "canary", "count"} {
					if text, _ := witnesses[want].(string); text == "" {
						t.Errorf("witnesses %v, want %s", witnesses, want)
					}
				}
				counted, _ := witnesses["count"].(string)
				if strings.Contains(counted, "not available") != (quirks != nil) {
					t.Errorf("the count says %q", counted)
				}
				// The record's own address, another record, and the count or a second
				// look ten minutes later.
				w.wantOrder(began, kindVerify, kindCanary)
				if quirks == nil {
					w.wantOrder(began, kindVerify, kindSettle)
				} else if took := e.Data.ObservedAt.Sub(w.first(began, kindVerify)); took < secondLook || w.asked(began, kindVerify) != 2 {
					t.Errorf("told %s and %d looks after the first, want two, ten minutes apart", took, w.asked(began, kindVerify))
				}
				if age := e.Data.ObservedAt.Sub(w.latest(kindCanary)); age >= canaryFor {
					t.Errorf("the record that vouches for the source was read %s before", age)
				}
				if e.Data.Record == nil || e.Data.NotAfter == nil || e.Data.NotBefore == nil {
					t.Errorf("event without record or bounds: %+v", e.Data)
				}
				w.verify()
			})
		})
	}
}

// first returns when the first request of a kind was answered since.
func (w *world) first(since time.Time, k kind) time.Time {
	for _, p := range w.polls {
		if p.Kind == string(k) && !p.at.Before(since) {
			return p.at
		}
	}
	return time.Time{}
}

// latest returns when the newest request of a kind was answered.
func (w *world) latest(k kind) time.Time {
	var at time.Time
	for _, p := range w.polls {
		if p.Kind == string(k) {
			at = p.at
		}
	}
	return at
}

func (w *world) wantOrder(since time.Time, a, b kind) {
	w.t.Helper()
	first, second := w.first(since, a), w.first(since, b)
	if first.IsZero() || !second.After(first) {
		w.t.Errorf("%s at %s and %s at %s, want one after the other", a, first, b, second)
	}
}

// A record that neither lists nor its own address show, while the count includes
// it, may be what the source has lost sight of: it is back before it was told.
func TestTheCountSpeaksAgainstADeletion(t *testing.T) {
	simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 450}}, []string{"clients"}, func(t *testing.T, w *world) {
		lost, losing := w.account.IDs("clients")[100], true
		w.source = sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
			page, err := w.account.Do(ctx, r)
			if err != nil || !losing {
				return page, err
			}
			if r.ID == lost {
				return trackops.Page{}, &fault.StatusError{Code: http.StatusNotFound}
			}
			page.Records = slices.DeleteFunc(page.Records, func(raw json.RawMessage) bool {
				return strings.Contains(string(raw), `"id":`+lost+",")
			})
			return page, err
		})
		w.crash()
		w.start()
		began := time.Now()
		w.within(30*time.Minute, "a count about it", func() bool { return w.asked(began, kindSettle) > 0 })
		w.sleep(45 * time.Minute)
		losing = false
		w.sleep(30 * time.Minute)
		if len(w.events) != 0 {
			t.Errorf("%d events, want none", len(w.events))
		}
		w.verify()
	})
}

// A record that lists leave out, while its own address shows it, is not deleted,
// and neither it nor the count that differs is asked about again and again.
func TestARecordThatIsOnlyNotListed(t *testing.T) {
	for _, counted := range []bool{false, true} {
		t.Run(fmt.Sprintf("left out of counts %t", counted), func(t *testing.T) {
			simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 1250}}, []string{"clients"}, func(t *testing.T, w *world) {
				hidden := w.account.IDs("clients")[400]
				created := w.held("clients")[hidden].Created
				hide := true
				w.source = sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
					page, err := w.account.Do(ctx, r)
					if r.ID != "" || err != nil || !hide {
						return page, err
					}
					for i, raw := range page.Records {
						if strings.Contains(string(raw), `"id":`+hidden+",") {
							page.Records = append(page.Records[:i:i], page.Records[i+1:]...)
							break
						}
					}
					if r.Count && counted && (r.CreatedTo.IsZero() || !created.After(r.CreatedTo)) {
						page.Count--
					}
					return page, err
				})
				w.crash()
				w.rate = 0.25
				w.start()
				began := time.Now()
				w.sleep(6 * time.Hour)
				if n := w.asked(began, kindVerify); n == 0 || n > 2 {
					t.Errorf("its own address was asked %d times in 6 hours, want once or twice", n)
				}
				if n := w.asked(began, kindBisect); n > 40 {
					t.Errorf("%d requests searched for it in 6 hours", n)
				}
				if len(w.events) != 0 {
					t.Errorf("%d events, want none", len(w.events))
				}

				// It is listed again, and then another one is deleted.
				hide = false
				began = time.Now()
				w.sleep(time.Hour)
				other := w.account.IDs("clients")[800]
				must(t, w.account.Delete("clients", other))
				w.told(2*time.Hour, "clients", other, events.Deleted)
				w.sleep(5 * time.Hour)
				if n := w.asked(began, kindBisect); n > 100 {
					t.Errorf("%d requests searched for differences of the count", n)
				}
				must(t, w.account.Delete("clients", hidden))
				w.told(2*time.Hour, "clients", hidden, events.Deleted)
				w.verify()
			})
		})
	}
}

func TestUndeletedRecordsAreRestored(t *testing.T) {
	for name, quirks := range map[string]map[string]trackopstest.Quirks{"counted": nil, "bare pages": bare} {
		t.Run(name, func(t *testing.T) {
			opts := trackopstest.Options{Sizes: map[string]int{"clients": 450}, OldUpdated: true, Quirks: quirks}
			simulate(t, opts, []string{"clients"}, func(t *testing.T, w *world) {
				id := w.account.IDs("clients")[20]
				must(t, w.account.Delete("clients", id))
				deleted := w.told(2*time.Hour, "clients", id, events.Deleted)
				must(t, w.account.Restore("clients", id))
				restored := w.told(time.Hour, "clients", id, events.Restored)
				if got, want := restored.Data.Revision, deleted.Data.Revision+1; got != want {
					t.Errorf("revision %d of the restored record, want %d", got, want)
				}
				w.verify()
			})
		})
	}
}

// lie makes lists and counts answer as if nothing, or only a part, were there.
func (w *world) lie(show func(i int) bool, lying *bool) {
	w.source = sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
		page, err := w.account.Do(ctx, r)
		if !*lying || r.ID != "" || err != nil {
			return page, err
		}
		kept := page.Records[:0:0]
		for i, raw := range page.Records {
			if show(i) {
				kept = append(kept, raw)
			}
		}
		page.Records = kept
		if n := 0; r.Count {
			for i := range page.Count {
				if show(i) {
					n++
				}
			}
			page.Count = n
		}
		return page, err
	})
}

// A collection that suddenly shows nothing, or far less, is not believed. When
// it is back within the hour nothing was told but the suspicion, once.
func TestASuddenDropIsNotBelieved(t *testing.T) {
	shows := map[string]func(int) bool{
		"nothing":      func(int) bool { return false },
		"two of three": func(i int) bool { return i%3 != 0 },
	}
	for what, show := range shows {
		for name, quirks := range map[string]map[string]trackopstest.Quirks{"all questions": nil, "no counts": {"*": {NoCount: true}}, "bare pages": bare} {
			t.Run(what+", "+name, func(t *testing.T) {
				t.Parallel()
				simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 450}, Quirks: quirks}, []string{"clients"}, func(t *testing.T, w *world) {
					lying := true
					w.lie(show, &lying)
					w.crash()
					w.rate = 0.5
					w.start()
					w.sleep(50 * time.Minute)
					lying = false
					w.sleep(2 * time.Hour)
					if n := w.count(events.System, events.SourceSuspicious); n != 1 {
						t.Errorf("source_suspicious told %d times, want once", n)
					}
					if n := w.count("clients", ""); n != 0 {
						t.Errorf("%d events about clients, want none", n)
					}
					if s := w.poller.Status(time.Now())[0]; s.Braked != "" || s.Held != 450 || s.Suspects != 0 {
						t.Errorf("two hours later: %+v", s)
					}
					w.verify()
				})
			})
		}
	}
}

// Many deletions at once that are real are held back for an hour, or until an
// operator says that they are.
func TestManyDeletionsWaitForAnHourOrAWord(t *testing.T) {
	for name, quirks := range map[string]map[string]trackopstest.Quirks{"all questions": nil, "no counts": {"*": {NoCount: true}}, "bare pages": bare} {
		for _, confirmed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, confirmed %t", name, confirmed), func(t *testing.T) {
				t.Parallel()
				simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 450}, Quirks: quirks}, []string{"clients"}, func(t *testing.T, w *world) {
					if err := w.poller.Confirm("clients"); err == nil {
						t.Error("nothing is held back, and Confirm found something to confirm")
					}
					for _, id := range w.account.IDs("clients")[100:250] {
						must(t, w.account.Delete("clients", id))
					}
					w.within(30*time.Minute, "the brake", func() bool { return w.poller.Status(time.Now())[0].Braked != "" })
					began := time.Now()
					if confirmed {
						must(t, w.poller.Confirm("clients"))
					} else {
						w.sleep(time.Hour - time.Minute)
						if n := w.count("clients", events.Deleted); n != 0 {
							t.Errorf("%d deletions told within the hour, want none", n)
						}
					}
					w.within(time.Hour, "150 deletions", func() bool { return w.count("clients", events.Deleted) == 150 })
					if took := time.Since(began); confirmed && took > 45*time.Minute {
						t.Errorf("confirmed deletions took %s", took)
					}
					if n := w.count(events.System, events.SourceSuspicious); n != 1 {
						t.Errorf("source_suspicious told %d times, want once", n)
					}
					w.verify()
				})
			})
		}
	}
}

// hideSingles makes every record's own address answer 404 while blind is true.
func (w *world) hideSingles(blind *bool) {
	w.source = sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
		page, err := w.account.Do(ctx, r)
		if r.ID != "" && *blind {
			return trackops.Page{}, &fault.StatusError{Code: http.StatusNotFound}
		}
		return page, err
	})
}

// When records that lists show cannot be read by themselves either, a 404 says
// nothing about a missing one.
func TestNoDeletionWithoutACanary(t *testing.T) {
	for name, quirks := range map[string]map[string]trackopstest.Quirks{"counted": nil, "no counts": {"*": {NoCount: true}}} {
		t.Run(name, func(t *testing.T) {
			simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 450}, Quirks: quirks}, []string{"clients"}, func(t *testing.T, w *world) {
				blind := true
				w.hideSingles(&blind)
				w.crash()
				w.start()
				id := w.account.IDs("clients")[100]
				must(t, w.account.Delete("clients", id))
				w.sleep(3 * time.Hour)
				if n := w.count("clients", events.Deleted); n != 0 {
					t.Errorf("%d deletions told, want none while nothing can be read by itself", n)
				}
				if n := w.count(events.System, events.SourceSuspicious); n != 1 {
					t.Errorf("source_suspicious told %d times, want once", n)
				}
				blind = false
				w.told(3*time.Hour, "clients", id, events.Deleted)
				w.verify()
			})
		})
	}
}
