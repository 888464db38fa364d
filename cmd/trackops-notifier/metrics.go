package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/trackops-notifier/trackops-notifier/poller"
)

const namespace = "trackops_notifier"

// metrics are what /metrics shows. What is counted is counted as it happens;
// what is a state is read when somebody asks, so a loop that hangs shows.
type metrics struct {
	registry   *prometheus.Registry
	requests   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	events     *prometheus.CounterVec
	deliveries *prometheus.CounterVec
	delivery   *prometheus.HistogramVec
	settled    *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "requests_total",
			Help: "Requests to Trackops by outcome: ok, refused (a question the API does not take), throttled (429), denied (401, 403, 404), error.",
		}, []string{"account", "collection", "kind", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "request_duration_seconds",
			Help:    "Time from a request to Trackops to the end of its answer.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"account"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "events_total",
			Help: "Changes found.",
		}, []string{"account", "collection", "action"}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "delivery_attempts_total",
			Help: "Attempts to deliver by outcome: delivered, failed.",
		}, []string{"connector", "outcome"}),
		delivery: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "delivery_duration_seconds",
			Help:    "Duration of an attempt to deliver.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"connector", "outcome"}),
		settled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "settled_total",
			Help: "Events a connector is done with, by outcome: delivered, digested, muted, filtered, dead, expired.",
		}, []string{"connector", "outcome"}),
	}
	m.registry.MustRegister(m.requests, m.duration, m.events, m.deliveries, m.delivery, m.settled,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// polled counts one request of an account.
func (m *metrics) polled(account string, p poller.Poll) {
	m.requests.WithLabelValues(account, p.Collection, p.Kind, p.Outcome).Inc()
	m.duration.WithLabelValues(account).Observe(p.Duration.Seconds())
	for action, n := range p.Events {
		m.events.WithLabelValues(account, p.Collection, string(action)).Add(float64(n))
	}
}

// attempted counts one attempt of a connector.
func (m *metrics) attempted(connector, outcome string, took time.Duration) {
	m.deliveries.WithLabelValues(connector, outcome).Inc()
	m.delivery.WithLabelValues(connector, outcome).Observe(took.Seconds())
}

// A gauge is a state that is read when somebody asks.
type gauge struct {
	desc *prometheus.Desc
	read func(report func(value float64, labels ...string))
}

func newGauge(name, help string, labels []string, read func(report func(value float64, labels ...string))) gauge {
	return gauge{prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil), read}
}

// Describe implements prometheus.Collector.
func (g gauge) Describe(out chan<- *prometheus.Desc) { out <- g.desc }

// Collect implements prometheus.Collector.
func (g gauge) Collect(out chan<- prometheus.Metric) {
	g.read(func(value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, value, labels...)
	})
}
