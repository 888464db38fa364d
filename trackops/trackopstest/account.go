// Package trackopstest is a Trackops account that lives in memory: it behaves as
// the vendor documents, and can be made to behave as the documents let one fear.
// It is served on a socket by [Account.Handler] or asked in process by
// [Account.Do], for tests in virtual time. It never talks to the network itself.
package trackopstest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// An Account holds records of the sixteen documented collections. Its methods
// may be called concurrently. Its clock is time.Now plus Options.Skew.
type Account struct {
	opts Options

	mu          sync.Mutex
	collections map[string]*collection // by name
	byPath      map[string]*collection
	rng         *rand.Rand
	unseen      []mutation // written, not yet visible
	history     []Mutation
	requests    []RequestLog
	faults      []Fault
	lastAsked   time.Time // the last request that the rate allowed
	serial      uint64    // of download addresses
}

// New returns an account as opts describe it. It panics on a size, quirk or
// weight for a collection that does not exist: that is a mistake in a test.
func New(opts Options) *Account {
	if opts.TimeFormat == "" {
		opts.TimeFormat = trackops.SQL
	}
	if opts.Span == 0 {
		opts.Span = 3 * 365 * 24 * time.Hour
	}
	if opts.MaxPerPage == 0 {
		opts.MaxPerPage = trackops.MaxPerPage
	}
	a := &Account{
		opts:        opts,
		collections: map[string]*collection{},
		byPath:      map[string]*collection{},
		rng:         rand.New(rand.NewPCG(opts.Seed, 0x7472616b6f7073)),
	}
	lines := documented()
	for i, s := range schemas() {
		a.add(s, uint64(i), lines[s.name])
	}
	for name := range opts.Sizes {
		a.must(name)
	}
	for name := range opts.Weights {
		a.must(name)
	}
	for name := range opts.Quirks {
		if name != "*" {
			a.must(name)
		}
	}
	now := a.stamp()
	for _, name := range a.byDependency() {
		a.populate(a.collections[name], now)
	}
	return a
}

func (a *Account) add(s schema, number uint64, line string) {
	api, ok := trackops.Lookup(s.name)
	if !ok {
		panic("trackopstest: no collection " + s.name)
	}
	die := newDice(a.opts.Seed, number)
	c := &collection{
		schema: s, api: api, params: parseParams(line),
		known: map[string]bool{"id": true, "created_at": true, "updated_at": true, s.business: true},
		seed:  die.next(), offset: a.opts.IDs,
		byKey: map[string]*record{},
		index: index{sort: a.opts.Sort},
	}
	for _, r := range s.refs {
		c.known[r.field], c.known[r.nested] = true, true
	}
	for _, f := range s.fields {
		c.known[f.name] = true
	}
	a.collections[s.name], a.byPath[api.Path] = c, c
}

// must returns a collection that has to exist.
func (a *Account) must(name string) *collection {
	c := a.collections[name]
	if c == nil {
		panic(fmt.Sprintf("trackopstest: there is no collection %q", name))
	}
	return c
}

// names returns the collections' names in a fixed order.
func (a *Account) names() []string {
	var names []string
	for _, c := range trackops.Collections() {
		names = append(names, c.Name)
	}
	return names
}

// byDependency orders the collections so that each comes after those it links to.
func (a *Account) byDependency() []string {
	var ordered []string
	var visit func(name string)
	visit = func(name string) {
		if slices.Contains(ordered, name) {
			return
		}
		for _, r := range a.collections[name].refs {
			if r.target != "" {
				visit(r.target)
			}
		}
		ordered = append(ordered, name)
	}
	for _, name := range a.names() {
		visit(name)
	}
	return ordered
}

// now is the account's clock, in milliseconds and at its resolution.
func (a *Account) now() int64 { return a.round(time.Now().Add(a.opts.Skew).UnixMilli()) }

// stamp is now as records have it.
func (a *Account) stamp() int64 { return a.now() + a.opts.StampSkew.Milliseconds() }

func (a *Account) populate(c *collection, now int64) {
	size, given := a.opts.Sizes[c.name]
	if !given {
		size = a.opts.Records
	}
	span := a.opts.Span.Milliseconds()
	start, step := now-span, span/int64(max(size, 1))
	records := make([]record, size)
	versions := make([]version, size)
	c.records = make([]*record, 0, size)
	previous := start
	for i := range size {
		die := newDice(c.seed, uint64(i+1), 1<<32)
		created := max(previous, start+int64(i)*step+int64(die.n(int(step)+1)))
		if die.chance(a.opts.Ties) {
			created = previous
		}
		created = a.round(created)
		previous = created
		v := &versions[i]
		v.created, v.updated, v.business = created, a.firstUpdate(&die, created, now), c.businessTime(&die, created)
		r := &records[i]
		r.head, r.shown = v, v
		if !a.link(c, r, &die) {
			break
		}
	}
	c.index.build(c.records)
}

// link gives r its number and its links, and adds it to c; false if a composite
// id has no free combination left.
func (a *Account) link(c *collection, r *record, die *dice) bool {
	r.n = int32(len(c.records) + 1)
	if c.isComposite() {
		if !a.linkComposite(c, r) {
			return false
		}
	} else {
		for i, ref := range c.refs {
			r.refs[i] = a.chooseRef(c, r, i, ref, die)
		}
	}
	c.records = append(c.records, r)
	if c.isComposite() {
		c.byKey[c.key(a, r)] = r
	}
	return true
}

func (a *Account) chooseRef(c *collection, r *record, i int, ref reference, die *dice) int32 {
	if ref.via != "" {
		via := slices.IndexFunc(c.refs[:i], func(e reference) bool { return e.field == ref.via })
		between := a.collections[c.refs[via].target]
		theirs := slices.IndexFunc(between.refs, func(e reference) bool { return e.target == ref.target })
		if n := r.refs[via]; n > 0 {
			return between.records[n-1].refs[theirs]
		}
		return 0
	}
	target := a.collections[ref.target]
	for range 32 {
		n := die.n(len(target.records))
		if n < len(target.records) && !target.records[n].head.deleted {
			return int32(n + 1)
		}
	}
	return 0
}

// linkComposite takes the next combination that no record has or had. It
// enumerates them; as the linked collections grow, an old one can come up again.
func (a *Account) linkComposite(c *collection, r *record) bool {
	cases, users := len(a.collections[c.refs[0].target].records), len(a.collections[c.refs[1].target].records)
	const types = 4
	for i := int(r.n) - 1; i < cases*users*types; i++ {
		byCase := i % cases
		r.refs[0] = int32(byCase + 1)
		r.refs[1] = int32((i/cases+byCase)%users + 1)
		r.refs[2] = int32(i/cases/users + 1)
		if _, taken := c.byKey[c.key(a, r)]; !taken {
			return true
		}
	}
	return false
}

func (a *Account) round(ms int64) int64 {
	if a.opts.Fraction {
		return ms
	}
	return ms / 1000 * 1000
}

// firstUpdate is when a record of the start was last changed: a third of them
// some time after their creation.
func (a *Account) firstUpdate(die *dice, created, now int64) int64 {
	if !die.chance(0.33) {
		if a.opts.NullUpdated {
			return 0
		}
		return created
	}
	return a.round(created + int64(float64(now-created)*float64(die.n(1000))/1000))
}

func (c *collection) businessTime(die *dice, created int64) int64 {
	at := created + int64(die.between(c.spread[0], c.spread[1]))*day
	if c.isDate {
		return at / day * day
	}
	return at
}

// Fail queues faults: each is used by the next requests that match it.
func (a *Account) Fail(faults ...Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = append(a.faults, faults...)
}

// Heal drops all queued faults.
func (a *Account) Heal() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = nil
}

// SetQuirks changes the traits of one collection from now on.
func (a *Account) SetQuirks(collection string, q Quirks) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.must(collection)
	quirks := map[string]Quirks{collection: q}
	for name, old := range a.opts.Quirks {
		if name != collection {
			quirks[name] = old
		}
	}
	a.opts.Quirks = quirks
}

func (a *Account) quirks(c *collection) Quirks {
	if q, ok := a.opts.Quirks[c.name]; ok {
		return q
	}
	return a.opts.Quirks["*"]
}

// A RequestLog is one request that the account saw.
type RequestLog struct {
	At     time.Time // by our clock
	Method string
	Path   string // below the base address
	Query  string // encoded, keys sorted
	Status int    // 0 if the connection was reset
}

// Requests returns the log of requests, oldest first.
func (a *Account) Requests() []RequestLog {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.requests)
}

func (a *Account) logRequest(entry RequestLog) {
	a.requests = bounded(append(a.requests, entry), a.opts.Keep)
}

// bounded drops the oldest entries of a log, now and then, so that between keep
// and twice as many remain; keep 0 is all.
func bounded[T any](log []T, keep int) []T {
	if keep <= 0 || len(log) < 2*keep {
		return log
	}
	return append([]T(nil), log[len(log)-keep:]...)
}

// tooEarly applies the rate limit to a request now.
func (a *Account) tooEarly(now time.Time) bool {
	if a.opts.Rate <= 0 {
		return false
	}
	gap := time.Duration(float64(time.Second)/a.opts.Rate) - a.opts.RateSlack
	if !a.lastAsked.IsZero() && now.Sub(a.lastAsked) < gap {
		return true
	}
	a.lastAsked = now
	return false
}

func (a *Account) throttled() answer {
	ans := refuse(http.StatusTooManyRequests, "Too Many Requests: at most one request per second")
	if a.opts.RetryAfter > 0 {
		ans.retryAfter = fmt.Sprint(int64(a.opts.RetryAfter.Seconds()))
		if a.opts.RetryAfterDate {
			ans.retryAfter = time.UnixMilli(a.now()).Add(a.opts.RetryAfter).UTC().Format(http.TimeFormat)
		}
	}
	return ans
}
