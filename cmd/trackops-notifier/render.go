package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

type renderFlags struct{ event string }

func renderCommand() command {
	return command{
		name:    "render",
		args:    "<connector> [--event <file|id>]",
		summary: "show what a connector would send for an event",
		detail: `Shows what the connector would send, with its templates, and sends nothing. What
its events list, its filter or FIELDS and OMIT keep back is not rendered; then it
says why.

The event is that of a file with its JSON, as trackops-notifier events --json
prints it (one event or several; - is the standard input), or the one with that
id in the stream of the running notifier. Without --event they are made-up ones:
each collection and action that the connector wants.`,
		flags: func(set *flag.FlagSet) any {
			f := &renderFlags{}
			set.StringVar(&f.event, "event", "", "a `file` with an event's JSON, - for the standard input, or the id of one in the stream")
			return f
		},
		nargs: [2]int{1, 1},
		run: func(ctx context.Context, p program, flags any, args []string) error {
			cfg, err := loadConfig(p.environ, kinds())
			if err != nil {
				return err
			}
			return p.render(ctx, cfg, *flags.(*renderFlags), args[0])
		},
	}
}

func (p program) render(ctx context.Context, cfg config, f renderFlags, name string) error {
	c, err := findConnector(cfg, name)
	if err != nil {
		return err
	}
	target, err := c.New(connectors.Env{Version: programVersion(), Stdout: p.output(), Link: recordLink(cfg.RecordURL)})
	if err != nil {
		return fmt.Errorf("connector %s: %w", name, err)
	}
	previewer, ok := target.(connectors.Previewer)
	if !ok {
		return fmt.Errorf("connector %s: connectors of type %s cannot show what they would send", name, c.Kind.Name)
	}
	all, err := p.eventsToRender(ctx, cfg, c, f.event)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	var failed []error // of some; the others are shown
	for _, e := range all {
		if len(all) > 1 {
			fmt.Fprintf(&out, "── %s.%s, record %s ──\n", e.Data.Collection, e.Data.Action, connectors.OneLine(e.Data.ID))
		}
		if err := renderEvent(&out, cfg, c, previewer, e); err != nil {
			failed = append(failed, fmt.Errorf("connector %s, event %s: %w", name, e.ID, err))
			if len(all) > 1 {
				fmt.Fprintln(&out, "cannot be rendered: see the error")
			}
		}
	}
	_, err = p.stdout.Write(out.Bytes())
	return errors.Join(append(failed, err)...)
}

// renderEvent writes what c would send for e, or why it would send nothing.
func renderEvent(out *bytes.Buffer, cfg config, c connectorConfig, previewer connectors.Previewer, e events.Event) error {
	var f fate
	explanation{event: e}.judge(&f, cfg, c)
	if !f.Wanted {
		fmt.Fprintf(out, "not sent: %s\n", f.Unwanted)
		for _, condition := range f.Conditions {
			writeWrapped(out, conditionLine(condition))
		}
		return nil
	}
	masked, _ := c.Mask.Apply(e)
	text, err := previewer.Preview(connectors.Delivery{ID: e.ID, Events: []events.Event{masked}, Attempt: 1})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n", strings.TrimRight(text, "\n"))
	return nil
}

// eventsToRender returns the events that the flag names: of a file, of the
// stream, or made-up ones.
func (p program) eventsToRender(ctx context.Context, cfg config, c connectorConfig, from string) ([]events.Event, error) {
	if from == "" {
		all, err := madeUpEvents(cfg, c.Events)
		if err == nil && len(all) == 0 {
			err = misuse(fmt.Sprintf("connector %s: %s chooses no event of a collection that is polled", c.Name, c.variable("EVENTS")))
		}
		return all, err
	}
	in := p.stdin
	if from != "-" {
		file, err := os.Open(from)
		if errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(from, `./\`) {
			return p.eventOfStream(ctx, cfg, from)
		}
		if err != nil {
			return nil, misuse("--event: " + err.Error())
		}
		defer file.Close()
		in = file
	}
	return readEvents(in)
}

func (p program) eventOfStream(ctx context.Context, cfg config, id string) ([]events.Event, error) {
	b, err := connectCommand(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("--event: there is no file %s, and as the id of an event: %w", quote(id), err)
	}
	defer b.Close()
	found, err := newExplanation(ctx, b, cfg, id)
	if err != nil {
		return nil, err
	}
	return []events.Event{found.event}, nil
}

// readEvents reads events one behind the other, each as JSON in one line or many.
func readEvents(in io.Reader) ([]events.Event, error) {
	dec := json.NewDecoder(in)
	var all []events.Event
	for {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) && len(all) > 0 {
			return all, nil
		}
		if err != nil {
			return nil, misuse(fmt.Sprintf("--event: event %d is no JSON: %v", len(all)+1, err))
		}
		e, err := events.Decode(raw)
		if err != nil {
			return nil, misuse(fmt.Sprintf("--event: event %d: %v", len(all)+1, err))
		}
		all = append(all, e)
	}
}
