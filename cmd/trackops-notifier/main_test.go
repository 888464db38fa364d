package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// asProgram makes the test binary the program itself, for tests that kill it.
const asProgram = "NOTIFIER_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	if mode := os.Getenv(asSource); mode != "" {
		if err := serveSource(mode); err != nil {
			panic(err)
		}
		return
	}
	// These tests wait for the pace of an account, not for a processor.
	if err := flag.Set("test.parallel", "10"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// A receiver is a webhook endpoint that keeps what it gets.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	received []events.Event
	status   func(n int) int // of the n-th request, from 1; nil is always 200
	requests int
}

func newReceiver(t *testing.T, status func(n int) int) *receiver {
	t.Helper()
	r := &receiver{status: status}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	if r.status != nil {
		if code := r.status(r.requests); code != http.StatusOK {
			w.WriteHeader(code)
			return
		}
	}
	e, err := events.Decode(body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.received = append(r.received, e)
}

func (r *receiver) events() []events.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]events.Event(nil), r.received...)
}

// A rig is an account on a socket and the variables to watch it with.
type rig struct {
	t       *testing.T
	account *trackopstest.Account
	env     map[string]string
	dir     string
}

// onTheWay is what a busy machine may take between the writing of a request and
// its reading: by that much two of them may seem closer than they were sent.
const onTheWay = 400 * time.Millisecond

// newRig makes an account, and an environment that polls its clients at one
// request a second.
func newRig(t *testing.T, opts trackopstest.Options) *rig {
	t.Helper()
	opts.Username, opts.Token = "ann", "s3cret-token"
	account := trackopstest.New(opts)
	server := httptest.NewServer(account.Handler())
	t.Cleanup(server.Close)
	r := &rig{t: t, account: account, dir: t.TempDir()}
	r.env = map[string]string{
		"TRACKOPS_API_SUBDOMAIN": "acme",
		"TRACKOPS_API_USERNAME":  "ann",
		"TRACKOPS_API_TOKEN":     "s3cret-token",
		"TRACKOPS_API_URL":       server.URL + "/api/v1",
		"TRACKOPS_API_RATE":      "1",
		"POLL_COLLECTIONS":       "clients",
		"DATA_DIR":               r.dir,
		"NATS_LISTEN":            freeAddress(t),
		"HTTP_LISTEN":            freeAddress(t),
		"LOG_LEVEL":              "debug",
	}
	return r
}

// handedOut are the addresses that freeAddress gave away: the system may name one
// again before it is used.
var handedOut sync.Map

func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		l.Close()
		if _, taken := handedOut.LoadOrStore(address, true); !taken {
			return address
		}
	}
}

func (r *rig) environ(extra ...string) []string {
	var all []string
	for k, v := range r.env {
		all = append(all, k+"="+v)
	}
	return append(all, extra...)
}

// A running is the program in this process.
type running struct {
	stop   func() error    // may be called again
	ended  <-chan struct{} // closed when it ended, by itself or stopped
	stdout *syncBuffer
	stderr *syncBuffer
}

// A syncBuffer may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start runs "run" until the test ends or stop is called.
func (r *rig) start() *running {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	p := &running{ended: ended, stdout: &syncBuffer{}, stderr: &syncBuffer{}}
	environ := r.environ()
	var result error
	go func() {
		defer close(ended)
		result = run(ctx, []string{"run"}, environ, p.stdout, p.stderr)
	}()
	p.stop = func() error {
		cancel()
		<-ended
		return result
	}
	r.t.Cleanup(func() {
		err := p.stop()
		if r.t.Failed() {
			r.t.Logf("run ended with %v; log:\n%s", err, p.stderr)
		}
	})
	return p
}

// command runs another command and returns its output.
func (r *rig) command(args ...string) (stdout, stderr string, err error) {
	var out, errs syncBuffer
	err = run(r.t.Context(), args, r.environ(), &out, &errs)
	return out.String(), errs.String(), err
}

// until waits for a condition.
func until(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s", what, limit)
		}
	}
}

// ready asks /readyz.
func (r *rig) ready() (readiness, int) {
	resp, err := http.Get("http://" + r.env["HTTP_LISTEN"] + "/readyz")
	if err != nil {
		return readiness{}, 0
	}
	defer resp.Body.Close()
	var report readiness
	if err := json.NewDecoder(resp.Body).Decode(&report); err != nil {
		return readiness{}, 0
	}
	return report, resp.StatusCode
}

func (r *rig) awaitReady(limit time.Duration) {
	r.t.Helper()
	until(r.t, "ready", limit, func() bool {
		_, status := r.ready()
		return status == http.StatusOK
	})
}

// noSecrets fails the test if a text holds what must never be shown.
func noSecrets(t *testing.T, text string, secrets ...string) {
	t.Helper()
	for _, s := range append(secrets, "s3cret-token", "YW5uL3Rva2Vu") {
		if strings.Contains(text, s) {
			t.Errorf("the secret %q is shown in:\n%s", s, text)
		}
	}
}

func find(all []events.Event, id string, action events.Action) *events.Event {
	for i := range all {
		if all[i].Data.ID == id && all[i].Data.Action == action {
			return &all[i]
		}
	}
	return nil
}

// checkOrder fails the test unless each record's events have contiguous
// revisions, in order, and ids that occur once.
func checkOrder(t *testing.T, all []events.Event) {
	t.Helper()
	last := make(map[string]uint64)
	ids := make(map[string]bool)
	for _, e := range all {
		if ids[e.ID] {
			t.Errorf("id %s occurs twice", e.ID)
		}
		ids[e.ID] = true
		key := fmt.Sprint(e.Data.Collection, "/", e.Data.ID)
		if before, seen := last[key]; seen && e.Data.Revision != before+1 {
			t.Errorf("%s: revision %d follows %d", key, e.Data.Revision, before)
		}
		last[key] = e.Data.Revision
	}
}
