package connectors

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// TemplateData is what a template sees of a delivery.
type TemplateData struct {
	Message             // of the first event, usually the only one
	Messages  []Message // of every event
	Digest    *Digest   // nil unless the delivery is a digest
	Connector string    // its name

	// Summary is the headline of a delivery of several events; of one it is the
	// event's own.
	Summary string

	// Data is the event's data as its JSON has them, with numbers as they are
	// spelled (json.Number), and Record the record in it. Both are nil or have
	// gaps where the event has: in a template, what is missing is "".
	Data   map[string]any
	Record map[string]any
}

// NewMessages puts the events of a delivery into words. Link may be nil; see
// [Env]. Its error is a [fault.Permanent] one.
func NewMessages(all []events.Event, link func(events.Event) string) ([]Message, error) {
	messages := make([]Message, len(all))
	for i, e := range all {
		m, err := NewMessage(e)
		if err != nil {
			return nil, err
		}
		if link != nil {
			m.Link = link(e)
		}
		messages[i] = m
	}
	return messages, nil
}

// NewTemplateData returns what a template sees of d on its way to the connector
// of that name. Link may be nil; see [Env]. Its error is a [fault.Permanent] one.
func NewTemplateData(d Delivery, connector string, link func(events.Event) string) (TemplateData, error) {
	messages, err := NewMessages(d.Events, link)
	if err != nil {
		return TemplateData{}, err
	}
	return newTemplateData(messages, d.Digest, connector)
}

func newTemplateData(messages []Message, digest *Digest, connector string) (TemplateData, error) {
	out := TemplateData{Messages: messages, Digest: digest, Connector: connector, Summary: Summary(messages, digest)}
	if len(messages) == 0 {
		return out, nil
	}
	out.Message = messages[0]
	raw, err := marshal(out.Event.Data)
	if err == nil {
		out.Data, err = decodeObject(raw)
	}
	if err != nil {
		return TemplateData{}, fault.Permanent(fmt.Errorf("read event %s: %w", out.Event.ID, err))
	}
	out.Record, _ = out.Data["record"].(map[string]any)
	return out, nil
}

func decodeObject(raw json.RawMessage) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var object map[string]any
	return object, dec.Decode(&object)
}

// each returns d's events one by one.
func (d TemplateData) each() ([]TemplateData, error) {
	out := make([]TemplateData, len(d.Messages))
	for i, m := range d.Messages {
		one, err := newTemplateData([]Message{m}, nil, d.Connector)
		if err != nil {
			return nil, err
		}
		out[i] = one
	}
	return out, nil
}

// Change returns the change of the field that path points at (a JSON Pointer,
// "/status"), or of the first one below it, and nil if there is none:
// {{with .Change "/status"}}{{.From}} → {{.To}}{{end}}.
func (d TemplateData) Change(path string) *Changed {
	for i := range d.Changes {
		if p := d.Changes[i].Path; p == path || len(p) > len(path) && p[:len(path)] == path && p[len(path)] == '/' {
			return &d.Changes[i]
		}
	}
	return nil
}
