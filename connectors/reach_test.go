package connectors

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A server that refuses our certificate says so only after the handshake of TLS 1.3.
func TestReachWaitsForTheVerdictOnOurCertificate(t *testing.T) {
	ours := selfSigned(t)
	for name, tc := range map[string]struct {
		trusted, http2 bool
		tls            uint16
	}{
		"accepted": {true, false, tls.VersionTLS13}, "accepted by HTTP/2": {true, true, tls.VersionTLS13},
		"refused": {false, false, tls.VersionTLS13}, "refused by HTTP/2": {false, true, tls.VersionTLS13}, "refused in TLS 1.2": {false, false, tls.VersionTLS12},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request came") }))
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.EnableHTTP2 = tc.http2
			server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(), MaxVersion: tc.tls}
			if tc.trusted {
				server.TLS.ClientCAs.AddCert(ours.Leaf)
			}
			server.StartTLS()
			t.Cleanup(server.Close)
			config := &tls.Config{RootCAs: x509.NewCertPool(), Certificates: []tls.Certificate{ours}}
			config.RootCAs.AddCert(server.Certificate())
			u, err := url.Parse(server.URL + "/p4th-s3cret")
			if err != nil {
				t.Fatal(err)
			}
			err = Reach(t.Context(), HTTPClient(HTTPOptions{TLS: config}), u)
			if (err == nil) != tc.trusted || err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("Reach = %v, want success %v", err, tc.trusted)
			}
		})
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}
}
