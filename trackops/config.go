package trackops

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Config describes an account. BaseURL, Username, Token and Rate are required.
type Config struct {
	// BaseURL is https://{subdomain}.viewcases.com/api/v1. Plain http is
	// accepted for the loopback host only.
	BaseURL string

	Username string // of an active employee with full access, without "/token"
	Token    string // the company's

	// Rate is in requests a second, above 0 and at most 1, the vendor's limit.
	Rate float64
	// AllowFast permits any rate, also +Inf, if the host is loopback: for
	// benchmarks and tests.
	AllowFast bool
	// LastRequest is when an earlier process last asked: the first request
	// keeps its distance from it too.
	LastRequest time.Time

	Timeout time.Duration // for a complete answer; 0 is 30 s
	MaxBody int64         // bytes of a body, uncompressed; 0 is 64 MiB
	Version string        // of the program, for the User-Agent

	// RootCAs verify the server; nil is the system's.
	RootCAs *x509.CertPool
	// Proxy returns the proxy for a request; nil is none. It carries TLS from end
	// to end and sees neither the token nor a record. It is not asked for the
	// loopback host.
	Proxy func(*http.Request) (*url.URL, error)
	// Dial opens connections; nil is a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

const (
	defaultTimeout = 30 * time.Second
	defaultMaxBody = 64 << 20
)

// New checks cfg and returns a client. It opens no connection. The error joins
// every mistake and repeats no value of a secret.
func New(cfg Config) (*Client, error) {
	base, err := parseBase(cfg.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("trackops client: %w", err)
	}
	if err := errors.Join(checkCredentials(cfg), checkRate(cfg, base), checkLimits(cfg)); err != nil {
		return nil, fmt.Errorf("trackops client: %w", err)
	}
	if isLoopback(base.Hostname()) {
		cfg.Proxy = nil
	}
	pace := newPace(cfg.Rate, cfg.LastRequest)
	return &Client{
		base:      base,
		username:  cfg.Username,
		token:     cfg.Token,
		userAgent: "trackops-notifier/" + orDefault(cfg.Version, "dev") + " (+https://github.com/trackops-notifier/trackops-notifier)",
		timeout:   orTimeout(cfg.Timeout),
		maxBody:   orMaxBody(cfg.MaxBody),
		limit:     cfg.Rate,
		redact:    newRedactor(cfg.Username, cfg.Token),
		pace:      pace,
		turn:      make(chan struct{}, 1),
		http: &http.Client{
			Transport: newTransport(cfg, pace),
			// A followed redirect would send the token to wherever it points.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func orTimeout(d time.Duration) time.Duration {
	if d == 0 {
		return defaultTimeout
	}
	return d
}

func orMaxBody(n int64) int64 {
	if n == 0 {
		return defaultMaxBody
	}
	return n
}

func parseBase(address string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(address, "/"))
	switch {
	case err != nil || u.Hostname() == "":
		return nil, errors.New("the base address is not an absolute URL")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the base address has credentials, a query or a fragment")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	}
	return nil, errors.New("the base address is not https; plain http is accepted for the loopback host only")
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func checkCredentials(cfg Config) error {
	var mistakes []error
	if cfg.Username == "" || strings.ContainsAny(cfg.Username, ":\r\n") {
		mistakes = append(mistakes, errors.New("the username is empty or holds a colon or a line break"))
	}
	if cfg.Token == "" || strings.ContainsAny(cfg.Token, "\r\n") {
		mistakes = append(mistakes, errors.New("the token is empty or holds a line break"))
	}
	return errors.Join(mistakes...)
}

func checkRate(cfg Config, base *url.URL) error {
	fast := cfg.AllowFast && isLoopback(base.Hostname())
	if cfg.Rate > 0 && (cfg.Rate <= 1 || fast) {
		return nil
	}
	return errors.New("the rate is not above 0 and at most 1 request a second")
}

func checkLimits(cfg Config) error {
	if cfg.Timeout < 0 || cfg.MaxBody < 0 {
		return errors.New("a limit is negative")
	}
	return nil
}
