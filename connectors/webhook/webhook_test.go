package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

const (
	current  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	previous = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	path     = "/hooks/p4th-s3cret?key=qu3ry-s3cret"
)

func suite(settings map[string]string, check func(connectortest.Received) error) connectortest.Suite {
	return connectortest.Suite{
		Kind: Kind(),
		Remote: func(t *testing.T) connectortest.Remote {
			return connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 204})
		},
		Settings: func(addr string) map[string]string {
			all := map[string]string{"URL": "http://" + addr + path, "SECRET": current + "," + previous}
			for k, v := range settings {
				all[k] = v
			}
			return all
		},
		Secrets: []string{
			"p4th-s3cret", "qu3ry-s3cret", current, previous, strings.TrimPrefix(current, "whsec_"),
			"basic-passw0rd", "user:basic-passw0rd", "b34rer-t0ken", "he4der-value",
		},
		ID: func(r connectortest.Received) string { return r.Header.Get("webhook-id") },
		Check: func(r connectortest.Received) error {
			for _, secret := range []string{current, previous} {
				wh, err := standardwebhooks.NewWebhook(secret)
				if err != nil {
					return err
				}
				if err := wh.Verify(r.Body, http.Header(r.Header)); err != nil {
					return err
				}
			}
			if r.Path != path || r.Header.Get("User-Agent") != "trackops-notifier/1.2.3" {
				return fmt.Errorf("path %s, agent %s", r.Path, r.Header.Get("User-Agent"))
			}
			return check(r)
		},
	}
}

func TestConformanceStructured(t *testing.T) {
	connectortest.Run(t, suite(map[string]string{"BASIC_AUTH": "user:basic-passw0rd", "HEADERS": "X-Key: he4der-value\nX-Env: a"}, func(r connectortest.Received) error {
		if got := r.Header.Get("Content-Type"); got != "application/cloudevents+json; charset=UTF-8" {
			return fmt.Errorf("content type %s", got)
		}
		if got := r.Header.Get("X-Key"); got != "he4der-value" {
			return fmt.Errorf("X-Key: %s", got)
		}
		if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:basic-passw0rd")); r.Header.Get("Authorization") != want {
			return fmt.Errorf("authorization %s", r.Header.Get("Authorization"))
		}
		e, err := events.Decode(r.Body)
		if err != nil {
			return err
		}
		if e.ID != r.Header.Get("webhook-id") {
			return fmt.Errorf("id %s, webhook-id %s", e.ID, r.Header.Get("webhook-id"))
		}
		return nil
	}))
}

func TestConformanceBinary(t *testing.T) {
	connectortest.Run(t, suite(map[string]string{"FORMAT": "binary", "BEARER_TOKEN": "b34rer-t0ken"}, func(r connectortest.Received) error {
		if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "Bearer b34rer-t0ken" {
			return fmt.Errorf("header %v", r.Header)
		}
		for name, want := range map[string]string{"ce-specversion": "1.0", "ce-id": r.Header.Get("webhook-id"), "ce-datacontenttype": ""} {
			if got := r.Header.Get(name); got != want {
				return fmt.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		var d events.Data
		if err := json.Unmarshal(r.Body, &d); err != nil {
			return err
		}
		subject, err := url.PathUnescape(r.Header.Get("ce-subject"))
		if want := strings.ToValidUTF8(d.ID, "\uFFFD"); err != nil || subject != want {
			return fmt.Errorf("subject %q, %v; want %q", subject, err, want)
		}
		return nil
	}))
}

// start returns a connector to a remote that answers 204, and what it got.
func start(t *testing.T, settings map[string]string, answers ...connectortest.HTTPAnswer) (*connector, *connectortest.HTTPRemote) {
	t.Helper()
	remote := connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 204})
	remote.Script(answers...)
	all := map[string]string{"URL": "http://" + remote.Addr() + path}
	for k, v := range settings {
		all[k] = v
	}
	c, err := connectortest.New(t, Kind(), all, connectors.Env{Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	return c.(*connector), remote
}

func deliver(t *testing.T, c connectors.Connector, all ...events.Event) error {
	t.Helper()
	_, err := ask(t, c, all...)
	return err
}

// ask delivers, and returns what the connector reported of the answer.
func ask(t *testing.T, c connectors.Connector, all ...events.Event) (said []connectors.Answer, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	d := connectors.Delivery{ID: all[0].ID, Events: all, Attempt: 1}
	err = c.Deliver(ctx, d.OnAnswer(func(a connectors.Answer) { said = append(said, a) }))
	return said, err
}

func TestSignatureIsThatOfTheStandardsVector(t *testing.T) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(current, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	h := make(http.Header)
	sign(h, [][]byte{key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	for name, want := range map[string]string{
		"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
		"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestEveryAttemptIsSignedAnewWithOneID(t *testing.T) {
	c, remote := start(t, map[string]string{"SECRET": current})
	at := time.Now().Add(-time.Minute)
	c.now = func() time.Time { at = at.Add(time.Second); return at }
	e := connectortest.Samples()[0].Event
	for range 2 {
		if err := deliver(t, c, e); err != nil {
			t.Fatal(err)
		}
	}
	got := remote.Received()
	if got[0].Header.Get("webhook-id") != e.ID || got[1].Header.Get("webhook-id") != e.ID {
		t.Errorf("ids %q, %q, want %q", got[0].Header.Get("webhook-id"), got[1].Header.Get("webhook-id"), e.ID)
	}
	for _, name := range []string{"webhook-timestamp", "webhook-signature"} {
		if got[0].Header.Get(name) == got[1].Header.Get(name) {
			t.Errorf("%s is the same at both attempts: %s", name, got[0].Header.Get(name))
		}
	}
	enc, err := e.Encode()
	if err != nil || !bytes.Equal(got[0].Body, enc.Body) {
		t.Errorf("body = %s, want the encoded event %s", got[0].Body, enc.Body)
	}
}

func TestWithoutSecretThereIsNoSignature(t *testing.T) {
	c, remote := start(t, nil)
	if err := deliver(t, c, connectortest.Samples()[0].Event); err != nil {
		t.Fatal(err)
	}
	h := remote.Received()[0].Header
	if h.Get("webhook-signature") != "" || h.Get("webhook-id") == "" || h.Get("webhook-timestamp") == "" {
		t.Errorf("header %v, want id and timestamp without signature", h)
	}
}

func TestAnswers(t *testing.T) {
	type answer = connectortest.HTTPAnswer
	date := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		answer answer
		want   int // status in the error; 0 for success
		after  time.Duration
	}{
		{"200", answer{Status: 200, Body: "thanks"}, 0, 0},
		{"201", answer{Status: 201}, 0, 0},
		{"202", answer{Status: 202}, 0, 0},
		{"204", answer{Status: 204}, 0, 0},
		{"299", answer{Status: 299}, 0, 0},
		{"200 with an endless body", answer{Status: 200, Endless: true}, 0, 0},
		{"200 with a body that stops", answer{Raw: "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx"}, 0, 0},
		{"301", answer{Status: 301, Header: map[string]string{"Location": "/elsewhere"}}, 301, 0},
		{"302", answer{Status: 302, Header: map[string]string{"Location": "https://moved.example/p4th-s3cret"}}, 302, 0},
		{"307", answer{Status: 307, Header: map[string]string{"Location": "/elsewhere"}}, 307, 0},
		{"304", answer{Status: 304}, 304, 0},
		{"400", answer{Status: 400}, 400, 0},
		{"401", answer{Status: 401}, 401, 0},
		{"410", answer{Status: 410}, 410, 0},
		{"413", answer{Status: 413}, 413, 0},
		{"429 without", answer{Status: 429}, 429, 0},
		{"429 with seconds", answer{Status: 429, Header: map[string]string{"Retry-After": "17"}}, 429, 17 * time.Second},
		{"503 with a date", answer{Status: 503, Header: map[string]string{
			"Date": date.Format(http.TimeFormat), "Retry-After": date.Add(time.Hour).Format(http.TimeFormat),
		}}, 503, time.Hour},
		{"500 with an endless body", answer{Status: 500, Endless: true}, 500, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, remote := start(t, nil, c.answer)
			said, err := ask(t, conn, connectortest.Samples()[0].Event)
			status := c.answer.Status
			if c.answer.Raw != "" {
				status = 200
			}
			if len(said) != 1 || said[0].Status != status {
				t.Errorf("reported answers %v, want one with status %d", said, status)
			}
			if (err == nil) != (c.want == 0) || fault.Status(err) != c.want || fault.IsPermanent(err) {
				t.Errorf("Deliver = %v, want status %d, temporary", err, c.want)
			}
			if after, _ := fault.After(err); after != c.after {
				t.Errorf("retry after %v, want %v", after, c.after)
			}
			if n := len(remote.Received()); n != 1 {
				t.Errorf("%d requests, want 1: no redirect is followed", n)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error holds the path: %v", err)
			}
		})
	}
}

// What the other side says is kept for whoever asks why, whether it accepted or
// not: one line, without anything that we have sent and that is secret.
func TestTheAnswerIsReported(t *testing.T) {
	type answer = connectortest.HTTPAnswer
	settings := map[string]string{"BEARER_TOKEN": "b34rer/t0ken", "HEADERS": "X-Key: he4der-value"}
	for _, c := range []struct {
		name   string
		answer answer
		want   connectors.Answer
	}{
		{"nothing", answer{Status: 204}, connectors.Answer{Status: 204}},
		{"thanks", answer{Status: 200, Body: "queued as 17\n"}, connectors.Answer{Status: 200, Text: "queued as 17"}},
		{"why not", answer{Status: 400, Body: "{\n  \"error\": \"no field name\"\n}"}, connectors.Answer{Status: 400, Text: `{ "error": "no field name" }`}},
		{"no such path", answer{Status: 404, Body: "Cannot POST /hooks/p4th-s3cret"}, connectors.Answer{Status: 404, Text: "Cannot POST [redacted]"}},
		{"path without its slash", answer{Status: 404, Body: "The route hooks/p4th-s3cret was not found"}, connectors.Answer{Status: 404, Text: "The route hooks/[redacted] was not found"}},
		{"part of the query", answer{Status: 403, Body: `{"key":"qu3ry-s3cret"}`}, connectors.Answer{Status: 403, Text: `{"key":"[redacted]"}`}},
		{"our headers", answer{Status: 401, Body: `{"a":"Bearer b34rer\/t0ken","b":"he4der-value"}`}, connectors.Answer{Status: 401, Text: `{"a":"Bearer [redacted]","b":"[redacted]"}`}},
		{"a redirect", answer{Status: 302, Header: map[string]string{"Location": "/x"}, Body: "moved"}, connectors.Answer{Status: 302, Text: "moved"}},
		{"junk", answer{Status: 500, Body: "\x00\x1b[31m\xff\u202e"}, connectors.Answer{Status: 500, Text: `\u0000\u001b[31m` + "\uFFFD" + `\u202e`}},
		{"cut off", answer{Raw: "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nso far"}, connectors.Answer{Status: 200, Text: "so far"}},
	} {
		conn, _ := start(t, settings, c.answer)
		said, _ := ask(t, conn, connectortest.Samples()[0].Event)
		if len(said) != 1 || said[0] != c.want {
			t.Errorf("%s: reported %+v, want %+v", c.name, said, c.want)
		}
	}
	conn, _ := start(t, nil, answer{Raw: "HTTP/1.1 20"})
	if said, err := ask(t, conn, connectortest.Samples()[0].Event); len(said) != 0 || err == nil {
		t.Errorf("without an answer: reported %+v, %v", said, err)
	}
}

// A body that trickles must not keep a delivery that was accepted.
func TestAcceptedThoughTheBodyNeverComes(t *testing.T) {
	c, remote := start(t, nil)
	remote.Script(connectortest.HTTPAnswer{Status: 200, Body: "x", Stall: true})
	began := time.Now()
	if err := deliver(t, c, connectortest.Samples()[0].Event); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("Deliver = %v after %v, want nil soon", err, time.Since(began))
	}
}

func TestTLS(t *testing.T) {
	remote := connectortest.HTTPS(t, connectortest.HTTPAnswer{Status: 204})
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: remote.Server().Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for trusted, settings := range map[bool]map[string]string{
		true:  {"URL": "https://" + remote.Addr() + path, "CA_FILE": ca},
		false: {"URL": "https://" + remote.Addr() + path},
	} {
		c, err := connectortest.New(t, Kind(), settings, connectors.Env{})
		if err != nil {
			t.Fatal(err)
		}
		if err := deliver(t, c, connectortest.Samples()[0].Event); (err == nil) != trusted || fault.IsPermanent(err) || fault.IsUnsafe(err) == trusted {
			t.Errorf("with the authority %v: Deliver = %v", trusted, err)
		}
	}
}

func TestAddressesAreCheckedAtDialTime(t *testing.T) {
	for _, c := range []struct{ allow, host string }{
		{"", "169.254.169.254"}, {"", "[::ffff:169.254.169.254]"}, {"", "[fe80::1]"}, {"", "[fd00:ec2::254]"}, {"", "0.0.0.0"},
		{"10.0.0.0/8", "127.0.0.1"}, {"169.254.0.0/16", "169.254.169.254"},
	} {
		remote := connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 204})
		_, port, _ := strings.Cut(remote.Addr(), ":")
		var allow []netip.Prefix
		if c.allow != "" {
			allow = []netip.Prefix{netip.MustParsePrefix(c.allow)}
		}
		conn := &connector{
			client: connectors.HTTPClient(connectors.HTTPOptions{Allow: allow}), address: "http://" + c.host + ":" + port + path,
			header: make(http.Header), encode: structured, now: time.Now,
		}
		err := deliver(t, conn, connectortest.Samples()[0].Event)
		if !errors.Is(err, connectors.ErrAddressRefused) || !fault.IsUnsafe(err) || fault.IsPermanent(err) || len(remote.Received()) != 0 {
			t.Errorf("to %s, allowed %q: Deliver = %v, want %v", c.host, c.allow, err, connectors.ErrAddressRefused)
		}
	}
	c, _ := start(t, map[string]string{"ALLOW_NETWORKS": "10.0.0.0/8, 127.0.0.0/8"})
	if err := deliver(t, c, connectortest.Samples()[0].Event); err != nil {
		t.Errorf("to an allowed network: Deliver = %v, want nil", err)
	}
}

func TestWhatCannotBeEncodedIsPermanent(t *testing.T) {
	c, remote := start(t, nil)
	e := connectortest.Samples()[0].Event
	e.Data.Record = json.RawMessage(`{"cut`)
	if err := deliver(t, c, e); !fault.IsPermanent(err) {
		t.Errorf("Deliver = %v, want a permanent error", err)
	}
	e = connectortest.Samples()[0].Event
	e.ID = "a.b\r\nX-Injected: yes"
	if err := deliver(t, c, e); !fault.IsPermanent(err) || len(remote.Received()) != 0 {
		t.Errorf("Deliver = %v, want a permanent error", err)
	}
}

func TestSettings(t *testing.T) {
	const fine = "https://hooks.example/x"
	short := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 23))
	long := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65))
	for _, c := range []struct {
		settings map[string]string
		want     []string
	}{
		{nil, []string{"URL"}},
		{map[string]string{"URL": fine}, nil},
		{map[string]string{"URL": fine, "SECRET": current + ", " + previous, "FORMAT": "binary", "HEADERS": "A: b\n\nC: d: e", "ALLOW_NETWORKS": "fd00::/8"}, nil},
		{map[string]string{"URL": "https://user:pw@hooks.example/x"}, []string{"URL"}},
		{map[string]string{"URL": "https://hooks.example/x#y"}, []string{"URL"}},
		{map[string]string{"URL": "hooks.example/x"}, []string{"URL"}},
		{map[string]string{"URL": "https://"}, []string{"URL"}},
		{map[string]string{"URL": "https://hooks.example:0/"}, []string{"URL"}},
		{map[string]string{"URL": "https://[::ffff:169.254.169.254]/x"}, []string{"URL"}},
		{map[string]string{"URL": fine, "SECRET": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, []string{"SECRET"}},
		{map[string]string{"URL": fine, "SECRET": "whsec_***"}, []string{"SECRET"}},
		{map[string]string{"URL": fine, "SECRET": short + "," + current + "," + long}, []string{"SECRET", "SECRET"}},
		{map[string]string{"URL": fine, "SECRET": ","}, []string{"SECRET"}},
		{map[string]string{"URL": fine, "FORMAT": "xml"}, []string{"FORMAT"}},
		{map[string]string{"URL": fine, "HEADERS": "webhook-id: x\nce-id: y\nContent-Type: z\nHost: h\nno colon\nbad name: x"}, []string{"HEADERS", "HEADERS", "HEADERS", "HEADERS", "HEADERS", "HEADERS"}},
		{map[string]string{"URL": fine, "BASIC_AUTH": "u:p", "BEARER_TOKEN": "t"}, []string{"BEARER_TOKEN"}},
		{map[string]string{"URL": fine, "BASIC_AUTH": "nocolon"}, []string{"BASIC_AUTH"}},
		{map[string]string{"URL": fine, "BEARER_TOKEN": "a\r\nb"}, []string{"BEARER_TOKEN"}},
		{map[string]string{"URL": fine, "BEARER_TOKEN": "t", "HEADERS": "Authorization: x"}, []string{"HEADERS"}},
		{map[string]string{"URL": fine, "CA_FILE": "/does/not/exist"}, []string{"CA_FILE"}},
		{map[string]string{"URL": fine, "CERT_FILE": "x"}, []string{"KEY_FILE"}},
		{map[string]string{"URL": fine, "KEY_FILE": "x"}, []string{"CERT_FILE"}},
		{map[string]string{"URL": fine, "CERT_FILE": "x", "KEY_FILE": "y"}, []string{"CERT_FILE"}},
		{map[string]string{"URL": fine, "ALLOW_NETWORKS": "10.0.0.1/8, 10.0.0.0"}, []string{"ALLOW_NETWORKS", "ALLOW_NETWORKS"}},
		{map[string]string{"URL": "x", "FORMAT": "x", "SECRET": "x", "ALLOW_NETWORKS": "x"}, []string{"URL", "FORMAT", "SECRET", "ALLOW_NETWORKS"}},
	} {
		_, err := connectortest.New(t, Kind(), c.settings, connectors.Env{})
		var got []string
		for _, e := range connectors.SettingErrors(err) {
			got = append(got, e.Setting)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("New(%q) = %v (-want +got):\n%s", c.settings, err, diff)
		}
	}
}

func FuzzAttribute(f *testing.F) {
	f.Add("Euro € 😀")
	f.Add("a\r\nb\x00\xff\"%25")
	f.Fuzz(func(t *testing.T, s string) {
		got := attribute(s)
		for i := range len(got) {
			if got[i] <= ' ' || got[i] >= 0x7f || got[i] == '"' {
				t.Fatalf("attribute(%q) = %q holds %q", s, got, got[i])
			}
		}
		back, err := url.PathUnescape(got)
		if want := strings.ToValidUTF8(s, "\uFFFD"); err != nil || back != want {
			t.Errorf("attribute(%q) = %q, decoded %q, %v", s, got, back, err)
		}
	})
}

func TestAttributeExampleOfTheSpecification(t *testing.T) {
	if got, want := attribute("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80"; got != want {
		t.Errorf("attribute = %q, want %q", got, want)
	}
}
