// Package events is the event: its fields, its id, its subject and its JSON.
// It never says where an event goes. Programs downstream may import it.
package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// An Action says what happened to a record.
type Action string

// The actions of a record. A system event's action is what happened instead.
const (
	Created  Action = "created"
	Updated  Action = "updated"
	Deleted  Action = "deleted"
	Restored Action = "restored"
)

// Actions lists the actions of a record.
func Actions() []Action { return []Action{Created, Updated, Deleted, Restored} }

// System is the collection of operational events.
const System = "system"

// Prefix is the first token of every subject we publish on.
const Prefix = "trackops"

// An Event is a CloudEvents 1.0 event in the structured JSON mode.
type Event struct {
	SpecVersion     string    `json:"specversion"` // always "1.0"
	ID              string    `json:"id"`          // see [ID]; the same for ever
	Source          string    `json:"source"`
	Type            string    `json:"type"`    // com.trackops.<collection>.<action>
	Subject         string    `json:"subject"` // the record's id
	Time            time.Time `json:"time"`    // when it happened, if the record says so, else when it was observed
	DataContentType string    `json:"datacontenttype"`
	Data            Data      `json:"data"`
}

// Data is what Trackops' record went through.
type Data struct {
	Account    string    `json:"account"` // the subdomain
	Collection string    `json:"collection"`
	Action     Action    `json:"action"`
	ID         string    `json:"id"`       // the record's
	Revision   uint64    `json:"revision"` // 1 is the first version we saw; survives deletion
	ObservedAt time.Time `json:"observed_at"`

	// NotBefore is the last read that still showed the old state, NotAfter the
	// first that showed the new one.
	NotBefore *time.Time `json:"not_before,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`

	// Changes lead from the previous record to this one when applied in order.
	Changes []Change `json:"changes,omitempty"`

	// Record is the whole record as Trackops sent it, less ignored fields; of a
	// deleted one the last known version. Absent from system events.
	Record json.RawMessage `json:"record,omitempty"`

	// Truncated says that the event was too large for the server: the record
	// and long values were left out.
	Truncated bool `json:"truncated,omitempty"`

	// Message is a sentence for people and Detail its facts, in system events.
	Message string         `json:"message,omitempty"`
	Detail  map[string]any `json:"detail,omitempty"`
}

// A Change is one difference between two versions of a record. A nil From or To
// means that the value was absent there; a JSON null is null.
type Change struct {
	Path string          `json:"path"` // JSON Pointer (RFC 6901)
	From json.RawMessage `json:"from,omitempty"`
	To   json.RawMessage `json:"to,omitempty"`
}

// Stamp fills the fields of the envelope that follow from e.Data, with the
// id of the given epoch, and returns e.
func (e Event) Stamp(epoch string) Event {
	d := e.Data
	e.SpecVersion = "1.0"
	e.ID = ID(d.Account, d.Collection, d.ID, d.Revision, epoch)
	e.Type = "com.trackops." + d.Collection + "." + string(d.Action)
	e.Subject = d.ID
	e.DataContentType = "application/json"
	if e.Time.IsZero() {
		e.Time = d.ObservedAt
	}
	return e
}

// NATSSubject is the subject the event is published on.
func (e Event) NATSSubject() string {
	return Subject(e.Data.Account, e.Data.Collection, e.Data.Action)
}

// Subject returns trackops.<account>.<collection>.<action>.
func Subject(account, collection string, action Action) string {
	return strings.Join([]string{Prefix, account, collection, string(action)}, ".")
}

// Encode returns the event as one line of JSON. Numbers of the record keep their
// digits, and <, > and & are not escaped: it is not for HTML.
func (e Event) Encode() (Encoded, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return Encoded{}, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	return Encoded{
		ID:      e.ID,
		Account: e.Data.Account,
		Subject: e.NATSSubject(),
		Body:    bytes.TrimSuffix(b.Bytes(), []byte("\n")),
	}, nil
}

// Decode reads an event's JSON.
func Decode(body []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return Event{}, fmt.Errorf("decode event: %w", err)
	}
	if e.SpecVersion != "1.0" || e.ID == "" || e.Data.Collection == "" {
		return Event{}, fmt.Errorf("decode event: not an event of ours")
	}
	return e, nil
}

// Encoded is an event ready to be stored or published: what the outbox keeps.
type Encoded struct {
	ID      string
	Account string
	Subject string
	Body    []byte // one line of JSON
}

// Stored is an event that lies in the stream.
type Stored struct {
	Sequence uint64    // in the stream of events
	Subject  string    // trackops.<account>.<collection>.<action>
	At       time.Time // when the stream took it
	Body     []byte
	Replay   uint64 // not 0: it was asked for again; the number of that request
	For      string // of a replay: the connector that fails and that this one stands in for; "": an operator asked
	Behind   uint64 // how many more events the stream had for the connector when it handed this one over
}
