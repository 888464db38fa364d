package main

import (
	"context"
	"time"
)

// observe registers the states that /metrics reads when it is asked.
func (n *notifier) observe() {
	n.metrics.registry.MustRegister(
		newGauge("records", "Live records held.", []string{"account", "collection"}, func(report func(float64, ...string)) {
			for _, s := range n.statuses() {
				report(float64(s.Held), s.Account, s.Collection)
			}
		}),
		newGauge("last_success_age_seconds", "Time since the last good answer about a collection; absent before the first.",
			[]string{"account", "collection"}, func(report func(float64, ...string)) {
				for _, s := range n.statuses() {
					if !s.LastSuccess.IsZero() {
						report(time.Since(s.LastSuccess).Seconds(), s.Account, s.Collection)
					}
				}
			}),
		newGauge("outbox_events", "Events that wait to be published (pending), or are kept until the stream has surely synced them (held).",
			[]string{"state"}, func(report func(float64, ...string)) {
				pending, held, _ := n.store.Backlog("")
				report(float64(pending), "pending")
				report(float64(held), "held")
			}),
		newGauge("connector_pending_events", "Events of the stream a connector is not done with.", []string{"connector"}, n.reportPending),
		newGauge("connector_dead_letters", "Events a connector gave up and nobody replayed.", []string{"connector"}, n.reportDead),
		newGauge("nats_connected", "1 while NATS can be reached.", nil, func(report func(float64, ...string)) {
			up := 0.0
			if b := n.connectedBus(); b != nil && b.Connected() {
				up = 1
			}
			report(up)
		}),
	)
}

// scrapeTimeout bounds what a scrape asks of NATS.
const scrapeTimeout = 2 * time.Second

func (n *notifier) reportPending(report func(float64, ...string)) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	for _, d := range n.deliveries {
		if line := d.ready(ctx); line.State != "starting" {
			report(float64(line.Pending), d.cfg.Name)
		}
	}
}

func (n *notifier) reportDead(report func(float64, ...string)) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	dead := n.dead(ctx)
	if dead == nil {
		return
	}
	for _, d := range n.deliveries {
		report(float64(dead[d.cfg.Name]), d.cfg.Name)
	}
}

// dead counts the dead letters by connector; nil while NATS cannot be asked.
func (n *notifier) dead(ctx context.Context) map[string]int {
	b := n.connectedBus()
	if b == nil {
		return nil
	}
	counts, err := b.DeadCount(ctx)
	if err != nil {
		return nil
	}
	return counts
}
