package poller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/diff"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// A world is a simulated account, the real poller and the real state, with a
// stream that only collects. It lives in the bubble of testing/synctest: hours
// take seconds.
type world struct {
	t           *testing.T
	account     *trackopstest.Account
	store       *state.Store
	path        string
	collections []trackops.Collection
	rate        float64
	options     state.Options
	rng         *rand.Rand

	poller *Poller
	stop   func()
	spent  map[string]int // requests by kind of job
	events []events.Event // as the outbox had them, in order
	polls  []poll         // as the poller reported them
	beat   atomic.Int64   // orders what the test and the poller do, for the race detector

	source    Source        // between poller and account; nil: nothing
	configure func(*Config) // changes the poller's configuration; nil: nothing
}

func newWorld(t *testing.T, seed uint64, opts trackopstest.Options, collections ...string) *world {
	t.Helper()
	opts.Seed = seed
	w := &world{
		t:       t,
		account: trackopstest.New(opts),
		path:    filepath.Join(t.TempDir(), "state.db"),
		rate:    1,
		spent:   make(map[string]int),
		options: state.Options{Hold: time.Minute},
		rng:     rand.New(rand.NewPCG(seed, 1)),
	}
	for _, name := range collections {
		c, ok := trackops.Lookup(name)
		if !ok {
			t.Fatalf("no collection %s", name)
		}
		w.collections = append(w.collections, c)
	}
	t.Cleanup(func() {
		w.crash()
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return w
}

// start starts the poller and the relay.
func (w *world) start() {
	w.t.Helper()
	store, err := state.Open(w.path, w.options)
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = store
	config := Config{
		Account:     "acme",
		Source:      w.account,
		Store:       store,
		Collections: w.collections,
		Rate:        w.rate,
		Logger:      slog.New(slog.DiscardHandler),
		Observe: func(p Poll) {
			w.beat.Add(1)
			w.spent[p.Kind]++
			w.polls = append(w.polls, poll{p, time.Now()})
		},
	}
	if w.source != nil {
		config.Source = sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
			w.beat.Add(1)
			return w.source.Do(ctx, r)
		})
	}
	if w.configure != nil {
		w.configure(&config)
	}
	w.poller, err = New(config)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	polled := make(chan error, 1)
	go func() { polled <- w.poller.work(ctx) }()
	drained := make(chan error, 1)
	go func() { drained <- store.Drain(ctx, w.publish) }()
	w.stop = func() {
		cancel()
		if err := <-polled; err != nil {
			w.t.Errorf("poller: %v", err)
		}
		if err := <-drained; !errors.Is(err, context.Canceled) {
			w.t.Errorf("relay: %v", err)
		}
		if err := store.Check(); err != nil {
			w.t.Errorf("state: %v", err)
		}
		if err := store.Close(); err != nil {
			w.t.Error(err)
		}
		w.stop = nil
	}
}

func (w *world) publish(_ context.Context, e events.Encoded) (uint64, error) {
	w.beat.Add(1)
	decoded, err := events.Decode(e.Body)
	if err != nil {
		return 0, err
	}
	w.events = append(w.events, decoded)
	return uint64(len(w.events)), nil
}

// crash ends the poller between two commits, without its last words.
func (w *world) crash() {
	if w.stop != nil {
		w.stop()
	}
}

// await waits, in virtual time, until every collection is live.
func (w *world) await(limit time.Duration) {
	w.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); w.sleep(time.Second) {
		ready := true
		for _, s := range w.poller.Status(time.Now()) {
			ready = ready && s.Ready()
		}
		if ready {
			return
		}
	}
	w.t.Fatalf("not ready after %s: %+v", limit, w.poller.Status(time.Now()))
}

// verify compares what is held with the account, and replays the events: each
// record's revisions are contiguous, and its changes lead from one version to
// the next.
func (w *world) verify() {
	w.t.Helper()
	w.verifyEvents()
	for _, r := range w.account.Requests() {
		if strings.Contains(r.Query, "updated_to") {
			// An edit takes a record out of such a set while it is being read.
			w.t.Errorf("a question with an upper bound of updated_at: %s?%s", r.Path, r.Query)
		}
	}
	for _, c := range w.collections {
		l, err := newLayout(c)
		if err != nil {
			w.t.Fatal(err)
		}
		held := w.held(c.Name)
		snapshot := w.account.Snapshot(c.Name)
		for id, r := range held {
			if _, there := snapshot[id]; !there && r.Deleted.IsZero() {
				w.t.Errorf("%s %s is held as living, and is gone", c.Name, id)
			}
		}
		for id, raw := range snapshot {
			want, err := l.rules.Clean(raw)
			if err != nil {
				w.t.Fatal(err)
			}
			got, ok := held[id]
			if !ok || !got.Deleted.IsZero() {
				w.t.Errorf("%s %s is not held", c.Name, id)
			} else if !diff.Equal(got.Document, want) {
				w.t.Errorf("%s %s: held version %s, want %s", c.Name, id, got.Document, want)
			}
		}
	}
}

func (w *world) held(collection string) map[string]state.Record {
	w.t.Helper()
	held := make(map[string]state.Record)
	err := w.store.View(func(tx *state.Tx) error {
		return tx.Records("acme", collection).All(func(r state.Record) error {
			held[r.ID] = r
			return nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return held
}

func (w *world) verifyEvents() {
	w.t.Helper()
	type key struct{ collection, id string }
	deletions := make(map[key]int)
	for _, m := range w.account.History() {
		if m.Action == events.Deleted {
			deletions[key{m.Collection, m.ID}]++
		}
	}
	last := make(map[key]events.Data)
	ids := make(map[string]bool)
	for _, e := range w.events {
		if ids[e.ID] {
			w.t.Errorf("id %s twice", e.ID)
		}
		ids[e.ID] = true
		if e.Data.Collection == events.System {
			continue
		}
		k := key{e.Data.Collection, e.Data.ID}
		if e.Data.Action == events.Deleted {
			if deletions[k]--; deletions[k] < 0 {
				w.t.Errorf("%s: a deletion that did not happen", e.ID)
			}
		}
		before, seen := last[k]
		if seen && e.Data.Revision != before.Revision+1 {
			w.t.Errorf("%s: revision %d follows %d", e.ID, e.Data.Revision, before.Revision)
		}
		if seen && e.Data.Action == events.Updated {
			w.verifyChanges(e.ID, before.Record, e.Data)
		}
		if e.Data.Collection == "files" && bytes.Contains(e.Data.Record, []byte("https://")) {
			w.t.Errorf("%s: an address of a file was published", e.ID)
		}
		last[k] = e.Data
	}
}

func (w *world) verifyChanges(id string, before json.RawMessage, d events.Data) {
	w.t.Helper()
	after, err := diff.Apply(before, d.Changes)
	if err != nil || !diff.Equal(after, d.Record) {
		w.t.Errorf("%s: the changes lead to %s, %v; want %s", id, after, err, d.Record)
	}
}

// count returns how many events there are of a kind; "" is any.
func (w *world) count(collection string, action events.Action) int {
	n := 0
	for _, e := range w.events {
		if (collection == "" || e.Data.Collection == collection) && (action == "" || e.Data.Action == action) {
			n++
		}
	}
	return n
}

// actions describes the events of a record, for messages.
func (w *world) actions(collection, id string) string {
	s := ""
	for _, e := range w.events {
		if e.Data.Collection == collection && e.Data.ID == id {
			s += fmt.Sprintf(" %s@%d", e.Data.Action, e.Data.Revision)
		}
	}
	return s
}
