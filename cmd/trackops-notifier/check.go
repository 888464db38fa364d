package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

func checkCommand() command {
	return command{
		name:    "check",
		summary: "validate the environment and try each part, sending nothing",
		detail: `Validates the environment, then tries each part: the folder, Trackops (one
request per account), NATS, the ports, and the connectors as far as that goes
without sending. Beside a running notifier it asks Trackops through that one, at
its pace, and leaves its ports alone. Exits with 0 if all is well, with 1 if a
part fails, with 2 if the environment is wrong.`,
		run: func(ctx context.Context, p program, _ any, _ []string) error {
			cfg, err := loadConfig(p.environ, kinds())
			if err != nil {
				return err
			}
			return p.check(ctx, cfg)
		},
	}
}

// A checklist prints what was tried, and remembers whether something failed.
type checklist struct {
	program
	failed bool
}

func (l *checklist) line(what, found string, err error) {
	mark := "ok  "
	if err != nil {
		mark, found, l.failed = "FAIL", err.Error(), true
	}
	fmt.Fprintf(l.stdout, "%s  %s: %s\n", mark, what, found)
}

func (p program) check(ctx context.Context, cfg config) error {
	l := &checklist{program: p}
	l.line("environment", fmt.Sprintf("%d account(s), %d collections, %d connector(s)", len(cfg.Accounts), len(cfg.Collections), len(cfg.Connectors)), nil)
	running, err := checkState(cfg.DataDir)
	found := "writable"
	if running {
		found = "in use by a running notifier"
	}
	l.line("DATA_DIR "+cfg.DataDir, found, err)
	l.checkAccounts(ctx, cfg)
	asked := time.Now()
	l.checkNATS(ctx, cfg, running)
	if cfg.HTTPListen != "" && !running {
		l.line("HTTP_LISTEN "+cfg.HTTPListen, "free", checkFree(ctx, cfg.HTTPListen))
	}
	for _, c := range cfg.Connectors {
		found, err := checkConnector(ctx, c)
		l.line("connector "+c.Name, found, err)
	}
	if !running {
		// A notifier that starts next must not come too soon after our request.
		pauseUntil(ctx, asked.Add(time.Duration(float64(time.Second)/cfg.Rate)))
	}
	if l.failed {
		return errReported
	}
	return nil
}

func pauseUntil(ctx context.Context, at time.Time) {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// checkState reports whether a notifier runs on the folder, and what is wrong
// with it. It creates nothing that stays but the folder.
func checkState(dir string) (running bool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	probe, err := os.CreateTemp(dir, ".check-")
	if err != nil {
		return false, err
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return false, err
	}
	file := stateFile(dir)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	s, err := state.Open(file, state.Options{})
	if errors.Is(err, state.ErrLocked) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, s.Close()
}

// checkAccounts spends one request on each account, through the running notifier
// if there is one.
func (l *checklist) checkAccounts(ctx context.Context, cfg config) {
	for _, a := range cfg.Accounts {
		found, err := l.checkAccount(ctx, cfg, a)
		if trackops.IsDenied(err) {
			err = fmt.Errorf("%w: check the user name, its Full Access, and the token", err)
		}
		l.line("Trackops account "+a.Subdomain, found, err)
	}
}

// checkWait is how long an account's check may take beside a running notifier,
// which asks when its pace allows.
const checkWait = time.Minute

func (l *checklist) checkAccount(ctx context.Context, cfg config, a account) (found string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, checkWait, errors.New("no answer within a minute"))
	defer cancel()
	ask, beside, err := l.asker(ctx, cfg, a)
	if err != nil {
		return "", err
	}
	found = "answers, the credentials are accepted"
	if beside {
		found = "answers the running notifier, whose credentials are accepted"
	}
	_, err = ask(ctx, trackops.Request{Collection: cfg.Collections[0], Page: 1, PerPage: 1})
	return found, err
}

func (l *checklist) checkNATS(ctx context.Context, cfg config, running bool) {
	if cfg.NATS.URL == "" {
		if cfg.NATS.Listen != "" && !running {
			l.line("NATS_LISTEN "+cfg.NATS.Listen, "free", checkFree(ctx, cfg.NATS.Listen))
		}
		return
	}
	c := clientConfig(cfg.NATS, nil)
	c.FirstConnect = dialTimeout
	b, err := bus.Connect(ctx, c)
	if err == nil {
		defer b.Close()
	}
	l.line("NATS_URL", "answers", err)
}

// checkFree reports whether an address can be listened at.
func checkFree(ctx context.Context, address string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

// checkConnector tries as much of a connector as can be tried without a message.
func checkConnector(ctx context.Context, c connectorConfig) (string, error) {
	target, err := c.New(connectors.Env{Version: programVersion(), Stdout: nowhere{}})
	if err != nil {
		return "", err
	}
	checker, ok := target.(connectors.Checker)
	if !ok {
		return "settings are complete", nil
	}
	ctx, cancel := context.WithTimeout(ctx, min(c.Timeout, 15*time.Second))
	defer cancel()
	return "the other side answers", checker.Check(ctx)
}
