// Package fault is the vocabulary of failure at both ends of the program:
// what a request to Trackops and what a delivery to a receiver can answer.
// It never decides whether to try again; it says what is known, and the caller
// with the schedule decides.
package fault

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Permanent marks err as one that no repetition mends: the event cannot be
// encoded or rendered. An error without a mark is temporary.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

type permanent struct{ err error }

func (p *permanent) Error() string { return p.err.Error() }
func (p *permanent) Unwrap() error { return p.err }

// IsPermanent reports whether err, or one it wraps, was marked by [Permanent].
func IsPermanent(err error) bool {
	var p *permanent
	return errors.As(err, &p)
}

// Gone marks err: the other side says that it is closed for good, as HTTP does
// with 410. Nothing is sent there any more until an operator says so.
func Gone(err error) error {
	if err == nil {
		return nil
	}
	return &gone{err}
}

type gone struct{ err error }

func (g *gone) Error() string { return g.err.Error() }
func (g *gone) Unwrap() error { return g.err }

// IsGone reports whether err, or one it wraps, was marked by [Gone] or is the
// HTTP status 410.
func IsGone(err error) bool {
	var g *gone
	return errors.As(err, &g) || Status(err) == http.StatusGone
}

// Unsafe marks err: the other side must not be spoken to, for its address is
// refused or it cannot show who it is. Nothing of the event was sent.
func Unsafe(err error) error {
	if err == nil {
		return nil
	}
	return &unsafe{err}
}

type unsafe struct{ err error }

func (u *unsafe) Error() string { return u.err.Error() }
func (u *unsafe) Unwrap() error { return u.err }

// IsUnsafe reports whether err, or one it wraps, was marked by [Unsafe] or says
// that a certificate does not verify.
func IsUnsafe(err error) bool {
	var u *unsafe
	var c *tls.CertificateVerificationError
	return errors.As(err, &u) || errors.As(err, &c)
}

// RetryAfter marks err with the time the other side asked us to wait.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &retryAfter{d, err}
}

type retryAfter struct {
	after time.Duration
	err   error
}

func (r *retryAfter) Error() string { return r.err.Error() }
func (r *retryAfter) Unwrap() error { return r.err }

// After returns the wait that the other side asked for with [RetryAfter];
// ok is false when it asked for none.
func After(err error) (d time.Duration, ok bool) {
	var r *retryAfter
	if errors.As(err, &r) {
		return r.after, true
	}
	return 0, false
}

// A StatusError is an HTTP answer other than 2xx.
type StatusError struct {
	Code     int
	Location string // host of a redirect, which is never followed; "" otherwise
}

func (e *StatusError) Error() string {
	text := http.StatusText(e.Code)
	if e.Location != "" {
		return fmt.Sprintf("status %d %s, moved to %s: redirects are not followed", e.Code, text, e.Location)
	}
	if text == "" {
		return fmt.Sprintf("status %d", e.Code)
	}
	return fmt.Sprintf("status %d %s", e.Code, text)
}

// Status returns the HTTP status in err, or 0.
func Status(err error) int {
	var s *StatusError
	if errors.As(err, &s) {
		return s.Code
	}
	return 0
}

// FromHTTP returns nil for a 2xx answer and otherwise a [*StatusError], with
// the answer's Retry-After if it has a valid one. It reads headers only: a body
// may repeat the request, and the request holds secrets.
func FromHTTP(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return nil
	}
	status := &StatusError{Code: resp.StatusCode}
	if resp.StatusCode >= 300 && resp.StatusCode <= 399 {
		if u, err := url.Parse(resp.Header.Get("Location")); err == nil {
			status.Location = u.Hostname()
		}
	}
	if d, ok := ParseRetryAfter(resp.Header, time.Now()); ok {
		return RetryAfter(d, status)
	}
	return status
}
