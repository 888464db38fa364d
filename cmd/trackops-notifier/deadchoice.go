package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// A deadChoice chooses dead letters. A letter has to be what each field says that
// is not zero.
type deadChoice struct {
	connector, collection, record string
	since                         time.Time
	ids                           []string // of events
}

// filters reports whether anything but the ids chooses.
func (c deadChoice) filters() bool {
	return c.connector != "" || c.collection != "" || c.record != "" || !c.since.IsZero()
}

// each calls fn for each letter that was chosen, from the one given up first on.
func (c deadChoice) each(ctx context.Context, b *bus.Bus, fn func(bus.DeadLetter) error) error {
	return b.Dead(ctx, c.connector, func(l bus.DeadLetter) error {
		if c.has(l) {
			return fn(l)
		}
		return nil
	})
}

func (c deadChoice) has(l bus.DeadLetter) bool {
	return (c.connector == "" || l.Connector == c.connector) &&
		(c.collection == "" || l.Collection == c.collection) &&
		!l.At.Before(c.since) &&
		(len(c.ids) == 0 || slices.Contains(c.ids, l.EventID)) &&
		(c.record == "" || isOfRecord(l, c.record))
}

// letters returns the letters that were chosen, the oldest event first. An id
// without a letter is an error, and so nothing happens to the others.
func (c deadChoice) letters(ctx context.Context, b *bus.Bus) ([]bus.DeadLetter, error) {
	var letters []bus.DeadLetter
	found := make(map[string]bool)
	err := c.each(ctx, b, func(l bus.DeadLetter) error {
		letters, found[l.EventID] = append(letters, l), true
		return nil
	})
	if err != nil {
		return nil, err
	}
	missing := slices.DeleteFunc(slices.Clone(c.ids), func(id string) bool { return found[id] })
	if len(missing) > 0 {
		return nil, c.noneOf(missing)
	}
	// An event that was given up twice has a younger letter than its successor.
	slices.SortStableFunc(letters, func(a, b bus.DeadLetter) int {
		return cmp.Compare(eventSequence(a), eventSequence(b))
	})
	return letters, nil
}

func (c deadChoice) noneOf(ids []string) error {
	passes := ""
	if c.filters() {
		passes = " that passes the filters"
	}
	return fmt.Errorf("there is no dead letter of %s%s; trackops-notifier dead list shows them", strings.Join(ids, ", "), passes)
}

// eventSequence is the place of the letter's event in the stream of events.
func eventSequence(l bus.DeadLetter) uint64 { return headerNumber(l, connectors.HeaderSequence) }

// headerNumber is a number in the letter's head, 0 if it is not there.
func headerNumber(l bus.DeadLetter, name string) uint64 {
	n, err := strconv.ParseUint(l.Headers[name], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// isOfRecord asks the event in the letter. Where that was too large to be kept, or
// is none of ours, the event's id tells: it encodes the record's.
func isOfRecord(l bus.DeadLetter, record string) bool {
	if e, ok := eventOf(l); ok {
		return e.Data.ID == record
	}
	parts := strings.Split(l.EventID, "_")
	if len(parts) != 5 {
		return false
	}
	revision, err := strconv.ParseUint(parts[3], 10, 64)
	return err == nil && events.ID(parts[0], parts[1], record, revision, parts[4]) == l.EventID
}

func eventOf(l bus.DeadLetter) (events.Event, bool) {
	letter, err := readLetter(l)
	if err != nil || letter.Event == nil {
		return events.Event{}, false
	}
	e, err := events.Decode(letter.Event)
	return e, err == nil
}

// knowsConnector refuses a name that no connector has, neither one that is
// configured nor one that left letters. "" is no name.
func knowsConnector(ctx context.Context, cfg config, b *bus.Bus, name string) error {
	names := make(map[string]int)
	if name != "" {
		var err error
		if names, err = b.DeadCount(ctx); err != nil {
			return err
		}
	}
	for _, c := range cfg.Connectors {
		names[c.Name] += 0
	}
	if _, known := names[name]; known || name == "" {
		return nil
	}
	return noConnector(name, slices.Sorted(maps.Keys(names)))
}
