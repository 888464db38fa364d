package main

import (
	"context"
	"encoding/json"
	"flag"
	"slices"
	"time"

	"github.com/trackops-notifier/trackops-notifier/poller"
)

type statusFlags struct{ json bool }

func statusCommand() command {
	return command{
		name:    "status",
		args:    "[--json]",
		summary: "show what the running notifier does and knows",
		detail: `Asks the running notifier (through DATA_DIR) for its collections, the outbox,
NATS and the connectors.

  RECORDS    live records held
  AGE        since the last poll, and NEXT until the next one, about
  /HOUR      changes an hour, as estimated from what was seen
  PREDICTED  mean time from a change to its detection, by the present pace
  MEASURED   the same as it was; - if nothing was measured yet
  SWEEP      how far the reading of everything in the background is
  VERIFIED   every record was verified since then (UTC); - while not all were
  SUSPECTS   records that are missing and may have been deleted

--json has the same with full precision, times in seconds.`,
		flags: func(set *flag.FlagSet) any {
			f := &statusFlags{}
			set.BoolVar(&f.json, "json", false, "print JSON instead of a table")
			return f
		},
		run: func(ctx context.Context, p program, flags any, _ []string) error {
			c, err := p.control()
			if err != nil {
				return err
			}
			var s statusReport
			if err := c.read(ctx, "/status", &s); err != nil {
				return err
			}
			if flags.(*statusFlags).json {
				enc := json.NewEncoder(p.stdout)
				enc.SetIndent("", "  ")
				enc.SetEscapeHTML(false)
				return enc.Encode(s)
			}
			return s.write(p.stdout, time.Now())
		},
	}
}

// A statusReport is what the running notifier says about itself.
type statusReport struct {
	Version     string             `json:"version"`
	Ready       bool               `json:"ready"` // as /readyz
	Accounts    []accountStatus    `json:"accounts"`
	Collections []collectionStatus `json:"collections"`
	Outbox      outboxStatus       `json:"outbox"`
	NATS        natsStatus         `json:"nats"`
	Connectors  []connectorReady   `json:"connectors"`
}

type accountStatus struct {
	Name              string  `json:"name"`
	RequestsPerSecond float64 `json:"requests_per_second"`
	OneMoreCosts      float64 `json:"one_more_collection_costs_seconds"` // of mean detection delay
}

type collectionStatus struct {
	collectionReady
	Expected     int        `json:"expected,omitempty"` // counted when the first reading began
	Age          *float64   `json:"age_seconds"`        // null before the first poll
	MaxAge       float64    `json:"max_age_seconds"`
	Next         float64    `json:"next_poll_seconds"`
	PerHour      float64    `json:"changes_per_hour"`
	Predicted    float64    `json:"predicted_delay_seconds"`
	Measured     *float64   `json:"measured_delay_seconds"` // null if nothing was measured
	Sweep        float64    `json:"sweep"`                  // 0 to 1
	Verified     *time.Time `json:"verified_since"`         // null while not every record was
	Suspects     int        `json:"suspects"`
	Braked       string     `json:"deletions_held_back,omitempty"`
	Refused      []string   `json:"questions_refused,omitempty"`
	IgnoreFields []string   `json:"propose_ignore,omitempty"`
}

type outboxStatus struct {
	Pending int        `json:"pending"` // events that wait to be published
	Held    int        `json:"held"`    // published ones, kept until the stream has surely synced them
	Oldest  *time.Time `json:"oldest"`
}

type natsStatus struct {
	Connected bool   `json:"connected"`
	Embedded  bool   `json:"embedded"`
	Error     string `json:"error,omitempty"`
}

func (s statusReport) watches(account string) bool {
	return slices.ContainsFunc(s.Accounts, func(a accountStatus) bool { return a.Name == account })
}

// status is what this process knows, in one report.
func (n *notifier) status(ctx context.Context) statusReport {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	r := n.readiness(ctx)
	s := statusReport{
		Version:     programVersion(),
		Ready:       r.Ready,
		Collections: []collectionStatus{},
		NATS:        natsStatus{Connected: r.NATS.Connected, Embedded: n.server != nil, Error: r.NATS.Error},
		Connectors:  r.Connectors,
	}
	for _, p := range n.pollers {
		s.Accounts = append(s.Accounts, accountStatus{p.Account, n.cfg.Rate, p.Cost().Seconds()})
	}
	for _, c := range n.statuses() {
		s.Collections = append(s.Collections, newCollectionStatus(c))
	}
	pending, held, oldest := n.store.Backlog("")
	s.Outbox = outboxStatus{Pending: pending, Held: held, Oldest: known(oldest)}
	return s
}

func newCollectionStatus(c poller.Status) collectionStatus {
	s := collectionStatus{
		collectionReady: collectionLine(c),
		Expected:        c.Expected,
		MaxAge:          c.MaxAge.Seconds(),
		Next:            c.Next.Seconds(),
		PerHour:         c.Rate * 3600,
		Predicted:       c.Predicted.Seconds(),
		Sweep:           c.Sweep,
		Verified:        known(c.Coverage),
		Suspects:        c.Suspects,
		Braked:          c.Braked,
		Refused:         c.Refused,
		IgnoreFields:    c.Volatile,
	}
	if age := c.Age.Seconds(); !c.LastSuccess.IsZero() || age > 0 {
		s.Age = &age
	}
	if measured := c.Measured.Seconds(); measured > 0 {
		s.Measured = &measured
	}
	return s
}

// known returns a time in UTC, or nil for the zero time.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
