package poller

import (
	"slices"
	"time"
)

// A reading asks for a set of records in questions that fit one page each, so
// that every answer is one consistent read: neither order, nor inserts, edits or
// deletions between two questions can hide a record.
//
// The first question is open. If its page comes back full, the reading goes
// down through system creation time in windows of about windowRows records,
// each overlapping its neighbour by twice the clock's resolution. Where a
// collection takes no windows, or more than a page of records share one moment,
// it falls back to pages, and Paged says that what it did not see proves nothing.
//
// It is plain data: part of the cursor that is stored with each answer.
type reading struct {
	UpdatedFrom time.Time `json:"updated_from,omitzero"` // zero: the whole collection

	To    time.Time     `json:"to,omitzero"`    // what is left ends here, inclusive; zero is open
	Low   time.Time     `json:"low,omitzero"`   // of the question under way; zero is open
	Width time.Duration `json:"width,omitzero"` // of the next window; 0 asks for all that is left
	Page  int           `json:"page,omitzero"`  // above 1 while the pages of one question are walked
	Pages bool          `json:"pages,omitzero"` // no windows here: pages upwards
	Paged bool          `json:"paged,omitzero"` // some question took more than one page

	Started time.Time `json:"started,omitzero"` // the server's clock before the first answer was read
	Newest  time.Time `json:"newest,omitzero"`  // newest updated_at seen
	Top     time.Time `json:"top,omitzero"`     // newest creation seen
	Found   int       `json:"found,omitzero"`   // changes so far
	Steps   int       `json:"steps,omitzero"`   // questions so far
	Done    bool      `json:"done,omitzero"`
}

const (
	// windowRows is what a window aims for: a tenth of a page is left for
	// records that were added since.
	windowRows = 90
	// resolution is the coarsest clock among the timestamp formats.
	resolution = time.Second
	// narrowest is the smallest window: below it, pages.
	narrowest = 4 * resolution
	// earliest is 1990, in Unix seconds: below it one open question is enough, and
	// a server may refuse times that it cannot represent.
	earliest = 631152000
)

// bounds returns the window of the next question; zero is open.
func (r *reading) bounds() (from, to time.Time) {
	if r.Page > 1 || r.Pages {
		return r.Low, r.To
	}
	return r.low(), r.To
}

func (r *reading) low() time.Time {
	top := r.top()
	if r.Width == 0 || top.IsZero() {
		return time.Time{}
	}
	return top.Add(-r.Width)
}

// top is the upper end of the question in numbers: where it is open, the newest
// creation seen.
func (r *reading) top() time.Time {
	if r.To.IsZero() {
		return r.Top
	}
	return r.To
}

// answered takes in the answer to the last question: the creation times of its
// rows as listed (zero where a record has none), whether the page was full, and
// how many records are left to find (negative if unknown).
func (r *reading) answered(created []time.Time, full bool, left int) {
	low := r.low() // as it was asked, before Top moves
	for _, c := range created {
		if c.After(r.Top) && r.To.IsZero() {
			r.Top = c
		}
	}
	switch {
	case r.Pages || r.Page > 1:
		r.turnPage(full)
	case full:
		r.narrow(created, low)
	default:
		r.advance(low, len(created), left)
	}
}

// turnPage goes on with the pages of one question.
func (r *reading) turnPage(full bool) {
	if full {
		r.Page = max(r.Page, 1) + 1
		r.Paged = true
		return
	}
	r.Page = 0
	if r.Pages {
		r.Done = true
		return
	}
	r.advance(r.Low, windowRows, -1)
}

// advance leaves an answered window behind.
func (r *reading) advance(low time.Time, rows, left int) {
	if low.IsZero() {
		r.Done = true
		return
	}
	r.To = low.Add(2 * resolution)
	switch {
	case rows == 0 || left >= 0 && left <= windowRows:
		r.Width = 0
	case rows < windowRows/3:
		r.Width *= 4
	default:
		r.Width = max(r.Width*windowRows/time.Duration(rows), narrowest)
	}
	if r.low().Before(time.Unix(earliest, 0)) {
		r.Width = 0
	}
}

// narrow chooses a smaller window after a full page, or walks the pages of this
// one where it can not be made smaller.
func (r *reading) narrow(created []time.Time, low time.Time) {
	width := narrower(created, r.top())
	whole := low.IsZero()
	if !whole {
		width = min(width, r.Width/2)
	}
	if width >= narrowest || whole && width > 0 {
		r.Width = max(width, narrowest)
		return
	}
	if r.Width > narrowest {
		r.Width = narrowest
		return
	}
	r.Low, r.Page, r.Paged = low, 2, true
}

// narrower returns the width of a window below top that should hold about
// windowRows of the records of which rows is a page; 0 if the rows do not say.
func narrower(rows []time.Time, top time.Time) time.Duration {
	dated := slices.DeleteFunc(slices.Clone(rows), time.Time.IsZero)
	if len(dated) < len(rows) || len(rows) == 0 || top.IsZero() {
		return 0
	}
	newestFirst := slices.IsSortedFunc(dated, func(a, b time.Time) int { return b.Compare(a) })
	slices.SortFunc(dated, func(a, b time.Time) int { return b.Compare(a) })
	at := len(dated) / 2
	if newestFirst {
		at = min(len(dated)-1, windowRows*len(dated)/100)
	}
	// The page may be a sample of a longer list in another order, so the window
	// is measured from its top, not from the newest row.
	return max(top.Sub(dated[at]), resolution)
}
