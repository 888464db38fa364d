package bus

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// external starts a server that is not ours. Stop it with the function returned,
// and start it again with the same options.
func external(t testing.TB, opts *server.Options) (url string, stop func()) {
	t.Helper()
	opts.Host, opts.JetStream, opts.NoSigs, opts.NoLog = "127.0.0.1", true, true, true
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	if opts.StoreDir == "" {
		opts.StoreDir = t.TempDir()
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the external server did not start")
	}
	stop = func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
	t.Cleanup(stop)
	opts.Port = s.Addr().(*net.TCPAddr).Port
	return s.ClientURL(), stop
}

// certificates returns a TLS configuration for 127.0.0.1, and the file of the
// authority that signed it.
func certificates(t testing.TB) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, file
}

func TestExternalServer(t *testing.T) {
	secure, ca := certificates(t)
	tests := []struct {
		name   string
		server server.Options
		right  ClientConfig
		wrong  ClientConfig
	}{
		{"open", server.Options{}, ClientConfig{}, ClientConfig{URL: "nats://127.0.0.1:1"}},
		{"token", server.Options{Authorization: "s3cret-token"}, ClientConfig{Token: "s3cret-token"}, ClientConfig{Token: "wr0ng-token"}},
		{"user", server.Options{Username: "u", Password: "s3cret-pw"}, ClientConfig{User: "u", Password: "s3cret-pw"}, ClientConfig{User: "u", Password: "wr0ng-pw"}},
		{"tls", server.Options{TLSConfig: secure}, ClientConfig{CAFile: ca}, ClientConfig{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			url, _ := external(t, &test.server)
			test.right.URL, test.right.FirstConnect = url, 5*time.Second
			b, err := Connect(t.Context(), test.right)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if err := b.Ensure(t.Context(), StreamConfig{MaxAge: time.Hour}); err != nil {
				t.Fatal(err)
			}
			r := &rig{Bus: b}
			f := r.attach(t, "slack")
			r.publish(t, "acme", 1, 3)
			equal(t, "delivered", revisionsOf(t, take(t, f, 3)), upTo(1, 3))
			f.Close()

			if test.wrong.URL == "" {
				test.wrong.URL = url
			}
			test.wrong.FirstConnect = 50 * time.Millisecond
			b, err = Connect(t.Context(), test.wrong)
			if err == nil {
				b.Close()
				t.Fatal("a wrong connection was accepted")
			}
			if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "wr0ng") {
				t.Errorf("a secret in %q", err)
			}
		})
	}
}

func TestMalformedAddressKeepsItsPassword(t *testing.T) {
	_, err := Connect(t.Context(), ClientConfig{URL: "nats://u:s3cret@host:port", FirstConnect: 50 * time.Millisecond})
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("Connect = %v, want an error without the password", err)
	}
}

// oldServer answers as a server of the given version would, and no more.
func oldServer(t *testing.T, version string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "INFO {\"server_id\":\"x\",\"version\":%q,\"proto\":1,\"headers\":true,\"max_payload\":1048576}\r\n", version)
			fmt.Fprint(c, "PONG\r\n")
		}
	}()
	return "nats://" + l.Addr().String()
}

func TestOldServersAreRefused(t *testing.T) {
	for version, ok := range map[string]bool{"2.9.10": false, "1.4.0": false, "2.10.0": true, "2.15.2-RC.1": true, "3.0.0": true, "dev": false} {
		b, err := Connect(t.Context(), ClientConfig{URL: oldServer(t, version), FirstConnect: 5 * time.Second})
		if err == nil {
			b.nc.Close()
		}
		if errors.Is(err, ErrOldServer) == ok || (err == nil) != ok {
			t.Errorf("version %s: Connect = %v, want acceptance %v", version, err, ok)
		}
	}
}

// A server that is not there yet is waited for.
func TestConnectBeforeTheServer(t *testing.T) {
	opts := &server.Options{}
	url, stop := external(t, opts)
	stop()
	b, err := Connect(t.Context(), ClientConfig{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.Connected() {
		t.Error("Connected without a server")
	}
	if err := b.Ensure(t.Context(), StreamConfig{}); !errors.Is(err, ErrDisconnected) {
		t.Errorf("Ensure = %v, want ErrDisconnected", err)
	}
	external(t, opts)
	until(t, "connected", b.Connected)
	if err := b.Ensure(t.Context(), StreamConfig{}); err != nil {
		t.Error(err)
	}
}

func TestServerRestarts(t *testing.T) {
	opts := &server.Options{}
	url, stop := external(t, opts)
	b, err := Connect(t.Context(), ClientConfig{URL: url, FirstConnect: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Ensure(t.Context(), StreamConfig{MaxAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	r := &rig{Bus: b}
	f := r.attach(t, "slack")
	r.publish(t, "acme", 1, 6)
	got := take(t, f, 3) // 4 to 6 were sent ahead, and are lost with the connection
	settle(t, f, got[0])
	stop()
	until(t, "disconnected", func() bool { return !b.Connected() })
	if _, err := b.Publish(t.Context(), event(t, "acme", 7, `{}`)); !errors.Is(err, ErrDisconnected) {
		t.Errorf("Publish = %v, want ErrDisconnected", err)
	}
	settle(t, f, got[2]) // its acknowledgement goes nowhere
	external(t, opts)

	for n := 7; n <= 9; {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if _, err := b.Publish(ctx, event(t, "acme", n, `{}`)); err == nil {
			n++
		} else if ctx.Err() != nil {
			t.Fatalf("publishing does not resume: %v", err)
		}
		cancel()
	}
	equal(t, "revisions", r.revisions(t, "acme"), upTo(1, 9))
	equal(t, "delivered after the restart", revisionsOf(t, take(t, f, 6)), upTo(4, 9))
	nothing(t, f)
	settle(t, f, got[1])
	until(t, "acknowledged", func() bool {
		c, err := b.js.Consumer(t.Context(), Stream, "slack")
		return err == nil && c.CachedInfo().AckFloor.Stream == 3
	})
}

// An external server may lose what it had not synced while we run, and go on
// with the same sequences: those are other events.
func TestServerComesBackShorter(t *testing.T) {
	opts := &server.Options{StoreDir: t.TempDir()}
	url, stop := external(t, opts)
	b, err := Connect(t.Context(), ClientConfig{URL: url, FirstConnect: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Ensure(t.Context(), StreamConfig{MaxAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	r := &rig{Bus: b}
	f := r.attach(t, "slack")
	r.publish(t, "acme", 1, 3)
	var held []events.Encoded
	for n := 1; n <= 6; n++ {
		held = append(held, event(t, "acme", n, `{}`))
	}
	stop()
	synced := filepath.Join(t.TempDir(), "synced")
	if err := os.CopyFS(synced, os.DirFS(opts.StoreDir)); err != nil {
		t.Fatal(err)
	}
	_, stop = external(t, opts)
	until(t, "connected", b.Connected)
	r.publish(t, "acme", 4, 6)
	settle(t, f, take(t, f, 6)...)
	stop()
	until(t, "disconnected", func() bool { return !b.Connected() })
	if err := os.RemoveAll(opts.StoreDir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(opts.StoreDir, os.DirFS(synced)); err != nil {
		t.Fatal(err)
	}
	external(t, opts)
	until(t, "connected", b.Connected)
	if _, err := b.Publish(t.Context(), event(t, "acme", 7, `{}`)); !errors.Is(err, ErrRolledBack) {
		t.Fatalf("Publish = %v, want ErrRolledBack", err)
	}
	// As another process would: first an event that was never there.
	r.publish(t, "other", 1, 1)
	r.reconcile(t, "acme", held)
	equal(t, "delivered after the loss", revisionsOf(t, take(t, f, 4)), []int{1, 4, 5, 6})
}
