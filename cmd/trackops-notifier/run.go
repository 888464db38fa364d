package main

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"
)

func runCommand() command {
	return command{
		name:    "run",
		summary: "watch the accounts and deliver what changes",
		detail: `Watches the accounts and delivers what changes, until SIGTERM or Ctrl-C. Then
it finishes the deliveries in flight (at most ten seconds) and closes. A second
signal ends it at once; nothing is lost by that.

The first run reads everything silently and remembers it in DATA_DIR. Events
begin with the first change after that. See trackops-notifier help env for the
variables.`,
		run: func(ctx context.Context, p program, _ any, _ []string) error {
			cfg, err := loadConfig(p.environ, kinds())
			if err != nil {
				return err
			}
			return p.notify(ctx, cfg, nil)
		},
	}
}

// notify runs the notifier until ctx ends. started, if not nil, is called once
// everything is open, with the address of the embedded NATS server, if any.
func (p program) notify(ctx context.Context, cfg config, started func(natsURL string)) error {
	log := newLogger(p.stderr, cfg)
	// The state first: where another process has it, its ports are not the news.
	n, err := openNotifier(cfg, log, p.output())
	if err != nil {
		return err
	}
	listener, err := listenHTTP(ctx, cfg.HTTPListen)
	if err != nil {
		return errors.Join(err, n.close())
	}
	n.bar = p.barOutput()
	control, err := listenControl(cfg.DataDir)
	if err != nil {
		log.Error("status, export, confirm and probe cannot reach this process", "error", err.Error())
	}
	url := ""
	if n.server != nil && cfg.NATS.Listen != "" {
		url = n.server.ClientURL()
	}
	log.Info("started", "version", programVersion(), "accounts", len(cfg.Accounts), "collections", len(cfg.Collections),
		"connectors", len(cfg.Connectors), "nats", url, "http", cfg.HTTPListen, "data_dir", cfg.DataDir)
	if started != nil {
		started(url)
	}
	group, ctx := errgroup.WithContext(ctx)
	if listener != nil {
		group.Go(func() error { return n.serveHTTP(ctx, listener) })
	}
	if control != nil {
		group.Go(func() error { n.serveControl(ctx, control); return nil })
	}
	group.Go(func() error { return n.run(ctx) })
	err = group.Wait()
	if closeErr := n.close(); err == nil {
		err = closeErr
	}
	log.Info("stopped")
	return err
}
