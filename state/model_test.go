package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// TestStoreIsAMap drives a store and plain maps with the same random steps and
// compares everything that can be asked, also after failed transactions, failed
// publishing and reopening.
func TestStoreIsAMap(t *testing.T) {
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		m := &model{
			path:    filepath.Join(dir, fmt.Sprintf("%d.db", run)),
			hold:    rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "hold"),
			records: map[string]map[string]Record{},
			queues:  map[string][]events.Encoded{},
			held:    map[string]int{},
			last:    map[string]uint64{},
		}
		m.reopen(t)
		t.Repeat(map[string]func(*rapid.T){
			"":         m.compare,
			"update":   m.update,
			"drain":    m.drain,
			"reopen":   m.reopen,
			"newEpoch": m.newEpoch,
		})
		shut(t, m.store)
	})
}

type model struct {
	path    string
	hold    time.Duration
	store   *Store
	records map[string]map[string]Record // "account/collection" → id → record
	queues  map[string][]events.Encoded  // account → pending
	held    map[string]int
	last    map[string]uint64 // account → position
	stream  uint64
	counter int
}

var (
	accounts    = rapid.SampledFrom([]string{"acme", "zeta"})
	collections = rapid.SampledFrom([]string{"clients", "cases"})
	someTimes   = rapid.SampledFrom([]time.Time{
		{}, time.Unix(-5e9, 7).UTC(), time.Unix(0, 0).UTC(), time.Unix(1e9, 0).UTC(), time.Unix(1e9, 1).UTC(),
		time.Unix(1e9+1, 0).UTC(), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
	})
	someIDs = rapid.OneOf(
		rapid.StringMatching(`[1-9][0-9]?`),
		rapid.SampledFrom([]string{"\x00", "\xff\xff", "a/b/c", strings.Repeat("x", maxID)}),
	)
)

func randomRecord(t *rapid.T) Record {
	rec := Record{
		ID:       someIDs.Draw(t, "id"),
		Revision: rapid.Uint64().Draw(t, "revision"),
		Created:  someTimes.Draw(t, "created"), Updated: someTimes.Draw(t, "updated"), Observed: someTimes.Draw(t, "observed"),
		Document: []byte(rapid.OneOf(rapid.String(), rapid.Just(strings.Repeat(`{"id":1,"name":"Spade"}`, 50))).Draw(t, "document")),
	}
	copy(rec.Fingerprint[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "fingerprint"))
	if rapid.Bool().Draw(t, "deleted") {
		rec.Deleted = time.Unix(2e9, 0).UTC()
	}
	if len(rec.Document) == 0 {
		rec.Document = nil
	}
	return rec
}

var errRefused = errors.New("refused")

// update puts records and events; now and then the transaction is given up.
func (m *model) update(t *rapid.T) {
	records := map[string]map[string]Record{}
	for name, all := range m.records {
		records[name] = maps.Clone(all)
	}
	queues := map[string][]events.Encoded{}
	fail := rapid.IntRange(0, 4).Draw(t, "fail") == 0
	err := m.store.Update(func(tx *Tx) error {
		for range rapid.IntRange(0, 5).Draw(t, "records") {
			account, collection := accounts.Draw(t, "account"), collections.Draw(t, "collection")
			rec := randomRecord(t)
			if err := tx.Records(account, collection).Put(rec); err != nil {
				return err
			}
			name := account + "/" + collection
			if records[name] == nil {
				records[name] = map[string]Record{}
			}
			records[name][rec.ID] = rec
			if got, ok, err := tx.Records(account, collection).Get(rec.ID); !ok || err != nil || !reflect.DeepEqual(got, rec) {
				t.Fatalf("Get inside the transaction = %v, %v, %v", got, ok, err)
			}
		}
		for range rapid.IntRange(0, 8).Draw(t, "events") {
			m.counter++
			e := event(accounts.Draw(t, "account"), m.counter, 1, tx.Epoch())
			if err := tx.Append(e); err != nil {
				return err
			}
			queues[e.Account] = append(queues[e.Account], e)
		}
		if fail {
			return errRefused
		}
		return nil
	})
	if fail {
		if !errors.Is(err, errRefused) {
			t.Fatalf("Update = %v, want %v", err, errRefused)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	m.records = records
	for account, q := range queues {
		m.queues[account] = append(m.queues[account], q...)
	}
}

// drain publishes some of what waits; then publishing fails or ctx ends.
func (m *model) drain(t *rapid.T) {
	waiting := len(m.queues["acme"]) + len(m.queues["zeta"])
	stop := rapid.IntRange(0, waiting).Draw(t, "stop")
	cancelled := stop > 0 && rapid.Bool().Draw(t, "cancel")
	if stop == waiting && !cancelled {
		return // it would wait for more
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	err := m.store.Drain(ctx, func(_ context.Context, e events.Encoded) (uint64, error) {
		if n == stop {
			return 0, errRefused
		}
		q := m.queues[e.Account]
		if len(q) == 0 || !reflect.DeepEqual(e, q[0]) {
			t.Fatalf("published %v, want the first of %v", e, q)
		}
		m.queues[e.Account] = q[1:]
		m.stream += 1 + uint64(n%3)
		m.last[e.Account] = m.stream
		m.held[e.Account]++
		if n++; n == stop && cancelled {
			cancel()
		}
		return m.stream, nil
	})
	want := errRefused
	if cancelled {
		want = context.Canceled
	}
	if !errors.Is(err, want) {
		t.Fatalf("Drain = %v, want %v", err, want)
	}
	if m.hold == 0 && stop > 0 {
		// An account's events are removed when one of its own is noted.
		m.held = map[string]int{}
	}
}

func (m *model) reopen(t *rapid.T) {
	epoch := ""
	if m.store != nil {
		epoch = m.store.Epoch()
		shut(t, m.store)
	}
	s, err := Open(m.path, Options{Hold: m.hold, MmapSize: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	if epoch != "" && epoch != s.Epoch() {
		t.Fatalf("epoch was %s, is %s", epoch, s.Epoch())
	}
	s.db.NoSync, s.db.NoGrowSync = true, true // nothing here ends the machine
	m.store = s
}

func (m *model) newEpoch(t *rapid.T) {
	old := m.store.Epoch()
	epoch, err := m.store.NewEpoch()
	if err != nil || epoch == old || epoch != m.store.Epoch() {
		t.Fatalf("NewEpoch = %q, %v; it was %q", epoch, err, old)
	}
	for _, q := range m.queues {
		for i, e := range q {
			d, err := events.Decode(e.Body)
			if err != nil {
				t.Fatal(err)
			}
			if q[i], err = d.Stamp(epoch).Encode(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (m *model) compare(t *rapid.T) {
	for _, account := range []string{"acme", "zeta"} {
		pending, held, oldest := m.store.Backlog(account)
		if pending != len(m.queues[account]) || held != m.held[account] || oldest.IsZero() != (pending == 0) {
			t.Fatalf("Backlog(%s) = %d, %d, %v, want %d, %d", account, pending, held, oldest, len(m.queues[account]), m.held[account])
		}
		if p := m.store.Position(account); p != m.last[account] {
			t.Fatalf("Position(%s) = %d, want %d", account, p, m.last[account])
		}
	}
	err := m.store.View(func(tx *Tx) error {
		for _, account := range []string{"acme", "zeta"} {
			for _, collection := range []string{"clients", "cases"} {
				compareRecords(t, tx.Records(account, collection), m.records[account+"/"+collection])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func compareRecords(t *rapid.T, r *Records, want map[string]Record) {
	ids := slices.Sorted(maps.Keys(want))
	var all, live []Record
	for _, id := range ids {
		rec := want[id]
		all = append(all, rec)
		if rec.Deleted.IsZero() {
			live = append(live, rec)
		}
		got, ok, err := r.Get(id)
		if !ok || err != nil || !reflect.DeepEqual(got, rec) {
			t.Fatalf("Get(%q) = %v, %v, %v, want %v", id, got, ok, err, rec)
		}
		if m, ok := r.Meta(id); !ok || !reflect.DeepEqual(m, metaOf(rec)) {
			t.Fatalf("Meta(%q) = %v, %v, want %v", id, m, ok, metaOf(rec))
		}
	}
	if n, dead := r.Len(); n != len(live) || dead != len(all)-len(live) {
		t.Fatalf("Len() = %d, %d, want %d, %d", n, dead, len(live), len(all)-len(live))
	}
	if _, ok := r.Meta("none"); ok {
		t.Fatal("Meta finds a record that is not there")
	}
	comparePages(t, r, all)
	compareIndex(t, r, live)
}

func metaOf(r Record) Meta {
	return Meta{r.ID, r.Revision, r.Fingerprint, r.Created, r.Updated, r.Observed, r.Deleted}
}

func comparePages(t *rapid.T, r *Records, all []Record) {
	limit := rapid.IntRange(1, 4).Draw(t, "limit")
	var got []Record
	after := ""
	for {
		page, err := r.From(after, limit)
		if err != nil || len(page) > limit {
			t.Fatalf("From(%q, %d) = %d records, %v", after, limit, len(page), err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		after = page[len(page)-1].ID
	}
	if !reflect.DeepEqual(all, got) {
		d := cmp.Diff(all, got)
		t.Fatalf("From, page by page (-want +got):\n%s", d)
	}
}

func compareIndex(t *rapid.T, r *Records, live []Record) {
	from, to := someTimes.Draw(t, "from"), someTimes.Draw(t, "to")
	slices.SortFunc(live, func(a, b Record) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return bytes.Compare([]byte(a.ID), []byte(b.ID))
	})
	var want, wantUndated, got, gotUndated []Meta
	for _, rec := range live {
		switch {
		case rec.Created.IsZero():
			wantUndated = append(wantUndated, metaOf(rec))
		case (from.IsZero() || !rec.Created.Before(from)) && (to.IsZero() || !rec.Created.After(to)):
			want = append(want, metaOf(rec))
		}
	}
	r.Range(from, to, func(m Meta) bool { got = append(got, m); return true })
	r.Undated(func(m Meta) bool { gotUndated = append(gotUndated, m); return true })
	if !reflect.DeepEqual(want, got) || !reflect.DeepEqual(wantUndated, gotUndated) {
		d := cmp.Diff(want, got) + cmp.Diff(wantUndated, gotUndated)
		t.Fatalf("Range(%v, %v) and Undated (-want +got):\n%s", from, to, d)
	}
	if n := r.CountCreated(from, to); n != len(want) {
		t.Fatalf("CountCreated(%v, %v) = %d, want %d", from, to, n, len(want))
	}
	if len(got) > 0 {
		n := math.MaxInt
		r.Range(from, to, func(Meta) bool { n = 1; return false })
		if n != 1 {
			t.Fatal("Range does not stop")
		}
	}
}
