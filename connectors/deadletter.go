package connectors

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// A Graveyard keeps what could not be delivered.
type Graveyard interface {
	// Bury stores a dead letter, the JSON of a [DeadLetter], durably. The same
	// id and ev.Replay again, after a crash, is the same letter. An error marked
	// fault.Permanent says that the letter is too large: it comes again without
	// the event, which ev.Sequence still names.
	Bury(ctx context.Context, ev events.Stored, id string, headers map[string]string, letter []byte) error
}

// The headers of a dead letter.
const (
	HeaderConnector = "Trackops-Connector"
	HeaderEvent     = "Trackops-Event" // the event's id
	HeaderReason    = "Trackops-Reason"
	HeaderAttempts  = "Trackops-Attempts" // how many are listed in the letter
	HeaderSequence  = "Trackops-Sequence"
)

// A DeadLetter is an event that a connector gave up, with all that is known of why.
type DeadLetter struct {
	Connector string `json:"connector"`
	Reason    string `json:"reason"`
	Attempts  []Note `json:"attempts"` // oldest first; of more than 100 the oldest answers of 429 are missing

	// Event is the event as it was in the stream, or a JSON string of it where
	// it was not JSON. Absent when the letter would have been too large.
	Event    json.RawMessage `json:"event,omitempty"`
	Sequence uint64          `json:"sequence"` // in the stream of events
}

// headers are what a list of dead letters shows without opening them.
func (d DeadLetter) headers(id string) map[string]string {
	return map[string]string{
		HeaderConnector: d.Connector,
		HeaderEvent:     id,
		HeaderReason:    d.Reason,
		HeaderAttempts:  strconv.Itoa(len(d.Attempts)),
		HeaderSequence:  strconv.FormatUint(d.Sequence, 10),
	}
}

// rawEvent returns body as JSON, whatever it is.
func rawEvent(body []byte) json.RawMessage {
	if body == nil {
		return nil
	}
	if json.Valid(body) {
		return body
	}
	quoted, err := encodeJSON(string(body))
	if err != nil {
		return nil // a string always encodes
	}
	return quoted
}

// body is what is kept of an event outside of the stream: what the connector may
// be given of it.
func (w *worker) body(l *load) []byte {
	if w.cfg.Mask == nil {
		return l.body
	}
	if l.event.ID == "" {
		return nil // undecodable: nobody knows what is in it
	}
	enc, err := l.event.Encode()
	if err != nil {
		return nil // it was decoded, so it encodes
	}
	return enc.Body
}

// letter is the dead letter of j, which was given up for j.entry.past.reason.
func (w *worker) letter(j job) DeadLetter {
	past := j.entry.past
	d := DeadLetter{
		Connector: w.cfg.Name,
		Reason:    past.reason,
		Attempts:  make([]Note, 0, len(past.tries)),
		Event:     rawEvent(w.body(j.entry.load)),
		Sequence:  j.entry.sequence,
	}
	for _, t := range past.tries {
		d.Attempts = append(d.Attempts, t.note(j.id, j.entry))
	}
	return d
}

// bury stores j's dead letter, notes it and settles the event. A crash in
// between repeats the burial, which is one and the same, and no attempt: the
// last failed one was noted as the last.
func (w *worker) bury(j job) result {
	d := w.letter(j)
	headers := d.headers(j.id)
	tooLarge := false
	err := w.persist(w.notes, "bury", storeTimeout, func(ctx context.Context) error {
		if tooLarge {
			d.Event = nil
		}
		letter, err := encodeJSON(d)
		if err != nil {
			return err
		}
		err = w.cfg.Graveyard.Bury(ctx, j.entry.stored(), j.id, headers, letter)
		tooLarge = tooLarge || fault.IsPermanent(err)
		return err
	})
	if err != nil {
		return result{job: j, abandoned: true}
	}
	n := Note{Outcome: Dead, Reason: d.Reason}
	if len(d.Attempts) > 0 {
		last := d.Attempts[len(d.Attempts)-1]
		n.Attempt, n.Status, n.Error = last.Attempt, last.Status, last.Error
	}
	return w.settle(j, n)
}
