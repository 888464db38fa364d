package trackops_test

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// proxied makes a client for a TLS server that lies behind a proxy. The server's
// certificate is for example.com and for 127.0.0.1.
func proxied(t *testing.T, base string, proxy func(*url.URL) (*url.URL, error), server *httptest.Server) *trackops.Client {
	t.Helper()
	authorities := x509.NewCertPool()
	authorities.AddCert(server.Certificate())
	return newClient(t, trackops.Config{
		BaseURL: base, Rate: 1, RootCAs: authorities,
		Proxy: func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
	})
}

func TestThroughAProxy(t *testing.T) {
	account := trackopstest.New(trackopstest.Options{Sizes: map[string]int{"clients": 3}, Username: testUser, Token: testToken})
	server := httptest.NewTLSServer(account.Handler())
	defer server.Close()
	proxy := connectortest.Proxy(t, server.Listener.Addr().String())
	list := trackops.Request{Collection: collection(t, "clients"), Page: 1}

	// TLS is with the host behind the proxy: its certificate is what is verified.
	page, err := proxied(t, "https://example.com/api/v1", proxy.For, server).Do(t.Context(), list)
	if err != nil || len(page.Records) != 3 {
		t.Errorf("through the proxy: %d records, %v", len(page.Records), err)
	}
	if _, err := proxied(t, "https://acme.viewcases.com/api/v1", proxy.For, server).Do(t.Context(), list); err == nil {
		t.Error("a proxy that leads to another host is believed")
	}
	if want := []string{"CONNECT example.com:443", "CONNECT acme.viewcases.com:443"}; !slices.Equal(proxy.Requests(), want) {
		t.Errorf("the proxy saw %q, want %q", proxy.Requests(), want)
	}

	loopback := server.URL + "/api/v1"
	if page, err := proxied(t, loopback, proxy.For, server).Do(t.Context(), list); err != nil || len(page.Records) != 3 || len(proxy.Requests()) != 2 {
		t.Errorf("loopback: %d records, %v, %q", len(page.Records), err, proxy.Requests())
	}
}

// What a proxy refuses says nothing about the account.
func TestAProxyThatRefuses(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	proxy := connectortest.Proxy(t, server.Listener.Addr().String())
	proxy.Refuse()
	stranger := func(*url.URL) (*url.URL, error) {
		u := proxy.URL()
		u.User = url.UserPassword(connectortest.ProxyUser, "wrong-"+connectortest.ProxyPassword)
		return u, nil
	}
	for want, find := range map[string]func(*url.URL) (*url.URL, error){"it answers 502": proxy.For, "it answers 407": stranger} {
		c := proxied(t, "https://example.com/api/v1", find, server)
		_, err := c.Do(t.Context(), trackops.Request{Collection: collection(t, "clients"), Page: 1})
		if !strings.Contains(fmt.Sprint(err), "proxy") || !strings.Contains(fmt.Sprint(err), want) || trackops.IsDenied(err) || trackops.IsNotFound(err) {
			t.Errorf("Do = %v, want %q", err, want)
		}
		for _, secret := range []string{connectortest.ProxyUser, connectortest.ProxyPassword, "cHIweHk", testToken} {
			if strings.Contains(fmt.Sprint(err), secret) {
				t.Errorf("%v shows %q", err, secret)
			}
		}
	}
}
