package poller

import (
	"bytes"
	"fmt"
	"time"

	"github.com/trackops-notifier/trackops-notifier/diff"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/state"
)

// An edit is a row that differs from what is held.
type edit struct {
	row    row
	meta   state.Meta
	held   bool // some version of it is held, perhaps a deleted one
	silent bool // part of the baseline
}

// compare finds the rows that differ from what is held. It reads, and writes
// nothing: most answers bring no news, and cost no transaction.
func (w *watch) compare(records *state.Records, rows []row, now time.Time) []edit {
	var edits []edit
	for _, r := range rows {
		meta, held := records.Meta(r.key.ID)
		switch {
		case !held:
			edits = append(edits, edit{row: r, silent: w.cursor.silent(r.key.Created)})
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
	action, changes, err := w.judge(records, e, document)
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
func (w *watch) judge(records *state.Records, e edit, document []byte) (events.Action, []events.Change, error) {
	if !e.held {
		if e.silent {
			return "", nil, nil
		}
		return events.Created, nil, nil
	}
	old, _, err := records.Get(e.row.key.ID)
	if err != nil {
		return "", nil, fmt.Errorf("%s %s: %w", w.layout.collection.Name, e.row.key.ID, err)
	}
	before, err := w.layout.rules.Clean(old.Document)
	if err != nil {
		return "", nil, fmt.Errorf("%s %s, held version: %w", w.layout.collection.Name, e.row.key.ID, err)
	}
	changes, err := diff.Changes(before, document)
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
	if !o.notBefore.IsZero() {
		e.Data.NotBefore = &o.notBefore
	}
	if !o.notAfter.IsZero() {
		e.Data.NotAfter = &o.notAfter
	}
	return e
}

func appendEvent(tx *state.Tx, e events.Event) error {
	encoded, err := e.Stamp(tx.Epoch()).Encode()
	if err != nil {
		return err
	}
	return tx.Append(encoded)
}
