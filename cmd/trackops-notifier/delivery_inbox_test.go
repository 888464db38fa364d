package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// An inbox is a webhook endpoint that keeps the messages it accepted: events, and
// batches of them.
type inbox struct {
	*httptest.Server
	mu       sync.Mutex
	refusal  int           // the status it answers with; 0 accepts
	hold     chan struct{} // what it accepts is answered only after this is closed
	messages []message
	refused  int
}

// A message is one request that was accepted.
type message struct {
	id, body string
	events   []events.Event
}

func newInbox(t *testing.T) *inbox {
	t.Helper()
	b := &inbox{}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

func (b *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was killed
	}
	status, hold := b.take(r, string(body))
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}
	w.WriteHeader(status)
}

func (b *inbox) take(r *http.Request, body string) (status int, hold chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refusal != 0 {
		b.refused++
		return b.refusal, nil
	}
	m := message{id: r.Header.Get("Webhook-Id"), body: body}
	var err error
	if m.events, err = decodeBatch([]byte(body)); err != nil {
		return http.StatusBadRequest, nil
	}
	b.messages = append(b.messages, m)
	return http.StatusOK, b.hold
}

// decodeBatch reads an event, or a batch of them.
func decodeBatch(body []byte) ([]events.Event, error) {
	bodies := []json.RawMessage{body}
	if strings.HasPrefix(string(body), "[") {
		if err := json.Unmarshal(body, &bodies); err != nil {
			return nil, err
		}
	}
	var all []events.Event
	for _, one := range bodies {
		e, err := events.Decode(one)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// answer makes the inbox refuse with a status; 0 accepts.
func (b *inbox) answer(status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusal = status
}

// stall makes the inbox keep its answers back until what it returns is called.
func (b *inbox) stall() (release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	hold := make(chan struct{})
	b.hold = hold
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.hold = nil
		close(hold)
	}
}

func (b *inbox) received() []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.messages)
}

func (b *inbox) refusals() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused
}

// events returns what arrived, with repetitions.
func (b *inbox) events() []events.Event {
	var all []events.Event
	for _, m := range b.received() {
		all = append(all, m.events...)
	}
	return all
}

// told writes events as the record and the revision of each.
func told(all []events.Event) []string {
	var texts []string
	for _, e := range all {
		texts = append(texts, fmt.Sprint(e.Data.ID, "/", e.Data.Revision))
	}
	return texts
}

// kill ends a process of the program at once, and starts another one.
func (r *rig) kill(cmd *exec.Cmd) (*exec.Cmd, *syncBuffer) {
	r.t.Helper()
	r.end(cmd)
	return r.spawn()
}

func (r *rig) end(cmd *exec.Cmd) {
	r.t.Helper()
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed, perhaps before
}

// state returns the line of a connector in /readyz.
func (r *rig) state(connector string) connectorReady {
	report, _ := r.ready()
	for _, c := range report.Connectors {
		if c.Name == connector {
			return c
		}
	}
	return connectorReady{}
}

// awaitIdle waits until nothing waits for a connector that is well.
func (r *rig) awaitIdle(connector string) {
	r.t.Helper()
	until(r.t, connector+" is idle", 20*time.Second, func() bool { c := r.state(connector); return c.State == "idle" && c.Pending == 0 })
}

// awaitStream waits until the stream has n events of records, and returns them.
func (r *rig) awaitStream(n int) []events.Event {
	r.t.Helper()
	var all []events.Event
	until(r.t, fmt.Sprint(n, " events are in the stream"), 15*time.Second, func() bool {
		all = withoutSystem(r.stream())
		return len(all) >= n
	})
	return all
}

// counted returns how many events of a connector /metrics says had the outcome.
func (r *rig) counted(connector, outcome string) string {
	r.t.Helper()
	prefix := fmt.Sprintf("trackops_notifier_connector_events{connector=%q,outcome=%q} ", connector, outcome)
	for line := range strings.Lines(r.metrics()) {
		if value, ok := strings.CutPrefix(line, prefix); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
