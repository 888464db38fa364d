package state

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/trackops-notifier/trackops-notifier/events"
)

func TestCompare(t *testing.T) {
	own := func(pairs ...any) []Message { // sequence, id, …
		var m []Message
		for i := 0; i < len(pairs); i += 2 {
			m = append(m, Message{uint64(pairs[i].(int)), "acme", pairs[i+1].(string)})
		}
		return m
	}
	other := func(m []Message, sequences ...uint64) []Message {
		for _, s := range sequences {
			m = append(m, Message{s, "zeta", fmt.Sprint("z", s)})
		}
		return m
	}
	held := []place{{1, "a", 10}, {2, "b", 11}, {3, "c", 14}}
	pending := []place{{4, "d", 0}, {5, "e", 0}}
	for name, c := range map[string]struct {
		held, pending []place
		known         tally
		tail          Tail
		want          verdict
	}{
		"both agree": {held, pending, tally{}, Tail{1, 14, 14, own(10, "a", 11, "b", 14, "c")},
			verdict{position: 14}},
		"crash between publish and note": {held, pending, tally{}, Tail{1, 15, 15, own(10, "a", 11, "b", 14, "c", 15, "d")},
			verdict{Result: Result{Published: 1}, note: []place{{4, "d", 15}}, position: 15}},
		"crash before anything was noted": {nil, pending, tally{}, Tail{1, 3, 3, own(2, "d", 3, "e")},
			verdict{Result: Result{Published: 2}, note: []place{{4, "d", 2}, {5, "e", 3}}, position: 3}},
		"the stream lost its end": {held, pending, tally{}, Tail{1, 10, 10, own(10, "a")},
			verdict{Result: Result{Requeued: 2}, again: []uint64{2, 3}, position: 10}},
		"and another account took the places": {held, pending, tally{}, Tail{1, 12, 10, other(own(10, "a"), 11, 12)},
			verdict{Result: Result{Requeued: 2}, again: []uint64{2, 3}, position: 10}},
		"and one of its messages was deleted": {held, pending, tally{}, Tail{1, 15, 10, other(own(10, "a"), 11, 15)},
			verdict{Result: Result{Requeued: 2}, again: []uint64{2, 3}, position: 10}},
		"the stream is a new one": {held, pending, tally{removed: 9}, Tail{0, 0, 0, nil},
			verdict{Result: Result{Requeued: 3, Short: true}, again: []uint64{1, 2, 3}}},
		"too old or purged": {held, pending, tally{}, Tail{12, 14, 14, own(14, "c")},
			verdict{Result: Result{Gone: 2}, position: 14}},
		"purged to the last": {held, pending, tally{}, Tail{15, 14, 0, nil},
			verdict{Result: Result{Gone: 3}}},
		"one deleted": {held, pending, tally{}, Tail{1, 14, 14, own(10, "a", 14, "c")},
			verdict{Result: Result{Gone: 1}, position: 14}},
		"the account's subject purged": {held, pending, tally{}, Tail{1, 16, 0, other(nil, 12, 13, 15, 16)},
			verdict{Result: Result{Gone: 3}}},
		"found elsewhere": {held, pending, tally{}, Tail{1, 14, 14, own(10, "a", 12, "b", 14, "c")},
			verdict{note: []place{{2, "b", 12}}, position: 14}},
		"another writer after ours": {held, pending, tally{}, Tail{1, 16, 16, own(10, "a", 11, "b", 14, "c", 16, "x")},
			verdict{Result: Result{Foreign: true}, position: 16}},
		"another writer in the place of what was lost": {held, pending, tally{}, Tail{1, 11, 11, own(10, "a", 11, "x")},
			verdict{Result: Result{Foreign: true, Requeued: 2}, again: []uint64{2, 3}, position: 11}},
		"an old backup: some of the later events are its own": {held, pending, tally{}, Tail{1, 17, 17, own(10, "a", 11, "b", 14, "c", 15, "d", 16, "e", 17, "f")},
			verdict{Result: Result{Foreign: true, Published: 2}, note: []place{{4, "d", 15}, {5, "e", 16}}, position: 17}},
		"a writer without ids": {held, pending, tally{}, Tail{1, 16, 16, own(10, "a", 11, "b", 14, "c", 15, "", 16, "")},
			verdict{Result: Result{Foreign: true}, position: 16}},
		"an id of ours twice": {held, pending, tally{}, Tail{1, 15, 15, own(10, "a", 11, "b", 14, "c", 15, "c")},
			verdict{Result: Result{Foreign: true}, note: []place{{3, "c", 15}}, position: 15}},
		"a lost state": {nil, nil, tally{}, Tail{1, 900, 900, nil},
			verdict{Result: Result{Foreign: true}, position: 900}},
		"a lost state after its new epoch": {nil, nil, tally{accepted: 900}, Tail{1, 900, 900, nil},
			verdict{position: 900}},
		"everything removed": {nil, nil, tally{removed: 14}, Tail{1, 14, 14, nil},
			verdict{position: 14}},
		"lost more than is held": {held[2:], nil, tally{removed: 11}, Tail{1, 10, 10, nil},
			verdict{Result: Result{Short: true, Requeued: 1}, again: []uint64{3}, position: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := compare("acme", yield(c.held), yield(c.pending), c.known, c.tail)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("compare = %+v, %v\n          want %+v", got, err, c.want)
			}
		})
	}
}

// TestNewEpochRenamesOnlyWhatWasNeverPublished: two events are published, the
// stream loses the second, and somebody else has written; a third one waits.
func TestNewEpochRenamesOnlyWhatWasNeverPublished(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{Hold: time.Hour})
	old := s.Epoch()
	appendEvents(t, s, "acme", 0, 3)
	publish := func(n int) (ids []string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := s.Drain(ctx, func(_ context.Context, e events.Encoded) (uint64, error) {
			if ids = append(ids, e.ID); len(ids) == n {
				cancel()
			}
			return uint64(len(ids)), nil
		})
		if ctx.Err() == nil {
			t.Fatal(err)
		}
		return ids
	}
	first := publish(2)
	r, err := s.Reconcile("acme", Tail{1, 2, 2, []Message{{1, "acme", first[0]}, {2, "acme", "theirs"}}})
	if err != nil || r != (Result{Requeued: 1, Foreign: true}) {
		t.Fatalf("Reconcile = %+v, %v", r, err)
	}
	epoch, err := s.NewEpoch()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{event("acme", 1, 1, old).ID, event("acme", 2, 1, epoch).ID}
	if got := publish(2); !slices.Equal(got, want) {
		t.Errorf("published after the new epoch: %v, want %v", got, want)
	}
}

func yield(places []place) func(func(place, error) bool) {
	return func(yield func(place, error) bool) {
		for _, p := range places {
			if !yield(p, nil) {
				return
			}
		}
	}
}

// A world is a store of two accounts and a stream that suffers everything a
// stream can suffer.
type world struct {
	path     string
	store    *Store
	first    uint64
	last     uint64
	messages []Message
	appended map[string]int             // account → events so far
	excused  map[string]map[string]bool // account → ids without epoch, which an operator removed
	foreign  map[string]bool            // account → somebody else wrote since the last reconcile
}

// TestReconcileRestoresTheStream appends, publishes, crashes, loses the stream's
// end, purges, deletes and interferes at random, and reconciles after it. The
// stream must hold every event once and in order in the end, but for those that an
// operator removed, and every foreign message must be noticed.
func TestReconcileRestoresTheStream(t *testing.T) {
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		w := &world{
			path: filepath.Join(dir, fmt.Sprintf("%d.db", run)), first: 1,
			appended: map[string]int{},
			excused:  map[string]map[string]bool{"acme": {}, "zeta": {}},
			foreign:  map[string]bool{},
		}
		w.reopen(t)
		t.Repeat(map[string]func(*rapid.T){
			"":         w.eachOnceInOrder,
			"append":   w.append,
			"publish":  w.publish,
			"crash":    w.crash,
			"rollback": w.rollback,
			"purge":    w.purge,
			"delete":   w.delete,
			"foreign":  w.interfere,
		})
		w.restart(t)
		w.drain(t, 1<<30)
		w.eachOnceInOrder(t)
		for _, account := range []string{"acme", "zeta"} {
			present := w.present(account)
			for n := range w.appended[account] {
				id := withoutEpoch(event(account, n, 1, "x").ID)
				if !slices.Contains(present, id) && !w.excused[account][id] {
					t.Fatalf("event %s is lost; the stream holds %v", id, present)
				}
			}
		}
		shut(t, w.store)
	})
}

func withoutEpoch(id string) string { return id[:strings.LastIndexByte(id, '_')] }

func (w *world) put(account, id string) uint64 {
	w.last++
	w.messages = append(w.messages, Message{w.last, account, id})
	return w.last
}

// present lists an account's own events in the stream, without their epoch.
func (w *world) present(account string) (ids []string) {
	for _, m := range w.messages {
		if m.Account == account && !strings.HasPrefix(m.ID, "foreign") {
			ids = append(ids, withoutEpoch(m.ID))
		}
	}
	return ids
}

func (w *world) eachOnceInOrder(t *rapid.T) {
	for _, account := range []string{"acme", "zeta"} {
		last := -1
		for _, id := range w.present(account) {
			var n int
			if _, err := fmt.Sscanf(id, account+"_clients_%d_1", &n); err != nil {
				t.Fatal(err)
			}
			if n <= last {
				t.Fatalf("event %d comes after %d in the stream: %v", n, last, w.messages)
			}
			last = n
		}
	}
}

func (w *world) append(t *rapid.T) {
	account := accounts.Draw(t, "account")
	err := w.store.Update(func(tx *Tx) error {
		for range rapid.IntRange(1, 5).Draw(t, "events") {
			if err := tx.Append(event(account, w.appended[account], 1, tx.Epoch())); err != nil {
				return err
			}
			w.appended[account]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// drain publishes up to n events; the last one's PubAck may get lost, in which
// case the process starts again.
func (w *world) drain(t *rapid.T, n int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	pending, _, _ := w.store.Backlog("")
	if n = min(n, pending); n == 0 {
		return
	}
	err := w.store.Drain(ctx, func(_ context.Context, e events.Encoded) (uint64, error) {
		if n--; n == 0 {
			cancel()
		}
		return w.put(e.Account, e.ID), nil
	})
	if ctx.Err() == nil {
		t.Fatal(err)
	}
}

func (w *world) publish(t *rapid.T) { w.drain(t, rapid.IntRange(1, 6).Draw(t, "events")) }

// crash publishes a few events and ends before they are noted.
func (w *world) crash(t *rapid.T) {
	batch, err := w.store.nextBatch(rapid.SampledFrom([]string{"", "acme"}).Draw(t, "turn"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range batch[:rapid.IntRange(0, len(batch)).Draw(t, "published")] {
		w.put(l.event.Account, l.event.ID)
	}
	w.restart(t)
}

// rollback takes the stream back to where it was last synced. Somebody else, of
// an account that is not ours, may publish before we come back.
func (w *world) rollback(t *rapid.T) {
	w.last -= uint64(rapid.IntRange(0, int(w.last-w.first+1)).Draw(t, "lost"))
	w.messages = slices.DeleteFunc(w.messages, func(m Message) bool { return m.Sequence > w.last })
	for range rapid.IntRange(0, 4).Draw(t, "others") {
		w.put("other", fmt.Sprint("other", w.last))
	}
	for account := range w.foreign {
		w.foreign[account] = slices.ContainsFunc(w.messages, func(m Message) bool {
			return m.Account == account && strings.HasPrefix(m.ID, "foreign") && !strings.HasSuffix(m.ID, "seen")
		})
	}
	w.restart(t)
}

// excuse notes that an operator removed a message.
func (w *world) excuse(m Message) {
	if set := w.excused[m.Account]; set != nil && !strings.HasPrefix(m.ID, "foreign") {
		set[withoutEpoch(m.ID)] = true
	}
}

func (w *world) purge(t *rapid.T) {
	w.first += uint64(rapid.IntRange(0, int(w.last-w.first+1)).Draw(t, "purged"))
	w.remove(func(m Message) bool { return m.Sequence < w.first })
	w.restart(t)
}

func (w *world) delete(t *rapid.T) {
	if len(w.messages) > 0 {
		victim := rapid.SampledFrom(w.messages).Draw(t, "deleted")
		w.remove(func(m Message) bool { return m == victim })
	}
	w.restart(t)
}

func (w *world) remove(which func(Message) bool) {
	w.messages = slices.DeleteFunc(w.messages, func(m Message) bool {
		if which(m) {
			w.excuse(m)
		}
		return which(m)
	})
}

func (w *world) interfere(t *rapid.T) {
	account := accounts.Draw(t, "account")
	w.put(account, fmt.Sprint("foreign", w.last))
	w.foreign[account] = true
	w.restart(t)
}

func (w *world) reopen(t *rapid.T) {
	if w.store != nil {
		shut(t, w.store)
	}
	s, err := Open(w.path, Options{Hold: time.Hour, MmapSize: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	s.db.NoSync, s.db.NoGrowSync = true, true // nothing here ends the machine
	w.store = s
}

// restart is what the program does at its start.
func (w *world) restart(t *rapid.T) {
	w.reopen(t)
	again := false
	for _, account := range []string{"acme", "zeta"} {
		r, err := w.store.Reconcile(account, w.tail(t, account))
		if err != nil {
			t.Fatal(err)
		}
		if r.Foreign != w.foreign[account] {
			t.Fatalf("%s: Foreign = %v, want %v; stream %v", account, r.Foreign, w.foreign[account], w.messages)
		}
		if w.foreign[account] {
			again = true
		}
	}
	if again {
		if _, err := w.store.NewEpoch(); err != nil {
			t.Fatal(err)
		}
		for i, m := range w.messages {
			if strings.HasPrefix(m.ID, "foreign") && !strings.HasSuffix(m.ID, "seen") {
				w.messages[i].ID += "seen"
			}
		}
		clear(w.foreign)
	}
	for _, account := range []string{"acme", "zeta"} { // nothing is left to do
		before, held, _ := w.store.Backlog(account)
		r, err := w.store.Reconcile(account, w.tail(t, account))
		after, stillHeld, _ := w.store.Backlog(account)
		if err != nil || r.Published+r.Requeued > 0 || r.Foreign || before != after || held != stillHeld {
			t.Fatalf("%s: a second Reconcile = %+v, %v", account, r, err)
		}
		if p := w.store.Position(account); p != w.tail(t, account).AccountLast {
			t.Fatalf("Position(%s) = %d, want that of the last message, %d", account, p, w.tail(t, account).AccountLast)
		}
	}
}

func (w *world) tail(t *rapid.T, account string) Tail {
	from, err := w.store.TailFrom(account)
	if err != nil {
		t.Fatal(err)
	}
	tail := Tail{First: w.first, Last: w.last}
	for _, m := range w.messages {
		if m.Account == account {
			tail.AccountLast = m.Sequence
		}
		if from > 0 && m.Sequence >= from {
			tail.Messages = append(tail.Messages, m)
		}
	}
	return tail
}
