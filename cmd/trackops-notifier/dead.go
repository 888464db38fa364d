package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/connectors"
)

func deadCommand() command {
	return command{
		name:    "dead",
		args:    "list|show <event-id>|replay <event-id>...",
		summary: "list, show or replay what could not be delivered",
		detail: `An event whose retry schedule is exhausted becomes a dead letter: it is kept,
with the reason and every attempt, and the next event of its record is tried.

  dead list                  one line per dead letter
  dead show <event-id>       the letter, with its attempts, as JSON
  dead replay <event-id>...  deliver these again, with the same ids; "all" for every one

Replayed events are delivered by the running notifier, or by the next one that
starts, from the first attempt of their schedule on.`,
		nargs: [2]int{1, 1 << 20},
		run: func(ctx context.Context, p program, _ any, args []string) error {
			cfg, err := loadConfig(p.environ, kinds())
			if err != nil {
				return err
			}
			return p.dead(ctx, cfg, args[0], args[1:])
		},
	}
}

func (p program) dead(ctx context.Context, cfg config, verb string, ids []string) error {
	switch {
	case verb == "list" && len(ids) == 0, verb == "show" && len(ids) == 1, verb == "replay" && len(ids) > 0:
	default:
		return misuse("usage: trackops-notifier dead list | dead show <event-id> | dead replay <event-id>...|all")
	}
	b, err := connectCommand(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.Close()
	switch verb {
	case "list":
		return p.listDead(ctx, b)
	case "show":
		return p.showDead(ctx, b, ids[0])
	default:
		return p.replayDead(ctx, b, ids)
	}
}

func (p program) listDead(ctx context.Context, b *bus.Bus) error {
	t := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	n := 0
	err := b.Dead(ctx, "", func(l bus.DeadLetter) error {
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
		fmt.Fprintln(p.stderr, "there are no dead letters")
	}
	return t.Flush()
}

func (p program) showDead(ctx context.Context, b *bus.Bus, id string) error {
	found := false
	enc := json.NewEncoder(p.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	err := b.Dead(ctx, "", func(l bus.DeadLetter) error {
		if l.EventID != id {
			return nil
		}
		found = true
		var letter connectors.DeadLetter
		if err := json.Unmarshal(l.Body, &letter); err != nil {
			return fmt.Errorf("dead letter of %s: %w", id, err)
		}
		return enc.Encode(letter)
	})
	if err == nil && !found {
		return fmt.Errorf("there is no dead letter of the event %s; trackops-notifier dead list shows them", id)
	}
	return err
}

// replayDead asks for the events again in the order in which they were given up,
// which is their order in each record.
func (p program) replayDead(ctx context.Context, b *bus.Bus, ids []string) error {
	all := slices.Equal(ids, []string{"all"})
	var letters []bus.DeadLetter
	err := b.Dead(ctx, "", func(l bus.DeadLetter) error {
		if all || slices.Contains(ids, l.EventID) {
			letters = append(letters, l)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if missing := missingIDs(ids, letters); !all && len(missing) > 0 {
		return fmt.Errorf("there is no dead letter of %s; trackops-notifier dead list shows them", strings.Join(missing, ", "))
	}
	for _, l := range letters {
		if err := replay(ctx, b, l); err != nil {
			return err
		}
		fmt.Fprintf(p.stderr, "%s goes to %s again\n", l.EventID, l.Connector)
	}
	if len(letters) == 0 {
		fmt.Fprintln(p.stderr, "there are no dead letters")
	}
	return nil
}

func missingIDs(ids []string, letters []bus.DeadLetter) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		return slices.ContainsFunc(letters, func(l bus.DeadLetter) bool { return l.EventID == id })
	})
}

func replay(ctx context.Context, b *bus.Bus, l bus.DeadLetter) error {
	var letter connectors.DeadLetter
	if err := json.Unmarshal(l.Body, &letter); err != nil {
		return fmt.Errorf("dead letter of %s: %w", l.EventID, err)
	}
	if letter.Event == nil {
		return fmt.Errorf("dead letter of %s: it was too large to keep its event; see event %d of the stream", l.EventID, letter.Sequence)
	}
	return b.Replay(ctx, l, letter.Event, letter.Sequence)
}
