package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// completeness shows, for each connector, what became of the events that it
// observed since the program started, those included that an earlier process left
// over. What the sum lacks would be lost without anyone knowing.
type completeness struct {
	deliveries func() []*delivery
	observed   *prometheus.Desc
	events     *prometheus.Desc
	residual   *prometheus.Desc
}

func newCompleteness(deliveries func() []*delivery) *completeness {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &completeness{
		deliveries: deliveries,
		observed:   desc("connector_observed_events", "Events of the stream that are the connector's, since the program started, with those left over from before.", "connector"),
		events: desc("connector_events", "What became of the observed events: delivered, digested (told by a digest), muted (made void by a later one), "+
			"filtered, dead, expired, or pending.", "connector", "outcome"),
		residual: desc("connector_residual_events", "Observed events less all that became of them: always 0, unless one was lost.", "connector"),
	}
}

// Describe implements prometheus.Collector.
func (c *completeness) Describe(out chan<- *prometheus.Desc) {
	out <- c.observed
	out <- c.events
	out <- c.residual
}

// Collect implements prometheus.Collector.
func (c *completeness) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	for _, d := range c.deliveries() {
		b, ok := d.balance(ctx)
		if !ok {
			continue
		}
		gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
		}
		gauge(c.observed, b.observed, d.cfg.Name)
		gauge(c.residual, b.residual(), d.cfg.Name)
		for outcome, n := range b.outcomes {
			gauge(c.events, n, d.cfg.Name, outcome)
		}
	}
}

// A balance is what a connector observed and what became of it.
type balance struct {
	observed float64
	outcomes map[string]float64
}

func (b balance) residual() float64 {
	rest := b.observed
	for _, n := range b.outcomes {
		rest -= n
	}
	return rest
}

// balance is read in one piece; it is not ok before the connector runs, and while
// NATS cannot say how much waits.
func (d *delivery) balance(ctx context.Context) (balance, bool) {
	d.mu.Lock()
	feed, engine := d.feed, d.engine
	d.mu.Unlock()
	if engine == nil {
		return balance{}, false
	}
	ahead, _, err := feed.Pending(ctx)
	if err != nil {
		return balance{}, false
	}
	s := engine.Stats()
	return balance{
		observed: float64(s.Observed) + float64(ahead),
		outcomes: map[string]float64{
			string(connectors.Delivered): float64(s.Delivered),
			string(connectors.Digested):  float64(s.Digested),
			string(connectors.Muted):     float64(s.Muted),
			string(connectors.Filtered):  float64(s.Filtered),
			string(connectors.Dead):      float64(s.Dead),
			string(connectors.Expired):   float64(s.Expired),
			"pending":                    float64(s.Pending) + float64(ahead),
		},
	}, true
}
