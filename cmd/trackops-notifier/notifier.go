package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/poller"
	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A notifier is the running program: pollers that fill the state, a relay that
// brings the outbox to the stream, and a delivery for each connector.
type notifier struct {
	cfg     config
	log     *slog.Logger
	out     output
	metrics *metrics
	bar     io.Writer // where a progress bar may be drawn; nil for none

	store   *state.Store
	server  *bus.Server // nil with an external NATS
	pollers []*poller.Poller

	mu         sync.Mutex
	bus        *bus.Bus // nil until NATS was reached
	natsError  string   // why it is not reached or not written to; "" if all is well
	deliveries []*delivery
	paces      map[string]*connectors.Pace // by what they belong to, while deliveries are made
}

// stateFile is where the state lives below DATA_DIR.
func stateFile(dataDir string) string { return filepath.Join(dataDir, "state.db") }

// natsDir and secretFile are the embedded server's.
func natsDir(dataDir string) string    { return filepath.Join(dataDir, "nats") }
func secretFile(dataDir string) string { return filepath.Join(dataDir, "nats.secret") }

// openNotifier opens what one process may hold: the state first, whose lock says
// that DATA_DIR is ours, then the embedded server, which has no lock of its own.
func openNotifier(cfg config, log *slog.Logger, out output) (n *notifier, err error) {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, misuse(fmt.Sprintf("DATA_DIR: %v; accepted: a folder that can be made and written to", err))
	}
	n = &notifier{cfg: cfg, log: log, out: out, metrics: newMetrics(), paces: map[string]*connectors.Pace{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	n.store, err = state.Open(stateFile(cfg.DataDir), state.Options{Hold: cfg.NATS.OutboxHold})
	if err != nil {
		return n, stateError(err)
	}
	if cfg.NATS.URL == "" {
		n.server, err = bus.Start(serverConfig(cfg, log))
		var listen *net.OpError
		if errors.As(err, &listen) {
			err = misuse(err.Error()) // the address is taken, or not ours
		}
		if err != nil {
			return n, err
		}
	}
	for _, a := range cfg.Accounts {
		p, err := n.newPoller(a)
		if err != nil {
			return n, err
		}
		n.pollers = append(n.pollers, p)
	}
	for _, c := range cfg.Connectors {
		d, err := newDelivery(c, n)
		if err != nil {
			return n, err
		}
		n.deliveries = append(n.deliveries, d)
	}
	n.observe()
	return n, nil
}

// stateError says which variable names a folder that this process may not use.
func stateError(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return misuse(fmt.Sprintf("DATA_DIR: %v; accepted: a folder that the user of this process can write to, with all that is in it", err))
	}
	return err
}

func serverConfig(cfg config, log *slog.Logger) bus.ServerConfig {
	names := make([]string, len(cfg.Connectors))
	for i, c := range cfg.Connectors {
		names[i] = c.Name
	}
	return bus.ServerConfig{
		Dir:        natsDir(cfg.DataDir),
		SecretFile: secretFile(cfg.DataDir),
		Listen:     cfg.NATS.Listen,
		User:       cfg.NATS.User,
		Password:   cfg.NATS.Password,
		Token:      cfg.NATS.Token,
		Connectors: names,
		MaxBytes:   cfg.Stream.MaxBytes,
		Logger:     log,
	}
}

func (n *notifier) newPoller(a account) (*poller.Poller, error) {
	client, err := trackops.New(trackops.Config{
		BaseURL:  a.URL,
		Username: a.Username,
		Token:    a.Token,
		Rate:     n.cfg.Rate,
		Version:  programVersion(),
		Proxy:    n.cfg.proxyOf,
	})
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", a.Subdomain, err)
	}
	return poller.New(poller.Config{
		Account:     a.Subdomain,
		Source:      client,
		Store:       n.store,
		Collections: n.cfg.Collections,
		Rate:        n.cfg.Rate,
		MaxAge:      n.cfg.Poll.MaxAge,
		SweepShare:  n.cfg.Poll.SweepShare,
		Logger:      n.log,
		Observe:     func(p poller.Poll) { n.metrics.polled(a.Subdomain, p) },
	})
}

// run works until ctx ends, or until something fails that nobody here can mend.
func (n *notifier) run(ctx context.Context) error {
	compared := make(chan struct{})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.runBus(ctx, compared) })
	group.Go(func() error { return n.poll(ctx, compared) })
	group.Go(func() error { n.progress(ctx); return nil })
	return group.Wait()
}

// patience is how long polling waits for NATS after a start.
const patience = 5 * time.Second

// poll lets the pollers work until ctx ends. They begin once the outbox was
// compared with the stream: only then is it known whether the state is an old
// backup, whose next ids the stream holds already with other content.
func (n *notifier) poll(ctx context.Context, compared <-chan struct{}) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for begun := false; !begun; {
		select {
		case <-compared:
			begun = true
		case <-limit.C:
			begun = n.takeFreshIDs()
			limit.Reset(patience)
		case <-ctx.Done():
			return nil
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range n.pollers {
		group.Go(func() error { return p.Run(ctx) })
	}
	return group.Wait()
}

// takeFreshIDs begins an epoch nobody knows, for the events of polling without
// NATS. Where events of an earlier process wait, it does not: the stream may have
// them, and a new id would bring them a second time. It reports whether polling
// may begin.
func (n *notifier) takeFreshIDs() bool {
	if pending, _, _ := n.store.Backlog(""); pending > 0 {
		return true
	}
	epoch, err := n.store.NewEpoch()
	if err != nil {
		n.log.Warn("begin an epoch", "error", err.Error())
		return false
	}
	n.log.Info("NATS is away: polling begins, and events wait in state.db", "epoch", epoch)
	return true
}

// runBus connects to NATS, however long that takes, and then relays and
// delivers. It closes compared once the state and the stream agree.
func (n *notifier) runBus(ctx context.Context, compared chan<- struct{}) error {
	b, err := n.connect(ctx)
	if err != nil || b == nil {
		return err
	}
	n.mu.Lock()
	n.bus = b
	n.mu.Unlock()
	// A connector seen for the first time starts at new events, so its consumer
	// has to exist before the relay publishes anything.
	var feeds []*bus.Feed
	defer func() {
		for _, feed := range feeds {
			feed.Close()
		}
	}()
	for _, d := range n.deliveries {
		feed, err := d.attach(ctx, b)
		if err != nil || feed == nil {
			return err // nil if ctx ended
		}
		feeds = append(feeds, feed)
	}
	err = n.untilDone(ctx, "compare the outbox with the stream", func() error { return n.compareOutbox(ctx, b) })
	if err != nil || ctx.Err() != nil {
		return err
	}
	close(compared)
	group, ctx := errgroup.WithContext(ctx)
	for i, d := range n.deliveries {
		group.Go(func() error { return d.run(ctx, feeds[i]) })
	}
	group.Go(func() error { return n.relay(ctx, b) })
	return group.Wait()
}

// connect returns a bus whose streams exist, or nil when ctx ends first.
func (n *notifier) connect(ctx context.Context) (*bus.Bus, error) {
	var connected *bus.Bus
	err := n.untilDone(ctx, "connect to NATS", func() error {
		if connected == nil {
			b, err := n.dial(ctx)
			if err != nil {
				return err
			}
			connected = b
		}
		return connected.Ensure(ctx, bus.StreamConfig{MaxAge: n.cfg.Stream.MaxAge, MaxBytes: n.cfg.Stream.MaxBytes})
	})
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		if connected != nil {
			connected.Close()
		}
		return nil, nil
	}
	return connected, nil
}

func (n *notifier) dial(ctx context.Context) (*bus.Bus, error) {
	if n.server != nil {
		return n.server.Connect(ctx)
	}
	return bus.Connect(ctx, clientConfig(n.cfg.NATS, n.log))
}

func clientConfig(c natsConfig, log *slog.Logger) bus.ClientConfig {
	return bus.ClientConfig{
		URL: c.URL, CredsFile: c.Creds, User: c.User, Password: c.Password, Token: c.Token, CAFile: c.CA, Logger: log,
	}
}

// untilDone repeats what until it succeeds, ctx ends, or it fails for good, which
// alone is an error. What went wrong shows in /readyz meanwhile.
func (n *notifier) untilDone(ctx context.Context, what string, do func() error) error {
	for try := 1; ctx.Err() == nil; try++ {
		err := do()
		if err == nil {
			n.setNATSError("")
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		if isFatal(err) {
			return fmt.Errorf("%s: %w", what, err)
		}
		n.setNATSError(fmt.Sprintf("%s: %v", what, err))
		n.log.Warn(what, "try", try, "error", err.Error())
		if !pause(ctx, try) {
			return nil
		}
	}
	return nil
}

func (n *notifier) setNATSError(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.natsError = text
}

// close releases everything, in the order in which it depends on each other.
func (n *notifier) close() error {
	if b := n.connectedBus(); b != nil {
		b.Close()
	}
	if n.server != nil {
		n.server.Close()
	}
	if n.store != nil {
		return n.store.Close()
	}
	return nil
}

func (n *notifier) connectedBus() *bus.Bus {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.bus
}

// longestPause is how long a step that keeps failing waits before the next try.
const longestPause = 15 * time.Second
