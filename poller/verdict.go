package poller

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/state"
)

// A verdict is what an answer changes: what is stored, and what is told.
type verdict struct {
	edits []edit
	dead  map[string]suspect
	shape *shape // a change of the schema, to be told
	brake *brake // deletions are held back, to be told
	next  progress
	held  int
	found found
}

// take stores an answer: records, events and cursor in one transaction.
func (p *Poller) take(w *watch, a answer) (map[events.Action]int, error) {
	now := time.Now()
	v, err := p.weigh(w, a, now)
	if err != nil {
		return nil, err
	}
	counts := make(map[events.Action]int)
	if p.worthStoring(w, v, now) {
		err = p.Store.Update(func(tx *state.Tx) error {
			clear(counts)
			return p.store(tx, w, v, p.observation(w, a, now), counts)
		})
		if err != nil {
			return nil, fmt.Errorf("store answer about %s: %w", w.layout.collection.Name, err)
		}
	}
	if len(v.next.cursor.Volatile) > 0 && w.cursor.Volatile == nil {
		p.Logger.Warn("fields change by themselves, which makes every reading an update; consider to ignore them",
			"account", p.Account, "collection", w.layout.collection.Name,
			"set", "COLLECTION_"+strings.ToUpper(w.layout.collection.Name)+"_IGNORE="+strings.Join(v.next.cursor.Volatile, ","))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w.commit(v, a, now)
	return counts, nil
}

// weigh compares an answer with what is held and decides what follows. It only
// reads: most answers bring no news, and cost no transaction.
func (p *Poller) weigh(w *watch, a answer, now time.Time) (v verdict, err error) {
	err = p.Store.View(func(tx *state.Tx) error {
		records := tx.Records(p.Account, w.layout.collection.Name)
		if b := w.cursor.Baseline; b == nil || b.Stage != stageTwice {
			v.edits = w.compare(records, a.rows, now)
		}
		if !a.job.request.Asc {
			slices.Reverse(v.edits) // people read what happened in this order
		}
		if v.shape, err = w.drift(a, v.edits, records, now); err != nil {
			return err
		}
		v.edits = slices.DeleteFunc(v.edits, func(e edit) bool { return e.wait })
		v.found = summary(v.edits)
		v.held = w.held
		for _, e := range v.edits {
			if !e.held || !e.meta.Deleted.IsZero() {
				v.held++
			}
		}
		v.next = w.after(a, v.found, v.held, records, now)
		return nil
	})
	c := &v.next.cursor
	if v.shape != nil {
		c.Shape = v.shape
	}
	for _, id := range v.next.doomed {
		s := c.Suspects[id]
		s.Canary = c.vouched(w, s, now)
		v.dead = with(v.dead, id, s)
		c.Suspects = without(c.Suspects, id)
		v.held--
		if c.Bisect != nil && v.dead[id].From != bySearch {
			b := *c.Bisect
			b.Found++ // what is searched for was found another way
			c.Bisect = &b
		}
	}
	if c.Brake != nil && !c.Brake.Told {
		told := *c.Brake
		told.Told = true
		c.Brake, v.brake = &told, &told
	}
	return v, err
}

func summary(edits []edit) found {
	var f found
	for _, e := range edits {
		if e.rebase {
			continue
		}
		if e.held && e.meta.Deleted.IsZero() {
			f.changed++
		} else {
			f.unknown++
		}
		if !e.silent && e.moved() {
			f.fresh = later(f.fresh, e.row.key.Updated)
			if u := e.row.key.Updated; f.oldest.IsZero() || u.Before(f.oldest) {
				f.oldest = u
			}
		}
	}
	return f
}

// saveEvery is how often cursors are stored that moved without news: after a
// crash the time since is asked again.
const saveEvery = 30 * time.Second

// worthStoring reports whether an answer has to reach the disk now.
func (p *Poller) worthStoring(w *watch, v verdict, now time.Time) bool {
	return len(v.edits) > 0 || len(v.dead) > 0 || v.shape != nil || v.brake != nil ||
		!v.next.cursor.Live || !w.cursor.Live || len(v.next.cursor.Suspects) != len(w.cursor.Suspects) ||
		now.Sub(p.saved) >= saveEvery
}

func (p *Poller) store(tx *state.Tx, w *watch, v verdict, o observation, counts map[events.Action]int) error {
	records := tx.Records(p.Account, w.layout.collection.Name)
	for _, e := range v.edits {
		action, err := w.write(tx, records, e, o)
		if err != nil {
			return err
		}
		if action != "" {
			counts[action]++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(v.dead)) {
		if err := w.remove(tx, records, id, v.dead[id], o); err != nil {
			return err
		}
		counts[events.Deleted]++
	}
	if err := p.tellTrouble(tx, w, v); err != nil {
		return err
	}
	if err := p.saveCursors(tx, w); err != nil {
		return err
	}
	if err := p.saveCursor(tx, w.layout.collection.Name, v.next.cursor); err != nil {
		return err
	}
	return p.saveNote(tx, false)
}

// tellTrouble publishes what is wrong with the collection as a whole.
func (p *Poller) tellTrouble(tx *state.Tx, w *watch, v verdict) error {
	name := w.layout.collection.Name
	if v.shape != nil {
		err := p.tell(tx, events.SchemaChanged, name, fmt.Sprintf("The records of %s have another shape: %s.", name, strings.Join(v.shape.Changes, ", ")),
			map[string]any{"collection": name, "changes": v.shape.Changes})
		if err != nil {
			return err
		}
	}
	if v.brake == nil {
		return nil
	}
	return p.tell(tx, events.SourceSuspicious, name,
		fmt.Sprintf("What Trackops shows of %s is not believed: %s. No deletion is reported for an hour, unless trackops-notifier confirm %s says that it is true.", name, v.brake.Why, name),
		map[string]any{"collection": name, "reason": v.brake.Why, "absent": len(v.next.cursor.Suspects), "held": v.held})
}

// saveCursors stores the cursors of all collections but one, if that is due.
func (p *Poller) saveCursors(tx *state.Tx, but *watch) error {
	now := time.Now()
	if now.Sub(p.saved) < saveEvery {
		return nil
	}
	p.saved = now
	for _, w := range p.watches {
		if w == but {
			continue
		}
		if err := p.saveCursor(tx, w.layout.collection.Name, w.cursor); err != nil {
			return err
		}
	}
	return nil
}

func (p *Poller) observation(w *watch, a answer, now time.Time) observation {
	o := observation{
		account:   p.Account,
		source:    events.Source(p.Account) + "/" + w.layout.collection.Path,
		at:        now.UTC().Truncate(time.Millisecond),
		notBefore: w.lastPollThere().UTC().Truncate(time.Millisecond),
		notAfter:  a.page.Date.Add(resolution - time.Millisecond).UTC(), // the header is cut to the second
	}
	if a.page.Date.IsZero() {
		o.notAfter = o.at
	}
	return o
}
