package webhook

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// A proxy carries TLS from us to the endpoint, on a connection that is kept.
func TestHTTPSThroughAProxy(t *testing.T) {
	remote := connectortest.HTTPS(t, connectortest.HTTPAnswer{Status: 204})
	proxy := connectortest.Proxy(t, remote.Addr())
	authority := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: remote.Server().Certificate().Raw})
	if err := os.WriteFile(authority, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{"URL": "https://example.com/p4th", "CA_FILE": authority}
	c, err := connectortest.New(t, Kind(), settings, connectors.Env{Proxy: proxy.For})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := deliver(t, c, connectortest.Samples()[0].Event); err != nil {
			t.Errorf("Deliver = %v", err)
		}
	}
	if got := proxy.Requests(); !slices.Equal(got, []string{"CONNECT example.com:443"}) || len(remote.Received()) != 2 {
		t.Errorf("the proxy saw %q for %d deliveries, want one CONNECT for two", got, len(remote.Received()))
	}
	if err := c.(connectors.Checker).Check(t.Context()); err != nil || len(proxy.Requests()) != 2 {
		t.Errorf("Check = %v after %q, want a connection of its own through the proxy", err, proxy.Requests())
	}
}

func TestAProxyThatRefuses(t *testing.T) {
	proxy := connectortest.Proxy(t, "127.0.0.1:1")
	proxy.Refuse()
	for scheme, status := range map[string]int{"http": 502, "https": 0} { // over http, nobody can tell whose answer it is
		c, err := connectortest.New(t, Kind(), map[string]string{"URL": scheme + "://example.com/p4th"}, connectors.Env{Proxy: proxy.For})
		if err != nil {
			t.Fatal(err)
		}
		said := ""
		d := connectors.Delivery{ID: "acme_clients_1_2_k7q2", Events: []events.Event{connectortest.Samples()[0].Event}, Attempt: 1}
		err = c.Deliver(t.Context(), d.OnAnswer(func(a connectors.Answer) { said = a.Text }))
		if (said != "") != (scheme == "http") {
			t.Errorf("%s: %q is on record as the answer", scheme, said)
		}
		if fault.Status(err) != status || fault.IsPermanent(err) || !strings.Contains(fmt.Sprint(err), "502") {
			t.Errorf("%s: Deliver = %v, want a temporary error of a 502", scheme, err)
		}
		for _, secret := range []string{connectortest.ProxyUser, connectortest.ProxyPassword, "cHIweHk", "p4th"} {
			if strings.Contains(fmt.Sprint(err, said), secret) {
				t.Errorf("%s: %v, %q: shows %q", scheme, err, said, secret)
			}
		}
	}
}

func TestNetworksCannotBeLimitedBehindAProxy(t *testing.T) {
	settings := map[string]string{"URL": "https://example.com/p4th", "ALLOW_NETWORKS": "10.0.0.0/8"}
	_, err := connectortest.New(t, Kind(), settings, connectors.Env{Proxy: connectortest.Proxy(t, "127.0.0.1:1").For})
	all := connectors.SettingErrors(err)
	if len(all) != 1 || all[0].Setting != "ALLOW_NETWORKS" || strings.Contains(err.Error(), connectortest.ProxyPassword) {
		t.Errorf("New = %v, want one error of ALLOW_NETWORKS", err)
	}
}
