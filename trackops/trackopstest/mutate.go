package trackopstest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A Mutation is one write to the account.
type Mutation struct {
	At, Visible time.Time // by our clock: when it was written, and when requests see it
	Collection  string
	ID          string // as [trackops.Key] names it
	Action      events.Action
	Silent      bool            // updated_at did not move
	Record      json.RawMessage // after it; of a deleted one as it was. Without the addresses of files
}

// A mutation waits to become visible.
type mutation struct {
	at      time.Time
	from    *collection
	rec     *record
	version *version
}

// Omit, as a value for [Account.Create] or [Account.Change], leaves the field out.
type Omit struct{}

// Create adds a record and returns its id. The fields of set replace the ones it
// would have; created_at, updated_at and the collection's business date may be a
// [time.Time] or a text, and then sort and filter accordingly.
func (a *Account) Create(collection string, set map[string]any) (id string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.lookup(collection)
	if err != nil {
		return "", err
	}
	return a.create(c, set)
}

func (a *Account) create(c *collection, set map[string]any) (string, error) {
	now := a.stamp()
	die := newDice(a.rng.Uint64())
	v := &version{created: now, updated: now, business: c.businessTime(&die, now)}
	if a.opts.NullUpdated {
		v.updated = 0
	}
	if err := c.apply(v, set); err != nil {
		return "", err
	}
	r := &record{head: v, origin: v.over}
	if !a.link(c, r, &die) {
		return "", fmt.Errorf("create in %s: no combination of ids is free", c.name)
	}
	a.commit(c, r, v, events.Created, false)
	return c.key(a, r), nil
}

// Change replaces fields of a record, or random ones if set is empty, and moves
// its updated_at.
func (a *Account) Change(collection, id string, set map[string]any) error {
	return a.change(collection, id, set, false)
}

// ChangeSilently is Change without moving updated_at.
func (a *Account) ChangeSilently(collection, id string, set map[string]any) error {
	return a.change(collection, id, set, true)
}

func (a *Account) change(collection, id string, set map[string]any, silent bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, r, err := a.lookupRecord(collection, id, false)
	if err != nil {
		return err
	}
	return a.rewrite(c, r, set, silent)
}

func (a *Account) rewrite(c *collection, r *record, set map[string]any, silent bool) error {
	v := r.next()
	if !silent {
		v.updated = a.stamp()
	}
	if len(set) == 0 {
		a.randomChange(c, r, v)
	} else if err := c.apply(v, set); err != nil {
		return err
	}
	a.commit(c, r, v, events.Updated, silent)
	return nil
}

// Delete removes a record from lists; its own address answers 404.
func (a *Account) Delete(collection, id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, r, err := a.lookupRecord(collection, id, false)
	if err != nil {
		return err
	}
	a.remove(c, r)
	return nil
}

func (a *Account) remove(c *collection, r *record) {
	v := r.next()
	v.raw = r.head.raw
	v.deleted = true
	a.commit(c, r, v, events.Deleted, true)
	c.gone = append(c.gone, r)
}

// Restore brings a deleted record back, with a new updated_at unless
// Options.OldUpdated.
func (a *Account) Restore(collection, id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, r, err := a.lookupRecord(collection, id, true)
	if err != nil {
		return err
	}
	a.bringBack(c, r)
	return nil
}

func (a *Account) bringBack(c *collection, r *record) {
	v := r.next()
	v.deleted = false
	if !a.opts.OldUpdated {
		v.updated = a.stamp()
	}
	c.gone = slices.DeleteFunc(c.gone, func(g *record) bool { return g == r })
	a.commit(c, r, v, events.Restored, a.opts.OldUpdated)
}

func (a *Account) lookup(name string) (*collection, error) {
	c := a.collections[name]
	if c == nil {
		return nil, fmt.Errorf("simulated account: there is no collection %q", name)
	}
	return c, nil
}

func (a *Account) lookupRecord(name, id string, deleted bool) (*collection, *record, error) {
	c, err := a.lookup(name)
	if err != nil {
		return nil, nil, err
	}
	r := c.find(id)
	if r == nil || r.head.deleted != deleted {
		return nil, nil, fmt.Errorf("simulated account: %s has no record %s with deleted=%t", name, id, deleted)
	}
	return c, r, nil
}

// next returns a copy of the record's head to build the next version from.
func (r *record) next() *version {
	v := *r.head
	v.over, v.raw = maps.Clone(v.over), nil
	return &v
}

// apply puts explicit fields into a version.
func (c *collection) apply(v *version, set map[string]any) error {
	for name, value := range set {
		if ms, ok := instant(value); ok {
			switch name {
			case "created_at":
				v.created = ms
				continue
			case "updated_at":
				v.updated = ms
				continue
			case c.business:
				v.business = ms
				continue
			}
		}
		text := fieldText("")
		if _, omit := value.(Omit); !omit {
			raw, err := json.Marshal(value)
			if err != nil {
				return fmt.Errorf("simulated account: field %s of %s: %w", name, c.name, err)
			}
			text = fieldText(raw)
		}
		v.put(name, text)
	}
	return nil
}

func (v *version) put(name string, text fieldText) {
	if v.over == nil {
		v.over = map[string]fieldText{}
	}
	v.over[name] = text
}

// instant reads a time given as a time.Time or as a text.
func instant(value any) (int64, bool) {
	switch v := value.(type) {
	case time.Time:
		return v.UnixMilli(), true
	case string:
		if t, _, ok := trackops.ParseTime([]byte(v)); ok {
			return t.UnixMilli(), true
		}
		if t, err := time.Parse(time.DateOnly, v); err == nil {
			return t.UnixMilli(), true
		}
	}
	return 0, false
}

// commit makes v the record's newest version, visible now or after the lag.
func (a *Account) commit(c *collection, r *record, v *version, action events.Action, silent bool) {
	now := time.Now()
	r.head = v
	a.history = bounded(append(a.history, Mutation{
		At: now, Visible: now.Add(a.opts.Lag), Collection: c.name, ID: c.key(a, r),
		Action: action, Silent: silent, Record: a.encoded(c, r, v),
	}), a.opts.Keep)
	a.unseen = append(a.unseen, mutation{now.Add(a.opts.Lag), c, r, v})
	a.catchUp()
}

// catchUp shows what has become visible.
func (a *Account) catchUp() {
	now := time.Now()
	for len(a.unseen) > 0 && !a.unseen[0].at.After(now) {
		m := a.unseen[0]
		a.unseen = a.unseen[1:]
		m.from.index.show(m.rec, m.version)
	}
}

// History returns the mutations since the start, oldest first.
func (a *Account) History() []Mutation {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.history)
}

// Snapshot returns what requests would show now of a collection, by id.
func (a *Account) Snapshot(collection string) map[string]json.RawMessage {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.catchUp()
	c := a.must(collection)
	records := make(map[string]json.RawMessage, len(c.index.order))
	for _, r := range c.index.order {
		records[c.key(a, r)] = a.present(row{c, r})
	}
	return records
}

// IDs returns the ids of the records that requests would show now, oldest first.
func (a *Account) IDs(collection string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.catchUp()
	c := a.must(collection)
	ids := make([]string, len(c.index.created))
	for i, r := range c.index.created {
		ids[i] = c.key(a, r)
	}
	return ids
}
