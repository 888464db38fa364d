package trackops

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// ErrTimeout: the complete answer did not come within Config.Timeout.
var ErrTimeout = errors.New("the answer took too long")

// errNotHTTP stands for errors of net/http that quote what the other side sent.
var errNotHTTP = errors.New("the answer is not valid HTTP")

// IsUnsupported reports whether the API refused a parameter (400), or showed
// that it took no notice of it.
func IsUnsupported(err error) bool {
	return fault.Status(err) == http.StatusBadRequest || errors.Is(err, ErrIgnored)
}

// IsNotFound reports whether a record or a collection is not there (404, 410).
func IsNotFound(err error) bool {
	status := fault.Status(err)
	return status == http.StatusNotFound || status == http.StatusGone
}

// IsDenied reports whether the credentials were refused, for this request or in
// general (401, 403).
func IsDenied(err error) bool {
	status := fault.Status(err)
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// IsThrottled reports whether we asked too often (429). fault.After has the wait
// that the API asked for, if it did.
func IsThrottled(err error) bool {
	return fault.Status(err) == http.StatusTooManyRequests
}

// networkError makes the error of a request that got no complete answer. limited
// is the request's own context, which ends after the time-out.
func (c *Client) networkError(ctx, limited context.Context, err error) error {
	switch {
	case errors.Is(err, ErrTooLarge):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return fmt.Errorf("%w: over %s", ErrTimeout, c.timeout)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTruncated
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the connection was closed without an answer: %w", io.EOF)
	}
	err = fault.WithoutURL(err)
	switch {
	case quotesAnswer(err):
		return errNotHTTP
	case !c.redact.isClean(err.Error()):
		return inOurWords(err)
	}
	return err
}

// inOurWords tells what went wrong without the text of err: a host may be named as
// the user is. What it keeps are the system's words for an error number.
func inOurWords(err error) error {
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	var operation *net.OpError
	var network net.Error
	who, text := "host", ""
	if errors.As(err, &operation) && operation.Op == "proxyconnect" {
		who = "proxy"
	}
	switch {
	case errors.As(err, &certificate):
		return fmt.Errorf("the %s's certificate is not valid: %s", who, certificateFault(certificate))
	case errors.As(err, &name):
		text = fmt.Sprintf("the %s's name could not be resolved", who)
	case operation != nil && (operation.Op == "dial" || operation.Op == "proxyconnect"):
		text = fmt.Sprintf("the %s could not be reached", who)
	case errors.As(err, &network):
		text = "the connection failed"
	default:
		return errNotHTTP
	}
	var number syscall.Errno
	switch {
	case name != nil && name.IsNotFound:
		return fmt.Errorf("%s: no such host", text)
	case errors.As(err, &number):
		return fmt.Errorf("%s: %w", text, number)
	case errors.As(err, &network) && network.Timeout():
		return fmt.Errorf("%s: %w", text, os.ErrDeadlineExceeded)
	}
	return errors.New(text)
}

// certificateFault names the commonest of what can be wrong with a certificate.
func certificateFault(err error) string {
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &host):
		return "it is for another name"
	case errors.As(err, &authority):
		return "it is of an unknown authority"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "it has expired or is not valid yet"
	}
	return "it cannot be verified"
}

// quotesAnswer reports whether the text of err may repeat what the other side
// sent, and with it our own request. Errors of the network and of certificates
// quote only names.
func quotesAnswer(err error) bool {
	var network net.Error
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &network) || errors.As(err, &certificate) {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "malformed") || strings.ContainsAny(text, "\"`")
}

// maxErrorBody bounds what is read of the body of an error, maxExcerpt what of
// it is shown, in bytes.
const (
	maxErrorBody = 4 << 10
	maxExcerpt   = 200
)

// withExcerpt adds the beginning of the answer's body to err, if it is harmless.
func (c *Client) withExcerpt(err error, body io.Reader) error {
	// What cannot be read of an explanation is not worth another error.
	raw, _ := io.ReadAll(io.LimitReader(body, maxErrorBody+1))
	if len(raw) > maxErrorBody {
		// The cut may go through a secret.
		raw = raw[:maxErrorBody-min(maxErrorBody, c.redact.longest)]
	}
	text := c.redact.excerpt(string(raw))
	if text == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, text)
}
