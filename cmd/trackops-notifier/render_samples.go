package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/diff"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// madeUpEvents makes up one event of each action that the patterns choose, of the
// collections that are polled, and operational ones. The records are those of a
// simulated account.
func madeUpEvents(cfg config, wanted eventPatterns) ([]events.Event, error) {
	source := trackopstest.New(trackopstest.Options{Seed: 1, Records: 3})
	account, now := cfg.Accounts[0].Subdomain, time.Now().UTC().Truncate(time.Millisecond)
	var all []events.Event
	for _, c := range cfg.Collections {
		actions := wanted.actions(c.Name)
		if len(actions) == 0 {
			continue
		}
		s, err := sampleOf(source, c)
		if err != nil {
			return nil, err
		}
		for i, action := range actions {
			e := events.Event{
				Source: events.Source(account) + "/" + c.Path,
				Data: events.Data{
					Account: account, Collection: c.Name, Action: action, ID: s.id, Revision: uint64(i + 1),
					ObservedAt: now, Record: s.after,
				},
			}
			switch action {
			case events.Created:
				e.Data.Record = s.before
			case events.Updated:
				e.Data.Changes = s.changes
			}
			all = append(all, e.Stamp("sample"))
		}
	}
	for i, action := range wanted.actions(events.System) {
		e := events.NewSystem(account, action, "example", uint64(i+1), now,
			"Made up: "+strings.ReplaceAll(string(action), "_", " ")+".", map[string]any{"example": "a detail"})
		all = append(all, e.Stamp("sample"))
	}
	return all, nil
}

// A recordSample is a record that was changed.
type recordSample struct {
	id            string
	before, after json.RawMessage
	changes       []events.Change
}

// sampleOf changes a simulated record; an invoice is paid.
func sampleOf(source *trackopstest.Account, c trackops.Collection) (s recordSample, err error) {
	if _, documented := trackops.Lookup(c.Name); !documented {
		s = recordSample{id: "1", before: json.RawMessage(`{"id":1,"name":"Example","status":"new"}`), after: json.RawMessage(`{"id":1,"name":"Example","status":"open"}`)}
		s.changes, err = diff.Changes(s.before, s.after)
		return s, err
	}
	ids := source.IDs(c.Name)
	s.id = ids[len(ids)-1]
	rules, err := diff.NewRules(nil, c.VolatileURLs)
	if err != nil {
		return s, err
	}
	read := func() (json.RawMessage, error) { return rules.Clean(source.Snapshot(c.Name)[s.id]) }
	set := map[string]any{}
	if c.Name == "invoices" {
		set = map[string]any{"status": "paid", "closed_on": time.Now().UTC().Format(time.DateOnly), "balance": "0.00"}
	}
	if s.before, err = read(); err != nil {
		return s, fmt.Errorf("make up a record of %s: %w", c.Name, err)
	}
	if err := source.Change(c.Name, s.id, set); err != nil {
		return s, err
	}
	if s.after, err = read(); err != nil {
		return s, fmt.Errorf("make up a record of %s: %w", c.Name, err)
	}
	s.changes, err = diff.Changes(s.before, s.after)
	return s, err
}
