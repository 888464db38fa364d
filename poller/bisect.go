package poller

import (
	"fmt"
	"time"

	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// settle is how far back a count ends, so that records that are being created
// cannot disturb it.
const settle = 10 * time.Minute

// mostSkew is how far apart the two clocks of a server may be, the one of its Date
// header and the one that stamps records: a local time taken for UTC is hours off.
const mostSkew = 24 * time.Hour

// A bisection searches for what a settled count showed: it counts up to moments
// in between and follows the halves whose difference from what we hold changes,
// down to windows that one page answers. k deletions among P pages take about
// k·(log₂(P/k)+2) questions instead of P.
type bisection struct {
	Until time.Time `json:"until"`
	Spans []span    `json:"spans"` // to look into, the last one first
	Diff  int       `json:"diff"`  // held less counted, up to Until
	Found int       `json:"found"` // of them explained
	Steps int       `json:"steps"`
}

// bySearch is where a search finds an absence.
const bySearch = "search"

// A span is a stretch of creation time (From, To] with the differences, held less
// counted, up to its ends. A zero From is open.
type span struct {
	From, To         time.Time
	DiffFrom, DiffTo int
}

// countRequest counts the collection: up to a settled moment where it can be,
// as a whole elsewhere.
func (w *watch) countRequest(k kind, now time.Time) trackops.Request {
	q := w.request(now)
	q.Count = true
	w.asking = window{}
	if w.settled(now) {
		w.asking.to = w.settledAt(now)
		q.CreatedTo = w.asking.to
	}
	return q
}

// settledAt is the newest moment that a count may end at, on the clock that
// stamps records: the watermark is on it. Where there is none, the server's
// clock has to do.
func (w *watch) settledAt(now time.Time) time.Time {
	at := now.Add(w.ahead)
	if w.byUpdated(now) {
		at = w.cursor.stamps()
	}
	return at.Add(-settle).Truncate(resolution)
}

// stamps is a moment that the clock which stamps records had certainly passed when
// the last complete reading began. In a quiet account the watermark is the newest
// of old times; but that clock went on as the server's own did since the watermark
// came to stand there, and is not further behind it than mostSkew.
func (c *cursor) stamps() time.Time {
	at := later(c.Watermark, c.Read.Add(-mostSkew))
	if c.Moved.IsZero() || !c.Read.After(c.Moved) {
		return at
	}
	return later(at, c.Watermark.Add(c.Read.Sub(c.Moved)))
}

// afterCount compares a count with what is held.
func (w *watch) afterCount(p *progress, a answer, held int, records *state.Records, now time.Time) {
	c := &p.cursor
	until, have := w.asking.to, held
	if !until.IsZero() {
		have = records.CountCreated(time.Time{}, until.Add(resolution-1))
	}
	diff := have - a.page.Count
	if a.job.kind == kindSettle {
		last := c.Done[kindSettle]
		c.Done = with(c.Done, kindSettle, now)
		c.Missing = diff - c.Bias // too many, and the brake holds back what this same count would confirm
		if gone := c.goneSince(last); gone > diff-c.Bias && c.Bias != 0 && c.Bisect == nil {
			c.Bisect = &bisection{Until: until, Diff: diff, Spans: []span{{To: until, DiffTo: diff}}} // was it the count?
		}
		c.agree(until, diff-c.Bias, fmt.Sprintf("%d counted up to %s, %d were held", a.page.Count, until.UTC().Format(time.RFC3339), have))
		return
	}
	if c.Recount && len(c.Suspects) == 0 {
		c.Recount = false
		c.unexplained(diff) // all was read, and it still differs
	}
	c.Missing = diff - c.Bias
	c.done(kindCount, max(c.Missing, 0), now)
	known := len(c.Suspects)
	switch {
	case c.Missing == 0, c.Missing == known, c.Sweep != nil && c.Sweep.Urgent, c.Recount:
		// Nothing is missing, or it is being looked into.
	case until.IsZero():
		if c.Missing > 0 && known == 0 {
			c.Sweep = w.beginSweep(now, true) // only reading all of it tells what is gone
		}
	case !tooMany(c.Missing, held):
		if c.Bisect == nil {
			c.Bisect = &bisection{Until: until, Diff: diff, Spans: []span{{To: until, DiffTo: diff}}}
		}
	case c.Brake != nil && !c.Brake.holds(now):
		c.Sweep = w.beginSweep(now, true) // so many are found faster by reading all
	}
}

// bisectRequest returns the next question of the search: a count up to a moment
// in the middle of the last span, or the span itself once it fits a page.
func (w *watch) bisectRequest(records *state.Records, now time.Time) trackops.Request {
	b := w.cursor.Bisect
	s := b.Spans[len(b.Spans)-1]
	q := w.request(now)
	if mid, ok := w.middle(records, s); ok {
		w.asking = window{to: mid}
		q.Count, q.CreatedTo = true, mid
		return q
	}
	w.asking = window{to: s.To}
	if !s.From.IsZero() {
		w.asking.from = s.From.Add(-2 * resolution)
	}
	w.asking.to = w.asking.to.Add(2 * resolution)
	q.CreatedFrom, q.CreatedTo = w.asking.from, w.asking.to
	return q
}

// middle returns a moment that halves the records held in s, in the widest gap
// near their middle, where the cut of times to seconds cannot matter; false if s
// fits a page.
func (w *watch) middle(records *state.Records, s span) (time.Time, bool) {
	from := s.From
	if !from.IsZero() {
		from = from.Add(resolution)
	}
	n := records.CountCreated(from, s.To)
	if n <= w.cursor.Capacity*windowRows/100 {
		return time.Time{}, false
	}
	const around = 8
	at, widest := 0, time.Duration(-1)
	var last, mid time.Time
	records.Range(from, s.To, func(m state.Meta) bool {
		if at++; at > n/2-around && !last.IsZero() {
			if gap := m.Created.Sub(last); gap > widest {
				widest, mid = gap, last.Truncate(resolution).Add(resolution)
			}
		}
		last = m.Created
		return at < n/2+around
	})
	return mid, mid.Before(s.To) && mid.After(s.From)
}

// afterBisect follows the halves that differ, and examines what a window lacks.
func (w *watch) afterBisect(p *progress, a answer, f found, records *state.Records, now time.Time) {
	b := *w.cursor.Bisect
	p.cursor.Bisect = &b
	b.Steps++
	s := b.Spans[len(b.Spans)-1]
	b.Spans = b.Spans[: len(b.Spans)-1 : len(b.Spans)-1]
	switch {
	case a.job.request.Count:
		mid := w.asking.to
		diff := records.CountCreated(time.Time{}, mid.Add(resolution-1)) - a.page.Count
		if diff != s.DiffFrom {
			b.Spans = append(b.Spans, span{s.From, mid, s.DiffFrom, diff})
		}
		if diff != s.DiffTo {
			b.Spans = append(b.Spans, span{mid, s.To, diff, s.DiffTo})
		}
	case w.full(a):
		b.Steps = mostSteps // more than we knew of
	default:
		b.Found -= f.unknown
		for _, id := range w.absent(records, w.asking, idsOf(a.rows)) {
			p.cursor.suspect(id, bySearch, now)
			if _, suspected := p.cursor.Suspects[id]; suspected {
				b.Found++
			}
		}
	}
	switch {
	case b.Steps >= mostSteps:
		p.cursor.Bisect = nil
		if p.cursor.Sweep == nil || !p.cursor.Sweep.Urgent {
			p.cursor.Sweep = w.beginSweep(now, true) // reading all is faster
		}
	case len(b.Spans) == 0:
		p.cursor.Bisect = nil
		p.cursor.unexplained(b.Diff - b.Found)
	}
}

// unexplained takes in what a search leaves of a difference. If the one before
// left the same, then the count includes, or leaves out, what no list shows;
// anything else may have happened while it was searched.
func (c *cursor) unexplained(rest int) {
	if rest == c.Rest {
		c.Bias = rest
	}
	c.Rest = rest
}

// mostSteps ends a search that reading everything would overtake.
const mostSteps = 200
