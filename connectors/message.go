package connectors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// A Message is an event in the words of people: what a console, a chat and a
// mail have in common. All its texts come from [Visible] or [OneLine]; none is
// escaped for a medium, and none is shortened.
type Message struct {
	Event events.Event
	Icon  string // one emoji for the action
	Noun  string // the collection in words: "Client", "Case update", "System"
	Verb  string // the action in words: "created"; "Connector failing" of an operational event
	Lead  string // what happened in a few words: "New client", "Invoice paid"; that of an operational event is Verb
	Title string // of the record, one line: "Acme Ltd", or "#1042" if it has no name; of an operational event what it concerns
	Gist  string // what is most worth knowing beside the title, one line, or "": "for Acme Ltd, 1,250.00"
	Note  string // what an operational event says; why a record is missing
	Link  string // the address where people see the record, or ""

	// Changes are those of an updated record, in their order. Those that only follow
	// from another are left out: updated_at, and the ids of a nested copy of another
	// record whose name is among them.
	Changes []Changed

	// Facts are the values of a created, deleted or restored record that people
	// read, in the record's order: no ids, of the nested copies of other records the
	// names, nothing empty. Of an operational event they are its detail, by name.
	Facts []Fact

	told string // the path of the change that the headline tells, or ""
}

// A Changed is one changed field. From and To hold "(not set)" for an absent
// value, "(null)" for null and "(empty)" for an empty text. Path is the JSON
// Pointer of the field, as the event has it.
type Changed struct{ Label, From, To, Path string }

// A Fact is one field of a record.
type Fact struct{ Label, Value string }

// NewMessage puts e into words. It fails, with a [fault.Permanent] error, only if
// a value of e is not JSON.
func NewMessage(e events.Event) (Message, error) {
	m := Message{Event: e, Icon: icon(e.Data), Noun: noun(e.Data.Collection), Verb: words(string(e.Data.Action))}
	if e.Data.Collection == events.System {
		return m.system()
	}
	r, err := readRecord(e.Data.Record)
	if err != nil {
		return Message{}, fault.Permanent(fmt.Errorf("read the record of event %s: %w", e.ID, err))
	}
	var named []string
	m.Title, named = r.title(e.Data.ID)
	if e.Data.Truncated {
		m.Note = "The record was too large for one event; it and long values were left out."
	}
	if e.Data.Action == events.Updated {
		m.Changes, err = changed(e.Data.Changes)
	} else {
		m.Facts = r.facts(named)
	}
	if err != nil {
		return Message{}, fault.Permanent(fmt.Errorf("read the changes of event %s: %w", e.ID, err))
	}
	m.tell(r)
	return m, nil
}

// Headline is the message in one line: "New client: Acme Ltd", "Case status
// changed: C-55, Open → Closed, for Acme Ltd".
func (m Message) Headline() string {
	if m.Event.Data.Collection == events.System {
		if note := OneLine(m.Note); note != "" {
			return note
		}
		return m.Noun + ": " + m.Verb
	}
	if m.Gist != "" {
		return m.Lead + ": " + m.Title + ", " + m.Gist
	}
	return m.Lead + ": " + m.Title
}

// Place says where the record is: "acme · clients · #1042 · revision 3".
func (m Message) Place() string {
	d := m.Event.Data
	parts := []string{d.Account, d.Collection, "#" + d.ID, fmt.Sprintf("revision %d", d.Revision)}
	return OneLine(strings.Join(parts, " · "))
}

// Stamp is the time of the event in UTC: "2026-11-23 09:30:00 UTC".
func (m Message) Stamp() string {
	return m.Event.Time.UTC().Format("2006-01-02 15:04:05 UTC")
}

func (m Message) system() (Message, error) {
	m.Lead, m.Title = m.Verb, OneLine(m.Event.Data.ID)
	m.Note = strings.TrimSpace(Visible(m.Event.Data.Message))
	for _, name := range slices.Sorted(maps.Keys(m.Event.Data.Detail)) {
		raw, err := marshal(m.Event.Data.Detail[name])
		if err != nil {
			return Message{}, fault.Permanent(fmt.Errorf("read the detail %q of event %s: %w", name, m.Event.ID, err))
		}
		value, err := valueText(raw)
		if err != nil {
			return Message{}, fault.Permanent(fmt.Errorf("read the detail %q of event %s: %w", name, m.Event.ID, err))
		}
		m.Facts = append(m.Facts, Fact{Label: words(name), Value: value})
	}
	return m, nil
}

// marshal is json.Marshal without its escapes for HTML.
func marshal(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
