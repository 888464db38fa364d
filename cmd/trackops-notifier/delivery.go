package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// A delivery is one connector at work: its share of the stream and the engine
// that empties it.
type delivery struct {
	cfg      connectorConfig
	notifier *notifier
	target   connectors.Connector

	mu     sync.Mutex
	feed   *bus.Feed          // nil until NATS was reached
	engine *connectors.Engine // the same
}

func newDelivery(c connectorConfig, n *notifier) (*delivery, error) {
	target, err := c.New(connectors.Env{Version: programVersion(), Stdout: n.out})
	if err != nil {
		return nil, fmt.Errorf("connector %s: %w", c.Name, err)
	}
	return &delivery{cfg: c, notifier: n, target: target}, nil
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
		Retry:     d.cfg.Retry,
		Rate:      d.cfg.Rate,
		Timeout:   d.cfg.Timeout,
		Grace:     grace,
		Filter:    d.cfg.Filter,
		Logger:    d.notifier.log,
		Observer: connectors.Observer{
			Attempt: func(n connectors.Note, took time.Duration) { m.attempted(d.cfg.Name, string(n.Outcome), took) },
			Settled: d.settled,
		},
	})
	d.mu.Lock()
	d.feed, d.engine = feed, engine
	d.mu.Unlock()
	return engine.Run(ctx)
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
	line.State = "idle"
	switch {
	case s.Failures > 0:
		line.State, line.LastError = "failing", s.LastError
	case s.StoreError != "":
		line.State, line.LastError = "failing", s.StoreError
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
