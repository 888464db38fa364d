package poller

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/diff"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/state"
)

// A shape is a change of the schema: fields that appeared, disappeared or have
// another type, in records whose updated_at did not move. It is told once and
// then taken as how records look, instead of as a flood of updates.
type shape struct {
	Changes []string  `json:"changes"` // "+/phone", "-/fax", "~/id"
	At      time.Time `json:"at"`
}

const (
	driftRows  = 20  // fewer known records on a page say nothing
	driftShare = 0.9 // of them have to show the same
)

// drift marks the edits that only follow a change of the schema, and returns the
// change if it is a new one. A new one is recognised on head and sweep pages
// only: the others show just what was updated.
func (w *watch) drift(a answer, edits []edit, records *state.Records, now time.Time) (*shape, error) {
	k, known := a.job.kind, len(a.rows)
	same := make(map[string][]int)
	for i, e := range edits {
		if !e.held || !e.meta.Deleted.IsZero() {
			known--
			continue
		}
		if e.moved() {
			continue
		}
		changes, err := w.changes(e, records)
		if err != nil {
			return nil, err
		}
		if s := structural(changes); s != nil {
			signature := strings.Join(s, " ")
			same[signature] = append(same[signature], i)
		}
	}
	var news *shape
	for signature, at := range same {
		accepted := w.accepted(signature)
		if !accepted && (k == kindIncremental || k == kindLookback) {
			for _, i := range at {
				edits[i].wait = len(at) >= driftRows || edits[i].old(a, now)
			}
			continue
		}
		sweeping := k == kindHead || k == kindSweep
		if !accepted && (!sweeping || known < driftRows || float64(len(at)) < driftShare*float64(known)) {
			continue
		}
		if !accepted {
			news = &shape{Changes: strings.Split(signature, " "), At: now}
		}
		for _, i := range at {
			edits[i].rebase = true
		}
	}
	return news, nil
}

// accepted reports whether a change of the schema was told and is still being
// taken in: until everything was read once more.
func (w *watch) accepted(signature string) bool {
	s := w.cursor.Shape
	return s != nil && !w.cursor.Swept.After(s.At) && signature == strings.Join(s.Changes, " ")
}

// moved reports whether updated_at differs from that of the version that is held.
func (e edit) moved() bool { return !e.row.key.Updated.Equal(e.meta.Updated) }

// old reports whether the held version was not written a moment ago. One that was
// may be followed by another that bears the same updated_at. What the baseline
// read a moment ago was mostly written long before, by the server's clock.
func (e edit) old(a answer, now time.Time) bool {
	written := !a.page.Date.IsZero() && a.page.Date.Sub(e.row.key.Updated) >= leastOverlap
	return written || now.Sub(e.meta.Observed) >= time.Minute
}

// changes compares an edit with the version that is held.
func (w *watch) changes(e edit, records *state.Records) ([]events.Change, error) {
	old, _, err := records.Get(e.row.key.ID)
	if err != nil {
		return nil, err
	}
	before, err := w.layout.rules.Clean(old.Document)
	if err != nil {
		return nil, err
	}
	after, err := w.layout.rules.Clean(e.row.raw)
	if err != nil {
		return nil, err
	}
	return diff.Changes(before, after)
}

// structural describes changes of the shape alone, sorted; nil if a value
// changed too, or nothing did.
func structural(changes []events.Change) []string {
	var parts []string
	for _, c := range changes {
		path := pattern(c.Path)
		switch {
		case strings.ContainsRune(path, ' '):
			return nil
		case c.From == nil:
			parts = append(parts, "+"+path)
		case c.To == nil:
			parts = append(parts, "-"+path)
		case jsonType(c.From) != jsonType(c.To):
			parts = append(parts, "~"+path)
		default:
			return nil
		}
	}
	slices.Sort(parts)
	return slices.Compact(parts)
}

// pattern replaces the indexes of a JSON Pointer by *.
func pattern(pointer string) string {
	tokens := strings.Split(pointer, "/")
	for i, t := range tokens {
		if _, err := strconv.ParseUint(t, 10, 64); err == nil {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, "/")
}

// jsonType tells objects, arrays, strings, numbers, booleans and null apart.
func jsonType(raw []byte) byte {
	switch {
	case len(raw) == 0:
		return 0
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		return '0'
	case raw[0] == 'f':
		return 't'
	default:
		return raw[0]
	}
}

// volatile returns the fields that differ between the first page of the baseline
// and the same page read again, in records whose updated_at did not move: they
// change by themselves, and would make every reading an update.
func (w *watch) volatile(again []row) []string {
	const enough = 3 // records, or half of those compared
	before := make(map[string]row, len(w.first))
	for _, r := range w.first {
		before[r.key.ID] = r
	}
	compared := 0
	differ := make(map[string]int)
	for _, r := range again {
		old, ok := before[r.key.ID]
		if !ok || !old.key.Updated.Equal(r.key.Updated) {
			continue
		}
		compared++
		if old.fingerprint == r.fingerprint {
			continue
		}
		for path := range w.differences(old, r) {
			differ[path]++
		}
	}
	var proposed []string
	for path, n := range differ {
		if n >= enough || 2*n >= compared {
			proposed = append(proposed, path)
		}
	}
	slices.Sort(proposed)
	return proposed
}

func (w *watch) differences(a, b row) map[string]struct{} {
	paths := make(map[string]struct{})
	before, err := w.layout.rules.Clean(a.raw)
	if err != nil {
		return nil // it was read as a row, so it is JSON
	}
	after, err := w.layout.rules.Clean(b.raw)
	if err != nil {
		return nil
	}
	changes, err := diff.Changes(before, after)
	if err != nil {
		return nil
	}
	for _, c := range changes {
		paths[pattern(c.Path)] = struct{}{}
	}
	return paths
}
