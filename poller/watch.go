package poller

import (
	"time"

	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// pageSize is the largest page the API gives.
const pageSize = 100

// overlap is how far before the watermark an incremental poll asks: records may
// become visible later than their updated_at says.
const overlap = 5 * time.Minute

// A kind of job is what one request is spent on.
type kind string

const (
	kindBaseline    kind = "baseline"
	kindHead        kind = "head"
	kindIncremental kind = "incremental"
	kindSweep       kind = "sweep"
)

// A job is the next request of one collection.
type job struct {
	kind    kind
	request trackops.Request
}

// A watch is one collection under observation: what is stored of it (the cursor)
// and what a restart may forget (walks under way, suspicions, failures).
type watch struct {
	layout *layout
	cursor cursor

	incremental *reading // under way, or nil
	sweep       *reading // under way, or nil
	head        int      // page of the head walk under way, or 0
	turn        int      // polls so far; decides whose turn it is
	stale       map[string]suspicion

	asked    time.Time // when its last request was made
	failures int       // in a row
	retryAt  time.Time // not before, after failures
	off      string    // why it is not polled: "" if it is
	held     int       // live records

	lastSuccess time.Time
	lastError   string
}

// A suspicion is a version older than the one we hold. A lagging replica shows
// such versions too, so it is believed when it is still there a while later.
type suspicion struct {
	fingerprint [16]byte
	at          time.Time
}

// staleAfter is how long an older version must persist to be believed.
const staleAfter = time.Minute

// next returns the job the collection would spend a request on.
func (w *watch) next(now time.Time) job {
	if b := w.cursor.Baseline; !w.cursor.Live && b != nil {
		return job{kindBaseline, w.baselineRequest(now)}
	}
	switch k := w.nextKind(now); k {
	case kindIncremental:
		r := w.incremental
		if r == nil {
			r = w.newIncremental(now)
		}
		return job{k, w.readingRequest(r, now)}
	case kindSweep:
		r := w.sweep
		if r == nil {
			r = &reading{Pages: !w.windows(now)}
		}
		return job{k, w.readingRequest(r, now)}
	default:
		q := w.request(now)
		q.Page = max(w.head, 1)
		return job{kindHead, q}
	}
}

// Every headTurn-th poll of a collection that is polled by updated_at is a head
// poll, and every sweepTurn-th a step of a sweep: nothing says that creation
// moves updated_at, nor that every change does.
const (
	headTurn  = 3
	sweepTurn = 10
)

// nextKind decides between the polls of a live collection. Walks under way are
// finished first.
func (w *watch) nextKind(now time.Time) kind {
	switch byTime := w.byUpdated(now); {
	case w.head > 1:
		return kindHead
	case w.incremental != nil && byTime:
		return kindIncremental
	case !byTime && w.turn%2 == 1, byTime && w.turn%sweepTurn == sweepTurn-1:
		return kindSweep
	case !byTime, w.cursor.Unstamped && w.turn%2 == 1, w.turn%headTurn == headTurn-1:
		return kindHead
	default:
		return kindIncremental
	}
}

// byUpdated reports whether the collection can be asked by updated_at.
func (w *watch) byUpdated(now time.Time) bool {
	return w.layout.collection.UpdatedFrom && w.cursor.takes(askUpdated, now) &&
		w.cursor.Dated && !w.cursor.Watermark.IsZero()
}

// windows reports whether it can be asked by system creation time.
func (w *watch) windows(now time.Time) bool {
	c := w.layout.collection
	return c.CreatedFrom != "" && c.CreatedTo != "" && w.cursor.takes(askWindow, now)
}

func (w *watch) newIncremental(now time.Time) *reading {
	return &reading{UpdatedFrom: w.cursor.Watermark.Add(-overlap)}
}

func (w *watch) request(now time.Time) trackops.Request {
	return trackops.Request{
		Collection: w.layout.collection,
		Page:       1,
		PerPage:    pageSize,
		Format:     w.cursor.Format,
		Bare:       !w.cursor.takes(askQuery, now),
	}
}

func (w *watch) readingRequest(r *reading, now time.Time) trackops.Request {
	q := w.request(now)
	q.Page = max(r.Page, 1)
	q.Asc = r.Pages
	q.UpdatedFrom = r.UpdatedFrom
	q.CreatedFrom, q.CreatedTo = r.bounds()
	return q
}

func (w *watch) baselineRequest(now time.Time) trackops.Request {
	b := w.cursor.Baseline
	switch b.Stage {
	case stageCount, stageVerify:
		q := w.request(now)
		q.Count = true
		return q
	case stageClamp:
		q := w.request(now)
		q.Page = 2
		return q
	default:
		return w.readingRequest(&b.Reading, now)
	}
}
