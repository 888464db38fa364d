package poller

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A poll is a report of the poller, and when it came.
type poll struct {
	Poll
	at time.Time
}

// sourceFunc is a Source that stands between the poller and the account.
type sourceFunc func(context.Context, trackops.Request) (trackops.Page, error)

func (f sourceFunc) Do(ctx context.Context, r trackops.Request) (trackops.Page, error) {
	return f(ctx, r)
}

// rewrite makes the poller see each record as edit leaves it.
func (w *world) rewrite(edit func(r trackops.Request, record map[string]any)) {
	w.source = sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
		page, err := w.account.Do(ctx, r)
		for i, raw := range page.Records {
			record := make(map[string]any)
			d := json.NewDecoder(bytes.NewReader(raw))
			d.UseNumber()
			if err := d.Decode(&record); err != nil {
				return page, err
			}
			edit(r, record)
			encoded, err := json.Marshal(record)
			if err != nil {
				return page, err
			}
			page.Records[i] = encoded
		}
		return page, err
	})
}

// sleep lets virtual time pass, until all that is due at its end is done.
func (w *world) sleep(d time.Duration) {
	w.beat.Add(1)
	time.Sleep(d)
	synctest.Wait()
}

// within waits, in virtual time, until done holds, and fails the test with what
// if that takes longer than limit. It returns how long it took.
func (w *world) within(limit time.Duration, what string, done func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for !done() {
		if time.Since(began) > limit {
			w.t.Fatalf("%s: not after %s; status: %+v", what, limit, w.poller.Status(time.Now()))
		}
		w.sleep(time.Second)
	}
	return time.Since(began)
}

// told waits until the last event of a record is action.
func (w *world) told(limit time.Duration, collection, id string, action events.Action) events.Event {
	w.t.Helper()
	var e events.Event
	w.within(limit, fmt.Sprintf("%s %s %s", collection, id, action), func() bool {
		e, _ = w.last(collection, id)
		return e.Data.Action == action
	})
	return e
}

// last returns the newest event about a record, or about what a system event
// concerns.
func (w *world) last(collection, id string) (events.Event, bool) {
	for i := len(w.events) - 1; i >= 0; i-- {
		if e := w.events[i]; e.Data.Collection == collection && e.Data.ID == id {
			return e, true
		}
	}
	return events.Event{}, false
}

// found returns how many events of an action the polls of a kind brought since.
func (w *world) found(since time.Time, k kind, action events.Action) int {
	n := 0
	for _, p := range w.polls {
		if p.Kind == string(k) && !p.at.Before(since) {
			n += p.Events[action]
		}
	}
	return n
}

// asked returns how many requests of a kind there were since; "" is any.
func (w *world) asked(since time.Time, k kind) int {
	n := 0
	for _, p := range w.polls {
		if (k == "" || p.Kind == string(k)) && !p.at.Before(since) {
			n++
		}
	}
	return n
}

// watch returns the watch of a collection.
func (w *world) watch(collection string) *watch {
	w.t.Helper()
	for _, watch := range w.poller.watches {
		if watch.layout.collection.Name == collection {
			return watch
		}
	}
	w.t.Fatalf("no watch of %s", collection)
	return nil
}
