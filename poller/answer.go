package poller

import (
	"time"

	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// An answer is what one request brought.
type answer struct {
	job  job
	page trackops.Page
	rows []row
	gone bool // the single record asked for is not there
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
	fresh   time.Time // newest updated_at among them that moved, which says when that was
	oldest  time.Time // the oldest of those
}

// progress is where an answer leaves a watch. It is computed before the commit
// and takes effect after it, so a crash in between asks the same again.
type progress struct {
	cursor      cursor
	incremental *reading
	lookback    *reading
	head        int
	whole       bool
	found       int
	polled      bool // a poll is complete: changes up to now were looked for
	doomed      []string
}

// after decides where the collection stands once a was taken in; held is the
// number of live records then, records what is stored with the answer's rows.
func (w *watch) after(a answer, f found, held int, records *state.Records, now time.Time) progress {
	p := progress{cursor: w.cursor, incremental: w.incremental, lookback: w.lookback, head: w.head, whole: w.whole, found: w.found}
	p.cursor.learn(a, f)
	p.cursor.listed(a)
	switch a.job.kind {
	case kindBaseline:
		w.afterBaseline(&p, a, held, records, now)
	case kindIncremental:
		w.afterIncremental(&p, a, f, now)
	case kindLookback:
		r := w.continued(w.lookback, a, now, -1)
		p.lookback = &r
		if r.Done {
			p.lookback = nil
			p.cursor.done(kindLookback, 0, now)
		}
	case kindSweep:
		w.afterSweep(&p, a, f, records, now)
	case kindCount, kindSettle:
		w.afterCount(&p, a, held, records, now)
	case kindBisect:
		w.afterBisect(&p, a, f, records, now)
	case kindVerify, kindCanary:
		w.afterSingle(&p, a, records, now)
	case kindHead:
		w.afterHead(&p, a, f, records, now)
	}
	p.doomed = append(p.doomed, p.cursor.judge(w, records, held, now)...)
	return p
}

// learn notes what any answer tells of the collection.
func (c *cursor) learn(a answer, f found) {
	if !a.job.request.Bare && a.job.request.ID == "" {
		c.QueryTaken = true
	}
	c.Capacity = max(c.Capacity, len(a.rows))
	for _, r := range a.rows {
		if r.key.Updated.IsZero() {
			c.Unstamped = true
		}
		if r.key.Created.IsZero() {
			c.Undated = true
		}
		if !c.Dated && (!r.key.Updated.IsZero() || !r.key.Created.IsZero()) {
			c.Dated, c.Format = true, r.key.Format
			*c = c.accept(askUpdated, askWindow, askBoth, askSettled) // perhaps only the format was refused
		}
	}
	if !c.Live || f.fresh.IsZero() || a.page.Date.IsZero() {
		return
	}
	took := a.page.Date.Sub(f.fresh)
	if took.Abs() <= usualOverlap {
		c.ClocksAgree = true
	}
	if took >= 0 && took < time.Hour && (a.job.kind == kindHead || a.job.kind == kindIncremental) {
		c.Delay = c.Delay.observe(took, f.unknown+f.changed)
	}
	if late := c.Watermark.Sub(f.oldest); late > c.Late && late < lookbackSpan && !a.job.request.UpdatedFrom.IsZero() {
		c.Late = late
	}
}

// full reports whether the page of a may have been cut off.
func (w *watch) full(a answer) bool { return len(a.rows) >= w.cursor.Capacity }

// continued returns the reading r after a; left is how many records it still has
// to find, negative if unknown.
func (w *watch) continued(r *reading, a answer, now time.Time, left int) reading {
	next := *r
	if next.Started.IsZero() {
		next.Started = a.serverTime()
	}
	for _, row := range a.rows {
		next.Newest = later(next.Newest, row.key.Updated)
	}
	if !next.Pages && next.Page == 0 && w.full(a) && !w.splits(&next, now) {
		next.Page, next.Paged = 2, true // no windows to split into
		return next
	}
	next.answered(created(a.rows), w.full(a), left)
	return next
}

// afterHead goes on to the next page while a page held anything new: the order
// is not documented, so the first known record proves nothing.
func (w *watch) afterHead(p *progress, a answer, f found, records *state.Records, now time.Time) {
	w.afterFirstPage(p, a, records, now)
	p.head = 0
	p.found += f.unknown + f.changed
	if w.full(a) && f.unknown+f.changed > 0 {
		p.head = a.job.request.Page + 1
		return
	}
	p.cursor.done(kindHead, p.found, now)
	p.found = 0
	p.polled = true
}

// afterFirstPage looks at what a first page says about the whole collection: one
// that is not full shows all there is, so what it lacks is absent.
func (w *watch) afterFirstPage(p *progress, a answer, records *state.Records, now time.Time) {
	if a.job.request.Page != 1 {
		return
	}
	n := len(a.rows)
	p.whole = !w.full(a)
	if !p.whole || n >= w.held-len(w.cursor.Suspects) {
		return
	}
	// Far fewer than we hold: perhaps it was cut, as a server may clamp per_page
	// without a word. A longer page corrects that. The sweep sees to the rest.
	if missing := w.held - n; missing > max(3, w.held/10) {
		p.whole = false
		if n > 0 {
			p.cursor.Capacity = min(p.cursor.Capacity, n)
		}
		return
	}
	for _, id := range unseen(records, idsOf(a.rows)) {
		p.cursor.suspect(id, "first page", now)
	}
}

// afterIncremental moves the watermark once every question of the reading was
// answered, and not before.
func (w *watch) afterIncremental(p *progress, a answer, f found, now time.Time) {
	r := w.continued(w.incremental, a, now, -1)
	r.Found += f.unknown + f.changed
	r.Steps++
	p.incremental = &r
	if !r.Done {
		return
	}
	p.incremental = nil
	p.cursor.done(kindIncremental, r.Found, now)
	p.polled = true
	p.cursor.Bulk = r.Steps > 1
	mark := watermark(w.cursor.Watermark, r, p.cursor.ClocksAgree)
	if r.Paged {
		// A deletion may have hidden a row at a page turn: the next reading asks
		// from where this one did, and moves the watermark to where this one ended.
		p.cursor.advance(w.cursor.Lagging, a)
		p.cursor.Lagging = mark
		return
	}
	p.cursor.advance(mark, a)
	p.cursor.Lagging = time.Time{}
	p.cursor.Read = later(p.cursor.Read, r.Started)
}

// advance moves the watermark to mark, which never goes back, and notes when.
func (c *cursor) advance(mark time.Time, a answer) {
	if mark.After(c.Watermark) || c.Moved.IsZero() {
		c.Moved = a.page.Date
	}
	c.Watermark = later(c.Watermark, mark)
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
