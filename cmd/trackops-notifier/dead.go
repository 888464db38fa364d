package main

import (
	"context"
	"flag"
	"fmt"
	"time"
)

func deadCommand() command {
	return command{
		name:    "dead",
		args:    "list|show <event-id>|replay <event-id>...|drop <event-id>... [filters]",
		summary: "list, show, replay or drop what could not be delivered",
		detail: `An event whose retry schedule is exhausted becomes a dead letter: it is kept,
with the reason and every attempt, and the next event of its record is tried.

  dead list                  one line per dead letter
  dead show <event-id>       the letter, with its attempts, as JSON
  dead replay <event-id>...  deliver these again, with the same ids
  dead drop <event-id>...    delete these letters for good

The flags are filters: a letter has to pass each that is given. With a filter,
replay and drop need no ids, and do what they do to every letter that passes;
"all" in place of the ids is every letter.

  dead replay --connector crm --since 2h
  dead drop --collection invoices --record 1042
  dead replay all

Replayed events are delivered by the running notifier, or by the next one that
starts, from the first attempt of their schedule on, the oldest of each record
first.`,
		flags: func(set *flag.FlagSet) any {
			f := &deadFlags{}
			filterFlag(set, &f.connector, "connector", "only letters of the connector of this `name`")
			filterFlag(set, &f.collection, "collection", "only events of the collection of this `name`")
			filterFlag(set, &f.record, "record", "only events of the record with this `id`")
			filterFlag(set, &f.since, "since", "only what was given up at most this long ago (90m, 24h, 7d) or since this `time` (2026-11-23T09:30:00Z)")
			set.BoolVar(&f.json, "json", false, "list each letter as one line of JSON")
			return f
		},
		nargs: [2]int{1, 1 << 20},
		run: func(ctx context.Context, p program, flags any, args []string) error {
			return p.dead(ctx, *flags.(*deadFlags), args[0], args[1:])
		},
	}
}

// deadFlags are filters as they were typed; "" is one that was not given.
type deadFlags struct {
	connector, collection, record, since string
	json                                 bool
}

// filterFlag declares a flag that refuses an empty value: a script whose variable
// is empty must not drop more than it meant to.
func filterFlag(set *flag.FlagSet, value *string, name, usage string) {
	set.Func(name, usage, func(given string) error {
		if given == "" {
			return fmt.Errorf("it is empty; leave --%s out to have all", name)
		}
		*value = given
		return nil
	})
}

func (p program) dead(ctx context.Context, f deadFlags, verb string, ids []string) error {
	chosen, err := f.choose(verb, ids, time.Now())
	if err != nil {
		return err
	}
	cfg, err := loadConfig(p.environ, kinds())
	if err != nil {
		return err
	}
	b, err := connectCommand(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := knowsConnector(ctx, cfg, b, f.connector); err != nil {
		return err
	}
	switch {
	case verb == "list" && f.json:
		return p.listDeadJSON(ctx, b, chosen)
	case verb == "list":
		return p.listDead(ctx, b, chosen)
	case verb == "show":
		return p.showDead(ctx, b, chosen)
	}
	letters, err := chosen.letters(ctx, b)
	if err != nil {
		return err
	}
	if len(letters) == 0 {
		p.noLetters(chosen)
		return nil
	}
	if verb == "drop" {
		return p.dropDead(ctx, b, letters)
	}
	return p.replayDead(ctx, b, letters)
}

// choose reads what follows a verb. Without ids and filters, what changes
// something is refused: nobody should lose everything by leaving out a word.
func (f deadFlags) choose(verb string, ids []string, now time.Time) (deadChoice, error) {
	since, err := readSince(f.since, now)
	if err != nil {
		return deadChoice{}, err
	}
	c := deadChoice{connector: f.connector, collection: f.collection, record: f.record, since: since, ids: ids}
	switch {
	case verb == "list" && len(ids) == 0, verb == "show" && len(ids) == 1:
		return c, nil
	case verb != "replay" && verb != "drop":
		return deadChoice{}, misuse("usage: trackops-notifier dead list | dead show <event-id> | dead replay <event-id>...|all | dead drop <event-id>...|all")
	case f.json:
		return deadChoice{}, misuse("--json is for dead list")
	case len(ids) == 1 && ids[0] == "all":
		c.ids = nil
		return c, nil
	case len(ids) == 0 && !c.filters():
		return deadChoice{}, misuse(fmt.Sprintf("dead %s: say which letters: event ids, a filter such as --connector, or all", verb))
	}
	return c, nil
}
