package poller

import (
	"maps"
	"time"

	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A sweep reads a whole collection again, for changes that no other question
// shows and for absences. It goes upwards through system creation time in
// windows sized from the records held, so each window is one consistent answer
// and says by itself what is missing in it; nothing is concluded from a sweep as
// a whole. It is plain data, stored with each answer, and goes on after a crash.
//
// Where there are no windows it walks pages, between two counts; then absences
// are known only at its end, and only if the counts agree.
type sweep struct {
	Started time.Time `json:"started"`
	From    time.Time `json:"from,omitzero"` // of the next window; zero is open
	To      time.Time `json:"to,omitzero"`   // of the window whose pages are walked
	Page    int       `json:"page,omitzero"` // above 1 while the pages of one window are walked
	Steps   int       `json:"steps,omitzero"`
	Rows    int       `json:"rows,omitzero"` // how many of the held records were passed

	Pages  bool `json:"pages,omitzero"`
	Before int  `json:"before,omitzero"` // count before the pages; -1: unknown
	After  bool `json:"after,omitzero"`  // all pages were read: count again
	Urgent bool `json:"urgent,omitzero"` // a count says that records are missing: do not wait
}

// A window is a question about the records created between two moments, zero
// for open.
type window struct{ from, to time.Time }

// beginSweep returns a sweep that asks nothing yet.
func (w *watch) beginSweep(now time.Time, urgent bool) *sweep {
	s := &sweep{Started: now, Urgent: urgent, Before: -1}
	s.Pages = !w.windows(now) || w.cursor.Undated
	if s.Pages {
		w.seen = make(map[string]struct{})
	}
	return s
}

// sweepRequest returns the next question of the sweep under way.
func (w *watch) sweepRequest(records *state.Records, now time.Time) trackops.Request {
	s := w.cursor.Sweep
	q := w.request(now)
	if s == nil {
		s = w.beginSweep(now, false)
		w.cursor.Sweep = s
	}
	if s.Pages {
		q.Asc, q.Page = true, max(s.Page, 1)
		q.Count = w.cursor.takes(askCount, now) && (s.After || s.Page == 0 && s.Before < 0)
		return q
	}
	at := window{s.From, s.To}
	if s.Page <= 1 {
		at = w.nextWindow(records, s.From)
	} else if !at.from.IsZero() {
		at.from = at.from.Add(-2 * resolution) // as on the first page
	}
	w.asking = at
	q.Page = max(s.Page, 1)
	q.CreatedFrom, q.CreatedTo = at.from, at.to
	return q
}

// nextWindow returns a window that begins a little below from and should hold
// about windowRows of the records held.
func (w *watch) nextWindow(records *state.Records, from time.Time) window {
	at := window{}
	if !from.IsZero() {
		at.from = from.Add(-2 * resolution)
	}
	n, aim := 0, max(1, (w.cursor.Capacity*windowRows/100)>>w.stubborn)
	records.Range(from, time.Time{}, func(m state.Meta) bool {
		n++
		at.to = m.Created.Truncate(resolution).Add(resolution)
		return n < aim
	})
	if n < aim {
		at.to = time.Time{} // the last one
	} else if !from.IsZero() && at.to.Sub(from) < narrowest {
		at.to = from.Add(narrowest)
	}
	return at
}

// afterSweep takes in an answer of the sweep.
func (w *watch) afterSweep(p *progress, a answer, f found, records *state.Records, now time.Time) {
	s := *w.cursor.Sweep
	p.cursor.Sweep = &s
	s.Steps++
	p.cursor.Rates = with(p.cursor.Rates, kindSweep, p.cursor.Rates[kindSweep].observe(f.unknown+f.changed, now))
	p.cursor.Done = with(p.cursor.Done, kindSweep, now)
	if s.Pages {
		w.afterSweepPage(p, &s, a, records, now)
		return
	}
	if s.Page > 1 || w.full(a) {
		if done := w.afterFullWindow(p, &s, a, records, now); !done {
			return
		}
	} else {
		w.stubborn = 0
		for _, id := range w.absent(records, w.asking, idsOf(a.rows)) {
			p.cursor.suspect(id, "window", now)
		}
	}
	s.Rows += len(a.rows)
	if w.asking.to.IsZero() {
		p.cursor.endSweep(s, now)
		return
	}
	s.From = w.asking.to
}

// afterFullWindow handles a window that held more than it should: the next one
// from the same place is half as wide. One that cannot be made smaller is walked
// by pages. It reports whether the sweep is done with the window.
func (w *watch) afterFullWindow(p *progress, s *sweep, a answer, records *state.Records, now time.Time) bool {
	narrow := !s.From.IsZero() && !w.asking.to.IsZero() && w.asking.to.Sub(s.From) <= narrowest+2*resolution
	if s.Page <= 1 && !narrow && w.stubborn < mostStubborn {
		w.stubborn++
		return false
	}
	if s.Page <= 1 {
		s.To = w.asking.to
		w.seen = make(map[string]struct{})
	}
	if w.seen != nil { // else a restart forgot the first pages
		maps.Copy(w.seen, idsOf(a.rows))
	}
	if w.full(a) {
		s.Page = max(s.Page, 1) + 1
		return false
	}
	if w.seen != nil {
		for _, id := range w.absent(records, w.asking, w.seen) {
			p.cursor.suspect(id, "walk by pages", now)
		}
	}
	s.Page, w.stubborn = 0, 0
	return true
}

// mostStubborn is how often a window is halved before its pages are walked.
const mostStubborn = 6

func idsOf(rows []row) map[string]struct{} {
	ids := make(map[string]struct{}, len(rows))
	for _, r := range rows {
		ids[r.key.ID] = struct{}{}
	}
	return ids
}

// afterSweepPage goes on with a sweep by pages: count, pages, count.
func (w *watch) afterSweepPage(p *progress, s *sweep, a answer, records *state.Records, now time.Time) {
	switch {
	case a.job.request.Count && !s.After:
		s.Before = a.page.Count
		s.Page = 1
		return
	case !a.job.request.Count:
		for _, r := range a.rows {
			if w.seen != nil {
				w.seen[r.key.ID] = struct{}{}
			}
		}
		s.Rows += len(a.rows)
		if w.full(a) {
			s.Page = max(s.Page, 1) + 1
			return
		}
		if s.Before >= 0 && w.cursor.takes(askCount, now) {
			s.After = true
			return
		}
	case a.page.Count != s.Before || a.page.Count != len(w.seen):
		// Something came or went meanwhile: nothing can be said about absences.
		p.cursor.endSweep(*s, now)
		return
	}
	if w.seen != nil { // else the sweep began before a restart, and what it saw is forgotten
		for _, id := range unseen(records, w.seen) {
			p.cursor.suspect(id, "walk by pages", now)
		}
	}
	p.cursor.endSweep(*s, now)
}

func (c *cursor) endSweep(s sweep, now time.Time) {
	c.Sweep, c.Swept, c.SweptTo = nil, s.Started, now
	c.Recount = c.Recount || s.Urgent
}

// absent returns the records held as living that the answer about a window
// should have shown. Those at its edges are left to the neighbours, since times
// in questions are cut to the second.
func (w *watch) absent(records *state.Records, at window, listed map[string]struct{}) []string {
	from, to := at.from, at.to
	if !from.IsZero() {
		from = from.Add(resolution)
	}
	if !to.IsZero() {
		to = to.Add(-resolution)
	}
	var ids []string
	records.Range(from, to, func(m state.Meta) bool {
		if _, ok := listed[m.ID]; !ok {
			ids = append(ids, m.ID)
		}
		return true
	})
	return ids
}

// unseen returns the living records that are not among those listed.
func unseen(records *state.Records, listed map[string]struct{}) []string {
	var ids []string
	check := func(m state.Meta) bool {
		if _, ok := listed[m.ID]; !ok {
			ids = append(ids, m.ID)
		}
		return true
	}
	records.Range(time.Time{}, time.Time{}, check)
	records.Undated(check)
	return ids
}
