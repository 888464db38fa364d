package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

func pauseCommand() command {
	return command{
		name:    "pause",
		args:    "<connector>",
		summary: "let a connector's events wait until resume",
		detail: `The running notifier begins no delivery to the connector any more, also after a
restart; attempts that are under way are finished. Events are kept until an event
is older than STREAM_MAX_AGE. trackops-notifier resume ends it.`,
		nargs: [2]int{1, 1},
		run: func(ctx context.Context, p program, _ any, args []string) error {
			done, err := p.order(ctx, "pause", args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(p.stderr, "%s is paused: %s, and so will new ones. Nothing is lost until an event is older than STREAM_MAX_AGE (%s). To go on: trackops-notifier resume %s\n",
				done.Connector, waiting(done.Pending), shortDuration(time.Duration(done.MaxAge*float64(time.Second))), done.Connector)
			return nil
		},
	}
}

func resumeCommand() command {
	return command{
		name:    "resume",
		args:    "<connector>",
		summary: "deliver to a connector again, after pause or when it is parked",
		detail: `The running notifier delivers again what waits for the connector, the oldest of
each record first. This ends a pause, and lets a connector try again that is
parked because its endpoint said that it is gone for good (410), or that is only
probed now and then because it fails.`,
		nargs: [2]int{1, 1},
		run: func(ctx context.Context, p program, _ any, args []string) error {
			done, err := p.order(ctx, "resume", args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.stderr, "%s delivers again: %s, to be tried now\n", done.Connector, waiting(done.Pending))
			return err
		},
	}
}

func waiting(events uint64) string {
	if events == 1 {
		return "1 event waits"
	}
	return fmt.Sprintf("%d events wait", events)
}

// An orderDone is the answer to an order to a connector.
type orderDone struct {
	Connector string  `json:"connector"`
	Pending   uint64  `json:"pending"` // events that wait
	MaxAge    float64 `json:"stream_max_age_seconds"`
}

// order tells the running notifier to pause or resume a connector.
func (p program) order(ctx context.Context, verb, name string) (done orderDone, err error) {
	c, err := p.control()
	if err != nil {
		return orderDone{}, err
	}
	if path.Clean("/"+name) != "/"+name || name == "" {
		return orderDone{}, misuse(fmt.Sprintf("%q is not the name of a connector", name))
	}
	err = c.post(ctx, "/connectors/"+url.PathEscape(name)+"/"+verb, struct{}{}, &done)
	return done, err
}

// orderLimit is how long an order may take to be on record.
const orderLimit = 10 * time.Second

// serveOrder lets a connector's engine do what an operator says.
func (n *notifier) serveOrder(what string, do func(*connectors.Engine, context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d, err := n.deliveryTo(r.PathValue("name"))
		if err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), orderLimit)
		defer cancel()
		pending := d.ready(ctx).Pending // after a resume they are on their way
		if err := d.order(ctx, do); err != nil {
			refuse(w, http.StatusConflict, fmt.Sprintf("connector %s: %v", d.cfg.Name, err))
			return
		}
		n.log.Info("an operator "+what+" a connector", "connector", d.cfg.Name)
		writeJSON(w, http.StatusOK, orderDone{d.cfg.Name, pending, n.cfg.Stream.MaxAge.Seconds()})
	}
}

func (d *delivery) order(ctx context.Context, do func(*connectors.Engine, context.Context) error) error {
	d.mu.Lock()
	engine := d.engine
	d.mu.Unlock()
	if engine == nil {
		return errors.New("it does not deliver yet, since NATS was not reached; trackops-notifier status says why")
	}
	return do(engine, ctx)
}

// deliveryTo finds the delivery of a connector.
func (n *notifier) deliveryTo(name string) (*delivery, error) {
	names := make([]string, len(n.deliveries))
	for i, d := range n.deliveries {
		if d.cfg.Name == name {
			return d, nil
		}
		names[i] = d.cfg.Name
	}
	return nil, noConnector(name, names)
}

// noConnector is the error about a name that no connector has.
func noConnector(name string, names []string) error {
	if len(names) == 0 {
		return misuse("no connector is configured; CONNECTOR_<NAME>_TYPE declares one, see trackops-notifier help env")
	}
	return misuse(fmt.Sprintf("there is no connector %q, did you mean %s? There are: %s", name, nearest(name, names), strings.Join(names, ", ")))
}

// state is the connector's, "" while it starts.
func (d *delivery) state() connectors.State {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.engine == nil {
		return ""
	}
	return d.engine.Stats().State
}
