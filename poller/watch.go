package poller

import (
	"time"

	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// pageSize is the largest page the API gives.
const pageSize = 100

// A kind of job is what one request is spent on.
type kind string

const (
	kindBaseline    kind = "baseline"
	kindHead        kind = "head"
	kindIncremental kind = "incremental"
	kindLookback    kind = "lookback" // an incremental with a day's overlap
	kindSweep       kind = "sweep"
	kindCount       kind = "count"
	kindBisect      kind = "bisect"
	kindVerify      kind = "verify" // is an absent record gone?
	kindCanary      kind = "canary" // can we see a record that is certainly there?
	kindSettle      kind = "settle" // does the count agree with the deletions?
)

// A job is the next request of one collection.
type job struct {
	kind    kind
	request trackops.Request
	why     string // for the log
}

// A watch is one collection under observation: what is stored of it (the cursor)
// and what a restart may forget (walks under way, suspicions, failures).
type watch struct {
	layout *layout
	cursor cursor

	incremental *reading // under way, or nil
	lookback    *reading // under way, or nil
	head        int      // page of the head walk under way, or 0
	whole       bool     // the last first page showed all there is
	found       int      // by the head walk or reading under way
	stale       map[string]suspicion

	asking    window              // of the sweep's or the search's last question
	stubborn  int                 // full windows in a row at one place
	seen      map[string]struct{} // ids that a sweep by pages saw
	confirmed bool                // an operator believes what the brake holds back; for the next request
	verify    string              // id that the last verify or canary asked about
	witness   witness             // a record seen lately
	canaries  int                 // canaries in a row that were not there
	deserted  bool                // no collection shows a record that could be a canary
	answered  time.Time           // when a list or count of it answered while that was so
	heard     time.Time           // when it last had news, or its silence was looked into
	loud      float64             // changes a second then
	first     []row               // the first page of the baseline, to be read twice
	ahead     time.Duration       // the server's clock less ours

	polled   time.Time // when the last question of a poll was
	failures int       // in a row
	retryAt  time.Time // not before, after failures
	off      string    // why it is not polled: "" if it is
	denials  int       // in a row, while other collections are allowed
	vanished bool      // it was there, and answers 404 as a whole
	held     int       // live records

	gap         delay         // between complete polls
	longest     time.Duration // the longest of them since the start
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

// A witness is a record that a list showed lately.
type witness struct {
	id, path   string
	collection trackops.Collection
	seen       time.Time
}

// fresh reports whether the record was there a moment ago, so that it can be
// expected to be there still.
func (w witness) fresh(now time.Time) bool { return w.id != "" && now.Sub(w.seen) < 2*time.Minute }

// build returns the request for a job of kind k. It may begin a walk.
func (w *watch) build(k kind, records *state.Records, now time.Time) (trackops.Request, error) {
	switch k {
	case kindBaseline:
		return w.baselineRequest(now), nil
	case kindIncremental:
		if w.incremental == nil {
			w.incremental = &reading{UpdatedFrom: w.cursor.Watermark.Add(-w.cursor.overlap())}
		}
		return w.readingRequest(w.incremental, now), nil
	case kindLookback:
		if w.lookback == nil {
			w.lookback = &reading{UpdatedFrom: w.cursor.Watermark.Add(-lookbackSpan)}
		}
		return w.readingRequest(w.lookback, now), nil
	case kindSweep:
		return w.sweepRequest(records, now), nil
	case kindCount, kindSettle:
		return w.countRequest(k, now), nil
	case kindBisect:
		return w.bisectRequest(records, now), nil
	case kindVerify, kindCanary:
		return w.singleRequest(k, records, now)
	default:
		q := w.request(now)
		q.Page = max(w.head, 1)
		return q, nil
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

// splits reports whether a reading can be split into windows.
func (w *watch) splits(r *reading, now time.Time) bool {
	return w.windows(now) && (r.UpdatedFrom.IsZero() || w.cursor.takes(askBoth, now))
}

// settled reports whether it can be counted up to a moment.
func (w *watch) settled(now time.Time) bool {
	return w.windows(now) && w.cursor.takes(askCount, now) && w.cursor.takes(askSettled, now)
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
	case stageCount:
		q := w.request(now)
		q.Count = true
		return q
	case stageVerify:
		q := w.request(now)
		q.Count = true
		if w.settled(now) {
			q.CreatedTo = b.Started
		}
		return q
	case stageClamp:
		q := w.request(now)
		q.Page = 2
		return q
	case stageTwice:
		return w.request(now)
	default:
		return w.readingRequest(&b.Reading, now)
	}
}

const (
	// leastOverlap, usualOverlap and mostOverlap bound how far before the
	// watermark an incremental poll asks: records may become visible later than
	// their updated_at says.
	leastOverlap = 2 * time.Minute
	usualOverlap = 5 * time.Minute
	mostOverlap  = 15 * time.Minute

	lookbackSpan = 24 * time.Hour
)

// overlap is twice the largest lateness seen, within bounds. After a bulk edit
// it is short, so that the bulk is not read over and over; the lookback covers
// the rest.
func (c *cursor) overlap() time.Duration {
	if c.Bulk {
		return leastOverlap
	}
	return min(max(usualOverlap, 2*c.Late), mostOverlap)
}
