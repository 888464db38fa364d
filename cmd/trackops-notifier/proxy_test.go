package main

import (
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

func TestProxyVariables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		environ string // of variables without spaces
		address string
		want    string // "" is no proxy
	}{
		{"", "https://acme.viewcases.com", ""},
		{"HTTPS_PROXY=http://proxy.corp:3128", "https://acme.viewcases.com", "http://proxy.corp:3128"},
		{"HTTPS_PROXY=http://proxy.corp:3128", "http://hooks.corp", ""},
		{"HTTP_PROXY=http://proxy.corp:3128", "http://hooks.corp", "http://proxy.corp:3128"},
		{"https_proxy=proxy.corp:3128", "https://acme.viewcases.com", "http://proxy.corp:3128"},
		{"https_proxy=http://low.corp HTTPS_PROXY=http://high.corp", "https://acme.viewcases.com", "http://low.corp"},
		{"HTTPS_PROXY=ann:p4ss@proxy.corp:3128", "https://acme.viewcases.com", "http://ann:p4ss@proxy.corp:3128"},
		{"HTTPS_PROXY=socks5://[fd12::1]:1080/", "https://acme.viewcases.com", "socks5://[fd12::1]:1080/"},
		{"HTTPS_PROXY=http://proxy.corp NO_PROXY=corp,viewcases.com", "https://acme.viewcases.com", ""},
		{"HTTPS_PROXY=http://proxy.corp no_proxy=.viewcases.com NO_PROXY=*", "https://viewcases.com", "http://proxy.corp"},
		{"HTTPS_PROXY=http://proxy.corp NO_PROXY=hooks.corp:8443", "https://hooks.corp:8443", ""},
		{"HTTPS_PROXY=http://proxy.corp NO_PROXY=hooks.corp:8443", "https://hooks.corp", "http://proxy.corp"},
		{"HTTPS_PROXY=http://proxy.corp NO_PROXY=10.0.0.0/8", "https://10.1.2.3", ""},
		{"HTTPS_PROXY=http://proxy.corp HTTP_PROXY=http://proxy.corp", "http://127.0.0.1:8080", ""},
		{"HTTPS_PROXY=http://proxy.corp", "https://localhost", ""},
		{"HTTPS_PROXY=http://proxy.corp", "https://[::1]:443", ""},
	} {
		r := newRig(t, trackopstest.Options{})
		cfg, err := loadConfig(r.environ(strings.Fields(c.environ)...), kinds())
		if err != nil {
			t.Errorf("%s: %v", c.environ, err)
			continue
		}
		u, err := url.Parse(c.address)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if cfg.Proxy != nil {
			proxy, err := cfg.Proxy(u)
			if err != nil {
				t.Errorf("%s: proxy for %s: %v", c.environ, c.address, err)
			}
			if proxy != nil {
				got = proxy.String()
			}
		}
		if got != c.want {
			t.Errorf("%s: the proxy for %s is %q, want %q", c.environ, c.address, got, c.want)
		}
	}
}

func TestMalformedProxyAddress(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"http://ann:s3cret-pr0xy@", "http://ann:s3cret-pr0xy%zz@proxy.corp", "ftp://ann:s3cret-pr0xy@proxy.corp", "http://ann:s3cret-pr0xy@proxy.corp:99999",
		"http://ann:s3cret-pr0xy@proxy.corp:", "http://ann:s3cret-pr0xy@proxy.corp/path", "http://ann:s3cret-pr0xy#@proxy.corp", "://ann:s3cret-pr0xy@proxy.corp",
		"http://proxy.corp?s3cret-pr0xy", "ann:s3cret-pr0xy", ":3128",
	} {
		for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"} {
			r := newRig(t, trackopstest.Options{})
			r.env[name] = value
			_, _, err := r.command("check")
			if exitCode(err) != exitMisuse || !strings.HasPrefix(err.Error(), name+": ") || strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("%s=%s: %v (exit %d), want one mistake of it", name, value, err, exitCode(err))
			}
			noSecrets(t, fmt.Sprint(err), "s3cret-pr0xy")
		}
	}
}

// Where a connector may connect to cannot be checked behind a proxy.
func TestAllowedNetworksBehindAProxy(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{})
	r.env["CONNECTOR_CRM_TYPE"] = "webhook"
	r.env["CONNECTOR_CRM_URL"] = "https://crm.example.com/hook"
	r.env["CONNECTOR_CRM_ALLOW_NETWORKS"] = "10.0.0.0/8"
	r.env["HTTPS_PROXY"] = "http://proxy.example.com:3128"
	if _, err := loadConfig(r.environ(), kinds()); exitCode(err) != exitMisuse || !strings.HasPrefix(err.Error(), "CONNECTOR_CRM_ALLOW_NETWORKS: ") {
		t.Errorf("loadConfig = %v (exit %d), want a mistake of the variable", err, exitCode(err))
	}
	r.env["NO_PROXY"] = "crm.example.com"
	if _, err := loadConfig(r.environ(), kinds()); err != nil {
		t.Errorf("with NO_PROXY: %v", err)
	}
}

// Trackops and the endpoints are asked through the proxy; what it refuses is said
// without its password.
func TestCommandsUseTheProxy(t *testing.T) {
	t.Parallel()
	hook := connectortest.HTTPS(t, connectortest.HTTPAnswer{Status: 204})
	authority := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Server().Certificate().Raw})
	if err := os.WriteFile(authority, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := connectortest.Proxy(t, hook.Addr())
	r := newRig(t, trackopstest.Options{})
	r.env["HTTPS_PROXY"] = proxy.URL().String()
	r.env["TRACKOPS_API_URL"] = "https://acme.example.com/api/v1"
	r.env["CONNECTOR_CRM_TYPE"] = "webhook"
	r.env["CONNECTOR_CRM_URL"] = "https://example.com/s3cret-path"
	r.env["CONNECTOR_CRM_CA_FILE"] = authority
	if _, errs, err := r.command("test-send", "crm"); err != nil || len(hook.Received()) != 1 {
		t.Errorf("test-send = %v %s", err, errs)
	}
	// The system does not trust the account's certificate, which ends it behind the
	// proxy.
	out, errs, err := r.command("check")
	if exitCode(err) != exitFailed || !strings.Contains(out, "ok    connector crm") || !strings.Contains(out, "certificate") {
		t.Errorf("check = %v\n%s%s", err, out, errs)
	}
	want := []string{"CONNECT example.com:443", "CONNECT acme.example.com:443", "CONNECT example.com:443"}
	if got := proxy.Requests(); !slices.Equal(got, want) {
		t.Errorf("the proxy saw %q, want %q", got, want)
	}
	proxy.Refuse()
	refused, _, err := r.command("check")
	if exitCode(err) != exitFailed || strings.Count(refused, "the proxy does not connect us: it answers 502") != 2 {
		t.Errorf("check behind a proxy that refuses = %v\n%s", err, refused)
	}
	noSecrets(t, out+errs+refused, "s3cret-path", connectortest.ProxyUser, connectortest.ProxyPassword, "cHIweHk")
}

func TestRunAsksTrackopsThroughTheProxy(t *testing.T) {
	t.Parallel()
	hook := connectortest.HTTPS(t, connectortest.HTTPAnswer{Status: 204})
	proxy := connectortest.Proxy(t, hook.Addr())
	r := newRig(t, trackopstest.Options{})
	r.env["https_proxy"] = proxy.URL().String()
	r.env["TRACKOPS_API_URL"] = "https://acme.example.com/api/v1"
	p := r.start()
	until(t, "the proxy is asked", 10*time.Second, func() bool {
		return slices.Contains(proxy.Requests(), "CONNECT acme.example.com:443")
	})
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	noSecrets(t, p.stderr.String(), connectortest.ProxyUser, connectortest.ProxyPassword, "cHIweHk")
}
