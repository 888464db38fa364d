package slack

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
)

var _ connectors.Checker = (*connector)(nil)

func check(t *testing.T, settings map[string]string) error {
	t.Helper()
	c, err := connectortest.New(t, Kind(), settings, connectors.Env{Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = c.(connectors.Checker).Check(ctx)
	if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "/services") || strings.Contains(err.Error(), "/api")) {
		t.Errorf("the error holds a secret or a path: %v", err)
	}
	return err
}

func TestCheckOfTheWebAPI(t *testing.T) {
	type answer = connectortest.HTTPAnswer
	for name, tc := range map[string]struct {
		answer answer
		want   string // in the error
	}{
		"fine":         {answer{Status: 200, Body: `{"ok":true,"url":"https://acme.slack.com/","team":"Acme","user":"bot"}`}, ""},
		"wrong token":  {answer{Status: 200, Body: `{"ok":false,"error":"invalid_auth"}`}, "invalid_auth"},
		"revoked":      {answer{Status: 200, Body: `{"ok":false,"error":"token_revoked"}`}, "token_revoked"},
		"repeats it":   {answer{Status: 403, Echo: true}, "403"},
		"out of order": {answer{Status: 503}, "503"},
		"not slack":    {answer{Status: 200, Body: "<html>"}, "read the answer"},
	} {
		t.Run(name, func(t *testing.T) {
			remote := connectortest.HTTP(t, tc.answer)
			err := check(t, api(remote.Addr()))
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("Check = %v, want %q", err, tc.want)
			}
			var paths []string
			for _, r := range remote.Received() {
				paths = append(paths, r.Path)
				if agent := r.Header.Get("User-Agent"); agent != "trackops-notifier/1.2.3" || !strings.Contains(string(r.Body), token) {
					t.Errorf("agent %q, body %q: want ours and the token", agent, r.Body)
				}
			}
			if diff := cmp.Diff([]string{"/api/auth.test"}, paths); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckOfTheWebhookSendsNoRequest(t *testing.T) {
	plain := connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 200, Body: "ok"})
	secure := connectortest.HTTPS(t, connectortest.HTTPAnswer{Status: 200, Body: "ok"})
	if err := check(t, hook(plain.Addr())); err != nil {
		t.Errorf("Check = %v, want nil", err)
	}
	err := check(t, map[string]string{"WEBHOOK_URL": "https://" + secure.Addr() + hookPath})
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Check of a server that is not trusted = %v, want an error about its certificate", err)
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
	for name, settings := range map[string]map[string]string{"webhook": hook(l.Addr().String()), "web api": api(l.Addr().String())} {
		if err := check(t, settings); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%s: Check = %v, want connection refused", name, err)
		}
	}
}
