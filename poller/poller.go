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
	Logger      *slog.Logger

	// Observe is called after each request, from the polling goroutine. May be nil.
	Observe func(Poll)
}

// A Poll is what one request cost and brought.
type Poll struct {
	Collection string
	Kind       string
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

	saved time.Time // when all cursors were last stored

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
	err := p.poll(ctx)
	return errors.Join(err, p.saveAll())
}

func (p *Poller) poll(ctx context.Context) error {
	for {
		w, j, at := p.choose(time.Now())
		if ctx.Err() != nil {
			return nil
		}
		if wait := time.Until(at); wait > 0 || len(p.errands) > 0 {
			p.errandTurn(ctx, at)
			continue // something else may be worth more by now
		}
		if err := p.step(ctx, w, j); err != nil {
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
func (p *Poller) step(ctx context.Context, w *watch, j job) error {
	started := time.Now()
	p.mu.Lock()
	p.pace.sent(started)
	w.asked = started
	p.last = w
	p.mu.Unlock()

	page, err := p.Source.Do(ctx, j.request)
	if ctx.Err() != nil {
		return nil // the answer may be cut: it will be asked for again
	}
	poll := Poll{
		Collection: w.layout.collection.Name,
		Kind:       string(j.kind),
		Records:    len(page.Records),
		Duration:   time.Since(started),
	}
	var rows []row
	if err == nil {
		rows, err = w.layout.rows(page.Records)
	}
	a := answer{job: j, page: page, rows: rows}
	if err == nil {
		err = w.checkFilters(a)
	}
	if err == nil {
		poll.Events, err = p.take(w, a, started)
		if err != nil {
			return err
		}
		err = p.succeeded(w)
	} else {
		err = p.failed(w, j, err, &poll)
	}
	p.report(w, &poll)
	return err
}

// take stores an answer: records, events and cursor in one transaction.
func (p *Poller) take(w *watch, a answer, started time.Time) (map[events.Action]int, error) {
	now := time.Now()
	edits, err := p.compare(w, a, now)
	if err != nil {
		return nil, err
	}
	f := summary(edits)
	held := w.held
	for _, e := range edits {
		if !e.held || !e.meta.Deleted.IsZero() {
			held++
		}
	}
	next := w.after(a, f, held, now)
	counts := make(map[events.Action]int)
	if p.worthStoring(w, next, edits, now) {
		err = p.Store.Update(func(tx *state.Tx) error {
			clear(counts)
			return p.store(tx, w, edits, next, p.observation(w, a, now), counts)
		})
		if err != nil {
			return nil, fmt.Errorf("store answer about %s: %w", w.layout.collection.Name, err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w.commit(next, held, now)
	return counts, nil
}

func (p *Poller) compare(w *watch, a answer, now time.Time) (edits []edit, err error) {
	err = p.Store.View(func(tx *state.Tx) error {
		edits = w.compare(tx.Records(p.Account, w.layout.collection.Name), a.rows, now)
		return nil
	})
	return edits, err
}

func summary(edits []edit) found {
	var f found
	for _, e := range edits {
		if e.held && e.meta.Deleted.IsZero() {
			f.changed++
		} else {
			f.unknown++
		}
		if !e.silent {
			f.fresh = later(f.fresh, e.row.key.Updated)
		}
	}
	return f
}

// saveEvery is how often cursors are stored that moved without news: after a
// crash the time since is asked again.
const saveEvery = 30 * time.Second

// worthStoring reports whether an answer has to reach the disk now.
func (p *Poller) worthStoring(w *watch, next progress, edits []edit, now time.Time) bool {
	return len(edits) > 0 || !next.cursor.Live || !w.cursor.Live || now.Sub(p.saved) >= saveEvery
}

func (p *Poller) store(tx *state.Tx, w *watch, edits []edit, next progress, o observation, counts map[events.Action]int) error {
	records := tx.Records(p.Account, w.layout.collection.Name)
	for _, e := range edits {
		action, err := w.write(tx, records, e, o)
		if err != nil {
			return err
		}
		if action != "" {
			counts[action]++
		}
	}
	if err := p.saveCursors(tx, w); err != nil {
		return err
	}
	if err := p.saveCursor(tx, w.layout.collection.Name, next.cursor); err != nil {
		return err
	}
	return p.saveNote(tx, false)
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
		notBefore: w.cursor.Polled.UTC().Truncate(time.Millisecond),
		notAfter:  a.page.Date.UTC(),
	}
	if a.page.Date.IsZero() {
		o.notAfter = o.at
	}
	return o
}

// commit makes what was stored the present.
func (w *watch) commit(next progress, held int, now time.Time) {
	w.cursor, w.incremental, w.sweep, w.head, w.turn = next.cursor, next.incremental, next.sweep, next.head, next.turn
	w.held = held
	w.lastSuccess = now
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
		"rows", poll.Records, "found", strings.Join(found, ", "), "duration_ms", poll.Duration.Milliseconds(),
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
