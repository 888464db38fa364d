package trackopstest

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// BasePath is where [Account.Handler] serves the API.
const BasePath = "/api/v1"

// Handler serves the account over HTTP below [BasePath].
func (a *Account) Handler() http.Handler { return http.HandlerFunc(a.serveHTTP) }

func (a *Account) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if !pause(r.Context(), a.opts.Latency/2) {
		return
	}
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.EscapedPath(), BasePath), "/")
	ans := a.ask(r.Method, path, r.URL.Query(), a.authorized(r))
	if ans.fault != nil && !pause(r.Context(), ans.fault.Delay) {
		return
	}
	if !pause(r.Context(), a.opts.Latency-a.opts.Latency/2) {
		return
	}
	if ans.fault != nil && ans.fault.Reset {
		reset(w)
		return
	}
	status, contentType, body := ans.body()
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Date", ans.date.UTC().Format(http.TimeFormat))
	if after := ans.after(); after != "" {
		header.Set("Retry-After", after)
	}
	if ans.fault != nil && ans.fault.Cut {
		body = body[:len(body)/2]
	}
	w.WriteHeader(status)
	_, err := w.Write(body)
	if ans.fault != nil && ans.fault.Cut {
		err = errors.Join(http.NewResponseController(w).Flush(), http.ErrAbortHandler)
	}
	if err != nil {
		panic(http.ErrAbortHandler) // closes the connection in the middle
	}
}

func (ans answer) after() string {
	if ans.fault != nil && ans.fault.RetryAfter != "" {
		return ans.fault.RetryAfter
	}
	return ans.retryAfter
}

// reset closes the connection with a TCP reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Without it the close below is an orderly one: still no answer.
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}

func (a *Account) authorized(r *http.Request) bool {
	if a.opts.Token == "" {
		return true
	}
	user, password, ok := r.BasicAuth()
	return ok && equalText(user, a.opts.Username+"/token") && equalText(password, a.opts.Token)
}

func equalText(x, y string) bool { return subtle.ConstantTimeCompare([]byte(x), []byte(y)) == 1 }

// pause waits unless ctx ends first; it reports whether it waited in full.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Serve answers on l until ctx ends, and then closes l and its connections. It
// returns nil then, and the error of l otherwise.
func (a *Account) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: a.Handler(), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the simulated account: %w", err)
	}
	return nil
}

// Do answers in process what a [trackops.Client] would have got over HTTP, with
// the same errors, except that it does not space requests and that a delay is cut
// short by ctx alone. It uses no sockets, so it works in a testing/synctest
// bubble.
func (a *Account) Do(ctx context.Context, r trackops.Request) (trackops.Page, error) {
	page, err := a.do(ctx, r)
	if err != nil {
		return page, fmt.Errorf("%s: %w", r, err)
	}
	return page, nil
}

func (a *Account) do(ctx context.Context, r trackops.Request) (trackops.Page, error) {
	path, values, err := r.Target()
	if err != nil {
		return trackops.Page{}, err
	}
	sent := time.Now()
	if !pause(ctx, a.opts.Latency/2) {
		return trackops.Page{Sent: sent}, ctx.Err()
	}
	ans := a.ask(http.MethodGet, path, values, true)
	if ans.fault != nil && !pause(ctx, ans.fault.Delay) {
		return trackops.Page{Sent: sent}, ctx.Err()
	}
	if !pause(ctx, a.opts.Latency-a.opts.Latency/2) {
		return trackops.Page{Sent: sent}, ctx.Err()
	}
	page, err := ans.page(r)
	page.Date, page.Sent, page.Received = ans.date.UTC(), sent, time.Now()
	return page, err
}

// page makes of the answer what a client makes of it.
func (ans answer) page(r trackops.Request) (trackops.Page, error) {
	f := ans.fault
	if f != nil && f.Reset {
		return trackops.Page{}, fmt.Errorf("read: %w", syscall.ECONNRESET)
	}
	if f == nil && ans.isPlain(r) {
		return trackops.Page{Records: ans.records, Count: ans.count, Pages: ans.pages}, nil
	}
	status, _, body := ans.body()
	if status == http.StatusNotFound && r.ID == "" && !r.Count && r.Page > 1 {
		return trackops.Page{}, nil
	}
	header := http.Header{}
	header.Set("Date", ans.date.UTC().Format(http.TimeFormat))
	header.Set("Retry-After", ans.after())
	if err := fault.FromHTTP(&http.Response{StatusCode: status, Header: header}); err != nil {
		return trackops.Page{}, err
	}
	if f != nil && f.Cut {
		return trackops.Page{}, trackops.ErrTruncated
	}
	return r.Decode(body)
}

// isPlain reports whether the answer is of the shape that r expects, so that it
// need not be encoded and decoded again.
func (ans answer) isPlain(r trackops.Request) bool {
	return ans.status == http.StatusOK && !ans.null && ans.isCount == r.Count && ans.single == (r.ID != "")
}

// URL returns the base address for a listener's or test server's address.
func URL(server string) string {
	u := url.URL{Scheme: "http", Host: server, Path: BasePath}
	return u.String()
}
