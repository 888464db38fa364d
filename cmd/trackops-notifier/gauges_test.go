package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/poller"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// openTestNotifier opens a notifier that does nothing yet.
func openTestNotifier(t *testing.T, c config) *notifier {
	t.Helper()
	n, err := openNotifier(c, slog.New(slog.DiscardHandler), output{Writer: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return n
}

// watched is a collection of which everything is known.
func watched() poller.Status {
	return poller.Status{
		Account: "globex", Collection: "cases", State: "live", Held: 230, LastSuccess: time.Now().Add(-time.Minute),
		Rate: 0.25, Age: 90 * time.Second, Next: 1500 * time.Millisecond, Predicted: 4 * time.Second, Measured: 5 * time.Second,
		Sweep: 0.75, Suspects: 2, Braked: "half of the records are missing",
	}
}

func statuses(all ...poller.Status) func() []poller.Status {
	return func() []poller.Status { return all }
}

// scrape returns what /metrics would show of c.
func scrape(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestCollectionGauges(t *testing.T) {
	t.Parallel()
	full := watched()
	full.LastSuccess = time.Time{} // its age moves
	g := newCollectionGauges(statuses(
		full,
		poller.Status{Account: "globex", Collection: "clients", State: "baseline", Rate: 0.001},
		poller.Status{Account: "globex", Collection: "invoices", State: "off", Rate: 0.001, Age: time.Hour, Predicted: time.Hour, Sweep: 0.1},
	))
	const want = `# HELP trackops_notifier_braked 1 while deletions are held back, because what Trackops shows is not believed.
# TYPE trackops_notifier_braked gauge
trackops_notifier_braked{account="globex",collection="cases"} 1
trackops_notifier_braked{account="globex",collection="clients"} 0
trackops_notifier_braked{account="globex",collection="invoices"} 0
# HELP trackops_notifier_collection_age_seconds Time since the last complete poll; absent before the first and for a collection the account does not have.
# TYPE trackops_notifier_collection_age_seconds gauge
trackops_notifier_collection_age_seconds{account="globex",collection="cases"} 90
# HELP trackops_notifier_collection_measured_delay_seconds Mean time from a change to its detection, as it was; absent before one was measured.
# TYPE trackops_notifier_collection_measured_delay_seconds gauge
trackops_notifier_collection_measured_delay_seconds{account="globex",collection="cases"} 5
# HELP trackops_notifier_collection_next_seconds Time until the next poll, about; absent before the pace is known.
# TYPE trackops_notifier_collection_next_seconds gauge
trackops_notifier_collection_next_seconds{account="globex",collection="cases"} 1.5
# HELP trackops_notifier_collection_predicted_delay_seconds Mean time from a change to its detection, by the present pace; absent before the pace is known.
# TYPE trackops_notifier_collection_predicted_delay_seconds gauge
trackops_notifier_collection_predicted_delay_seconds{account="globex",collection="cases"} 4
# HELP trackops_notifier_collection_rate Changes a second, as estimated from what was seen; absent for a collection the account does not have.
# TYPE trackops_notifier_collection_rate gauge
trackops_notifier_collection_rate{account="globex",collection="cases"} 0.25
trackops_notifier_collection_rate{account="globex",collection="clients"} 0.001
# HELP trackops_notifier_records Live records held.
# TYPE trackops_notifier_records gauge
trackops_notifier_records{account="globex",collection="cases"} 230
trackops_notifier_records{account="globex",collection="clients"} 0
trackops_notifier_records{account="globex",collection="invoices"} 0
# HELP trackops_notifier_suspects Absent records under examination: they may have been deleted.
# TYPE trackops_notifier_suspects gauge
trackops_notifier_suspects{account="globex",collection="cases"} 2
trackops_notifier_suspects{account="globex",collection="clients"} 0
trackops_notifier_suspects{account="globex",collection="invoices"} 0
# HELP trackops_notifier_sweep_progress How much of the sweep under way is done, 0 to 1.
# TYPE trackops_notifier_sweep_progress gauge
trackops_notifier_sweep_progress{account="globex",collection="cases"} 0.75
trackops_notifier_sweep_progress{account="globex",collection="clients"} 0
`
	if diff := cmp.Diff(want, scrape(t, g)); diff != "" {
		t.Errorf("scrape differs (-want +got):\n%s", diff)
	}
}

func TestAgeOfTheLastSuccess(t *testing.T) {
	t.Parallel()
	g := newCollectionGauges(statuses(watched(), poller.Status{Collection: "clients", State: "baseline"}))
	if n := strings.Count(scrape(t, g), "\ntrackops_notifier_last_success_age_seconds{"); n != 1 {
		t.Errorf("%d collections have an age, want 1: the other never succeeded", n)
	}
}

// A scrape asks the pollers once: its numbers are of one moment.
func TestOneScrapeReadsTheStatusesOnce(t *testing.T) {
	t.Parallel()
	reads := 0
	scrape(t, newCollectionGauges(func() []poller.Status { reads++; return []poller.Status{watched()} }))
	if reads != 1 {
		t.Errorf("statuses were read %d times", reads)
	}
}

// everyMetric returns a gatherer of a running notifier in which each metric has
// at least one value, and the registry of that notifier.
func everyMetric(t *testing.T) (prometheus.Gatherer, *prometheus.Registry) {
	t.Helper()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 1}})
	r.env["CONNECTOR_SCREEN_TYPE"], r.env["NATS_LISTEN"], r.env["HTTP_LISTEN"] = "console", "off", "off"
	cfg, err := loadConfig(r.environ(), kinds())
	if err != nil {
		t.Fatal(err)
	}
	n := openTestNotifier(t, cfg)
	m := n.metrics
	m.polled("globex", poller.Poll{Collection: "cases", Kind: "head", Outcome: "ok", Events: map[events.Action]int{events.Created: 1}})
	m.attempted("screen", string(connectors.Delivered), time.Second)
	m.settled.WithLabelValues("screen", string(connectors.Delivered)).Inc()

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(10 * time.Second); n.deliveries[0].ready(ctx).State == "starting"; {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("the connector does not start")
		}
	}
	// The other account has what a first second does not bring.
	known := prometheus.NewPedanticRegistry()
	known.MustRegister(newCollectionGauges(statuses(watched())))
	return prometheus.Gatherers{m.registry, known}, m.registry
}

// checkNames lets promlint judge our metrics; those of Go are not ours to name.
func checkNames(t *testing.T, all prometheus.Gatherer) {
	t.Helper()
	families, err := all.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, namespace) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}
