package trackops

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// newTransport returns a transport that sends each request at most once.
//
// Package net/http repeats a GET by itself when a kept-alive connection turns
// out to be dead. Its rule (Transport.shouldRetryRequest, Request.isReplayable)
// is that the request has no body or a GetBody, so every request of ours has an
// empty body without one: see [onceBody]. HTTP/2, which has a rule of its own
// for refused streams, is off; one request a second has no use for it.
func newTransport(cfg Config, pace *pace) *http.Transport {
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  cfg.Proxy,
		OnProxyConnectResponse: fault.FromProxy,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return pacedConn{conn, pace}, nil
		},
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs},
		TLSHandshakeTimeout: 10 * time.Second,
		Protocols:           protocols,
		MaxIdleConnsPerHost: 1,
		// Under the 5 s of common servers: a connection that both ends may
		// close at the same moment fails a request for nothing.
		IdleConnTimeout:        4 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
	}
}

// onceBody is an empty body that net/http cannot rewind. It finds it empty
// before it writes the header, so nothing of it is sent.
type onceBody struct{}

func (onceBody) Read([]byte) (int, error) { return 0, io.EOF }
func (onceBody) Close() error             { return nil }
