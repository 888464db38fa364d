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
	Title string // of the record, one line: "Acme Ltd", or "#1042" if it has no name
	Note  string // what an operational event says; why a record is missing

	// Changes are those of an updated record, in their order. A change of
	// updated_at is left out if there is any other: it says only that there is.
	Changes []Changed

	// Facts are the values of a created, deleted or restored record that people
	// read, in the record's order: no ids, no nested copies of other records,
	// nothing empty. Of an operational event they are its detail, by name.
	Facts []Fact
}

// A Changed is one changed field. From and To hold "(not set)" for an absent
// value, "(null)" for null and "(empty)" for an empty text.
type Changed struct{ Label, From, To string }

// A Fact is one field of a record.
type Fact struct{ Label, Value string }

// NewMessage puts e into words. It fails, with a [fault.Permanent] error, only if
// a value of e is not JSON.
func NewMessage(e events.Event) (Message, error) {
	m := Message{Event: e, Icon: icon(e.Data), Noun: noun(e.Data.Collection), Verb: words(string(e.Data.Action))}
	if e.Data.Collection == events.System {
		return m.system()
	}
	fields, err := scalars(e.Data.Record)
	if err != nil {
		return Message{}, fault.Permanent(fmt.Errorf("read the record of event %s: %w", e.ID, err))
	}
	var named []string
	m.Title, named = title(fields, e.Data.ID)
	if e.Data.Truncated {
		m.Note = "The record was too large for one event; it and long values were left out."
	}
	if e.Data.Action == events.Updated {
		m.Changes, err = changed(e.Data.Changes)
	} else {
		m.Facts = facts(fields, named)
	}
	if err != nil {
		return Message{}, fault.Permanent(fmt.Errorf("read the changes of event %s: %w", e.ID, err))
	}
	return m, nil
}

// Headline is the message in one line: "Client created: Acme Ltd".
func (m Message) Headline() string {
	if m.Event.Data.Collection == events.System {
		if note := OneLine(m.Note); note != "" {
			return note
		}
		return m.Noun + ": " + m.Verb
	}
	return m.Noun + " " + m.Verb + ": " + m.Title
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

func changed(changes []events.Change) ([]Changed, error) {
	var out []Changed
	var stamp *Changed
	for _, c := range changes {
		from, err := valueText(c.From)
		if err != nil {
			return nil, fmt.Errorf("from, at %s: %w", c.Path, err)
		}
		to, err := valueText(c.To)
		if err != nil {
			return nil, fmt.Errorf("to, at %s: %w", c.Path, err)
		}
		one := Changed{Label: pathLabel(c.Path), From: from, To: to}
		if c.Path == "/updated_at" {
			stamp = &one
			continue
		}
		out = append(out, one)
	}
	if len(out) == 0 && stamp != nil {
		out = append(out, *stamp)
	}
	return out, nil
}

// A scalar is a field of a record that is a text, a number or a boolean.
type scalar struct{ name, value string }

// scalars returns the scalar fields of record that are not empty, in order.
func scalars(record json.RawMessage) ([]scalar, error) {
	dec := json.NewDecoder(bytes.NewReader(record))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		if len(bytes.TrimSpace(record)) == 0 || err == nil {
			return nil, nil // absent, or no object: it has no fields
		}
		return nil, err
	}
	var out []scalar
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, err
		}
		if raw[0] == '{' || raw[0] == '[' || string(raw) == "null" || string(raw) == `""` {
			continue
		}
		value, err := valueText(raw)
		if err != nil {
			return nil, err
		}
		if strings.TrimSpace(value) != "" {
			out = append(out, scalar{name: name.(string), value: value}) // a key is always a string
		}
	}
	return out, nil
}

// facts returns the fields that people read, without those named in the title.
func facts(fields []scalar, named []string) []Fact {
	var out []Fact
	for _, f := range fields {
		switch f.name {
		case "id", "created_at", "updated_at", "deleted_at":
			continue
		}
		if strings.HasSuffix(f.name, "_id") || slices.Contains(named, f.name) {
			continue
		}
		out = append(out, Fact{Label: words(f.name), Value: f.value})
	}
	return out
}

// title names a record by the first of its fields that does, and returns the
// names of the fields it used.
func title(fields []scalar, id string) (string, []string) {
	value := make(map[string]string, len(fields))
	for _, f := range fields {
		value[f.name] = OneLine(f.value)
	}
	if first, last := value["first_name"], value["last_name"]; value["name"] == "" && first+last != "" {
		return strings.TrimSpace(first + " " + last), []string{"first_name", "last_name"}
	}
	for _, name := range []string{"name", "title", "filename", "file_name"} {
		if value[name] != "" {
			return value[name], []string{name}
		}
	}
	for _, match := range []func(string) bool{
		func(s string) bool { return strings.HasPrefix(s, "formatted_") },
		func(s string) bool { return strings.HasSuffix(s, "_number") && s != "reference_number" },
		func(s string) bool { return s == "number" || s == "subject" || s == "email" },
	} {
		for _, f := range fields {
			if match(f.name) {
				return value[f.name], []string{f.name}
			}
		}
	}
	return "#" + OneLine(id), nil
}
