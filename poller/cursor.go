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
	// Lagging is where the watermark goes after the next reading, while readings
	// take pages instead of windows.
	Lagging time.Time `json:"lagging,omitzero"`
	// ClocksAgree: a change was seen whose updated_at lies within the overlap of
	// the answer's Date header, so Date may advance the watermark.
	ClocksAgree bool `json:"clocks_agree,omitzero"`
	// Unstamped: a record without updated_at was seen; questions by updated_at
	// cannot be trusted to show new records.
	Unstamped bool `json:"unstamped,omitzero"`

	// Capacity is how many rows a full page holds: 100, or fewer where a server
	// silently clamps per_page.
	Capacity int `json:"capacity"`
	// Refused says since when the API answers 400 to a question.
	Refused map[question]time.Time `json:"refused,omitempty"`

	Polled time.Time `json:"polled,omitzero"` // when the last complete poll began, by our clock
}

// A question is one way of asking, which a collection may refuse.
type question string

const (
	askUpdated question = "updated_from"
	askWindow  question = "created_from/created_to"
	askCount   question = "mode=count"
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
	c.Refused = maps.Clone(c.Refused)
	if c.Refused == nil {
		c.Refused = make(map[question]time.Time)
	}
	c.Refused[q] = now
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

// A baseline is the first, silent reading of a collection.
type baseline struct {
	Stage   stage     `json:"stage"`
	Reading reading   `json:"reading"`
	Count   int       `json:"count"` // by mode=count; negative if unknown
	Recount int       `json:"recounts,omitzero"`
	Started time.Time `json:"started,omitzero"` // the server's clock at the first answer
	Newest  time.Time `json:"newest,omitzero"`  // newest creation on the first page
	Clamp   int       `json:"clamp,omitzero"`   // rows of a first page that may have been cut short
}

// A stage is a step of the baseline.
type stage string

const (
	stageCount  stage = "count"  // how many are there?
	stageRead   stage = "read"   // read them
	stageClamp  stage = "clamp"  // is a short first page the end, or a clamped one?
	stageVerify stage = "verify" // do we hold as many as there are?
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
