package trackops_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A pipeListener serves HTTP over net.Pipe, which works in a synctest bubble.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// An arrivals server notes when requests come in.
type arrivals struct {
	mu       sync.Mutex
	at       []time.Time
	inFlight int
	most     int
	hold     time.Duration
}

func (a *arrivals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.at = append(a.at, time.Now())
	a.inFlight++
	a.most = max(a.most, a.inFlight)
	hold := a.hold
	a.mu.Unlock()
	select { // the server's work, in virtual time
	case <-time.After(hold):
	case <-r.Context().Done():
	}
	a.mu.Lock()
	a.inFlight--
	a.mu.Unlock()
	w.Write([]byte("[]"))
}

func (a *arrivals) gaps() []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	var gaps []time.Duration
	for i := 1; i < len(a.at); i++ {
		gaps = append(gaps, a.at[i].Sub(a.at[i-1]))
	}
	return gaps
}

// serve runs handler in the bubble of t and returns how to reach it.
func serve(t *testing.T, handler http.Handler, keepAlive bool) *pipeListener {
	t.Helper()
	l := newPipeListener()
	server := &http.Server{Handler: handler}
	server.SetKeepAlivesEnabled(keepAlive)
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l
}

const (
	testUser  = "jane.doe@agency.example"
	testToken = "s3cr3t-4f1c-token"
)

func newClient(t *testing.T, cfg trackops.Config) *trackops.Client {
	t.Helper()
	if cfg.BaseURL == "" {
		cfg.BaseURL = "http://127.0.0.1/api/v1"
	}
	if cfg.Rate == 0 {
		cfg.Rate, cfg.AllowFast = 10_000, true
	}
	cfg.Username, cfg.Token = testUser, testToken
	c, err := trackops.New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

func collection(t testing.TB, name string) trackops.Collection {
	t.Helper()
	c, ok := trackops.Lookup(name)
	if !ok {
		t.Fatalf("no collection %s", name)
	}
	return c
}
