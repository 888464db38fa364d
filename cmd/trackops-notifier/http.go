package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/poller"
)

// listenHTTP opens HTTP_LISTEN, so that a port in use is known before the work
// begins. It returns nil when it is off.
func listenHTTP(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, misuse(fmt.Sprintf("HTTP_LISTEN: %v; choose another address, or off", err))
	}
	return l, nil
}

// serveHTTP answers /healthz, /readyz and /metrics until ctx ends.
func (n *notifier) serveHTTP(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		report := n.readiness(r.Context())
		status := http.StatusOK
		if !report.Ready {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, report)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.metrics.registry, promhttp.HandlerOpts{}))
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
	}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := server.Shutdown(grace); err != nil {
			n.log.Warn("stop HTTP", "error", err.Error())
		}
	})
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("HTTP_LISTEN: %w", err)
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	// An error here means that the client went away.
	_ = enc.Encode(v)
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready       bool              `json:"ready"`
	NATS        natsReadiness     `json:"nats"`
	Collections []collectionReady `json:"collections"`
	Connectors  []connectorReady  `json:"connectors"`
}

type natsReadiness struct {
	Connected bool       `json:"connected"`
	Error     string     `json:"error,omitempty"`
	Outbox    int        `json:"outbox"` // events that wait to be published
	Oldest    *time.Time `json:"oldest,omitempty"`
}

type collectionReady struct {
	Account     string     `json:"account"`
	Name        string     `json:"name"`
	State       string     `json:"state"`
	Records     int        `json:"records"`
	LastSuccess *time.Time `json:"last_success"`
	LastError   string     `json:"last_error,omitempty"`
	Overdue     bool       `json:"overdue,omitempty"`
}

type connectorReady struct {
	Name      string     `json:"name"`
	Kind      string     `json:"kind"`
	State     string     `json:"state"`                // starting, idle, delivering, failing, open, parked, paused
	Since     *time.Time `json:"since,omitempty"`      // of failing, open or parked
	Reason    string     `json:"reason,omitempty"`     // the same
	NextProbe *time.Time `json:"next_probe,omitempty"` // of an open one
	Pending   uint64     `json:"pending"`
	Dead      int        `json:"dead"`
	LastError string     `json:"last_error,omitempty"`
}

// explain adds why the connector is in a state that is not well.
func (c *connectorReady) explain(s connectors.Stats) {
	if s.State == connectors.Active || s.State != s.Health.State {
		return // well, or paused: what it was before does not matter then
	}
	c.Since, c.Reason, c.NextProbe = known(s.Health.Since), s.Health.Reason, known(s.Health.Probe)
}

// readiness says whether everything is well: NATS takes events, every collection
// has its baseline and none is overdue.
func (n *notifier) readiness(ctx context.Context) readiness {
	r := readiness{NATS: n.natsReadiness(), Collections: []collectionReady{}, Connectors: []connectorReady{}}
	r.Ready = r.NATS.Connected && r.NATS.Error == ""
	for _, s := range n.statuses() {
		r.Ready = r.Ready && s.Ready()
		r.Collections = append(r.Collections, collectionLine(s))
	}
	dead := n.dead(ctx)
	for _, d := range n.deliveries {
		line := d.ready(ctx)
		line.Dead = dead[d.cfg.Name]
		r.Connectors = append(r.Connectors, line)
	}
	return r
}

func collectionLine(s poller.Status) collectionReady {
	line := collectionReady{
		Account: s.Account, Name: s.Collection, State: s.State, Records: s.Held,
		LastError: s.LastError, Overdue: s.Overdue,
	}
	if !s.LastSuccess.IsZero() {
		at := s.LastSuccess.UTC()
		line.LastSuccess = &at
	}
	return line
}

func (n *notifier) natsReadiness() natsReadiness {
	pending, _, oldest := n.store.Backlog("")
	n.mu.Lock()
	r := natsReadiness{Connected: n.bus != nil && n.bus.Connected(), Error: n.natsError, Outbox: pending}
	n.mu.Unlock()
	if !oldest.IsZero() {
		r.Oldest = &oldest
	}
	return r
}
