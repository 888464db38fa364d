package trackops_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/trackops"
)

func TestNewChecksItsConfig(t *testing.T) {
	good := trackops.Config{BaseURL: "https://acme.viewcases.com/api/v1", Username: testUser, Token: testToken, Rate: 0.5}
	for name, tc := range map[string]struct {
		change func(*trackops.Config)
		want   string // in the error; "" is none
	}{
		"good":                     {func(*trackops.Config) {}, ""},
		"http":                     {func(c *trackops.Config) { c.BaseURL = "http://acme.viewcases.com/api/v1" }, "not https"},
		"http, loopback":           {func(c *trackops.Config) { c.BaseURL = "http://127.0.0.1:8089/api/v1" }, ""},
		"http, localhost":          {func(c *trackops.Config) { c.BaseURL = "http://localhost:8089/api/v1" }, ""},
		"http, IPv6 loopback":      {func(c *trackops.Config) { c.BaseURL = "http://[::1]:8089/api/v1" }, ""},
		"http, mapped loopback":    {func(c *trackops.Config) { c.BaseURL = "http://[::ffff:127.0.0.1]/" }, ""},
		"http, localhost as label": {func(c *trackops.Config) { c.BaseURL = "http://localhost.evil.example/" }, "not https"},
		"http, loopback as user":   {func(c *trackops.Config) { c.BaseURL = "http://127.0.0.1@evil.example/" }, "credentials"},
		"no host":                  {func(c *trackops.Config) { c.BaseURL = "https:///api" }, "absolute"},
		"query":                    {func(c *trackops.Config) { c.BaseURL += "?x=1" }, "query"},
		"no user":                  {func(c *trackops.Config) { c.Username = "" }, "username"},
		"colon in user":            {func(c *trackops.Config) { c.Username = "a:b" }, "username"},
		"no token":                 {func(c *trackops.Config) { c.Token = "" }, "token"},
		"line break in token":      {func(c *trackops.Config) { c.Token += "\n" }, "token"},
		"no rate":                  {func(c *trackops.Config) { c.Rate = 0 }, "rate"},
		"not a rate":               {func(c *trackops.Config) { c.Rate = math.NaN() }, "rate"},
		"rate above the limit":     {func(c *trackops.Config) { c.Rate = 1.01 }, "rate"},
		"fast, not loopback":       {func(c *trackops.Config) { c.Rate, c.AllowFast = 5, true }, "rate"},
		"negative time-out":        {func(c *trackops.Config) { c.Timeout = -time.Second }, "limit"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			tc.change(&cfg)
			_, err := trackops.New(cfg)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("New: %v, want no error", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("New: %v, want an error about %q", err, tc.want)
			case err != nil && (strings.Contains(err.Error(), testToken) || strings.Contains(err.Error(), testUser)):
				t.Errorf("New: %v holds a secret", err)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		max     uint16
		trusted bool
		want    string
	}{
		"1.2":               {tls.VersionTLS12, true, ""},
		"1.3":               {tls.VersionTLS13, true, ""},
		"1.1":               {tls.VersionTLS11, true, "protocol version"},
		"unknown authority": {tls.VersionTLS13, false, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor != 1 {
					t.Errorf("HTTP/%d, want 1: HTTP/2 repeats requests by a rule of its own", r.ProtoMajor)
				}
				io.WriteString(w, "[]")
			}))
			server.EnableHTTP2 = true
			server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tc.max}
			server.Config.ErrorLog = nil
			server.StartTLS()
			defer server.Close()
			cfg := trackops.Config{BaseURL: server.URL, RootCAs: x509.NewCertPool()}
			if tc.trusted {
				cfg.RootCAs.AddCert(server.Certificate())
			}
			_, err := newClient(t, cfg).Do(t.Context(), trackops.Request{Collection: collection(t, "clients")})
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("Do: %v, want %q", err, tc.want)
			}
		})
	}
}
