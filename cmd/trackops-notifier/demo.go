package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

type demoFlags struct{ length time.Duration }

func demoCommand() command {
	return command{
		name:    "demo",
		args:    "[--for 30s]",
		summary: "see it work: a simulated account, no set-up",
		detail: `Starts a simulated Trackops account that lives by itself, watches it at one
request a second and prints the changes as a team would read them. It needs no
account and no server, keeps everything in a temporary folder that it removes,
and listens on free ports of this machine only.`,
		flags: func(set *flag.FlagSet) any {
			f := &demoFlags{}
			set.Func("for", "end after this `time`, as 30s; without it Ctrl-C ends the demo", func(value string) error {
				d, err := time.ParseDuration(value)
				if err != nil || d <= 0 {
					return errors.New("give a time above 0, as 30s")
				}
				f.length = d
				return nil
			})
			return f
		},
		run: func(ctx context.Context, p program, flags any, _ []string) error {
			f := flags.(*demoFlags)
			if f.length > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, f.length)
				defer cancel()
			}
			return p.demo(ctx)
		},
	}
}

// The demonstration's account: small enough that each collection is read at
// once, and lively enough that something happens every second or two.
const (
	demoAccount     = "demo"
	demoCollections = "clients,cases,case_updates,invoices"
	demoToken       = "demo-token"
	demoUser        = "notifier"
	demoRecords     = 60
	demoLife        = 2 // changes a second
)

// demoWeights let it happen where the demonstration looks, and most of it in the
// collection that is read first: something is on the screen within ten seconds.
func demoWeights() map[string]float64 {
	return map[string]float64{"clients": 4, "cases": 2, "case_updates": 2, "invoices": 1}
}

func (p program) demo(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "trackops-demo-")
	if err != nil {
		return fmt.Errorf("demo: a temporary folder: %w; TMPDIR names another place", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	source := trackopstest.New(trackopstest.Options{
		Seed:     uint64(time.Now().UnixNano()),
		Records:  demoRecords,
		Username: demoUser,
		Token:    demoToken,
		Rate:     1,
		Keep:     1000,
		Weights:  demoWeights(),
	})
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	cfg, err := loadConfig(demoEnvironment(listener.Addr().String(), dir), kinds())
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	server := &http.Server{Handler: source.Handler(), ReadHeaderTimeout: 5 * time.Second}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("demo: simulated account: %w", err)
		}
		return nil
	})
	group.Go(func() error { source.Live(ctx, demoLife); return nil })
	group.Go(func() error {
		defer server.Close()
		return p.notify(ctx, cfg, p.introduce)
	})
	return group.Wait()
}

func demoEnvironment(source, dir string) []string {
	return []string{
		"TRACKOPS_API_SUBDOMAIN=" + demoAccount,
		"TRACKOPS_API_USERNAME=" + demoUser,
		"TRACKOPS_API_TOKEN=" + demoToken,
		"TRACKOPS_API_URL=http://" + source + "/api/v1",
		"TRACKOPS_API_RATE=1",
		"POLL_COLLECTIONS=" + demoCollections,
		"DATA_DIR=" + dir,
		"NATS_LISTEN=127.0.0.1:0",
		"HTTP_LISTEN=off",
		"LOG_LEVEL=warn",
		"CONNECTOR_TERMINAL_TYPE=console",
	}
}

// introduce says what the reader is going to see.
func (p program) introduce(natsURL string) {
	fmt.Fprintf(p.stdout, `A simulated Trackops account lives on this machine: %d records in each of the
collections %s.
It is read once, silently; each collection reports its changes from then on.

As a NATS client you can listen too, in another terminal:

  nats sub --server %s 'trackops.>'

Ctrl-C ends the demo. Changes:

`, demoRecords, demoCollections, natsURL)
}
