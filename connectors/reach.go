package connectors

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// certificateVerdict is how long a server is given to refuse our certificate.
const certificateVerdict = time.Second

// Reach connects to the host of u as client, which is of [HTTPClient], would for a
// request: to the same addresses, with the same TLS, through the same proxy. It
// hangs up before a request; of a proxy for plain http it learns only that it is
// there. Its errors hold no more of u than the host.
func Reach(ctx context.Context, client *http.Client, u *url.URL) error {
	transport, ok := client.Transport.(*http.Transport)
	if !ok {
		return fmt.Errorf("connect: a %T opens no connections", client.Transport)
	}
	if find := transport.Proxy; find != nil {
		// NewClientConn would ask for the proxy of a host without its port.
		transport = transport.Clone()
		transport.Proxy = func(*http.Request) (*url.URL, error) { return find(&http.Request{URL: u}) }
	}
	conn, err := transport.NewClientConn(ctx, u.Scheme, net.JoinHostPort(u.Hostname(), u.Port()))
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	if c := transport.TLSClientConfig; u.Scheme == "https" && c != nil && len(c.Certificates) > 0 {
		return stays(ctx, conn)
	}
	return nil
}

// stays waits whether the server hangs up on our certificate: with TLS 1.3 it does
// so only after the handshake, and says nothing if all is well.
func stays(ctx context.Context, conn *http.ClientConn) error {
	ended := make(chan struct{}, 1)
	conn.SetStateHook(func(*http.ClientConn) {
		if conn.Err() == nil {
			return
		}
		select {
		case ended <- struct{}{}:
		default: // known already
		}
	})
	enough := time.NewTimer(certificateVerdict)
	defer enough.Stop()
	select {
	case <-ended:
		return errors.New("connect: the server hung up when it saw our certificate")
	case <-ctx.Done():
		return ctx.Err()
	case <-enough.C:
		return nil
	}
}
