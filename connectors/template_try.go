package connectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// try renders made-up events with every template that Render may begin with: what
// text/template and html/template find only then is a mistake of the text.
func (t *Template) try() error {
	trials, err := trials()
	if err != nil {
		return err
	}
	names := append([]string{mainText}, slices.Sorted(maps.Keys(t.events))...)
	for _, d := range trials {
		for _, name := range names {
			t.run = budget{left: maxWork}
			if _, err := t.execute(name, d); err != nil {
				return t.explain(name, d, err)
			}
		}
	}
	return nil
}

// explain is the error of a trial. All values are made up, so it may show them.
func (t *Template) explain(name string, d TemplateData, err error) error {
	err = templateError(err)
	var bad *notJSON
	if errors.As(err, &bad) {
		from, to := max(0, bad.at-30), min(len(bad.text), bad.at+10)
		err = fmt.Errorf("the result is not JSON: %w, at the end of %q", bad.err, bad.text[from:min(to, bad.at)])
	}
	if name != mainText {
		err = fmt.Errorf("define %q: %w", name, err)
	}
	return fmt.Errorf("%w (tried with %s.%s)", err, d.Event.Data.Collection, d.Event.Data.Action)
}

// trials are made-up deliveries of every shape: each action, a system event, and a
// digest.
func trials() ([]TemplateData, error) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	record := json.RawMessage(`{"id":1,"name":"Example Ltd","status":"open","amount":"12.50","notes":"A \"note\"\nin two lines"}`)
	var all []events.Event
	for i, action := range append(events.Actions(), events.ConnectorFailing) {
		e := events.Event{Time: at, Data: events.Data{Account: "example", Collection: "clients", Action: action, ID: "1", Revision: uint64(i + 1), ObservedAt: at, Record: record}}
		switch action {
		case events.Updated:
			e.Data.Changes = []events.Change{
				{Path: "/status", From: json.RawMessage(`"new"`), To: json.RawMessage(`"open"`)},
				{Path: "/amount", From: json.RawMessage(`null`), To: json.RawMessage(`"12.50"`)},
			}
		case events.ConnectorFailing:
			e.Data.Collection, e.Data.Record = events.System, nil
			e.Data.Message, e.Data.Detail = "Connector sales has failed.", map[string]any{"connector": "sales"}
		}
		all = append(all, e.Stamp("trial"))
	}
	var out []TemplateData
	for _, e := range all {
		d, err := NewTemplateData(Delivery{Events: []events.Event{e}}, "example", nil)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	digest, err := NewTemplateData(Delivery{Events: all, Digest: &Digest{From: at, To: at.Add(time.Hour), IDs: []string{"1", "2"}}}, "example", nil)
	return append(out, digest), err
}
