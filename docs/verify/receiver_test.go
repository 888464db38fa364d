package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/connectors/webhook"
	"github.com/trackops-notifier/trackops-notifier/events"
)

const (
	current  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	previous = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// What a receiver prints.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *printed) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *printed) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.FieldsFunc(l.text.String(), func(r rune) bool { return r == '\n' })
}

// hold sends real deliveries, and forged ones, to a receiver that has the secret
// current and prints to out.
func hold(t *testing.T, url string, out *printed) {
	t.Helper()
	var all []events.Event
	for _, s := range connectortest.Samples() {
		all = append(all, s.Event)
	}
	deliver := func(secrets, id string, all ...events.Event) error {
		t.Helper()
		c, err := connectortest.New(t, webhook.Kind(), map[string]string{"URL": url, "SECRET": secrets}, connectors.Env{})
		if err != nil {
			t.Fatal(err)
		}
		return c.Deliver(t.Context(), connectors.Delivery{ID: id, Events: all, Attempt: 1})
	}
	for i, err := range []error{
		deliver(current, all[0].ID, all[0]),
		deliver(current, all[0].ID, all[0]), // repeated
		deliver(previous+","+current, all[1].ID, all[1]),
		deliver(current, "digest_1", all[2], all[3]),
		deliver(current, all[4].ID, all[4]),
		deliver(current, "digest_1", all[2], all[3]), // repeated
	} {
		if err != nil {
			t.Errorf("delivery %d is refused: %v", i+1, err)
		}
	}
	if err := deliver(previous, all[5].ID, all[5]); err == nil {
		t.Error("another secret: accepted")
	}
	forge(t, url)
	want := make([]string, 5)
	for i := range want {
		want[i] = all[i].Type + " " + all[i].ID
	}
	// A program prints before it answers, but its output may come later.
	timeout := time.After(10 * time.Second)
	for len(out.lines()) < len(want) {
		select {
		case <-timeout:
			t.Fatalf("the receiver took %q, want %q", out.lines(), want)
		case <-time.After(time.Millisecond):
		}
	}
	if got := out.lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the receiver took %q, want %q", got, want)
	}
}

// forge sends what a receiver has to refuse with 401, and what shows that it refuses
// no more than that.
func forge(t *testing.T, url string) {
	t.Helper()
	keys, err := webhook.Keys(current)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	const body = `[]`
	sign := func(id string, at int64) string {
		return "v1," + base64.StdEncoding.EncodeToString(webhook.Signature(keys[0], id, fmt.Sprint(at), []byte(body)))
	}
	for name, c := range map[string]struct {
		id, timestamp, signature, body string
		want                           int
	}{
		"a good one":          {"a", fmt.Sprint(now), sign("a", now), body, 204},
		"nearly too old":      {"b", fmt.Sprint(now - 280), sign("b", now-280), body, 204},
		"nearly too early":    {"c", fmt.Sprint(now + 280), sign("c", now+280), body, 204},
		"among others":        {"d", fmt.Sprint(now), "v1a,AAAA v1,AAAA v1 junk " + sign("d", now), body, 204},
		"too old":             {"e", fmt.Sprint(now - 320), sign("e", now-320), body, 401},
		"from the future":     {"f", fmt.Sprint(now + 320), sign("f", now+320), body, 401},
		"another body":        {"g", fmt.Sprint(now), sign("g", now), `[ ]`, 401},
		"another id":          {"h", fmt.Sprint(now), sign("a", now), body, 401},
		"another time":        {"i", fmt.Sprint(now - 1), sign("i", now), body, 401},
		"of another version":  {"j", fmt.Sprint(now), strings.Replace(sign("j", now), "v1,", "v2,", 1), body, 401},
		"without a version":   {"k", fmt.Sprint(now), strings.TrimPrefix(sign("k", now), "v1,"), body, 401},
		"empty signature":     {"l", fmt.Sprint(now), "v1,", body, 401},
		"no signature":        {"m", fmt.Sprint(now), "", body, 401},
		"no id":               {"", fmt.Sprint(now), sign("", now), body, 401},
		"no time":             {"n", "", sign("n", now), body, 401},
		"time with a point":   {"o", fmt.Sprint(now, ".0"), sign("o", now), body, 401},
		"time of all digits":  {"p", strings.Repeat("9", 40), sign("p", now), body, 401},
		"signed, but no JSON": {"q", fmt.Sprint(now), "v1," + base64.StdEncoding.EncodeToString(webhook.Signature(keys[0], "q", fmt.Sprint(now), []byte("x"))), "x", 500},
		"the same again":      {"q", fmt.Sprint(now), "v1," + base64.StdEncoding.EncodeToString(webhook.Signature(keys[0], "q", fmt.Sprint(now), []byte("x"))), "x", 500},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		for header, value := range map[string]string{"webhook-id": c.id, "webhook-timestamp": c.timestamp, "webhook-signature": c.signature} {
			if value != "" {
				req.Header.Set(header, value)
			}
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: status %d, want %d", name, resp.StatusCode, c.want)
		}
	}
}

func TestGoReceiver(t *testing.T) {
	out := &printed{}
	r, err := newReceiver(current+"\n", out)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	hold(t, server.URL+"/hook", out)
	for _, secret := range []string{"", "whsec_", strings.TrimPrefix(current, "whsec_"), "whsec_***"} {
		if _, err := newReceiver(secret, out); err == nil {
			t.Errorf("newReceiver(%q) takes what is no secret", secret)
		}
	}
}

func TestItForgetsTheOldest(t *testing.T) {
	r, err := newReceiver(current, &printed{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxSeen + 10 {
		if err := r.take(fmt.Sprint(i), []byte("[]")); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.seen) != maxSeen || len(r.order) != maxSeen || r.seen["9"] || !r.seen["10"] {
		t.Errorf("%d deliveries remembered, the oldest %s; want %d, from 10", len(r.seen), r.order[0], maxSeen)
	}
}
