package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A probeReport is what was learnt about an account, without its name and
// without content of records.
type probeReport struct {
	Version  string         `json:"version"`
	At       time.Time      `json:"at"`
	Complete bool           `json:"complete"`
	Ended    string         `json:"ended,omitempty"` // why it is not
	Requests int            `json:"requests"`
	Failures map[string]int `json:"failures,omitempty"` // that were tried again
	// RetryAfter is what the account asked to wait, in seconds, when it refused.
	RetryAfter []float64 `json:"retry_after_seconds,omitempty"`

	Clock       clockReport         `json:"clock"`
	Collections []*collectionReport `json:"collections"`

	Subject          string        `json:"subject,omitempty"` // the collection asked what follows
	UnknownParameter errorAnswer   `json:"unknown_parameter"`
	WrongID          errorAnswer   `json:"wrong_id"`
	Paging           pagingReport  `json:"paging"`
	Ascending        verdict       `json:"ascending,omitempty"`
	AscendingKeys    []string      `json:"ascending_keys,omitempty"`
	Filters          filterReport  `json:"filters"`
	FormatsTaken     []formatTaken `json:"formats_taken,omitempty"`
}

type collectionReport struct {
	Name          string         `json:"name"`
	List          verdict        `json:"list"`
	Bare          verdict        `json:"without_its_parameters,omitempty"` // where List is refused with them
	Count         verdict        `json:"count,omitempty"`
	Records       *int           `json:"records,omitempty"`
	UpdatedFrom   verdict        `json:"updated_from,omitempty"`
	CreatedTo     verdict        `json:"created_to,omitempty"`
	Single        verdict        `json:"single,omitempty"`
	Keys          string         `json:"keys,omitempty"`           // whether the client finds the records' identity
	Creation      string         `json:"creation,omitempty"`       // what it does to updated_at
	OrderKeys     []string       `json:"order_keys,omitempty"`     // the newest records are in order of these
	ChangesItself []string       `json:"changes_itself,omitempty"` // fields that differ from reading to reading
	TimeFormats   map[string]int `json:"time_formats,omitempty"`   // of created_at and updated_at
	Shape         *shape         `json:"shape,omitempty"`
}

type pagingReport struct {
	One       verdict `json:"per_page_1,omitempty"`
	OneRows   *int    `json:"per_page_1_rows,omitempty"`
	Above     verdict `json:"per_page_200,omitempty"`
	AboveRows *int    `json:"per_page_200_rows,omitempty"`
	PastEnd   verdict `json:"past_end,omitempty"`
}

type filterReport struct {
	UpdatedBesideCreated verdict `json:"updated_beside_created,omitempty"`
	CreatedBesideUpdated verdict `json:"created_beside_updated,omitempty"`
	CountUpdated         verdict `json:"count_by_updated_from,omitempty"`
	CountCreated         verdict `json:"count_by_created_to,omitempty"`
	Inclusive            verdict `json:"updated_from_inclusive,omitempty"`
}

type formatTaken struct {
	Format string  `json:"format"`
	Taken  verdict `json:"taken"`
}

// A clockReport compares the account's clock with ours.
type clockReport struct {
	Answers int      `json:"answers"`
	Dated   int      `json:"dated"`                   // with a Date header
	Ahead   *float64 `json:"ahead_seconds,omitempty"` // the account's clock less ours, at its closest
	Slowest float64  `json:"slowest_answer_seconds"`
}

// add learns from an answer. Date is cut to the second, so half of one is added.
func (c *clockReport) add(page trackops.Page) {
	if page.Received.IsZero() {
		return
	}
	c.Answers++
	c.Slowest = max(c.Slowest, page.Received.Sub(page.Sent).Round(time.Millisecond).Seconds())
	if page.Date.IsZero() {
		return
	}
	c.Dated++
	middle := page.Sent.Add(page.Received.Sub(page.Sent) / 2)
	ahead := page.Date.Add(time.Second / 2).Sub(middle).Round(time.Second / 10).Seconds()
	if c.Ahead == nil || max(ahead, -ahead) < max(*c.Ahead, -*c.Ahead) {
		c.Ahead = &ahead
	}
}

// An errorAnswer is what a mistake is answered with: the status and the form of
// the text, never the text.
type errorAnswer struct {
	Asked  bool   `json:"asked"`
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`
	Rows   int    `json:"rows,omitempty"` // where it is no error to the account
}

func newErrorAnswer(err error, rows int) errorAnswer {
	e := errorAnswer{Asked: true, Status: fault.Status(err), Rows: rows}
	var status *fault.StatusError
	switch {
	case err == nil:
		e.Status = 200
	case errors.As(err, &status):
		_, text, _ := strings.Cut(err.Error(), status.Error())
		e.Body = bodyForm(strings.TrimPrefix(text, ": "))
	default:
		e.Body = answerClass(err)
	}
	return e
}

// bodyForm says what the excerpt of an error's body is.
func bodyForm(excerpt string) string {
	if excerpt == "" {
		return "empty, or withheld"
	}
	fields, err := topLevel(json.RawMessage(excerpt))
	switch {
	case err == nil && len(fields) > 0:
		var parts []string
		for _, f := range fields {
			name := f.name
			if !plainName.MatchString(name) {
				name = "*"
			}
			parts = append(parts, name+" "+valueType(f.value))
		}
		return "object {" + strings.Join(parts, ", ") + "}"
	case strings.HasPrefix(excerpt, "{"):
		return "object, too long to tell"
	case strings.HasPrefix(excerpt, `"`):
		return "JSON text"
	case strings.HasPrefix(excerpt, "["):
		return "array"
	}
	return "text or HTML"
}

func newProbeReport() *probeReport {
	return &probeReport{Version: programVersion(), At: time.Now().UTC().Truncate(time.Second), Failures: make(map[string]int)}
}

// collection returns the report about a collection, a new one at first.
func (r *probeReport) collection(c trackops.Collection) *collectionReport {
	for _, info := range r.Collections {
		if info.Name == c.Name {
			return info
		}
	}
	info := &collectionReport{Name: c.Name}
	r.Collections = append(r.Collections, info)
	return info
}

// learn takes from the newest records what can be told without content.
func (info *collectionReport) learn(c trackops.Collection, records []json.RawMessage) {
	info.Shape = newShape()
	info.TimeFormats = make(map[string]int)
	info.OrderKeys = sortedFields(records, true)
	ids, null, same, later := make(map[string]bool), 0, 0, 0
	for _, record := range records {
		if info.Shape.add(record) != nil {
			continue
		}
		key, err := keyOf(c, record)
		if err != nil {
			continue
		}
		ids[key.ID] = true
		info.TimeFormats[formatName(key.Format)]++
		switch {
		case key.Updated.IsZero():
			null++
		case key.Updated.Equal(key.Created):
			same++
		default:
			later++
		}
	}
	delete(info.TimeFormats, "")
	if len(records) == 0 {
		return
	}
	info.Keys = fmt.Sprintf("%d of %d different", len(ids), len(records))
	info.Creation = fmt.Sprintf("updated_at unset in %d, equal to created_at in %d, another in %d", null, same, later)
}

// commonest returns the form that most times have.
func commonest(counts map[string]int) trackops.TimeFormat {
	var best trackops.TimeFormat
	for _, f := range trackops.TimeFormats() {
		if counts[formatName(f)] > counts[formatName(best)] {
			best = f
		}
	}
	return best
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
