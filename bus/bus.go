package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

const (
	apiTimeout = 5 * time.Second // of one request to the server

	// A server below 2.10 knows no consumer with several filters, and ignores
	// what it does not know without a word.
	minMajor, minMinor = 2, 10
)

// ErrDisconnected says that the server cannot be reached at the moment. The
// connection is tried again for ever.
var ErrDisconnected = errors.New("NATS is not connected")

// ErrOldServer says that the server is older than 2.10.
var ErrOldServer = errors.New("NATS server is too old")

// ClientConfig describes a connection to a server or cluster. Fields left empty
// are not used.
type ClientConfig struct {
	URL string // one address, or several with commas

	CredsFile      string
	User, Password string
	Token          string
	CAFile         string // of the certificate authority that signed the server's

	// SecretFile is the credential of an embedded server of ours
	// ([ServerConfig]), for full rights from another process.
	SecretFile string

	// FirstConnect is how long the first connection may take. 0: Connect returns
	// at once and goes on trying for ever.
	FirstConnect time.Duration

	Logger *slog.Logger // nil discards
}

// A Bus is a connection to the streams. Its methods may be called concurrently.
// Every request has a deadline of a few seconds, or ctx's if that is earlier:
// after the server is gone nothing blocks.
type Bus struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	log *slog.Logger

	mu        sync.Mutex
	streams   map[string]jetstream.Stream
	writers   map[string]*writer
	listeners map[*func()]struct{}
}

// Connect connects to a server that is not ours to run. Once connected it
// reconnects for ever.
func Connect(ctx context.Context, cfg ClientConfig) (*Bus, error) {
	var opts []nats.Option
	if cfg.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(cfg.CredsFile))
	}
	if cfg.User != "" {
		opts = append(opts, nats.UserInfo(cfg.User, cfg.Password))
	}
	if cfg.Token != "" {
		opts = append(opts, nats.Token(cfg.Token))
	}
	if cfg.CAFile != "" {
		opts = append(opts, nats.RootCAs(cfg.CAFile))
	}
	if cfg.SecretFile != "" {
		secret, err := readSecret(cfg.SecretFile)
		if err != nil {
			return nil, err
		}
		opts = append(opts, nats.UserInfo(internalUser, secret), nats.CustomInboxPrefix(internalInbox))
	}
	return connect(ctx, cfg.URL, cfg, opts)
}

func connect(ctx context.Context, url string, cfg ClientConfig, opts []nats.Option) (*Bus, error) {
	b := &Bus{
		log:       cfg.Logger,
		streams:   map[string]jetstream.Stream{},
		writers:   map[string]*writer{},
		listeners: map[*func()]struct{}{},
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	connected := make(chan struct{}, 1)
	opts = append(opts, b.options()...)
	opts = append(opts, nats.ConnectHandler(func(*nats.Conn) { connected <- struct{}{} }))
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", fault.WithoutURL(err))
	}
	b.nc = nc
	if b.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(apiTimeout)); err != nil {
		nc.Close()
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if cfg.FirstConnect == 0 {
		return b, nil
	}
	if err := b.await(ctx, connected, cfg.FirstConnect); err != nil {
		nc.Close()
		return nil, err
	}
	return b, nil
}

func (b *Bus) await(ctx context.Context, connected <-chan struct{}, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-connected:
		return b.checkVersion()
	case <-ctx.Done():
		return fmt.Errorf("connect to NATS: %w", ctx.Err())
	case <-timer.C:
		if err := b.nc.LastError(); err != nil {
			return fmt.Errorf("connect to NATS: %w", fault.WithoutURL(err))
		}
		return fmt.Errorf("connect to NATS: no answer within %s", limit)
	}
}

func (b *Bus) options() []nats.Option {
	return []nats.Option{
		nats.Name("trackops-notifier"),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(), // a refusal may be mended on the server's side
		nats.ReconnectWait(500 * time.Millisecond),
		nats.ReconnectBufSize(-1), // fail at once: the outbox is our buffer
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.log.Warn("nats", "error", err)
			if errors.Is(err, nats.ErrSlowConsumer) {
				b.announceReconnect() // messages were lost
			}
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil: we closed it
				b.log.Warn("nats disconnected", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			b.log.Info("nats reconnected", "server", nc.ConnectedUrlRedacted())
			b.announceReconnect()
		}),
	}
}

// Connected reports whether the server can be reached at the moment.
func (b *Bus) Connected() bool { return b.nc.IsConnected() }

// away is [ErrDisconnected] with the reason, if one is known.
func (b *Bus) away() error {
	if err := b.nc.LastError(); err != nil {
		return fmt.Errorf("%w: %w", ErrDisconnected, fault.WithoutURL(err))
	}
	return ErrDisconnected
}

// Close sends what is buffered and ends the connection. It may be called again.
func (b *Bus) Close() {
	if b.nc.IsConnected() {
		if err := b.nc.FlushTimeout(apiTimeout); err != nil {
			b.log.Warn("nats close", "error", err)
		}
	}
	b.nc.Close()
}

// checkVersion returns nil for a server that is recent enough.
func (b *Bus) checkVersion() error {
	version := b.nc.ConnectedServerVersion()
	if version == "" {
		return ErrDisconnected
	}
	parts := strings.SplitN(version, ".", 3)
	if len(parts) == 3 {
		major, err1 := strconv.Atoi(parts[0])
		minor, err2 := strconv.Atoi(parts[1])
		if err1 == nil && err2 == nil && (major > minMajor || major == minMajor && minor >= minMinor) {
			return nil
		}
	}
	return fmt.Errorf("%w: it is version %s, and %d.%d is needed", ErrOldServer, version, minMajor, minMinor)
}

// onReconnect has f called after every reconnection until stop is called. f must
// not block.
func (b *Bus) onReconnect(f func()) (stop func()) {
	key := &f
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listeners[key] = struct{}{}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.listeners, key)
	}
}

func (b *Bus) announceReconnect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for f := range b.listeners {
		(*f)()
	}
}

// deadline bounds one request.
func deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, apiTimeout)
}

// stream returns a handle of the named stream, which must exist.
func (b *Bus) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	b.mu.Lock()
	s := b.streams[name]
	b.mu.Unlock()
	if s != nil {
		return s, nil
	}
	ctx, cancel := deadline(ctx)
	defer cancel()
	s, err := b.js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", name, plain(err))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams[name] = s
	return s, nil
}

// plain turns the ways in which the client says "not now" into one.
func plain(err error) error {
	switch {
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed),
		errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrConnectionReconnecting):
		return fmt.Errorf("%w (%w)", ErrDisconnected, err)
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("no stream takes it, or JetStream is not ready (%w)", err)
	}
	return err
}
