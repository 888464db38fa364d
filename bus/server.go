// Package bus carries events over NATS JetStream: it publishes each one exactly
// once and in order, hands them to connectors with a durable record of what was
// settled, and embeds the server where no other one is configured. It never
// decides what an event says, nor whether a delivery is to be tried again.
package bus

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	maxPayload   = 8 << 20
	startTimeout = 30 * time.Second
)

// ServerConfig describes the embedded server.
type ServerConfig struct {
	// Dir holds the streams. It is created with mode 0700. The server does not
	// lock it: the caller makes sure that no other process uses it.
	Dir string

	// SecretFile holds the credential of our own processes, which may do
	// everything; it is created with mode 0600 if absent. Empty: the credential
	// is never written, and no other process can have full rights.
	SecretFile string

	Listen string // host:port for clients, "" for none; port 0 is any free one

	// User and Password, or Token, are what outside clients have to present.
	// Without them anonymous clients are let in, which only a loopback address
	// allows. Outside clients may read events, and nothing else.
	User, Password, Token string

	Connectors []string // names of our own consumers, which outside clients may not touch

	// MaxBytes is the limit of the stream of events ([StreamConfig]); the store
	// as a whole may take twice as much. 0 leaves it to the free disk space.
	MaxBytes int64

	SyncInterval time.Duration // how often files are synced to disk; 0 is one second
	Logger       *slog.Logger  // nil discards
}

// A Server is an embedded NATS server.
type Server struct {
	ns     *server.Server
	secret string
	gate   *gate
	log    *slog.Logger
}

// Start starts the server and returns when it accepts connections.
func Start(cfg ServerConfig) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the NATS folder: %w", err)
	}
	secret, err := newSecret(cfg.SecretFile)
	if err != nil {
		return nil, err
	}
	opts, err := serverOptions(cfg)
	if err != nil {
		return nil, err
	}
	users := &authenticator{cfg: cfg, secret: secret}
	opts.CustomClientAuthentication = users
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("NATS server: %w", err)
	}
	s := &Server{ns: ns, secret: secret, log: cfg.Logger}
	if err := s.boot(cfg, users); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) boot(cfg ServerConfig, users *authenticator) error {
	fatal := make(chan string, 1)
	s.ns.SetLoggerV2(serverLog{cfg.Logger, fatal}, false, false, false)
	if err := users.register(s.ns); err != nil {
		return fmt.Errorf("NATS accounts: %w", err)
	}
	s.ns.Start()
	if err := users.ours.EnableJetStream(nil, nil); err != nil {
		return fmt.Errorf("open the streams in %s: %w", cfg.Dir, err)
	}
	if !s.ns.ReadyForConnections(startTimeout) {
		select {
		case text := <-fatal:
			return fmt.Errorf("NATS server: %s", text)
		default:
			return fmt.Errorf("NATS server: not ready after %s", startTimeout)
		}
	}
	var err error
	s.gate, err = openGate(s, cfg.Connectors)
	return err
}

func serverOptions(cfg ServerConfig) (*server.Options, error) {
	opts := &server.Options{
		ServerName: "trackops-notifier",
		DontListen: cfg.Listen == "",
		MaxPayload: maxPayload,

		// A machine that is busy with starting us takes longer than the two
		// seconds that are the server's default.
		AuthTimeout: startTimeout.Seconds(),

		JetStream:              true,
		StoreDir:               cfg.Dir,
		JetStreamMaxMemory:     64 << 20,
		SyncInterval:           cfg.SyncInterval,
		DisableJetStreamBanner: true,

		NoSigs: true, // the server would take the signals and exit by itself
	}
	if opts.SyncInterval == 0 {
		opts.SyncInterval = time.Second
	}
	if cfg.MaxBytes > 0 {
		opts.JetStreamMaxStore = 2*cfg.MaxBytes + 3*minSideBytes
	}
	if cfg.Listen == "" {
		return opts, nil
	}
	host, portText, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("NATS_LISTEN: %q is not host:port", cfg.Listen)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("NATS_LISTEN: %q is not a port number", portText)
	}
	if !isLoopback(host) && cfg.Token == "" && (cfg.User == "" || cfg.Password == "") {
		return nil, fmt.Errorf("NATS_LISTEN: %s is open to the network: set NATS_TOKEN, or NATS_USER and NATS_PASSWORD, or listen on 127.0.0.1", cfg.Listen)
	}
	opts.Host, opts.Port = host, int(port)
	if port == 0 {
		opts.Port = server.RANDOM_PORT
		return opts, nil
	}
	return opts, tryListen(cfg.Listen)
}

// tryListen finds out whether the address is free while that can still be said
// plainly: the server itself would only log it.
func tryListen(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("NATS_LISTEN: cannot listen on %s (%w); choose another address, or \"off\" for none", address, err)
	}
	return l.Close()
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// ClientURL is the address for clients, "" if the server does not listen.
func (s *Server) ClientURL() string {
	addr := s.ns.Addr()
	if addr == nil {
		return ""
	}
	return "nats://" + addr.String()
}

// Connect connects within the process, with full rights.
func (s *Server) Connect(ctx context.Context) (*Bus, error) {
	return connect(ctx, "", ClientConfig{FirstConnect: startTimeout, Logger: s.log}, append(s.internal(), nats.InProcessServer(s.ns)))
}

func (s *Server) internal() []nats.Option {
	return []nats.Option{nats.UserInfo(internalUser, s.secret), nats.CustomInboxPrefix(internalInbox), nats.Timeout(startTimeout)}
}

// Close stops the server and returns when its files are written. Close every
// [Bus] first. It may be called again.
func (s *Server) Close() {
	if s.gate != nil {
		s.gate.close()
	}
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}

// serverLog brings the server's log to slog. What the server calls a notice is
// of interest to its developers only.
type serverLog struct {
	log   *slog.Logger
	fatal chan<- string
}

func (l serverLog) Noticef(format string, v ...any) {
	l.log.Debug("nats: " + fmt.Sprintf(format, v...))
}
func (l serverLog) Debugf(format string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }
func (l serverLog) Tracef(format string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }
func (l serverLog) Warnf(format string, v ...any)  { l.log.Warn("nats: " + fmt.Sprintf(format, v...)) }
func (l serverLog) Errorf(format string, v ...any) { l.log.Error("nats: " + fmt.Sprintf(format, v...)) }

// Fatalf must not end the process: Start reports the text.
func (l serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.log.Error("nats: " + text)
	select {
	case l.fatal <- text:
	default:
	}
}
