package poller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// Where everything is deleted that is watched, no record is left to vouch for the
// source. After an operator's word, or an hour, an answer about the collection does.
func TestNothingIsLeft(t *testing.T) {
	for name, quirks := range map[string]map[string]trackopstest.Quirks{"counted": nil, "no counts": {"*": {NoCount: true}}, "bare pages": bare} {
		for _, test := range []struct {
			name        string
			records     int
			collections []string
			confirm     bool
			least, most time.Duration
		}{
			{"confirmed", 30, []string{"clients"}, true, 0, 25 * time.Minute},
			{"not confirmed", 30, []string{"clients"}, false, time.Hour, 2 * time.Hour},
			{"few", 5, []string{"clients"}, false, time.Hour, 2 * time.Hour},
			{"of four collections", 3, []string{"clients", "staff", "files", "cases"}, false, time.Hour, 2 * time.Hour},
		} {
			t.Run(name+", "+test.name, func(t *testing.T) {
				t.Parallel()
				simulate(t, trackopstest.Options{Sizes: sizes(test.records, test.collections), Quirks: quirks}, test.collections, func(t *testing.T, w *world) {
					w.sleep(15 * time.Minute)
					for _, c := range test.collections {
						for _, id := range w.account.IDs(c) {
							must(t, w.account.Delete(c, id))
						}
					}
					began := time.Now()
					if test.confirm {
						w.within(10*time.Minute, "the brake", func() bool { return w.poller.Status(began)[0].Braked != "" })
						must(t, w.poller.Confirm("clients"))
					}
					took := w.within(test.most, "all deletions", func() bool { return w.count("", events.Deleted) == test.records*len(test.collections) })
					if first := w.events[w.firstOf(events.Deleted)].Data.ObservedAt.Sub(began); first < test.least {
						t.Errorf("the first deletion was told after %s, want %s at least", first, test.least)
					}
					t.Logf("told within %s", took)
					for _, e := range w.events {
						if e.Data.Action == events.Deleted {
							w.verifyAlone(e)
						}
					}
					w.verify()
				})
			})
		}
	}
}

// A record that lists left out, and that then is missed again, is missing once.
func TestARecordIsMissingOnce(t *testing.T) {
	now := time.Now()
	c := cursor{Unlisted: map[string]time.Time{"7": now}}
	c.suspect("7", "window", now)
	if !c.shows(2) {
		t.Error("one of two records is missing, and lists should show none")
	}
}

// verifyAlone checks what the event of a deletion says of a source that has no
// other record to show: it answered after the record was last found gone.
func (w *world) verifyAlone(e events.Event) {
	w.t.Helper()
	said, _ := e.Data.Detail["witnesses"].(map[string]any)
	canary, _ := said["canary"].(string)
	if !strings.Contains(canary, "no other record was left") {
		w.t.Errorf("%s: the canary says %q", e.ID, canary)
	}
	gone, _ := said["not_found"].(string)
	if count, _ := said["count"].(string); strings.Contains(count, "again at ") {
		gone = count[len(count)-len(gone):]
	}
	if !strings.HasSuffix(canary, "Z") || canary[len(canary)-len(gone):] < gone {
		w.t.Errorf("%s: found gone at %s, and then %q", e.ID, gone, canary)
	}
}

func sizes(n int, collections []string) map[string]int {
	sizes := make(map[string]int)
	for _, c := range collections {
		sizes[c] = n
	}
	return sizes
}

// firstOf returns the place of the first event of an action.
func (w *world) firstOf(action events.Action) int {
	for i, e := range w.events {
		if e.Data.Action == action {
			return i
		}
	}
	return len(w.events)
}

// As long as a record is left that could vouch for the source, nothing else does,
// whatever an operator says.
func TestARecordThatIsLeftHasToVouch(t *testing.T) {
	names := []string{"clients", "staff"}
	simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 30, "staff": 1}}, names, func(t *testing.T, w *world) {
		blind := true
		w.hideSingles(&blind)
		w.crash()
		w.start()
		for _, id := range w.account.IDs("clients") {
			must(t, w.account.Delete("clients", id))
		}
		w.within(30*time.Minute, "the brake", func() bool { return w.poller.Status(time.Now())[0].Braked != "" })
		must(t, w.poller.Confirm("clients"))
		w.sleep(3 * time.Hour)
		if n := w.count("clients", events.Deleted); n != 0 {
			t.Errorf("%d deletions told, want none", n)
		}
		blind = false
		w.within(time.Hour, "30 deletions", func() bool { return w.count("clients", events.Deleted) == 30 })
		w.verify()
	})
}

// A record's own address that fails now and then is asked again soon, and ever
// more rarely while it goes on; one that answers something else, after a while.
func TestAnAddressThatFails(t *testing.T) {
	for _, test := range []struct {
		name        string
		err         error
		times       int
		least, most time.Duration // from the first question to the event
		asked       int           // at most
	}{
		{"status 502, once", &fault.StatusError{Code: 502}, 1, 0, time.Minute, 2},
		{"network, three times", errors.New("connection reset"), 3, 0, 2 * time.Minute, 4},
		{"status 500, for long", &fault.StatusError{Code: 500}, 12, 30 * time.Minute, 2 * time.Hour, 13},
		{"status 403, once", &fault.StatusError{Code: 403}, 1, secondLook, secondLook + 2*time.Minute, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 250}}, []string{"clients"}, func(t *testing.T, w *world) {
				id, failed := w.account.IDs("clients")[100], 0
				w.source = sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
					page, err := w.account.Do(ctx, r)
					if r.ID == id && failed < test.times {
						failed++
						return trackops.Page{}, test.err
					}
					return page, err
				})
				w.crash()
				w.start()
				must(t, w.account.Delete("clients", id))
				w.within(30*time.Minute, "a question", func() bool { return failed > 0 })
				began := time.Now()
				took := w.told(3*time.Hour, "clients", id, events.Deleted).Data.ObservedAt.Sub(began)
				if took < test.least || took > test.most {
					t.Errorf("told %s after the first question, want between %s and %s", took, test.least, test.most)
				}
				if n := w.asked(time.Time{}, kindVerify); n > test.asked {
					t.Errorf("asked %d times, want at most %d", n, test.asked)
				}
				if n := w.count(events.System, ""); n != 0 {
					t.Errorf("%s told", fmt.Sprint(w.events[0].Data.Message))
				}
				w.verify()
			})
		})
	}
}
