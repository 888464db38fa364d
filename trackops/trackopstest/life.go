package trackopstest

import (
	"context"
	"time"
)

// Step makes one random mutation and returns it: mostly a change, a third of the
// time a new record, now and then a deletion or a restoration.
func (a *Account) Step() Mutation {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.randomCollection()
	chance := a.rng.Float64()
	r := a.randomRecord(c)
	switch {
	case chance < 0.02 && len(c.gone) > 0:
		a.bringBack(c, c.gone[a.rng.IntN(len(c.gone))])
	case chance < 0.07 && r != nil:
		a.remove(c, r)
	case chance < 0.65 && r != nil:
		a.step(c, r)
	default:
		if _, err := a.create(c, nil); err != nil {
			// Only a collection whose combinations are used up refuses.
			a.step(c, c.records[0])
		}
	}
	return a.history[len(a.history)-1]
}

// step changes r, or brings it back if it is deleted.
func (a *Account) step(c *collection, r *record) {
	if r.head.deleted {
		a.bringBack(c, r)
		return
	}
	// Without explicit fields nothing can fail to encode.
	_ = a.rewrite(c, r, nil, a.rng.Float64() < a.opts.Silent)
}

// Live makes random mutations, on average perSecond, until ctx ends.
func (a *Account) Live(ctx context.Context, perSecond float64) {
	if perSecond <= 0 {
		<-ctx.Done()
		return
	}
	for {
		a.mu.Lock()
		wait := time.Duration(a.rng.ExpFloat64() / perSecond * float64(time.Second))
		a.mu.Unlock()
		if !pause(ctx, wait) {
			return
		}
		a.Step()
	}
}

func (a *Account) randomCollection() *collection {
	weight := func(c *collection) float64 {
		if a.quirks(c).Denied != 0 {
			return 0
		}
		if a.opts.Weights != nil {
			return a.opts.Weights[c.name]
		}
		return c.weight
	}
	var sum float64
	for _, name := range a.names() {
		sum += weight(a.collections[name])
	}
	point := a.rng.Float64() * sum
	var chosen *collection
	for _, name := range a.names() {
		c := a.collections[name]
		w := weight(c)
		if w <= 0 || c.isComposite() && !a.canLink(c) {
			continue
		}
		chosen = c
		if point -= w; point < 0 {
			break
		}
	}
	if chosen == nil {
		return a.collections["clients"]
	}
	return chosen
}

// canLink reports whether the collections that c links to have records.
func (a *Account) canLink(c *collection) bool {
	for _, ref := range c.refs {
		if ref.target != "" && len(a.collections[ref.target].records) == 0 {
			return false
		}
	}
	return true
}

// randomRecord returns a living record, or nil if it finds none soon.
func (a *Account) randomRecord(c *collection) *record {
	for range 32 {
		if len(c.records) == 0 {
			return nil
		}
		if r := c.records[a.rng.IntN(len(c.records))]; !r.head.deleted {
			return r
		}
	}
	return nil
}

// randomChange gives one or two living fields another value, and sometimes moves
// the business date.
func (a *Account) randomChange(c *collection, r *record, v *version) {
	var living []field
	for _, f := range c.fields {
		if f.alive {
			living = append(living, f)
		}
	}
	before := a.encoded(c, r, r.head)
	for range 16 {
		for range 1 + a.rng.IntN(2) {
			f := living[a.rng.IntN(len(living))]
			e := a.encoder(c, r)
			die := newDice(a.rng.Uint64())
			f.make(e, &die)
			v.put(f.name, fieldText(e.buf))
		}
		if a.rng.Float64() < 0.05 {
			v.business += int64(a.rng.IntN(5)-2) * day
		}
		probe := *v
		probe.raw, probe.updated = nil, r.head.updated
		if string(a.encode(c, r, &probe)) != string(before) {
			return
		}
	}
}
