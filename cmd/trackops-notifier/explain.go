package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

type explainFlags struct{ json bool }

func explainCommand() command {
	return command{
		name:    "explain",
		args:    "<event-id> [connector] [--json]",
		summary: "say what became of an event, and why",
		detail: `Says when the event was observed, and for each connector, or the one named,
whether it wants the event, and if not what decided that; each attempt to deliver
it; and what became of it, or when it is tried next.

Whether a connector wants the event is judged by the settings in the environment
of this command: it should have those of the running notifier. The id of an event
is its CloudEvents id; receivers of webhooks see it as webhook-id, and
trackops-notifier events --json lists them.`,
		flags: func(set *flag.FlagSet) any {
			f := &explainFlags{}
			set.BoolVar(&f.json, "json", false, "print one JSON object")
			return f
		},
		nargs: [2]int{1, 2},
		run: func(ctx context.Context, p program, flags any, args []string) error {
			cfg, err := loadConfig(p.environ, kinds())
			if err != nil {
				return err
			}
			return p.explain(ctx, cfg, *flags.(*explainFlags), args)
		},
	}
}

func (p program) explain(ctx context.Context, cfg config, f explainFlags, args []string) error {
	chosen := cfg.Connectors
	if len(args) == 2 {
		names := make([]string, len(chosen))
		for i, c := range chosen {
			names[i] = c.Name
		}
		i := slices.Index(names, args[1])
		if i < 0 {
			return noConnector(args[1], names)
		}
		chosen = chosen[i : i+1]
	}
	b, err := connectCommand(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.Close()
	e, err := newExplanation(ctx, b, cfg, args[0])
	if err != nil {
		return err
	}
	for _, c := range chosen {
		fate, err := e.fate(ctx, b, cfg, c)
		if err != nil {
			return err
		}
		e.Connectors = append(e.Connectors, fate)
	}
	e.askHeld(ctx, cfg)
	if f.json {
		enc := json.NewEncoder(p.stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(e)
	}
	return e.write(p.stdout)
}

// An explanation is what became of one event.
type explanation struct {
	ID         string        `json:"id"`
	Collection string        `json:"collection"`
	Action     events.Action `json:"action"`
	Record     string        `json:"record"`
	Revision   uint64        `json:"revision"`
	ObservedAt time.Time     `json:"observed_at"`
	NotBefore  *time.Time    `json:"not_before,omitempty"`
	NotAfter   *time.Time    `json:"not_after,omitempty"`
	Sequence   uint64        `json:"sequence"`  // in the stream
	StoredAt   time.Time     `json:"stored_at"` // when the stream took it
	Connectors []fate        `json:"connectors"`

	event events.Event
}

func newExplanation(ctx context.Context, b *bus.Bus, cfg config, id string) (explanation, error) {
	stored, err := b.Find(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		return explanation{}, fmt.Errorf("there is no event %s in the stream; events come from changes in Trackops and are kept for %s (STREAM_MAX_AGE): trackops-notifier events --json shows those there are, with their ids",
			strconv.Quote(cut(id, 200)), short(cfg.Stream.MaxAge.Seconds()))
	}
	if err != nil {
		return explanation{}, err
	}
	ev, err := events.Decode(stored.Body)
	if err != nil {
		return explanation{}, fmt.Errorf("event %d of the stream: %w", stored.Sequence, err)
	}
	d := ev.Data
	return explanation{
		ID: ev.ID, Collection: d.Collection, Action: d.Action, Record: d.ID, Revision: d.Revision,
		ObservedAt: d.ObservedAt, NotBefore: d.NotBefore, NotAfter: d.NotAfter,
		Sequence: stored.Sequence, StoredAt: stored.At.UTC(), Connectors: []fate{}, event: ev,
	}, nil
}

// A fate is what became of an event at one connector.
type fate struct {
	Connector string `json:"connector"`
	Kind      string `json:"kind"`

	// State is an outcome of the ledger that settled the event; "pending"; or of
	// an event that the ledger does not know "unlisted", "before" the connector
	// came, or "new" where the connector never came.
	State  string     `json:"state"`
	Reason string     `json:"reason,omitempty"`
	Next   *time.Time `json:"next,omitempty"`   // of a pending one: not before this
	Held   string     `json:"held,omitempty"`   // of a pending one: why the connector does not send as usual
	Letter bool       `json:"letter,omitempty"` // of a dead one: its letter is still there

	// FallbackOf is the connector that gave the event to this one, its fallback.
	FallbackOf string `json:"fallback_of,omitempty"`

	Wanted     bool                   `json:"wanted"`             // by the settings as they are now
	Unwanted   string                 `json:"unwanted,omitempty"` // why not
	Conditions []connectors.Condition `json:"conditions,omitempty"`

	Notes []connectors.Note `json:"notes,omitempty"` // of the ledger, oldest first
}

const (
	statePending  = "pending"
	stateUnlisted = "unlisted"
	stateBefore   = "before"
	stateNew      = "new"
)

// fate finds out what became of the event at c.
func (e explanation) fate(ctx context.Context, b *bus.Bus, cfg config, c connectorConfig) (fate, error) {
	f := fate{Connector: c.Name, Kind: c.Kind.Name}
	listed := e.judge(&f, cfg, c)
	var err error
	if f.Notes, err = notesOf(ctx, b, c.Name, e.ID); err != nil {
		return fate{}, err
	}
	if f.FallbackOf, err = lender(ctx, b, cfg, f.Notes, e.ID, c.Name); err != nil {
		return fate{}, err
	}
	floor, known, err := b.Position(ctx, c.Name)
	if err != nil {
		return fate{}, err
	}
	switch n := len(f.Notes); {
	case n > 0:
		f.follow()
	case !listed:
		f.State = stateUnlisted
	case !known:
		f.State, f.Reason = stateNew, "the connector has not run yet; it will begin with events that are new then"
	case e.Sequence <= floor:
		f.State, f.Reason = stateBefore, "the connector began behind it, or did not want it then"
	default:
		f.State = statePending
	}
	switch f.State {
	case statePending:
		e.hold(&f, c)
	case string(connectors.Dead):
		err = b.Dead(ctx, c.Name, func(l bus.DeadLetter) error {
			f.Letter = f.Letter || l.EventID == e.ID
			return nil
		})
	}
	return f, err
}

// lender returns the connector that gave the event to the one named, its fallback,
// or "" if it came another way. notes are those of the fallback.
func lender(ctx context.Context, b *bus.Bus, cfg config, notes []connectors.Note, id, fallback string) (string, error) {
	if !slices.ContainsFunc(notes, func(n connectors.Note) bool { return n.Replay != 0 }) {
		return "", nil
	}
	for _, c := range cfg.Connectors {
		if c.Fallback.Name != fallback {
			continue
		}
		theirs, err := notesOf(ctx, b, c.Name, id)
		if err != nil {
			return "", err
		}
		for _, n := range theirs {
			if n.Outcome == connectors.Diverted && n.To == fallback {
				return c.Name, nil
			}
		}
	}
	return "", nil
}

// askHeld asks the running notifier which connectors with a pending event only probe,
// or send nothing, and why. Where none runs that can be asked, nobody knows.
func (e explanation) askHeld(ctx context.Context, cfg config) {
	pending := func(f fate) bool { return f.State == statePending }
	if !slices.ContainsFunc(e.Connectors, pending) {
		return
	}
	var s statusReport
	if newControl(cfg.DataDir).read(ctx, "/status", &s) != nil {
		return
	}
	for i, f := range e.Connectors {
		for _, c := range s.Connectors {
			if pending(f) && c.Name == f.Connector && c.isHeld() {
				e.Connectors[i].Held = c.notes(time.Now())[0]
			}
		}
	}
}

// isHeld reports whether the connector sends nothing, or only probes.
func (c connectorReady) isHeld() bool {
	return slices.Contains([]connectors.State{connectors.Open, connectors.Parked, connectors.Paused}, connectors.State(c.State))
}

// follow takes the state from the notes about the event.
func (f *fate) follow() {
	settled := map[uint64]bool{} // by replay
	for _, n := range f.Notes {
		if n.Outcome == connectors.Diverted && settled[n.Replay] {
			continue // the fallback was given it at that moment
		}
		f.State, f.Reason = statePending, ""
		switch n.Outcome {
		case connectors.Failed:
			f.Next = nil
			if !n.Next.IsZero() {
				f.Next = &n.Next
			}
		case connectors.Diverted:
			f.Reason = "the fallback " + n.To + " has it meanwhile"
		default:
			f.State, f.Reason, f.Next = string(n.Outcome), n.Reason, nil
			settled[n.Replay] = true
		}
	}
}

// hold says until when a calendar holds up what was not tried yet.
func (e explanation) hold(f *fate, c connectorConfig) {
	if !f.Wanted || f.Next != nil || c.Urgent != nil && c.Urgent.Match(e.event) {
		return
	}
	if release, window := c.Calendar.Release(e.StoredAt); window != (connectors.Window{}) {
		f.Next = &release
	}
}

// judge says whether c wants the event, and if not, why. listed is false for one
// that does not even come to its filter.
func (e explanation) judge(f *fate, cfg config, c connectorConfig) (listed bool) {
	if f.Unwanted = e.unlisted(cfg, c); f.Unwanted != "" {
		return false
	}
	masked, left := c.Mask.Apply(e.event)
	if c.Filter != nil {
		f.Conditions = hideOmitted(c.Filter.Explain(e.event), c.Filter.Explain(masked))
	}
	switch {
	case c.Filter != nil && !c.Filter.Match(e.event):
		f.Unwanted = c.variable("FILTER") + " is false of it"
	case !left:
		f.Unwanted = "what it may be given (" + c.variable("FIELDS") + ", " + c.variable("OMIT") + ") leaves out everything that changed"
	}
	f.Wanted = f.Unwanted == ""
	return true
}

// unlisted says why the event does not come to c, or "".
func (e explanation) unlisted(cfg config, c connectorConfig) string {
	d := e.event.Data
	system := d.Collection == events.System
	switch {
	case !slices.ContainsFunc(cfg.Accounts, func(a account) bool { return a.Subdomain == d.Account }):
		return "the account " + d.Account + " is not watched"
	case !system && !slices.Contains(collectionNames(cfg.Collections), d.Collection):
		return "the collection " + d.Collection + " is not polled"
	case !c.Events.match(d.Collection, d.Action):
		return c.variable("EVENTS") + " is " + c.Events.String()
	case system && d.ID == c.Name:
		return "what concerns a connector is never told to it"
	}
	return ""
}

// variable is the name of one of the connector's variables.
func (c connectorConfig) variable(field string) string {
	return connectorPrefix + strings.ToUpper(strings.ReplaceAll(c.Name, "-", "_")) + "_" + field
}

// hideOmitted returns the conditions with values from which the mask has taken
// what it leaves out. Both were asked the same, masked of the masked event.
func hideOmitted(all, masked []connectors.Condition) []connectors.Condition {
	for i := range all {
		for j, v := range all[i].Values {
			shown := &all[i].Values[j].Value
			*shown = masked[i].Values[j].Value
			if *shown != v.Value && !strings.HasPrefix(*shown, "{") && !strings.HasPrefix(*shown, "[") {
				*shown = "(omitted)"
			}
		}
	}
	return all
}

// notesOf returns what the connector's ledger says of one event, oldest first.
func notesOf(ctx context.Context, b *bus.Bus, connector, id string) ([]connectors.Note, error) {
	var notes []connectors.Note
	err := b.Notes(ctx, connector, func(line []byte) error {
		if !bytes.Contains(line, []byte(id)) {
			return nil
		}
		var n connectors.Note
		if err := json.Unmarshal(line, &n); err != nil {
			return fmt.Errorf("decode note: %w", err)
		}
		if n.EventID == id {
			notes = append(notes, n)
		}
		for _, m := range n.Events {
			if m.EventID == id {
				notes = append(notes, memberNote(n, m))
			}
		}
		return nil
	})
	return notes, err
}

// memberNote is what a note about several events says of one of them.
func memberNote(n connectors.Note, m connectors.Member) connectors.Note {
	n.EventID, n.Sequence, n.Replay, n.Attempt = m.EventID, m.Sequence, m.Replay, m.Attempt
	n.Outcome, n.Next, n.Reason, n.Events = m.Outcome, m.Next, m.Reason, nil
	return n
}
