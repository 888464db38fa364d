package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/diff"
	"github.com/trackops-notifier/trackops-notifier/events"
)

type backtestFlags struct {
	since string
	limit int
	full  bool
}

func backtestCommand() command {
	return command{
		name:    "backtest",
		args:    "<connector> [--since 7d] [--limit 50] [--full]",
		summary: "show what a connector would have sent",
		detail: `Takes the events that the stream holds and shows what the connector, as it is
configured here, would have sent of them if its receiver had accepted
everything: its events list, filter, FIELDS and OMIT, digest, quiet hours, rate
and template. One line for each message, then the totals.

Nothing is sent and nothing is stored. It reads the stream of the running
notifier (at NATS_URL, else at NATS_LISTEN), and the connector need not run yet:
it is enough that the environment of this command declares it.`,
		flags: func(set *flag.FlagSet) any {
			f := &backtestFlags{}
			set.StringVar(&f.since, "since", "7d", "begin at this age (90m, 24h, 7d) or time (2026-11-23T09:30:00Z)")
			set.IntVar(&f.limit, "limit", 50, "show so many messages at most, 0 for all; the totals are of all")
			set.BoolVar(&f.full, "full", false, "show each message as it would have been sent")
			return f
		},
		nargs: [2]int{1, 1},
		run: func(ctx context.Context, p program, flags any, args []string) error {
			return p.backtest(ctx, *flags.(*backtestFlags), args[0])
		},
	}
}

func (p program) backtest(ctx context.Context, f backtestFlags, name string) error {
	if f.limit < 0 {
		return misuse("--limit: below 0; accepted: a number of messages, 0 for all")
	}
	now := time.Now()
	since, err := readSince(f.since, now)
	if err != nil {
		return err
	}
	cfg, err := loadConfig(p.environ, kinds())
	if err != nil {
		return err
	}
	c, err := findConnector(cfg, name)
	if err != nil {
		return err
	}
	r := &playbill{
		out: p.stdout, limit: f.limit, since: since, now: now, connector: c,
		zone: c.Calendar.Location(), days: map[string]int{},
	}
	if f.full {
		if r.target, err = c.New(connectors.Env{Version: programVersion(), Stdout: p.output(), Link: recordLink(cfg.RecordURL)}); err != nil {
			return fmt.Errorf("connector %s: %w", name, err)
		}
	}
	b, err := connectCommand(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.Close()
	return p.rehearse(ctx, b, cfg, r)
}

// rehearse gives the events of the stream to the connector's engine.
func (p program) rehearse(ctx context.Context, b *bus.Bus, cfg config, r *playbill) error {
	c := r.connector
	rehearsal := connectors.NewRehearsal(connectors.Config{
		Name:     c.Name,
		Filter:   c.Filter,
		Mask:     c.Mask,
		Calendar: c.Calendar,
		Urgent:   c.Urgent,
		Differ:   connectors.Differ{Apply: diff.Apply, Changes: diff.Changes},
		Rate:     c.Rate,
		Burst:    c.Kind.Burst,
	}, r.perform)
	meter := p.newMeter()
	defer meter.clear()
	read := 0
	err := b.Events(ctx, bus.EventsOptions{Since: r.since, Subjects: c.Subjects(cfg.Accounts, cfg.Collections)}, func(s events.Stored) error {
		if read++; read == 1 {
			r.first = s.At
		}
		meter.show("%s events read", connectors.Count(read))
		return rehearsal.Take(s)
	})
	if err != nil {
		return err
	}
	tally, err := rehearsal.End()
	if err != nil {
		return err
	}
	meter.clear()
	return r.total(tally)
}
