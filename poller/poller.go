// Package poller decides which request to spend next on an account, and turns
// the answers into changes: records and events, written in one transaction each.
// It never talks to a receiver and never waits for one.
package poller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A Source answers requests: the API client, or the simulator in process. One
// call is one request; the poller decides about repetitions.
type Source interface {
	Do(ctx context.Context, r trackops.Request) (trackops.Page, error)
}

// Config is what a Poller needs.
type Config struct {
	Account     string // the subdomain
	Source      Source
	Store       *state.Store
	Collections []trackops.Collection
	Rate        float64 // requests a second

	// MaxAge is the longest time between two polls of a collection; 0 is four
	// rounds over all of them, a minute at least.
	MaxAge time.Duration
	// SweepShare is the part of all requests that sweeps get at least; 0 is DefaultSweepShare.
	SweepShare float64

	Logger *slog.Logger

	// Observe is called after each request, from the polling goroutine. May be nil.
	Observe func(Poll)
}

// DefaultSweepShare is the part of all requests that sweeps get at least.
const DefaultSweepShare = 0.02

// A Poll is what one request cost and brought.
type Poll struct {
	Collection string
	Kind       string
	Why        string // the request was chosen
	Outcome    string // "ok", "throttled", "denied", "refused", "error"
	Records    int    // rows of the answer
	Held       int    // live records of the collection afterwards
	Events     map[events.Action]int
	Duration   time.Duration
	Err        error
}

// A Poller watches one account. Its requests are serial.
type Poller struct {
	Config
	watches []*watch
	errands chan errand

	saved       time.Time // when all cursors were last stored
	sweepCredit float64   // requests that sweeps are entitled to
	streak      int       // open questions asked in a row
	first       int       // requests of first readings in a row

	mu     sync.Mutex // guards what Status reads: everything below, and the watches
	pace   pace
	denied denial
	outage outage
	last   *watch // that was asked last

	stateFailures int // in a row
	stateError    string
}

// New returns a poller that goes on where the state says the last one stood.
func New(c Config) (*Poller, error) {
	p := &Poller{Config: c, pace: newPace(c.Rate), errands: make(chan errand, 16)}
	if p.SweepShare == 0 {
		p.SweepShare = DefaultSweepShare
	}
	if err := Feasible(len(c.Collections), c.Rate, c.MaxAge, p.SweepShare); err != nil {
		return nil, err
	}
	if err := p.restoreNote(); err != nil {
		return nil, err
	}
	for _, collection := range c.Collections {
		w, err := p.restore(collection)
		if err != nil {
			return nil, err
		}
		p.watches = append(p.watches, w)
	}
	return p, nil
}

func (p *Poller) restore(c trackops.Collection) (*watch, error) {
	l, err := newLayout(c)
	if err != nil {
		return nil, err
	}
	w := &watch{layout: l}
	err = p.Store.View(func(tx *state.Tx) (err error) {
		w.cursor, err = loadCursor(tx.Cursor(p.Account, c.Name))
		w.held, _ = tx.Records(p.Account, c.Name).Len()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	return w, nil
}

// Run polls until ctx ends, and then returns nil. An answer that cannot be
// stored is asked for again, later and later; a state that proves corrupt ends
// the polling with an error.
func (p *Poller) Run(ctx context.Context) error {
	err := p.work(ctx)
	return errors.Join(err, p.saveAll())
}

func (p *Poller) work(ctx context.Context) error {
	for {
		c, at := p.choose(time.Now())
		if ctx.Err() != nil {
			return nil
		}
		if wait := time.Until(at); wait > 0 || len(p.errands) > 0 {
			p.errandTurn(ctx, at)
			continue // something else may be worth more by now
		}
		if c.watch == nil {
			continue
		}
		if err := p.step(ctx, c); err != nil {
			if errors.Is(err, state.ErrCorrupt) {
				return fmt.Errorf("account %s: %w", p.Account, err)
			}
			p.stuck(err)
		} else {
			p.unstuck()
		}
	}
}

// stuck holds back the next request after the state refused an answer: a full
// disk, mostly. Nothing is lost, as the same question is asked again.
func (p *Poller) stuck(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stateFailures++
	p.stateError = err.Error()
	p.outage.until = time.Now().Add(fault.Backoff(p.stateFailures, firstRetry, slowestRetry))
	p.Logger.Error("the state cannot be written; trying again", "account", p.Account, "error", err.Error())
}

func (p *Poller) unstuck() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stateFailures, p.stateError = 0, ""
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// step spends one request.
func (p *Poller) step(ctx context.Context, c candidate) error {
	w, started := c.watch, time.Now()
	j, err := p.build(c, started)
	if err != nil {
		return err
	}
	page, err := p.Source.Do(ctx, j.request)
	p.left(page)
	if ctx.Err() != nil {
		return nil // the answer may be cut: it will be asked for again
	}
	poll := Poll{
		Collection: w.layout.collection.Name,
		Kind:       string(j.kind),
		Why:        j.why,
		Records:    len(page.Records),
		Duration:   time.Since(later(started, page.Sent)),
	}
	a := answer{job: j, page: page}
	if j.request.ID != "" && trackops.IsNotFound(err) {
		a.gone, err = true, nil
	}
	if err == nil && j.kind != kindCanary {
		a.rows, err = w.layout.rows(page.Records)
	}
	if err == nil {
		err = w.checkFilters(a)
	}
	if err == nil {
		if poll.Events, err = p.take(w, a); err != nil {
			return err
		}
		err = p.succeeded(w)
	} else {
		err = p.failed(w, j, err, &poll)
	}
	p.report(w, &poll)
	return err
}

// left notes when a request really left, which may be later than it was chosen.
func (p *Poller) left(page trackops.Page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace.sent(later(p.pace.last, page.Sent))
}

// build makes the request of the chosen job.
func (p *Poller) build(c candidate, now time.Time) (job, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.granted(c)
	if b := c.watch.cursor.Brake; c.watch.confirmed && b != nil {
		believed := *b
		believed.Confirmed = true
		c.watch.cursor.Brake = &believed
	}
	c.watch.confirmed = false
	c.watch.deserted = p.deserted()
	p.pace.sent(now)
	if c.kind == kindHead || c.kind == kindIncremental {
		c.watch.polled = now
	}
	p.last = c.watch
	j := job{kind: c.kind, why: c.why}
	err := p.Store.View(func(tx *state.Tx) (err error) {
		j.request, err = c.watch.build(c.kind, tx.Records(p.Account, c.watch.layout.collection.Name), now)
		return err
	})
	return j, err
}

// commit makes what was stored the present.
func (w *watch) commit(v verdict, a answer, now time.Time) {
	if v.next.polled {
		if last := w.lastPoll(); !last.IsZero() {
			w.gap = w.gap.observe(now.Sub(last), 1)
			w.longest = max(w.longest, now.Sub(last))
		}
	}
	w.cursor, w.incremental, w.lookback = v.next.cursor, v.next.incremental, v.next.lookback
	w.head, w.whole, w.found = v.next.head, v.next.whole, v.next.found
	w.held = v.held
	w.lastSuccess = now
	if !a.page.Date.IsZero() {
		w.ahead = a.page.Date.Sub(now)
	}
	if v.found.unknown+v.found.changed > 0 {
		w.heard, w.loud = now, w.rate()
	}
	w.bearWitness(a, now)
}

// bearWitness remembers a record that a list shows, and what a canary said.
func (w *watch) bearWitness(a answer, now time.Time) {
	switch {
	case w.deserted && len(a.rows) == 0 && a.job.request.ID == "":
		w.answered = now
	case a.job.kind == kindCanary && a.gone:
		w.witness = witness{} // perhaps it was deleted just now: the next list names another
		if w.canaries++; w.canaries >= 3 && w.cursor.Brake == nil {
			w.cursor.Brake = &brake{Since: now, Why: whyBlind}
		}
	case a.job.kind == kindCanary:
		w.canaries = 0
		w.heard, w.loud = now, w.loud/2
		if w.cursor.Brake != nil && w.cursor.Brake.Why == whyBlind {
			w.cursor.Brake = nil
		}
	case len(a.rows) > 0 && a.job.request.ID == "":
		for _, r := range a.rows {
			if _, suspected := w.cursor.Suspects[r.key.ID]; !suspected {
				w.witness = witness{r.key.ID, r.key.Path, w.layout.collection, now}
				return
			}
		}
	}
}

// lastPollThere is lastPoll on the server's clock, to the second below.
func (w *watch) lastPollThere() time.Time {
	last := w.lastPoll()
	if last.IsZero() {
		return last
	}
	return last.Add(w.ahead).Add(-resolution)
}

// lastPoll is when changes were last looked for.
func (w *watch) lastPoll() time.Time {
	return later(w.cursor.Done[kindHead], w.cursor.Done[kindIncremental])
}

// rate is the estimate of all changes that polls find, in events a second.
func (w *watch) rate() float64 {
	head := w.cursor.Rates[kindHead].perSecond(rareHead)
	if w.cursor.Rates[kindIncremental].Count == 0 && !w.layout.collection.UpdatedFrom {
		return head
	}
	return head + w.cursor.Rates[kindIncremental].perSecond(priors[kindIncremental])
}

// report logs a request and tells the observer.
func (p *Poller) report(w *watch, poll *Poll) {
	poll.Held = w.held
	if poll.Outcome == "" {
		poll.Outcome = "ok"
	}
	level := slog.LevelDebug
	var found []string
	for _, a := range events.Actions() {
		if n := poll.Events[a]; n > 0 {
			level = slog.LevelInfo
			found = append(found, fmt.Sprintf("%d %s", n, a))
		}
	}
	attrs := []any{
		"account", p.Account, "collection", poll.Collection, "kind", poll.Kind, "outcome", poll.Outcome,
		"why", poll.Why, "rows", poll.Records, "found", strings.Join(found, ", "), "duration_ms", poll.Duration.Milliseconds(),
	}
	if poll.Err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, "error", poll.Err.Error())
	}
	p.Logger.Log(context.Background(), level, "poll", attrs...)
	if p.Observe != nil {
		p.Observe(*poll)
	}
}
