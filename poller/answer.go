package poller

import (
	"time"

	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// An answer is what one request brought.
type answer struct {
	job  job
	page trackops.Page
	rows []row
}

// serverTime is a moment of the server's clock that is certainly not after the
// read: the Date header is stamped when the answer is written, so the round trip
// is taken off. Zero if the server sends no Date.
func (a answer) serverTime() time.Time {
	if a.page.Date.IsZero() {
		return time.Time{}
	}
	return a.page.Date.Add(-a.page.Received.Sub(a.page.Sent))
}

// found is what the comparison of an answer with the state showed.
type found struct {
	unknown int // records that were not held, or had been deleted
	changed int
	fresh   time.Time // newest updated_at among them
}

// progress is where an answer leaves a watch. It is computed before the commit
// and takes effect after it, so a crash in between asks the same again.
type progress struct {
	cursor      cursor
	incremental *reading
	sweep       *reading
	head        int
	turn        int
	completed   bool // a poll that began at cursor.Polled is complete
}

// after decides where the collection stands once a was taken in; held is the
// number of live records then.
func (w *watch) after(a answer, f found, held int, now time.Time) progress {
	p := progress{cursor: w.cursor, incremental: w.incremental, sweep: w.sweep, head: w.head, turn: w.turn}
	p.cursor.learn(a, f)
	switch a.job.kind {
	case kindBaseline:
		w.afterBaseline(&p, a, held, now)
	case kindIncremental:
		w.afterIncremental(&p, a, now)
	case kindSweep:
		r := w.continued(w.sweep, a, now)
		p.sweep = &r
		if r.Done {
			p.sweep = nil
		}
		p.turn++
	case kindHead:
		// Never stop at the first known record: the order is not documented. Go
		// on while a page held anything new.
		p.head = 0
		if w.full(a) && f.unknown+f.changed > 0 {
			p.head = a.job.request.Page + 1
			break
		}
		p.turn++
		p.completed = true
	}
	if p.completed {
		p.cursor.Polled = now
	}
	return p
}

// learn notes what any answer tells of the collection.
func (c *cursor) learn(a answer, f found) {
	for _, r := range a.rows {
		if r.key.Updated.IsZero() {
			c.Unstamped = true
		}
		if !c.Dated && (!r.key.Updated.IsZero() || !r.key.Created.IsZero()) {
			c.Dated, c.Format = true, r.key.Format
			*c = c.accept(askUpdated, askWindow) // perhaps only the format was refused
		}
	}
	if late := a.page.Date.Sub(f.fresh); c.Live && !f.fresh.IsZero() && !a.page.Date.IsZero() && late.Abs() <= overlap {
		c.ClocksAgree = true
	}
}

// full reports whether the page of a may have been cut off.
func (w *watch) full(a answer) bool { return len(a.rows) >= w.cursor.Capacity }

// continued returns the reading r, or a new one as next made it, after a.
func (w *watch) continued(r *reading, a answer, now time.Time) reading {
	return w.continuedLeft(r, a, now, -1)
}

func (w *watch) continuedLeft(r *reading, a answer, now time.Time, left int) reading {
	var next reading
	switch {
	case r != nil:
		next = *r
	case a.job.kind == kindIncremental:
		next = *w.newIncremental(now)
	default:
		next = reading{Pages: !w.windows(now)}
	}
	if next.Started.IsZero() {
		next.Started = a.serverTime()
	}
	for _, row := range a.rows {
		if row.key.Updated.After(next.Newest) {
			next.Newest = row.key.Updated
		}
	}
	if !next.Pages && next.Page == 0 && w.full(a) && !w.windows(now) {
		next.Page, next.Paged = 2, true // no windows to split into
		return next
	}
	next.answered(created(a.rows), w.full(a), left)
	return next
}

// afterIncremental moves the watermark once every question of the reading was
// answered, and not before.
func (w *watch) afterIncremental(p *progress, a answer, now time.Time) {
	r := w.continued(w.incremental, a, now)
	p.incremental = &r
	if !r.Done {
		return
	}
	p.incremental = nil
	p.turn++
	p.completed = true
	mark := watermark(w.cursor.Watermark, r, p.cursor.ClocksAgree)
	if r.Paged {
		// A deletion may have hidden a row at a page turn: the next reading asks
		// from where this one did, and moves the watermark to where this one ended.
		p.cursor.Watermark, p.cursor.Lagging = later(w.cursor.Watermark, w.cursor.Lagging), mark
		return
	}
	p.cursor.Watermark, p.cursor.Lagging = mark, time.Time{}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// watermark returns the watermark after a complete incremental reading: the
// newest updated_at it saw, never later than the server's clock before it began.
// The Date header alone advances it only where both clocks of the server are
// known to agree. It never goes back.
func watermark(old time.Time, r reading, clocksAgree bool) time.Time {
	w := r.Newest
	if !r.Started.IsZero() && (w.After(r.Started) || clocksAgree) {
		w = r.Started
	}
	return later(old, w)
}
