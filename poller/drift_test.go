package poller

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// reshape adds a field to all records of clients but those left out, and moves
// no updated_at.
func (w *world) reshape(value any, leftOut func(i int) bool) {
	w.sleep(2 * time.Minute)
	for i, id := range w.account.IDs("clients") {
		if leftOut == nil || !leftOut(i) {
			must(w.t, w.account.ChangeSilently("clients", id, map[string]any{"region": value}))
		}
	}
}

// sweepOnce waits until everything was read again.
func (w *world) sweepOnce() {
	w.t.Helper()
	began := time.Now()
	w.within(2*time.Hour, "a whole sweep", func() bool { return w.poller.Status(time.Now())[0].Coverage.After(began) })
}

// A field that all records get at once is told once, and ordinary changes go on
// being told, with the new field in them.
func TestANewFieldIsOneEvent(t *testing.T) {
	for name, quirks := range map[string]map[string]trackopstest.Quirks{"windows": nil, "bare pages": bare} {
		t.Run(name, func(t *testing.T) {
			simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 450}, Quirks: quirks}, []string{"clients"}, func(t *testing.T, w *world) {
				w.reshape("north", nil)
				w.sweepOnce()
				w.wantShapes("[+/region]")
				if n := w.count("clients", ""); n != 0 {
					t.Errorf("%d events about clients, want none", n)
				}

				id := w.account.IDs("clients")[10]
				must(t, w.account.Change("clients", id, map[string]any{"region": "south"}))
				w.told(2*time.Hour, "clients", id, events.Updated)
				must(t, w.account.ChangeSilently("clients", id, map[string]any{"name": "Acme"}))
				w.within(2*time.Hour, "a silent change", func() bool { return w.count("clients", events.Updated) == 2 })

				w.reshape(trackopstest.Omit{}, nil) // and back again
				w.sweepOnce()
				w.wantShapes("[+/region]", "[-/region]")
				if n := w.count("clients", ""); n != 2 {
					t.Errorf("%d events about clients, want 2", n)
				}
				w.verify()
			})
		})
	}
}

// wantShapes compares the schema changes that were told.
func (w *world) wantShapes(want ...string) {
	w.t.Helper()
	var got []string
	for _, e := range w.events {
		if e.Data.Action == events.SchemaChanged {
			got = append(got, fmt.Sprint(e.Data.Detail["changes"]))
		}
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("schema changes told: %v, want %v", got, want)
	}
}

// So it is directly after the first reading, when everything that is held was
// observed a moment ago; and the records that seem to be late are not.
func TestANewFieldAfterTheFirstReadingIsOneEvent(t *testing.T) {
	for _, test := range []struct{ apart, ago, ahead time.Duration }{
		{time.Second, 24 * time.Hour, 0},
		{time.Minute, 24 * time.Hour, 0},
		{time.Second, 3 * time.Minute, 0},
		{time.Second, 3 * time.Minute, time.Hour},
	} {
		t.Run(fmt.Sprintf("%s apart, %s ago, stamped %s ahead", test.apart, test.ago, test.ahead), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := trackopstest.Options{Sizes: map[string]int{"clients": 60}, Span: 60 * test.apart, StampSkew: test.ahead, Rate: 1}
				w := newWorld(t, 1, opts, "clients")
				time.Sleep(test.ago)
				w.start()
				w.await(time.Minute)
				for _, id := range w.account.IDs("clients") {
					must(t, w.account.ChangeSilently("clients", id, map[string]any{"region": nil}))
				}
				w.sweepOnce()
				w.wantShapes("[+/region]")
				if n := w.count("clients", ""); n != 0 {
					t.Errorf("%d events about clients, want none", n)
				}
				w.verify()
			})
		})
	}
}

// A second change of a record in one second, which only adds a field, is told as
// soon as the first one was; later it waits for a page that shows the others. Such
// a change says nothing about how late records become visible.
func TestAFieldThatFollowsInTheSameSecond(t *testing.T) {
	for _, later := range []time.Duration{0, 3 * time.Minute} {
		t.Run(later.String(), func(t *testing.T) {
			simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 300}}, []string{"clients"}, func(t *testing.T, w *world) {
				id := w.account.IDs("clients")[10]
				must(t, w.account.Change("clients", id, map[string]any{"name": "Acme"}))
				w.told(10*time.Second, "clients", id, events.Updated)
				w.sleep(later)
				began := time.Now()
				must(t, w.account.ChangeSilently("clients", id, map[string]any{"region": "north"}))
				w.within(time.Hour, "the field", func() bool { return w.count("clients", events.Updated) == 2 })
				if n := w.found(began, kindIncremental, events.Updated); (n == 1) != (later == 0) {
					t.Errorf("questions by updated_at found %d of 1 field that followed after %s", n, later)
				}
				must(t, w.account.ChangeSilently("clients", id, map[string]any{"name": "Globex"}))
				w.within(time.Hour, "the name", func() bool { return w.count("clients", events.Updated) == 3 })
				if late := w.watch("clients").cursor.Late; late > 10*time.Second {
					t.Errorf("late by %s, want nothing of what moved no updated_at", late)
				}
				w.verify()
			})
		})
	}
}

func TestAFieldOfAnotherTypeIsOneEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, trackopstest.Options{Sizes: map[string]int{"clients": 250}, Rate: 1}, "clients")
		text := false
		w.rewrite(func(_ trackops.Request, record map[string]any) {
			n := len(fmt.Sprint(record["name"]))
			record["size"] = n
			if text {
				record["size"] = strconv.Itoa(n)
			}
		})
		w.start()
		w.await(time.Minute)
		w.sleep(2 * time.Minute)
		text = true
		w.sweepOnce()
		w.wantShapes("[~/size]")
		if n := w.count("clients", ""); n != 0 {
			t.Errorf("%d events about clients, want none", n)
		}
	})
}

// Where a part of the records shows it, or too few to tell, it is what happened
// to those records.
func TestAFieldOfSomeRecordsIsTheirs(t *testing.T) {
	for _, test := range []struct {
		name    string
		records int
		leftOut func(i int) bool
		want    int
	}{
		{"five of six", 240, func(i int) bool { return i%6 == 0 }, 200},
		{"all of nineteen", 19, nil, 19},
		{"one", 240, func(i int) bool { return i != 77 }, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": test.records}}, []string{"clients"}, func(t *testing.T, w *world) {
				w.reshape("north", test.leftOut)
				w.sweepOnce()
				w.wantShapes()
				if n := w.count("clients", events.Updated); n != test.want {
					t.Errorf("%d updates, want %d", n, test.want)
				}
				w.verify()
			})
		})
	}
}

// Records that were really changed, all of them, are told one by one.
func TestABulkEditIsNoDrift(t *testing.T) {
	simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 240}}, []string{"clients"}, func(t *testing.T, w *world) {
		for _, id := range w.account.IDs("clients") {
			must(t, w.account.Change("clients", id, map[string]any{"region": "north"}))
		}
		w.sweepOnce()
		w.wantShapes()
		if n := w.count("clients", events.Updated); n != 240 {
			t.Errorf("%d updates, want 240", n)
		}
		w.verify()
	})
}

// After a change of the schema was taken in everywhere, one record that gets the
// same field anew was changed.
func TestAnAcceptedShapeExcusesNothingLater(t *testing.T) {
	simulate(t, trackopstest.Options{Sizes: map[string]int{"clients": 240}}, []string{"clients"}, func(t *testing.T, w *world) {
		w.reshape("north", nil)
		w.sweepOnce()
		w.sweepOnce()
		id := w.account.IDs("clients")[100]
		must(t, w.account.ChangeSilently("clients", id, map[string]any{"region": trackopstest.Omit{}}))
		w.sweepOnce()
		must(t, w.account.ChangeSilently("clients", id, map[string]any{"region": "south"}))
		w.sweepOnce()
		if got := w.actions("clients", id); got != " updated@2 updated@3" {
			t.Errorf("events:%s, want two updates", got)
		}
		w.wantShapes("[+/region]")
		w.verify()
	})
}

// The first reading finds the field that differs on every look, and no other,
// although records change meanwhile.
func TestVolatileFieldsAreProposed(t *testing.T) {
	for _, records := range []int{3, 240} {
		t.Run(fmt.Sprint(records, " records"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 4, trackopstest.Options{Sizes: map[string]int{"clients": records, "files": records}, Rate: 1}, "clients", "files")
				reads := 0
				w.rewrite(func(r trackops.Request, record map[string]any) {
					reads++
					if r.Collection.Name == "clients" {
						record["access"] = map[string]any{"views": reads, "by": "anyone"}
						record["links"] = []any{map[string]any{"token": strings.Repeat("x", reads%47)}}
					}
				})
				w.start()
				ids := w.account.IDs("clients")
				for range 3 {
					w.sleep(time.Second)
					must(t, w.account.Change("clients", ids[len(ids)-1], nil))
				}
				w.await(time.Minute)
				for _, s := range w.poller.Status(time.Now()) {
					var want []string
					if s.Collection == "clients" {
						want = []string{"/access/views", "/links/*/token"}
					}
					if !slices.Equal(s.Volatile, want) {
						t.Errorf("%s: proposed %v, want %v", s.Collection, s.Volatile, want)
					}
				}
			})
		})
	}
}

// What was proposed and then ignored causes no event any more.
func TestIgnoredFieldsCauseNoEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, trackopstest.Options{Sizes: map[string]int{"clients": 120}, Rate: 1}, "clients")
		w.collections[0].Ignore = []string{"/links/*/token"}
		reads := 0
		w.rewrite(func(_ trackops.Request, record map[string]any) {
			reads++
			record["links"] = []any{map[string]any{"token": reads}}
		})
		w.start()
		w.await(time.Minute)
		w.sweepOnce()
		if len(w.events) != 0 {
			t.Errorf("%d events, want none", len(w.events))
		}
	})
}
