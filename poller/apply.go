package poller

import (
	"bytes"
	"fmt"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/state"
)

// An edit is a row that differs from what is held.
type edit struct {
	row    row
	meta   state.Meta
	held   bool // some version of it is held, perhaps a deleted one
	silent bool // part of the baseline
	rebase bool // only the shape changed, which is told once for all
	wait   bool // only the shape changed: left to a page that shows if it did everywhere
}

// compare finds the rows that differ from what is held. It reads, and writes
// nothing: most answers bring no news, and cost no transaction.
func (w *watch) compare(records *state.Records, rows []row, now time.Time) []edit {
	var edits []edit
	have := w.held
	for _, r := range rows {
		meta, held := records.Meta(r.key.ID)
		switch {
		case !held:
			edits = append(edits, edit{row: r, silent: w.cursor.silent(r.key.Created, have)})
			have++
		case meta.Deleted.IsZero() && meta.Fingerprint == r.fingerprint:
			delete(w.stale, r.key.ID)
		case meta.Deleted.IsZero() && w.isStale(r, meta.Updated, now):
		default:
			edits = append(edits, edit{row: r, meta: meta, held: true})
		}
	}
	return edits
}

// isStale reports whether r is older than the version we hold and not yet
// believed.
func (w *watch) isStale(r row, updated, now time.Time) bool {
	if r.key.Updated.IsZero() || !r.key.Updated.Before(updated) {
		delete(w.stale, r.key.ID)
		return false
	}
	s, suspected := w.stale[r.key.ID]
	if suspected && s.fingerprint == r.fingerprint {
		return now.Sub(s.at) < staleAfter
	}
	if w.stale == nil {
		w.stale = make(map[string]suspicion)
	}
	w.stale[r.key.ID] = suspicion{r.fingerprint, now}
	return true
}

// An observation is what all events of one answer share.
type observation struct {
	account   string
	source    string    // address of the collection
	at        time.Time // our clock
	notBefore time.Time // the last read that would have shown the old state
	notAfter  time.Time // the server's clock when it answered, else ours
}

// write stores an edit and appends its event to the outbox, if it is news. The
// returned action is empty where it is not.
func (w *watch) write(tx *state.Tx, records *state.Records, e edit, o observation) (events.Action, error) {
	document, err := w.layout.rules.Clean(e.row.raw)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", w.layout.collection.Name, e.row.key.ID, err)
	}
	next := state.Record{
		ID:          e.row.key.ID,
		Revision:    e.meta.Revision + 1,
		Fingerprint: e.row.fingerprint,
		Created:     e.row.key.Created,
		Updated:     e.row.key.Updated,
		Observed:    o.at,
		Document:    document,
	}
	action, changes, err := w.judge(records, e)
	if err != nil {
		return "", err
	}
	if action == "" && e.held {
		// Only what is ignored differs, or how a fingerprint is made.
		next.Revision = e.meta.Revision
	}
	if err := records.Put(next); err != nil {
		return "", err
	}
	if action == "" {
		return "", nil
	}
	return action, appendEvent(tx, w.event(next, action, changes, e.meta, o))
}

// judge says what happened to the record and what changed.
func (w *watch) judge(records *state.Records, e edit) (events.Action, []events.Change, error) {
	if e.rebase {
		return "", nil, nil
	}
	if !e.held {
		if e.silent {
			return "", nil, nil
		}
		return events.Created, nil, nil
	}
	changes, err := w.changes(e, records)
	if err != nil {
		return "", nil, fmt.Errorf("%s %s: %w", w.layout.collection.Name, e.row.key.ID, err)
	}
	switch {
	case !e.meta.Deleted.IsZero():
		return events.Restored, changes, nil
	case len(changes) == 0:
		return "", nil, nil
	default:
		return events.Updated, changes, nil
	}
}

// remove makes a tombstone of a record whose deletion all witnesses agree on.
func (w *watch) remove(tx *state.Tx, records *state.Records, id string, s suspect, o observation) error {
	r, held, err := records.Get(id)
	if err != nil || !held {
		return err
	}
	before := state.Meta{Updated: r.Updated}
	r.Revision++
	r.Observed, r.Deleted = o.at, o.at
	if err := records.Put(r); err != nil {
		return err
	}
	e := w.event(r, events.Deleted, nil, before, o)
	e.Data.Detail = s.witnesses()
	e.Data.NotBefore, e.Data.NotAfter = moment(w.cursor.Swept), moment(s.Gone)
	return appendEvent(tx, e)
}

// moment returns a time for an event, nil for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

func (w *watch) event(r state.Record, action events.Action, changes []events.Change, before state.Meta, o observation) events.Event {
	e := events.Event{
		Source: o.source,
		Data: events.Data{
			Account:    o.account,
			Collection: w.layout.collection.Name,
			Action:     action,
			ID:         r.ID,
			Revision:   r.Revision,
			ObservedAt: o.at,
			Changes:    changes,
			Record:     bytes.TrimSpace(r.Document),
		},
	}
	switch {
	case action == events.Created && !r.Created.IsZero():
		e.Time = r.Created.UTC()
	case action == events.Updated && r.Updated.After(before.Updated):
		e.Time = r.Updated.UTC()
	}
	e.Data.NotBefore, e.Data.NotAfter = moment(o.notBefore), moment(o.notAfter)
	return e
}

func appendEvent(tx *state.Tx, e events.Event) error {
	encoded, err := e.Stamp(tx.Epoch()).Encode()
	if err != nil {
		return err
	}
	return tx.Append(encoded)
}
