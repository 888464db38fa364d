package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/connectors"
)

func (p program) listDead(ctx context.Context, b *bus.Bus, chosen deadChoice) error {
	t := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	n := 0
	err := chosen.each(ctx, b, func(l bus.DeadLetter) error {
		if n++; n == 1 {
			fmt.Fprintln(t, "EVENT\tCONNECTOR\tGIVEN UP\tATTEMPTS\tREASON")
		}
		_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", l.EventID, l.Connector, l.At.UTC().Format(time.RFC3339),
			l.Headers[connectors.HeaderAttempts], l.Headers[connectors.HeaderReason])
		return err
	})
	if err != nil {
		return err
	}
	if n == 0 {
		p.noLetters(chosen)
	}
	return t.Flush()
}

func (p program) noLetters(chosen deadChoice) {
	if chosen.filters() {
		fmt.Fprintln(p.stderr, "no dead letter passes the filters")
		return
	}
	fmt.Fprintln(p.stderr, "there are no dead letters")
}

// A deadLine is what dead list --json says of a letter.
type deadLine struct {
	EventID    string    `json:"event_id"`
	Connector  string    `json:"connector"`
	Collection string    `json:"collection"`
	Record     string    `json:"record,omitempty"` // its id; absent where the letter could not keep the event
	GivenUp    time.Time `json:"given_up"`
	Attempts   uint64    `json:"attempts"`
	Reason     string    `json:"reason"`
}

func newDeadLine(l bus.DeadLetter) deadLine {
	line := deadLine{
		EventID: l.EventID, Connector: l.Connector, Collection: l.Collection, GivenUp: l.At.UTC(),
		Attempts: headerNumber(l, connectors.HeaderAttempts), Reason: l.Headers[connectors.HeaderReason],
	}
	if e, ok := eventOf(l); ok {
		line.Record = e.Data.ID
	}
	return line
}

func (p program) listDeadJSON(ctx context.Context, b *bus.Bus, chosen deadChoice) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	return chosen.each(ctx, b, func(l bus.DeadLetter) error {
		return enc.Encode(newDeadLine(l))
	})
}

func (p program) showDead(ctx context.Context, b *bus.Bus, chosen deadChoice) error {
	found := false
	enc := json.NewEncoder(p.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	err := chosen.each(ctx, b, func(l bus.DeadLetter) error {
		found = true
		letter, err := readLetter(l)
		if err != nil {
			return err
		}
		return enc.Encode(letter)
	})
	if err == nil && !found {
		return chosen.noneOf(chosen.ids)
	}
	return err
}

func readLetter(l bus.DeadLetter) (connectors.DeadLetter, error) {
	var letter connectors.DeadLetter
	if err := json.Unmarshal(l.Body, &letter); err != nil {
		return letter, fmt.Errorf("dead letter of %s: %w", l.EventID, err)
	}
	return letter, nil
}
