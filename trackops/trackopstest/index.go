package trackopstest

import (
	"cmp"
	"slices"
)

// An index keeps a collection's visible records in the orders that requests ask
// for, so that a page, a window or a count does not read them all.
type index struct {
	sort    Sort
	order   []*record // by the account's sort key
	created []*record // by system creation

	// updates is a log of (updated_at, record), by time. An entry is stale when
	// the record has moved on; stale ones are dropped once they are the majority.
	updates []update
}

type update struct {
	at  int64
	rec *record
}

func (u update) isStale() bool { return u.rec.shown.updated != u.at }

// show makes v what requests see of r.
func (x *index) show(r *record, v *version) {
	old := r.shown
	was, is := old != nil && !old.deleted, !v.deleted
	moved := was && is && (old.created != v.created || x.key(r, old) != x.key(r, v))
	if was && (!is || moved) {
		x.order = remove(x.order, r, x.byOrder)
		x.created = remove(x.created, r, byCreated)
	}
	r.shown = v
	if is && (!was || moved) {
		x.order = insert(x.order, r, x.byOrder)
		x.created = insert(x.created, r, byCreated)
	}
	if v.updated != 0 && (old == nil || old.updated != v.updated) {
		x.logUpdate(update{v.updated, r})
	}
}

func (x *index) logUpdate(u update) {
	if len(x.updates) > 2*len(x.created)+1024 {
		x.updates = slices.DeleteFunc(x.updates, update.isStale)
	}
	i := len(x.updates)
	if i > 0 && x.updates[i-1].at > u.at {
		i = x.updatedSince(u.at + 1)
	}
	x.updates = slices.Insert(x.updates, i, u)
}

// updatedSince returns the position of the first entry at or after ms.
func (x *index) updatedSince(ms int64) int {
	i, _ := slices.BinarySearchFunc(x.updates, ms, func(u update, ms int64) int { return cmp.Compare(u.at, ms) })
	return i
}

// createdRange returns the records created from low to high, inclusive.
func (x *index) createdRange(low, high int64) []*record {
	after := func(ms int64) int {
		i, _ := slices.BinarySearchFunc(x.created, ms, func(r *record, ms int64) int { return cmp.Compare(r.shown.created, ms) })
		return i
	}
	if low > high {
		return nil
	}
	i, j := after(low), len(x.created)
	if high < endOfTime {
		j = after(high + 1)
	}
	return x.created[i:j]
}

// build fills the index with records in order of creation.
func (x *index) build(records []*record) {
	x.created = slices.Clone(records)
	x.order = slices.Clone(records)
	slices.SortFunc(x.order, x.byOrder)
	for _, r := range records {
		if r.shown.updated != 0 {
			x.updates = append(x.updates, update{r.shown.updated, r})
		}
	}
	slices.SortFunc(x.updates, func(a, b update) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.rec.n, b.rec.n))
	})
}

func (x *index) key(r *record, v *version) int64 {
	switch x.sort {
	case ByCreated:
		return v.created
	case ByBusiness:
		return v.business
	}
	return int64(r.n)
}

// byOrder compares by the sort key; ties are broken in no meaningful order.
func (x *index) byOrder(a, b *record) int {
	if c := cmp.Compare(x.key(a, a.shown), x.key(b, b.shown)); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(scatter(a), scatter(b)), cmp.Compare(a.n, b.n))
}

func scatter(r *record) uint64 {
	d := dice(r.n)
	return d.next()
}

func byCreated(a, b *record) int {
	return cmp.Or(cmp.Compare(a.shown.created, b.shown.created), cmp.Compare(a.n, b.n))
}

func insert(list []*record, r *record, order func(a, b *record) int) []*record {
	if len(list) == 0 || order(list[len(list)-1], r) < 0 {
		return append(list, r)
	}
	i, _ := slices.BinarySearchFunc(list, r, order)
	return slices.Insert(list, i, r)
}

func remove(list []*record, r *record, order func(a, b *record) int) []*record {
	i, found := slices.BinarySearchFunc(list, r, order)
	if !found {
		panic("trackopstest: an index lost a record")
	}
	return slices.Delete(list, i, i+1)
}
