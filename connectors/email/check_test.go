package email

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
)

var _ connectors.Checker = (*connector)(nil)

func check(t *testing.T, c *connector) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := c.Check(ctx)
	if err != nil && strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the error holds the password: %v", err)
	}
	return err
}

func TestCheck(t *testing.T) {
	web := httptest.NewUnstartedServer(nil) // for its certificate
	web.StartTLS()
	defer web.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(web.Certificate())
	type options = connectortest.SMTPOptions
	for name, tc := range map[string]struct {
		encryption string
		options    options
		trust      bool
		want       string // in the error
	}{
		"unencrypted":          {"none", options{User: user, Password: password}, false, ""},
		"starttls":             {"starttls", options{User: user, Password: password, TLS: web.TLS}, true, ""},
		"tls":                  {"tls", options{User: user, Password: password, TLS: web.TLS, Implicit: true}, true, ""},
		"wrong password":       {"none", options{User: user, Password: "another"}, false, "535"},
		"wrong user":           {"tls", options{User: "another", Password: password, TLS: web.TLS, Implicit: true}, true, "535"},
		"no starttls":          {"starttls", options{User: user, Password: password}, false, "STARTTLS"},
		"starttls not trusted": {"starttls", options{User: user, Password: password, TLS: web.TLS}, false, "certificate"},
		"tls not trusted":      {"tls", options{User: user, Password: password, TLS: web.TLS, Implicit: true}, false, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			remote := connectortest.SMTP(t, tc.options)
			c := connect(t, settingsFor(remote.Addr(), tc.encryption))
			if tc.trust {
				c.tls.RootCAs = trusted
			}
			if err := check(t, c); tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("Check = %v, want %q", err, tc.want)
			}
			if n := len(remote.Received()); n != 0 {
				t.Errorf("%d transactions, want none", n)
			}
		})
	}
}

// What the server hears is a greeting, the login and the goodbye.
func TestCheckBeginsNoTransaction(t *testing.T) {
	remote := connectortest.SMTP(t, connectortest.SMTPOptions{User: user, Password: password})
	w := wiretap(t, remote.Addr())
	if err := check(t, connect(t, settingsFor(w.addr, "none"))); err != nil {
		t.Fatal(err)
	}
	<-w.ended
	wantCommands(t, w, "EHLO AUTH QUIT")
}

func TestCheckOfAnUnreachableHost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, encryption := range []string{"none", "starttls", "tls"} {
		if err := check(t, connect(t, settingsFor(l.Addr().String(), encryption))); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%s: Check = %v, want connection refused", encryption, err)
		}
	}
}

func TestCheckRefusesAddresses(t *testing.T) {
	if err := check(t, connect(t, settingsFor("169.254.169.254:25", "none"))); !errors.Is(err, connectors.ErrAddressRefused) {
		t.Errorf("Check = %v, want %v", err, connectors.ErrAddressRefused)
	}
}

// A server that takes the connection and never says anything.
func TestCheckEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := connect(t, settingsFor(l.Addr().String(), "none"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Check(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Check = %v, want %v", err, context.DeadlineExceeded)
	}
	ctx, cancel = context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Check(ctx) }()
	for range 2 { // the connection of the first Check, and that of the second
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Check = %v, want %v", err, context.Canceled)
		}
	case <-time.After(10 * time.Second):
		t.Error("Check goes on after the end of its context")
	}
}
