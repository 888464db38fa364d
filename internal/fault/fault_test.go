package fault_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

var errRemote = errors.New("remote says no")

func TestMarks(t *testing.T) {
	t.Parallel()
	status := &fault.StatusError{Code: 429}
	tests := []struct {
		name      string
		err       error
		permanent bool
		after     time.Duration
		asked     bool
		status    int
		text      string
	}{
		{"no mark", errRemote, false, 0, false, 0, "remote says no"},
		{"permanent", fault.Permanent(errRemote), true, 0, false, 0, "remote says no"},
		{"permanent below", fmt.Errorf("post: %w", fault.Permanent(errRemote)), true, 0, false, 0, "post: remote says no"},
		{"wait", fault.RetryAfter(time.Minute, errRemote), false, time.Minute, true, 0, "remote says no"},
		{"wait of zero", fault.RetryAfter(0, errRemote), false, 0, true, 0, "remote says no"},
		{"wait below", fmt.Errorf("post: %w", fault.RetryAfter(time.Minute, errRemote)), false, time.Minute, true, 0, "post: remote says no"},
		{"both", fault.Permanent(fault.RetryAfter(time.Minute, errRemote)), true, time.Minute, true, 0, "remote says no"},
		{"both the other way", fault.RetryAfter(time.Minute, fault.Permanent(errRemote)), true, time.Minute, true, 0, "remote says no"},
		{"the outer wait counts", fault.RetryAfter(time.Hour, fault.RetryAfter(time.Minute, errRemote)), false, time.Hour, true, 0, "remote says no"},
		{"one of several", errors.Join(errors.New("first"), fault.Permanent(errRemote)), true, 0, false, 0, "first\nremote says no"},
		{"status below everything", fmt.Errorf("post: %w", fault.Permanent(fault.RetryAfter(time.Second, fmt.Errorf("%w: %w", errRemote, status)))),
			true, time.Second, true, 429, "post: remote says no: status 429 Too Many Requests"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := fault.IsPermanent(test.err); got != test.permanent {
				t.Errorf("IsPermanent = %v, want %v", got, test.permanent)
			}
			if after, asked := fault.After(test.err); after != test.after || asked != test.asked {
				t.Errorf("After = %v, %v, want %v, %v", after, asked, test.after, test.asked)
			}
			if got := fault.Status(test.err); got != test.status {
				t.Errorf("Status = %d, want %d", got, test.status)
			}
			if got := test.err.Error(); got != test.text {
				t.Errorf("text %q, want %q", got, test.text)
			}
			if !errors.Is(test.err, errRemote) {
				t.Errorf("the cause is lost")
			}
		})
	}
}

// A mark on nothing is nothing: an error that wraps nil would be a failure.
func TestNoErrorStaysNone(t *testing.T) {
	t.Parallel()
	if err := fault.Permanent(nil); err != nil {
		t.Errorf("Permanent(nil) = %v", err)
	}
	if err := fault.RetryAfter(time.Second, nil); err != nil {
		t.Errorf("RetryAfter(1s, nil) = %v", err)
	}
	if err := fault.WithoutURL(nil); err != nil {
		t.Errorf("WithoutURL(nil) = %v", err)
	}
	if after, asked := fault.After(nil); fault.IsPermanent(nil) || fault.Status(nil) != 0 || after != 0 || asked {
		t.Errorf("nil has marks")
	}
}

// What stops everything, whatever else is known of the error.
func TestGoneAndUnsafe(t *testing.T) {
	t.Parallel()
	certificate := &tls.CertificateVerificationError{Err: errRemote}
	for name, test := range map[string]struct {
		err          error
		gone, unsafe bool
	}{
		"nothing":              {nil, false, false},
		"no mark":              {errRemote, false, false},
		"gone":                 {fmt.Errorf("post: %w", fault.Gone(errRemote)), true, false},
		"status 410":           {fault.RetryAfter(time.Second, &fault.StatusError{Code: 410}), true, false},
		"status 404":           {&fault.StatusError{Code: 404}, false, false},
		"unsafe":               {fmt.Errorf("post: %w", fault.Unsafe(errRemote)), false, true},
		"certificate":          {fmt.Errorf("post: %w", certificate), false, true},
		"certificate at a URL": {fault.WithoutURL(&url.Error{Op: "Post", URL: "https://x.example.com/s3cret", Err: certificate}), false, true},
		"both":                 {fault.Gone(fault.Unsafe(errRemote)), true, true},
	} {
		if gone, unsafe := fault.IsGone(test.err), fault.IsUnsafe(test.err); gone != test.gone || unsafe != test.unsafe {
			t.Errorf("%s: gone %v, unsafe %v, want %v, %v", name, gone, unsafe, test.gone, test.unsafe)
		}
	}
	if fault.Gone(nil) != nil || fault.Unsafe(nil) != nil {
		t.Error("a mark on nothing is an error")
	}
	if err := fault.Unsafe(errRemote); err.Error() != errRemote.Error() || !errors.Is(err, errRemote) {
		t.Errorf("Unsafe = %v, want what it marks", err)
	}
}

// A closedBody fails the test when it is read: it may repeat the request.
type closedBody struct{ t *testing.T }

func (b closedBody) Read([]byte) (int, error) {
	b.t.Error("the body was read")
	return 0, io.EOF
}
func (closedBody) Close() error { return nil }

func TestFromHTTP(t *testing.T) {
	t.Parallel()
	const secret = "s3cret"
	tests := []struct {
		code                 int
		location, retryAfter string
		text, wantLocation   string
		after                time.Duration
		accepted, asked      bool
	}{
		{code: 200, accepted: true},
		{code: 201, accepted: true},
		{code: 202, accepted: true, retryAfter: "5"},
		{code: 204, accepted: true},
		{code: 299, accepted: true},
		{code: 199, text: "status 199"},
		{code: 300, text: "status 300 Multiple Choices"},
		{code: 301, location: "https://u:" + secret + "@new.example.com:8443/" + secret + "?k=" + secret + "#" + secret, wantLocation: "new.example.com",
			text: "status 301 Moved Permanently, moved to new.example.com: redirects are not followed"},
		{code: 302, location: "/" + secret, text: "status 302 Found"},
		{code: 303, location: "https://%zz/" + secret, text: "status 303 See Other"},
		{code: 304, text: "status 304 Not Modified"},
		{code: 308, location: "//new.example.com/" + secret, wantLocation: "new.example.com", retryAfter: "7", after: 7 * time.Second, asked: true,
			text: "status 308 Permanent Redirect, moved to new.example.com: redirects are not followed"},
		{code: 400, text: "status 400 Bad Request"},
		{code: 401, location: "https://login.example.com", text: "status 401 Unauthorized"},
		{code: 403, text: "status 403 Forbidden"},
		{code: 404, text: "status 404 Not Found"},
		{code: 408, text: "status 408 Request Timeout"},
		{code: 410, text: "status 410 Gone"},
		{code: 413, retryAfter: "0", asked: true, text: "status 413 Request Entity Too Large"},
		{code: 422, text: "status 422 Unprocessable Entity"},
		{code: 429, retryAfter: "90", after: 90 * time.Second, asked: true, text: "status 429 Too Many Requests"},
		{code: 429, retryAfter: "Sun, 06 Nov 1994 08:49:37 GMT", after: 37 * time.Second, asked: true, text: "status 429 Too Many Requests"},
		{code: 429, retryAfter: "-1", text: "status 429 Too Many Requests"},
		{code: 500, text: "status 500 Internal Server Error"},
		{code: 503, retryAfter: "1.5", text: "status 503 Service Unavailable"},
		{code: 599, text: "status 599"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d after %q", test.code, test.retryAfter), func(t *testing.T) {
			t.Parallel()
			resp := &http.Response{StatusCode: test.code, Header: header(test.retryAfter, "Sun, 06 Nov 1994 08:49:00 GMT"), Body: closedBody{t}}
			if test.location != "" {
				resp.Header.Set("Location", test.location)
			}
			err := fault.FromHTTP(resp)
			if test.accepted {
				if err != nil {
					t.Errorf("FromHTTP = %v, want nil", err)
				}
				return
			}
			var status *fault.StatusError
			if !errors.As(err, &status) || status.Code != test.code || status.Location != test.wantLocation || fault.Status(err) != test.code {
				t.Fatalf("FromHTTP = %#v, want status %d at %q", err, test.code, test.wantLocation)
			}
			if err.Error() != test.text {
				t.Errorf("text %q, want %q", err, test.text)
			}
			if after, asked := fault.After(err); after != test.after || asked != test.asked {
				t.Errorf("After = %v, %v, want %v, %v", after, asked, test.after, test.asked)
			}
			if fault.IsPermanent(err) {
				t.Errorf("an answer is never permanent: a configuration can be mended")
			}
		})
	}
}

// The errors of a real client lose the address and keep the cause.
func TestWithoutURL(t *testing.T) {
	t.Parallel()
	const secret = "s3cret"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://u:" + secret + "@" + l.Addr().String() + "/" + secret + "?k=" + secret
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	hangUp := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(hangUp.Close)
	ended, cancel := context.WithCancel(context.Background())
	cancel()

	for name, test := range map[string]struct {
		ctx     context.Context
		address string
		cause   error
	}{
		"refused":   {t.Context(), closed, syscall.ECONNREFUSED},
		"cancelled": {ended, closed, context.Canceled},
		"hung up":   {t.Context(), hangUp.URL + "/" + secret, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(test.ctx, http.MethodGet, test.address, nil)
			if err != nil {
				t.Fatal(err)
			}
			client := http.Client{}
			resp, err := client.Do(req)
			if err == nil {
				resp.Body.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), secret) {
				t.Fatalf("%v holds no secret: the test shows nothing", err)
			}
			for _, got := range []error{fault.WithoutURL(err), fault.WithoutURL(fmt.Errorf("ask %w", err))} {
				if strings.Contains(got.Error(), secret) {
					t.Errorf("WithoutURL = %v, which shows the address", got)
				}
				if !errors.Is(got, test.cause) {
					t.Errorf("WithoutURL = %v, which is no %v", got, test.cause)
				}
			}
		})
	}
}

func TestWithoutURLOfOtherErrors(t *testing.T) {
	t.Parallel()
	if got := fault.WithoutURL(errRemote); got != errRemote {
		t.Errorf("WithoutURL(%v) = %v", errRemote, got)
	}
	inner := &url.Error{Op: "Post", URL: "https://x.example.com/s3cret", Err: errRemote}
	if got := fault.WithoutURL(&url.Error{Op: "Get", URL: "https://y.example.com/s3cret", Err: fmt.Errorf("proxy: %w", inner)}); !errors.Is(got, errRemote) || strings.Contains(got.Error(), "s3cret") {
		t.Errorf("WithoutURL of one inside another = %v, want %v", got, errRemote)
	}
	marked := fault.WithoutURL(fault.Permanent(errRemote))
	if !fault.IsPermanent(marked) {
		t.Errorf("WithoutURL takes the mark of an error without address")
	}
}

// What the other side answers may repeat our path, and net/http quotes it in its
// errors: a redirect to what is no address, whatever the policy about redirects
// is, or the request itself sent back.
func TestWithoutURLOfAnEcho(t *testing.T) {
	t.Parallel()
	const secret = "s3cret"
	for name, answer := range map[string]string{
		"redirect":    "HTTP/1.1 302 Found\r\nLocation: http://%%zz%s\r\nContent-Length: 0\r\n\r\n",
		"one segment": "HTTP/1.1 302 Found\r\nLocation: http://%%zz/moved?from=" + secret + "\r\nContent-Length: 0\r\n\r\n%s",
		"status line": "GET %s HTTP/1.1\r\n\r\n",
		"status code": "HTTP/1.1 %s\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				fmt.Fprintf(conn, answer, r.URL.RequestURI())
			}))
			t.Cleanup(server.Close)
			client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			resp, err := client.Get(server.URL + "/hooks/" + secret + "?key=" + secret)
			if err == nil {
				resp.Body.Close()
				t.Fatal("no error")
			}
			var u *url.Error
			if !errors.As(err, &u) || !strings.Contains(u.Err.Error(), secret) {
				t.Fatalf("%v repeats no secret: the test shows nothing", err)
			}
			got := fault.WithoutURL(err)
			if strings.Contains(got.Error(), secret) {
				t.Errorf("WithoutURL = %v, which shows the address", got)
			}
			if !errors.Is(got, u.Err) {
				t.Errorf("WithoutURL = %v, which is not what went wrong", got)
			}
		})
	}
}
