package connectortest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// patience bounds what must end by itself; soon is what "returns soon" allows.
const (
	patience = 20 * time.Second
	soon     = 3 * time.Second
)

// A session is a connector and its other side.
type session struct {
	Suite
	connectors.Connector
	remote Remote
	output *Output
}

func (s Suite) start(t *testing.T) *session {
	t.Helper()
	ss := &session{Suite: s, output: &Output{}}
	addr := ""
	if s.Remote != nil {
		ss.remote = s.Remote(t)
		addr = ss.remote.Addr()
	}
	c, err := New(t, s.Kind, s.Settings(addr), s.env(ss.output))
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	ss.Connector = c
	return ss
}

func (ss *session) deliver(t *testing.T, e events.Event) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d := connectors.Delivery{ID: e.ID, Events: []events.Event{e}, Attempt: 1}
	err := ss.Deliver(ctx, d.OnAnswer(func(a connectors.Answer) { ss.checkAnswer(t, a) }))
	ss.checkError(t, err)
	return err
}

// accepted returns what the other side took.
func (ss *session) accepted() []Received {
	var out []Received
	if ss.remote == nil {
		for _, w := range ss.output.Writes() {
			out = append(out, Received{Accepted: true, Body: w})
		}
		return out
	}
	for _, r := range ss.remote.Received() {
		if r.Accepted {
			out = append(out, r)
		}
	}
	return out
}

// checkError looks for secrets in everything that err can print.
func (s Suite) checkError(t *testing.T, err error) {
	t.Helper()
	for _, e := range chain(err) {
		s.checkText(t, "an error", fmt.Sprintf("%v\n%+v\n%s", e, e, e.Error()))
	}
}

// checkAnswer checks what a connector reports of an answer: it is shown to people.
func (s Suite) checkAnswer(t *testing.T, a connectors.Answer) {
	t.Helper()
	s.checkText(t, "an answer", a.Text)
	if a.Text != connectors.OneLine(a.Text) || len([]rune(a.Text)) > 300 {
		t.Errorf("the answer %.500q is not one line of at most 300 visible characters", a.Text)
	}
}

// checkText looks for secrets in text, plain and encoded.
func (s Suite) checkText(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range s.Secrets {
		for _, form := range []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret),
			strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="),
			strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(secret)), "="),
		} {
			if strings.Contains(text, form) {
				t.Errorf("%s holds the secret %q: %s", what, secret, text)
			}
		}
	}
}

// chain returns err and all it wraps.
func chain(err error) []error {
	if err == nil {
		return nil
	}
	out := []error{err}
	switch w := err.(type) {
	case interface{ Unwrap() error }:
		out = append(out, chain(w.Unwrap())...)
	case interface{ Unwrap() []error }:
		for _, e := range w.Unwrap() {
			out = append(out, chain(e)...)
		}
	}
	return out
}

func (s Suite) accepted(t *testing.T) {
	ss := s.start(t)
	for i, sample := range Samples() {
		if err := ss.deliver(t, sample.Event); err != nil {
			t.Fatalf("Deliver(%s) = %v, want nil", sample.Name, err)
		}
		got := ss.accepted()
		if len(got) != i+1 {
			t.Fatalf("%s: the other side took %d deliveries, want %d", sample.Name, len(got), i+1)
		}
		if err := s.Check(got[i]); err != nil {
			t.Errorf("%s: %v", sample.Name, err)
		}
	}
}

func (s Suite) busy(t *testing.T) { s.fails(t, Busy) }

func (s Suite) refused(t *testing.T) { s.fails(t, Refuse) }

func (s Suite) echo(t *testing.T) { s.fails(t, Echo) }

func (s Suite) hangUp(t *testing.T) { s.fails(t, HangUp) }

// fails checks one answer that is no acceptance, and that the next is.
func (s Suite) fails(t *testing.T, a Answer) {
	t.Helper()
	ss := s.start(t)
	ss.remote.Next(a)
	e := Samples()[0].Event
	err := ss.deliver(t, e)
	if err == nil || fault.IsPermanent(err) {
		t.Errorf("Deliver = %v, permanent %v; want a temporary error: mistakes get fixed", err, fault.IsPermanent(err))
	}
	if n := len(ss.remote.Received()); n != 1 {
		t.Errorf("the other side was asked %d times, want once: repeating is not the connector's task", n)
	}
	if err := ss.deliver(t, e); err != nil {
		t.Errorf("Deliver after recovery = %v, want nil", err)
	}
}

func (s Suite) retryAfter(t *testing.T) {
	for answer, want := range map[Answer]time.Duration{WaitSeconds: 7 * time.Second, WaitDate: 90 * time.Second} {
		ss := s.start(t)
		ss.remote.Next(answer)
		err := ss.deliver(t, Samples()[0].Event)
		if got, ok := fault.After(err); !ok || got != want || fault.IsPermanent(err) {
			t.Errorf("Deliver = %v, retry after %v %v, want %v", err, got, ok, want)
		}
	}
}

func (s Suite) unreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := New(t, s.Kind, s.Settings(addr), s.env(nil))
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	ss := &session{Suite: s, Connector: c}
	if err := ss.deliver(t, Samples()[0].Event); err == nil || fault.IsPermanent(err) {
		t.Errorf("Deliver = %v, want a temporary error", err)
	}
}

func (s Suite) cancelledBefore(t *testing.T) {
	ss := s.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := Samples()[0].Event
	err := ss.Deliver(ctx, connectors.Delivery{ID: e.ID, Events: []events.Event{e}, Attempt: 1})
	ss.checkError(t, err)
	if !errors.Is(err, context.Canceled) || fault.IsPermanent(err) {
		t.Errorf("Deliver = %v, want %v", err, context.Canceled)
	}
}

// cancelled ends the context while the other side is silent.
func (s Suite) cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s.silence(t, ctx, context.Canceled, cancel)
}

func (s Suite) timedOut(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	s.silence(t, ctx, context.DeadlineExceeded, func() {})
}

func (s Suite) silence(t *testing.T, ctx context.Context, want error, arrived func()) {
	t.Helper()
	ss := s.start(t)
	ss.remote.Next(Stall)
	e := Samples()[0].Event
	done := make(chan error, 1)
	go func() {
		done <- ss.Deliver(ctx, connectors.Delivery{ID: e.ID, Events: []events.Event{e}, Attempt: 1})
	}()
	select {
	case <-ss.remote.Arrived():
	case err := <-done:
		t.Fatalf("Deliver = %v before the other side saw anything", err)
	case <-time.After(patience):
		t.Fatal("nothing arrived")
	}
	arrived()
	select {
	case err := <-done:
		ss.checkError(t, err)
		if !errors.Is(err, want) || fault.IsPermanent(err) {
			t.Errorf("Deliver = %v, want %v", err, want)
		}
	case <-time.After(soon):
		t.Fatalf("Deliver did not return within %v of the end of its context", soon)
	}
}

// repeated checks that an attempt after a failure carries the same id.
func (s Suite) repeated(t *testing.T) {
	ss := s.start(t)
	if ss.remote != nil {
		ss.remote.Next(Busy)
	}
	e := Samples()[0].Event
	for attempt := 1; len(ss.accepted()) < 2; attempt++ {
		err := ss.Deliver(t.Context(), connectors.Delivery{ID: e.ID, Events: []events.Event{e}, Attempt: attempt})
		ss.checkError(t, err)
		if attempt > 3 {
			t.Fatalf("attempt %d: %v; the other side took %d deliveries, want each that it answers", attempt, err, len(ss.accepted()))
		}
	}
	got := ss.accepted()
	if s.ID == nil {
		return
	}
	if a, b := s.ID(got[0]), s.ID(got[1]); a == "" || a != b {
		t.Errorf("ids of one delivery repeated = %q, %q, want one", a, b)
	}
}

func (s Suite) concurrent(t *testing.T) {
	ss := s.start(t)
	const n = 40
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			e := Samples()[i%len(Samples())].Event
			e.Data.ID = fmt.Sprint(50_000 + i)
			e = e.Stamp("k7q2")
			if err := ss.deliver(t, e); err != nil {
				t.Errorf("Deliver = %v, want nil", err)
			}
		})
	}
	wg.Wait()
	got := ss.accepted()
	if len(got) != n {
		t.Errorf("the other side took %d deliveries, want %d", len(got), n)
	}
	seen := make(map[string]bool)
	for _, r := range got {
		if err := s.Check(r); err != nil {
			t.Error(err)
		}
		if s.ID == nil {
			continue
		}
		if id := s.ID(r); id == "" || seen[id] {
			t.Errorf("id %q is empty or that of another delivery", id)
		}
		seen[s.ID(r)] = true
	}
}

// hostile sends what a record may hold. A delivery arrives well-formed or is an error.
func (s Suite) hostile(t *testing.T) {
	ss := s.start(t)
	for _, sample := range Hostile() {
		before := len(ss.accepted())
		err := ss.deliver(t, sample.Event)
		got := ss.accepted()[before:]
		if (err == nil) != (len(got) == 1) {
			t.Errorf("%s: Deliver = %.500v, and %d deliveries arrived", sample.Name, err, len(got))
		}
		for _, r := range got {
			if err := s.Check(r); err != nil {
				t.Errorf("%s: %.500v", sample.Name, err)
			}
			for name := range r.Header {
				if strings.Contains(strings.ToLower(name), "injected") {
					t.Errorf("%s: content made the header %s", sample.Name, name)
				}
			}
		}
	}
}
