package poller

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A cursor is what is known of one collection besides its records. It is stored
// in the transaction of the answer that changed it.
type cursor struct {
	Live     bool                `json:"live"`              // the baseline is complete
	Baseline *baseline           `json:"baseline,omitzero"` // while it is not
	Format   trackops.TimeFormat `json:"format"`            // of the account's timestamps, used in questions too
	Dated    bool                `json:"dated"`             // a timestamp was seen, so Format is known

	// Watermark: every version that carries an older updated_at was read. Only
	// times of the server enter it, never this machine's clock.
	Watermark time.Time `json:"watermark,omitzero"`
	// Moved is when the watermark came to stand where it is, and Read when the last
	// complete reading by updated_at began, both by the server's Date header: the
	// one not before, the other not after it. Zero: not known.
	Moved time.Time `json:"moved,omitzero"`
	Read  time.Time `json:"read,omitzero"`
	// Lagging is where the watermark goes after the next reading, while readings
	// take pages instead of windows.
	Lagging time.Time `json:"lagging,omitzero"`
	// ClocksAgree: a change was seen whose updated_at lies within the overlap of
	// the answer's Date header, so Date may advance the watermark.
	ClocksAgree bool `json:"clocks_agree,omitzero"`
	// Late is the largest lateness seen: how far behind the watermark the
	// updated_at of a change lay when it was found.
	Late time.Duration `json:"late,omitzero"`
	// Bulk: the last incremental reading took several questions, so the overlap
	// is kept short until it fits one again.
	Bulk bool `json:"bulk,omitzero"`
	// Unstamped: a record without updated_at was seen; questions by updated_at
	// cannot be trusted to show new records.
	Unstamped bool `json:"unstamped,omitzero"`
	// Undated: a record without a creation time was seen; windows do not show it.
	Undated bool `json:"undated,omitzero"`

	// Capacity is how many rows a full page holds: 100, or fewer where a server
	// silently clamps per_page.
	Capacity int `json:"capacity"`
	// Refused says since when the API answers 400 to a question, or ignores it.
	Refused map[question]time.Time `json:"refused,omitempty"`

	// QueryTaken: the fixed parameters of the collection were accepted, so they
	// are not why another question is refused.
	QueryTaken bool `json:"query_taken,omitzero"`

	Rates map[kind]rate      `json:"rates,omitempty"` // what each kind of job finds
	Done  map[kind]time.Time `json:"done,omitempty"`  // when each was last complete, by our clock
	Delay delay              `json:"delay,omitzero"`  // from a change to its detection

	Sweep   *sweep    `json:"sweep,omitzero"`   // under way
	Swept   time.Time `json:"swept,omitzero"`   // when the last complete sweep began: every record was seen since
	SweptTo time.Time `json:"sweptto,omitzero"` // when it ended

	Suspects map[string]suspect   `json:"suspects,omitempty"` // absent records, by id
	Unlisted map[string]time.Time `json:"unlisted,omitempty"` // not listed, but there: until when that is no news
	Canary   time.Time            `json:"canary,omitzero"`    // when a record that is there was last read by itself
	Brake    *brake               `json:"brake,omitzero"`     // too many absences to be believed
	Bisect   *bisection           `json:"bisect,omitzero"`    // a search under way for what a count showed
	Bias     int                  `json:"bias,omitzero"`      // held less counted that no search explains
	Rest     int                  `json:"rest,omitzero"`      // the same, of the last search alone
	Missing  int                  `json:"missing,omitzero"`   // held less counted, less Bias, at the last count
	Recount  bool                 `json:"recount,omitzero"`   // all was read because of a count: what still differs is Bias

	Shape    *shape   `json:"shape,omitzero"`     // the schema change that was last accepted
	Volatile []string `json:"volatile,omitempty"` // fields that change by themselves, proposed to be ignored
}

// A question is one way of asking, which a collection may refuse.
type question string

const (
	askUpdated question = "updated_from"
	askWindow  question = "created_from/created_to"
	askBoth    question = "updated_from with created_from/created_to"
	askCount   question = "mode=count"
	askSettled question = "mode=count with created_to"
	askQuery   question = "fixed parameters"
)

// refusedFor is how long a refused question is not asked again.
const refusedFor = 24 * time.Hour

// takes reports whether a question may be asked at now.
func (c *cursor) takes(q question, now time.Time) bool {
	at, refused := c.Refused[q]
	return !refused || now.Sub(at) >= refusedFor
}

// refuse returns the cursor with q switched off for a day.
func (c cursor) refuse(q question, now time.Time) cursor {
	c.Refused = with(c.Refused, q, now)
	return c
}

// accept returns the cursor with the questions switched on again.
func (c cursor) accept(questions ...question) cursor {
	c.Refused = maps.Clone(c.Refused)
	for _, q := range questions {
		delete(c.Refused, q)
	}
	return c
}

// with returns a copy of m that has v at k. The cursor in force shares its maps
// with the one that is being made, so they are never written to.
func with[K comparable, V any](m map[K]V, k K, v V) map[K]V {
	m = maps.Clone(m)
	if m == nil {
		m = make(map[K]V)
	}
	m[k] = v
	return m
}

// without returns a copy of m that lacks k, or m itself if it does already.
func without[K comparable, V any](m map[K]V, k K) map[K]V {
	if _, has := m[k]; !has {
		return m
	}
	m = maps.Clone(m)
	delete(m, k)
	return m
}

// done notes that a job of kind k is complete and found so many changes.
func (c *cursor) done(k kind, found int, now time.Time) {
	c.Done = with(c.Done, k, now)
	c.Rates = with(c.Rates, k, c.Rates[k].observe(found, now))
}

// A baseline is the first, silent reading of a collection.
type baseline struct {
	Stage   stage     `json:"stage"`
	Reading reading   `json:"reading"`
	Count   int       `json:"count"` // by mode=count; negative if unknown
	Recount int       `json:"recounts,omitzero"`
	Started time.Time `json:"started,omitzero"` // the server's clock at the first answer
	Newest  time.Time `json:"newest,omitzero"`  // newest creation on the first page
	Then    stage     `json:"then,omitzero"`    // what follows the second reading of the first page
	Doubt   bool      `json:"doubt,omitzero"`   // the last answer was empty
	Clamp   int       `json:"clamp,omitzero"`   // rows of a first page that may have been cut short
}

// A stage is a step of the baseline.
type stage string

const (
	stageCount  stage = "count"  // how many are there?
	stageRead   stage = "read"   // read them
	stageClamp  stage = "clamp"  // is a short first page the end, or a clamped one?
	stageTwice  stage = "twice"  // read the first page again: what differs now changes by itself
	stageVerify stage = "verify" // do we hold as many as there are?
	stageLive   stage = "live"   // nothing is left to do
)

func newCursor() cursor {
	return cursor{
		Capacity: pageSize,
		Baseline: &baseline{Stage: stageCount, Count: -1},
	}
}

func loadCursor(raw []byte) (cursor, error) {
	if raw == nil {
		return newCursor(), nil
	}
	var c cursor
	if err := json.Unmarshal(raw, &c); err != nil {
		return cursor{}, fmt.Errorf("read cursor: %w", err)
	}
	return c, nil
}
