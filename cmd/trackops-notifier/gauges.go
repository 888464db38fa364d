package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/poller"
)

// observe registers the states that /metrics reads when it is asked.
func (n *notifier) observe() {
	n.metrics.registry.MustRegister(
		newCollectionGauges(n.statuses),
		newCompleteness(func() []*delivery { return n.deliveries }),
		newGauge("outbox_events", "Events that wait to be published (pending), or are kept until the stream has surely synced them (held).",
			[]string{"state"}, func(report func(float64, ...string)) {
				pending, held, _ := n.store.Backlog("")
				report(float64(pending), "pending")
				report(float64(held), "held")
			}),
		newGauge("connector_pending_events", "Events of the stream a connector is not done with.", []string{"connector"}, n.reportPending),
		newGauge("connector_dead_letters", "Events a connector gave up and nobody replayed.", []string{"connector"}, n.reportDead),
		newGauge("connector_state", "1 for the state a connector is in, 0 for the others; no state while it starts.", []string{"connector", "state"}, n.reportStates),
		newGauge("nats_connected", "1 while NATS can be reached.", nil, func(report func(float64, ...string)) {
			b := n.connectedBus()
			report(oneIf(b != nil && b.Connected()))
		}),
	)
}

// A collectionGauge is one number of a collection's status; ok is false where
// there is none.
type collectionGauge struct {
	desc *prometheus.Desc
	read func(s poller.Status) (value float64, ok bool)
}

// collectionGauges show where each collection stands. One scrape reads the
// statuses once, so its numbers belong together.
type collectionGauges struct {
	statuses func() []poller.Status
	gauges   []collectionGauge
}

func newCollectionGauges(statuses func() []poller.Status) *collectionGauges {
	c := &collectionGauges{statuses: statuses}
	add := func(name, help string, read func(s poller.Status) (float64, bool)) {
		desc := prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, []string{"account", "collection"}, nil)
		c.gauges = append(c.gauges, collectionGauge{desc, read})
	}
	add("records", "Live records held.",
		func(s poller.Status) (float64, bool) { return float64(s.Held), true })
	add("last_success_age_seconds", "Time since the last good answer about a collection; absent before the first.",
		func(s poller.Status) (float64, bool) {
			return time.Since(s.LastSuccess).Seconds(), !s.LastSuccess.IsZero()
		})
	add("collection_rate", "Changes a second, as estimated from what was seen; absent for a collection the account does not have.",
		func(s poller.Status) (float64, bool) { return s.Rate, s.State != "off" })
	add("collection_age_seconds", "Time since the last complete poll; absent before the first and for a collection the account does not have.",
		func(s poller.Status) (float64, bool) { return s.Age.Seconds(), s.Age > 0 && s.State != "off" })
	add("collection_next_seconds", "Time until the next poll, about; absent before the pace is known.",
		func(s poller.Status) (float64, bool) { return s.Next.Seconds(), paced(s) })
	add("collection_predicted_delay_seconds", "Mean time from a change to its detection, by the present pace; absent before the pace is known.",
		func(s poller.Status) (float64, bool) { return s.Predicted.Seconds(), paced(s) })
	add("collection_measured_delay_seconds", "Mean time from a change to its detection, as it was; absent before one was measured.",
		func(s poller.Status) (float64, bool) { return s.Measured.Seconds(), s.Measured > 0 })
	add("sweep_progress", "How much of the sweep under way is done, 0 to 1.",
		func(s poller.Status) (float64, bool) { return s.Sweep, s.State != "off" })
	add("suspects", "Absent records under examination: they may have been deleted.",
		func(s poller.Status) (float64, bool) { return float64(s.Suspects), true })
	add("braked", "1 while deletions are held back, because what Trackops shows is not believed.",
		func(s poller.Status) (float64, bool) { return oneIf(s.Braked != ""), true })
	return c
}

// paced reports whether the collection was polled often enough to know its pace.
func paced(s poller.Status) bool { return s.Predicted > 0 && s.State != "off" }

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// Describe implements prometheus.Collector.
func (c *collectionGauges) Describe(out chan<- *prometheus.Desc) {
	for _, g := range c.gauges {
		out <- g.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collectionGauges) Collect(out chan<- prometheus.Metric) {
	for _, s := range c.statuses() {
		for _, g := range c.gauges {
			if value, ok := g.read(s); ok {
				out <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, value, s.Account, s.Collection)
			}
		}
	}
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

func (n *notifier) reportStates(report func(float64, ...string)) {
	for _, d := range n.deliveries {
		now := d.state()
		for _, s := range []connectors.State{connectors.Active, connectors.Failing, connectors.Open, connectors.Parked, connectors.Paused} {
			report(oneIf(s == now), d.cfg.Name, string(s))
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
