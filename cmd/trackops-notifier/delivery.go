package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/diff"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// A delivery is one connector at work: its share of the stream and the engine
// that empties it.
type delivery struct {
	cfg      connectorConfig
	notifier *notifier
	target   connectors.Connector
	pace     *connectors.Pace // its own, or shared

	mu     sync.Mutex
	feed   *bus.Feed          // nil until NATS was reached
	engine *connectors.Engine // the same
}

func newDelivery(c connectorConfig, n *notifier) (*delivery, error) {
	d := &delivery{cfg: c, notifier: n, pace: n.paceOf(c)}
	target, err := c.New(connectors.Env{Version: programVersion(), Stdout: n.out, Link: recordLink(n.cfg.RecordURL), Memory: d})
	if err != nil {
		return nil, fmt.Errorf("connector %s: %w", c.Name, err)
	}
	d.target = target
	return d, nil
}

// paceOf returns the pace of a connector: the same one, the slowest that is asked
// for, to all that write to the same place.
func (n *notifier) paceOf(c connectorConfig) *connectors.Pace {
	place := c.place()
	if place == "" {
		return connectors.NewPace(c.Rate, false)
	}
	if n.paces[place] == nil {
		rate := c.Rate
		for _, other := range n.cfg.Connectors {
			if other.place() == place && other.Rate > 0 && (rate == 0 || other.Rate < rate) {
				rate = other.Rate
			}
		}
		n.paces[place] = connectors.NewPace(rate, true)
	}
	return n.paces[place]
}

// place names where the connector writes to, if that is what its rate belongs to.
func (c connectorConfig) place() string {
	if c.Kind.Share == nil {
		return ""
	}
	if share := c.Kind.Share(c.Settings); share != "" {
		return c.Kind.Name + "\n" + share
	}
	return ""
}

// Remember implements connectors.Memory.
func (d *delivery) Remember(ctx context.Context, key, value string) error {
	feed := d.attached()
	if feed == nil {
		return errNotAttached
	}
	return feed.Remember(ctx, key, value)
}

// Recall implements connectors.Memory.
func (d *delivery) Recall(ctx context.Context, key string) (string, error) {
	feed := d.attached()
	if feed == nil {
		return "", errNotAttached
	}
	return feed.Recall(ctx, key)
}

var errNotAttached = errors.New("NATS was not reached yet")

func (d *delivery) attached() *bus.Feed {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.feed
}

// attach opens the connector's feed, or returns nil when ctx ends first.
func (d *delivery) attach(ctx context.Context, b *bus.Bus) (*bus.Feed, error) {
	var feed *bus.Feed
	subjects := d.cfg.Subjects(d.notifier.cfg.Accounts, d.notifier.cfg.Collections)
	err := d.notifier.untilDone(ctx, "attach connector "+d.cfg.Name, func() (err error) {
		feed, err = b.Attach(ctx, d.cfg.Name, subjects)
		return err
	})
	return feed, err
}

// grace is how long attempts in flight may take when the program is stopped. With
// their notes and the closing of everything the ten seconds are full that a
// container gets.
const grace = 8 * time.Second

// run delivers until ctx ends and what was in flight is settled.
func (d *delivery) run(ctx context.Context, feed *bus.Feed) error {
	m := d.notifier.metrics
	engine := connectors.NewEngine(connectors.Config{
		Name:      d.cfg.Name,
		Connector: d.target,
		Feed:      feed,
		Ledger:    feed,
		Graveyard: feed,
		History:   feed.History,
		Memory:    feed,

		Retry:       d.cfg.Retry,
		Pace:        d.pace,
		Burst:       d.cfg.Kind.Burst,
		Timeout:     d.cfg.Timeout,
		Concurrency: d.cfg.Kind.Concurrency,
		Grace:       grace,

		Filter:   d.cfg.Filter,
		Mask:     d.cfg.Mask,
		Calendar: d.cfg.Calendar,
		Urgent:   d.cfg.Urgent,
		Differ:   connectors.Differ{Apply: diff.Apply, Changes: diff.Changes},
		Fallback: d.fallback(feed),

		Logger: d.notifier.log,
		Observer: connectors.Observer{
			Attempt: func(n connectors.Note, took time.Duration) { m.attempted(d.cfg.Name, string(n.Outcome), took) },
			Settled: d.settled,
			Health:  d.reportHealth,
		},
	})
	d.mu.Lock()
	d.feed, d.engine = feed, engine
	d.mu.Unlock()
	return engine.Run(ctx)
}

// fallback is what stands in for the connector, or nil.
func (d *delivery) fallback(feed *bus.Feed) *connectors.Fallback {
	f := d.cfg.Fallback
	if f.Name == "" {
		return nil
	}
	i := slices.IndexFunc(d.notifier.cfg.Connectors, func(c connectorConfig) bool { return c.Name == f.Name })
	return &connectors.Fallback{
		Name:   f.Name,
		After:  f.After,
		Latest: f.Latest,
		Gets:   d.notifier.cfg.Connectors[i].wants,
		Forward: func(ctx context.Context, ev events.Stored) error {
			return feed.Forward(ctx, f.Name, ev)
		},
	}
}

// wants reports whether the connector gets the event by itself.
func (c connectorConfig) wants(ev events.Event) bool {
	return c.Events.match(ev.Data.Collection, ev.Data.Action) && (c.Filter == nil || c.Filter.Match(ev))
}

// reportHealth makes an event of what the connector is like now, for the other
// connectors to carry.
func (d *delivery) reportHealth(h connectors.Health) {
	account := h.Account
	if !d.notifier.watches(account) {
		account = d.notifier.cfg.Accounts[0].Subdomain
	}
	what := events.ConnectorFailing
	if h.State == connectors.Active {
		what = events.ConnectorRecovered
	}
	detail := map[string]any{"connector": d.cfg.Name, "state": h.State, "since": h.Since}
	if h.Reason != "" {
		detail["reason"] = h.Reason
	}
	if err := d.notifier.publish(account, what, d.cfg.Name, h.Sentence(d.cfg.Name), detail); err != nil {
		d.notifier.log.Error("report the state of a connector", "connector", d.cfg.Name, "error", err.Error())
	}
}

// settled counts an event that the connector is done with. One that it gave up is
// news, unless it was a system event: a receiver of those that fails would raise
// one after the other.
func (d *delivery) settled(n connectors.Note) {
	d.notifier.metrics.settled.WithLabelValues(d.cfg.Name, string(n.Outcome)).Inc()
	account, rest, _ := strings.Cut(n.EventID, "_")
	if n.Outcome != connectors.Dead || !d.notifier.watches(account) || strings.HasPrefix(rest, events.System+"_") {
		return
	}
	err := d.notifier.publish(account, events.DeadLettered, d.cfg.Name,
		fmt.Sprintf("Connector %s gave up event %s: %s", d.cfg.Name, n.EventID, n.Reason),
		map[string]any{"connector": d.cfg.Name, "event_id": n.EventID, "reason": n.Reason, "status": n.Status, "error": n.Error})
	if err != nil {
		d.notifier.log.Error("report a dead letter", "connector", d.cfg.Name, "event_id", n.EventID, "error", err.Error())
	}
}

// ready is the connector's line in /readyz.
func (d *delivery) ready(ctx context.Context) connectorReady {
	line := connectorReady{Name: d.cfg.Name, Kind: d.cfg.Kind.Name, State: "starting"}
	d.mu.Lock()
	feed, engine := d.feed, d.engine
	d.mu.Unlock()
	if engine == nil {
		return line
	}
	s := engine.Stats()
	if s.State == "" {
		return line // it reads its history
	}
	line.explain(s)
	line.State = "idle"
	switch {
	case !s.State.Sends():
		line.State, line.LastError = string(s.State), s.LastError
	case s.Failures > 0 || s.State == connectors.Failing:
		line.State, line.LastError = "failing", s.LastError
	case s.StoreError != "":
		line.State, line.LastError = "failing", s.StoreError
	case s.InFlight == 0 && s.Waiting > 0 && d.cfg.Calendar != nil:
		line.State = "waiting" // for the end of a window
	case s.Waiting+s.InFlight > 0:
		line.State = "delivering"
	}
	pending, outstanding, err := feed.Pending(ctx)
	if err != nil && line.LastError == "" {
		line.LastError = err.Error()
	}
	line.Pending = pending + uint64(outstanding)
	return line
}
