package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/trackops-notifier/trackops-notifier/state"
)

// An exported is one line of a JSON Lines export. Times are the record's own,
// where it has them, and those of what the notifier saw.
type exported struct {
	ID       string          `json:"id"`
	Revision uint64          `json:"revision"`
	Created  time.Time       `json:"created_at,omitzero"`
	Updated  time.Time       `json:"updated_at,omitzero"`
	Observed time.Time       `json:"observed_at,omitzero"` // when this version was first seen
	Deleted  time.Time       `json:"deleted_at,omitzero"`  // when it was seen to be gone
	Record   json.RawMessage `json:"record"`               // of a deleted one the last version
}

// A selection says which records of a collection are asked for.
type selection struct {
	account    string // "" is the only one
	collection string
	since      time.Time // observed or deleted then or later; zero: all
	deleted    bool      // with those that were deleted
}

func (s selection) query() url.Values {
	q := url.Values{"account": {s.account}, "collection": {s.collection}, "deleted": {strconv.FormatBool(s.deleted)}}
	if !s.since.IsZero() {
		q.Set("since", s.since.UTC().Format(time.RFC3339Nano))
	}
	return q
}

func readSelection(q url.Values) (s selection, err error) {
	s.account, s.collection = q.Get("account"), q.Get("collection")
	if text := q.Get("since"); text != "" {
		if s.since, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return s, errors.New("since is no time")
		}
	}
	s.deleted, err = strconv.ParseBool(q.Get("deleted"))
	if err != nil {
		return s, errors.New("deleted is neither true nor false")
	}
	return s, nil
}

func (s selection) holds(r state.Record) bool {
	if !r.Deleted.IsZero() && !s.deleted {
		return false
	}
	return s.since.IsZero() || !r.Observed.Before(s.since) || !r.Deleted.Before(s.since)
}

const (
	// exportChunk is how many records one transaction reads, so that it is short.
	exportChunk = 500
	// exportError is the trailer that says why a stream of records ends early.
	exportError = "Trackops-Error"
	// exportUnfinished is the header of a collection that was never read whole.
	exportUnfinished = "Trackops-Baseline"
)

// serveRecords streams the records of a collection as JSON Lines. Each chunk is
// one transaction; none is open while the other side is slow to read.
func (n *notifier) serveRecords(w http.ResponseWriter, r *http.Request) {
	sel, err := readSelection(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	p, err := n.pollerOf(sel.account)
	if err := errors.Join(err, n.hasCollection(sel.collection)); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	for _, c := range p.Status(time.Now()) {
		if c.Collection == sel.collection && c.State == "baseline" {
			w.Header().Set(exportUnfinished, "unfinished")
		}
	}
	sel.account = p.Account
	w.Header().Set("Content-Type", "application/jsonl")
	w.Header().Set("Trailer", exportError)
	w.WriteHeader(http.StatusOK)
	err = n.streamRecords(r.Context(), sel, func(lines []byte) error {
		_, err := w.Write(lines)
		return err
	})
	if err != nil {
		w.Header().Set(exportError, headerText(err.Error()))
	}
}

// headerText makes a text fit for a header.
func headerText(text string) string { return strconv.QuoteToASCII(text) }

func (n *notifier) streamRecords(ctx context.Context, sel selection, write func([]byte) error) error {
	var lines bytes.Buffer
	for after := ""; ; {
		if ctx.Err() != nil {
			return errors.New("the notifier is stopping")
		}
		lines.Reset()
		next, err := n.readChunk(sel, after, &lines)
		if err != nil {
			return fmt.Errorf("read %s: %w", sel.collection, err)
		}
		if err := write(lines.Bytes()); err != nil {
			return err
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

// readChunk writes the selected ones of the next records after an id, and
// returns where to go on; "" at the end.
func (n *notifier) readChunk(sel selection, after string, lines *bytes.Buffer) (next string, err error) {
	enc := json.NewEncoder(lines)
	enc.SetEscapeHTML(false)
	err = n.store.View(func(tx *state.Tx) error {
		page, err := tx.Records(sel.account, sel.collection).From(after, exportChunk)
		if err != nil {
			return err
		}
		for _, r := range page {
			if !sel.holds(r) {
				continue
			}
			line := exported{r.ID, r.Revision, r.Created, r.Updated, r.Observed, r.Deleted, r.Document}
			if err := enc.Encode(line); err != nil {
				return fmt.Errorf("record %q: %w", r.ID, err)
			}
		}
		if len(page) == exportChunk {
			next = page[len(page)-1].ID
		}
		return nil
	})
	return next, err
}
