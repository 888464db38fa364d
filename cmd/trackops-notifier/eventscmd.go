package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/console"
	"github.com/trackops-notifier/trackops-notifier/events"
)

type eventsFlags struct {
	follow, json bool
	since        string
}

func eventsCommand() command {
	return command{
		name:    "events",
		args:    "[--follow] [--since 1h] [--json]",
		summary: "show the events of the stream",
		detail: `Shows the events that the stream holds, as the console connector prints them,
or one line of JSON each. It reads the stream of the running notifier (at
NATS_URL, else at NATS_LISTEN) and changes nothing.`,
		flags: func(set *flag.FlagSet) any {
			f := &eventsFlags{}
			set.BoolVar(&f.follow, "follow", false, "wait for new events until interrupted; without --since only those")
			set.BoolVar(&f.json, "json", false, "print each event as one line of JSON")
			set.StringVar(&f.since, "since", "", "begin at this age (90m, 24h, 7d) or time (2026-11-23T09:30:00Z)")
			return f
		},
		run: func(ctx context.Context, p program, flags any, _ []string) error {
			return p.showEvents(ctx, *flags.(*eventsFlags))
		},
	}
}

func (p program) showEvents(ctx context.Context, f eventsFlags) error {
	cfg, err := loadConfig(p.environ, kinds())
	if err != nil {
		return err
	}
	since, err := readSince(f.since, time.Now())
	if err != nil {
		return err
	}
	printer, err := console.Kind().New(console.Kind().Settings(), connectors.Env{Stdout: p.output(), Link: recordLink(cfg.RecordURL)})
	if err != nil {
		return err
	}
	b, err := connectCommand(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.Close()
	err = b.Events(ctx, bus.EventsOptions{Since: since, Follow: f.follow}, func(s events.Stored) error {
		if f.json {
			_, err := fmt.Fprintf(p.stdout, "%s\n", s.Body)
			return err
		}
		e, err := events.Decode(s.Body)
		if err != nil {
			return fmt.Errorf("event %d of the stream: %w", s.Sequence, err)
		}
		return printer.Deliver(ctx, connectors.Delivery{ID: e.ID, Events: []events.Event{e}, Attempt: 1})
	})
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil // interrupted, as --follow expects
	}
	return err
}

// readSince reads an age or a time; "" is the zero time.
func readSince(value string, now time.Time) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, value); err == nil {
		return t, nil
	}
	age, err := readDuration(value)
	if err != nil {
		return time.Time{}, misuse(fmt.Sprintf("--since: %q is neither an age, as 90m, 24h or 7d, nor a time, as %s", value, now.UTC().Format(time.RFC3339)))
	}
	return now.Add(-age), nil
}
