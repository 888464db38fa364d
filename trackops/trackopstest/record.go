package trackopstest

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A record of a collection. Its number counts from 1; its content follows from
// the seed, the number and the overrides of its version.
type record struct {
	n      int32
	refs   [4]int32             // numbers of the records it links to, in the schema's order; 0 is none
	origin map[string]fieldText // overrides at creation: what nested copies in others show
	head   *version             // as last written
	shown  *version             // as requests see it; nil before it is visible
}

// A version of a record never changes.
type version struct {
	created, updated, business int64 // milliseconds since 1970; updated 0 is null
	over                       map[string]fieldText
	deleted                    bool
	raw                        json.RawMessage // cached; without volatile fields
}

// fieldText is the raw JSON of a field that differs from the generated one;
// empty if the field is left out.
type fieldText string

// A collection and its indexes. The account's lock guards it.
type collection struct {
	schema
	api    trackops.Collection
	params map[string]param
	known  map[string]bool // names that records have by themselves
	seed   uint64
	offset int64

	records []*record
	byKey   map[string]*record // composite ids only
	gone    []*record          // whose head is deleted
	index   index
}

func (c *collection) id(r *record) int64 { return c.offset + c.firstID - 1 + int64(r.n) }

func (c *collection) isComposite() bool { return len(c.api.Composite) > 0 }

// key is the record's id as a path names it.
func (c *collection) key(a *Account, r *record) string {
	if !c.isComposite() {
		return strconv.FormatInt(c.id(r), 10)
	}
	parts := make([]string, len(c.refs))
	for i, ref := range c.refs {
		parts[i] = strconv.FormatInt(a.refID(ref, r.refs[i]), 10)
	}
	return strings.Join(parts, "/")
}

func (c *collection) find(key string) *record {
	if c.isComposite() {
		return c.byKey[key]
	}
	id, err := strconv.ParseInt(key, 10, 64)
	if err != nil {
		return nil
	}
	n := id - c.offset - c.firstID
	if n < 0 || n >= int64(len(c.records)) {
		return nil
	}
	return c.records[n]
}

func (a *Account) refID(ref reference, n int32) int64 {
	target := a.collections[ref.target]
	if target == nil {
		return int64(n)
	}
	return target.id(&record{n: n})
}

// encoded returns a version's JSON. Files get their address at each answer.
func (a *Account) encoded(c *collection, r *record, v *version) json.RawMessage {
	if v.raw != nil {
		return v.raw
	}
	raw := a.encode(c, r, v)
	if !a.opts.Frugal {
		v.raw = raw
	}
	return raw
}

func (a *Account) encode(c *collection, r *record, v *version) json.RawMessage {
	e := a.encoder(c, r)
	e.raw("{")
	put := func(name string, write func()) {
		text, replaced := v.over[name]
		if replaced && text == "" {
			return
		}
		e.name(name)
		if replaced {
			e.raw(string(text))
			return
		}
		write()
	}
	if !c.isComposite() {
		put("id", func() { e.int(c.id(r)) })
	}
	for i, ref := range c.refs {
		put(ref.field, func() { a.putRef(e, ref, r.refs[i]) })
		if ref.nested != "" {
			put(ref.nested, func() { a.putNested(e, ref, r.refs[i]) })
		}
	}
	put(c.business, func() { c.putBusiness(e, v.business) })
	for i, f := range c.fields {
		put(f.name, func() {
			d := newDice(c.seed, uint64(r.n), uint64(i))
			f.make(e, &d)
		})
	}
	put("created_at", func() { e.time(v.created) })
	put("updated_at", func() { e.time(v.updated) })
	for _, name := range slices.Sorted(maps.Keys(v.over)) {
		if !c.known[name] {
			put(name, func() {})
		}
	}
	e.raw("}")
	return slices.Clip(e.buf)
}

func (a *Account) encoder(c *collection, r *record) *encoder {
	return &encoder{
		buf: make([]byte, 0, 1024), text: a.opts.AsText, format: a.opts.TimeFormat, fraction: a.opts.Fraction,
		id: c.id(r), created: r.head.created,
	}
}

func (c *collection) putBusiness(e *encoder, ms int64) {
	if c.isDate {
		e.date(ms)
		return
	}
	e.time(ms)
}

func (a *Account) putRef(e *encoder, ref reference, n int32) {
	if n == 0 {
		e.raw("null")
		return
	}
	e.int(a.refID(ref, n))
}

// putNested writes the copy of another record that a record embeds. It has the
// name which that one was created with.
func (a *Account) putNested(e *encoder, ref reference, n int32) {
	if n == 0 {
		e.raw("null")
		return
	}
	target := a.collections[ref.target]
	other := target.records[n-1]
	e.raw("{")
	e.name("id")
	e.int(target.id(other))
	if target.title != "" {
		e.name(target.title)
		a.putTitle(e, target, other)
	}
	e.raw("}")
}

func (a *Account) putTitle(e *encoder, c *collection, r *record) {
	if text := r.origin[c.title]; text != "" {
		e.raw(string(text))
		return
	}
	i := slices.IndexFunc(c.fields, func(f field) bool { return f.name == c.title })
	inner := *e
	inner.id, inner.created = c.id(r), r.head.created
	d := newDice(c.seed, uint64(r.n), uint64(i))
	c.fields[i].make(&inner, &d)
	e.buf = inner.buf
}
