package connectors_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

func endpoint(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := connectors.ParseEndpoint("URL", address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// trusting is the TLS configuration for a server, whose certificate is for
// example.com too.
func trusting(r *connectortest.HTTPRemote) *tls.Config {
	c := &tls.Config{RootCAs: x509.NewCertPool()}
	c.RootCAs.AddCert(r.Server().Certificate())
	return c
}

func TestReachThroughAProxy(t *testing.T) {
	remote := connectortest.HTTPS(t, connectortest.HTTPAnswer{Status: 204})
	proxy := connectortest.Proxy(t, remote.Addr())
	var asked []string
	client := connectors.HTTPClient(connectors.HTTPOptions{TLS: trusting(remote), Proxy: func(u *url.URL) (*url.URL, error) {
		asked = append(asked, u.Host)
		return proxy.URL(), nil
	}})
	for _, address := range []string{"https://example.com/p4th", "https://example.com:8443/p4th"} {
		if err := connectors.Reach(t.Context(), client, endpoint(t, address)); err != nil {
			t.Errorf("Reach %s = %v", address, err)
		}
	}
	if want := []string{"CONNECT example.com:443", "CONNECT example.com:8443"}; !slices.Equal(proxy.Requests(), want) {
		t.Errorf("the proxy saw %q, want %q", proxy.Requests(), want)
	}
	// NO_PROXY may name a port.
	if want := []string{"example.com", "example.com:8443"}; !slices.Equal(asked, want) {
		t.Errorf("the proxy was looked up for %q, want %q", asked, want)
	}
	if err := connectors.Reach(t.Context(), client, endpoint(t, "https://other.example/")); err == nil {
		t.Error("Reach of a host that the certificate is not for = nil: the proxy could be anyone")
	}
	proxy.Refuse()
	checkRefused(t, connectors.Reach(t.Context(), client, endpoint(t, "https://example.com/p4th")), "502")
}

// checkRefused wants the error of a proxy that refused: temporary, without the
// status of an endpoint, and without secrets.
func checkRefused(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || fault.Status(err) != 0 || fault.IsPermanent(err) || fault.IsUnsafe(err) || !strings.Contains(err.Error(), "proxy") || !strings.Contains(err.Error(), want) {
		t.Errorf("through a proxy that refuses: %v, want a temporary error that names the proxy and %s", err, want)
	}
	for _, secret := range []string{connectortest.ProxyUser, connectortest.ProxyPassword, "cHIweHk", "p4th"} {
		if strings.Contains(fmt.Sprint(err), secret) {
			t.Errorf("%v shows %q", err, secret)
		}
	}
}

func TestAProxyThatDoesNotKnowUs(t *testing.T) {
	proxy := connectortest.Proxy(t, "127.0.0.1:1")
	client := connectors.HTTPClient(connectors.HTTPOptions{Proxy: func(*url.URL) (*url.URL, error) {
		u := proxy.URL()
		u.User = url.UserPassword(connectortest.ProxyUser, "wrong-"+connectortest.ProxyPassword)
		return u, nil
	}})
	checkRefused(t, connectors.Reach(t.Context(), client, endpoint(t, "https://example.com/p4th")), "407")
}

// The address that is checked is the proxy's, which may be private.
func TestTheAddressOfAProxyIsChecked(t *testing.T) {
	for _, address := range []string{"http://169.254.169.254:3128", "http://[fd00:ec2::254]:3128"} {
		client := connectors.HTTPClient(connectors.HTTPOptions{Proxy: func(*url.URL) (*url.URL, error) { return url.Parse(address) }})
		if err := connectors.Reach(t.Context(), client, endpoint(t, "https://example.com")); !errors.Is(err, connectors.ErrAddressRefused) {
			t.Errorf("Reach through %s = %v, want %v", address, err, connectors.ErrAddressRefused)
		}
	}
}

func TestNetworksCannotBeLimitedBehindAProxy(t *testing.T) {
	allow := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	near, far := endpoint(t, "https://near.example"), endpoint(t, "https://far.example")
	env := connectors.Env{Proxy: func(u *url.URL) (*url.URL, error) {
		if u.Host == near.Host {
			return nil, nil
		}
		return url.Parse("http://user:p4ss@proxy.example:3128")
	}}
	for _, c := range []struct {
		env   connectors.Env
		u     *url.URL
		allow []netip.Prefix
		want  int
	}{
		{env, far, allow, 1}, {env, near, allow, 0}, {env, far, nil, 0}, {connectors.Env{}, far, allow, 0}, {env, nil, allow, 0},
	} {
		err := c.env.CheckNetworks(c.u, c.allow)
		if got := len(connectors.SettingErrors(err)); got != c.want || strings.Contains(fmt.Sprint(err), "p4ss") {
			t.Errorf("CheckNetworks(%v, %v) = %v, want %d setting errors without secrets", c.u, c.allow, err, c.want)
		}
	}
	if got := env.ProxySecrets(far); !slices.Equal(got, []string{"user", "p4ss", "user:p4ss"}) || env.ProxySecrets(near) != nil || env.ProxySecrets(nil) != nil {
		t.Errorf("ProxySecrets = %q", got)
	}
}

func TestNoRedirectIsFollowedThroughAProxy(t *testing.T) {
	remote := connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 302, Header: map[string]string{"Location": "http://elsewhere.example/"}})
	proxy := connectortest.Proxy(t, remote.Addr())
	client := connectors.HTTPClient(connectors.HTTPOptions{Proxy: proxy.For})
	resp, err := client.Get("http://example.com/p4th")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusFound || !slices.Equal(proxy.Requests(), []string{"GET http://example.com/p4th"}) {
		t.Errorf("status %d after %q, want a redirect that is not followed", resp.StatusCode, proxy.Requests())
	}
	if seen := remote.Received()[0].Header; seen.Get("Proxy-Authorization") != "" {
		t.Error("the endpoint saw the proxy's password")
	}
}
