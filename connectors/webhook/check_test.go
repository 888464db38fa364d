package webhook

import (
	"context"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

var _ connectors.Checker = (*connector)(nil)

func check(t *testing.T, settings map[string]string) error {
	t.Helper()
	c, err := connectortest.New(t, Kind(), settings, connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = c.(connectors.Checker).Check(ctx)
	if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "/hooks")) {
		t.Errorf("the error holds the path: %v", err)
	}
	return err
}

func TestCheckSendsNoRequest(t *testing.T) {
	plain := connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 204})
	secure := connectortest.HTTPS(t, connectortest.HTTPAnswer{Status: 204})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Server().Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		settings map[string]string
		want     string // in the error
	}{
		"http":               {map[string]string{"URL": "http://" + plain.Addr() + path}, ""},
		"https":              {map[string]string{"URL": "https://" + secure.Addr() + path, "CA_FILE": ca}, ""},
		"not trusted":        {map[string]string{"URL": "https://" + secure.Addr() + path}, "certificate"},
		"https to http":      {map[string]string{"URL": "https://" + plain.Addr() + path}, "connect"},
		"no allowed network": {map[string]string{"URL": "http://" + plain.Addr() + path, "ALLOW_NETWORKS": "10.0.0.0/8"}, "address refused"},
	} {
		err := check(t, tc.settings)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: Check = %v, want %q", name, err, tc.want)
		}
		if unsafe := name == "not trusted" || name == "no allowed network"; fault.IsUnsafe(err) != unsafe {
			t.Errorf("%s: Check = %v, unsafe %v, want %v", name, err, fault.IsUnsafe(err), unsafe)
		}
		if refused := errors.Is(err, connectors.ErrAddressRefused); refused != (tc.want == "address refused") {
			t.Errorf("%s: Check = %v is a refused address: %v", name, err, refused)
		}
	}
	if got := append(plain.Received(), secure.Received()...); len(got) != 0 {
		t.Errorf("%d requests came, want none", len(got))
	}
}

func TestCheckOfAnUnreachableHost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, scheme := range []string{"http://", "https://"} {
		if err := check(t, map[string]string{"URL": scheme + l.Addr().String() + path}); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%s: Check = %v, want connection refused", scheme, err)
		}
	}
}

// A host that takes the connection and never says anything.
func TestCheckEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := connectortest.New(t, Kind(), map[string]string{"URL": "https://" + l.Addr().String() + path}, connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.(connectors.Checker).Check(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Check = %v, want %v", err, context.DeadlineExceeded)
	}
}
