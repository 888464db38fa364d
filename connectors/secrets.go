package connectors

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"html"
	"net/url"
	"slices"
	"strings"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// The other side may say anything. This much is kept: of an error and of an answer
// in characters, and of an answer it is looked for in so many bytes.
const (
	maxErrorText   = 600
	maxAnswerText  = 300
	maxAnswerBytes = 1 << 10
)

// minSecret is the length in bytes below which a value is no secret but a word, as
// in a header "X-Env: eu": blacking it out would only spoil the text.
const minSecret = 4

// Redact makes an error fit for a log. It returns err as it is, unless its text
// holds one of the secrets, plain or encoded, or more than a line: then an error
// of the same class with the secrets blacked out. The other side's words are
// useful in an error, and may repeat what we said.
func Redact(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	text := Shorten(OneLine(blacken(err.Error(), secrets)), maxErrorText)
	if text == err.Error() {
		return err
	}
	return reclass(text, err)
}

// RedactText makes what the other side answered fit for a log: of the first KiB
// one line of visible text, at most 300 characters, with the secrets blacked out.
func RedactText(text string, secrets ...string) string {
	text = blacken(text, secrets) // before the cut, which might leave half a secret
	return Shorten(OneLine(text[:min(len(text), maxAnswerBytes)]), maxAnswerText)
}

// blacken replaces the secrets in text: the longest first, as one may be a part of
// another.
func blacken(text string, secrets []string) string {
	var all []string
	for _, s := range secrets {
		if len(s) >= minSecret && len(s) <= len(text) { // no form is shorter
			all = append(all, forms(s)...)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, form := range all {
		text = strings.ReplaceAll(text, form, "[redacted]")
	}
	return text
}

// forms are the ways in which a secret may be repeated: as it is, in an address, in
// HTML, in JSON, and in base64, where padding, which may follow, tells nothing.
func forms(s string) []string {
	return []string{
		s, url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s), strings.ReplaceAll(s, "/", `\/`),
		base64.RawStdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)),
	}
}

// reclass makes an error of text with the class of err and nothing else of it.
func reclass(text string, err error) error {
	clean := &redacted{text: text}
	for _, class := range []error{context.Canceled, context.DeadlineExceeded, ErrAddressRefused} {
		if errors.Is(err, class) {
			clean.classes = append(clean.classes, class)
		}
	}
	if code := fault.Status(err); code != 0 {
		clean.classes = append(clean.classes, &fault.StatusError{Code: code})
	}
	var out error = clean
	if d, ok := fault.After(err); ok {
		out = fault.RetryAfter(d, out)
	}
	if fault.IsPermanent(err) {
		out = fault.Permanent(out)
	}
	if fault.IsGone(err) {
		out = fault.Gone(out)
	}
	if fault.IsUnsafe(err) {
		out = fault.Unsafe(out)
	}
	return out
}

type redacted struct {
	text    string
	classes []error
}

func (r *redacted) Error() string   { return r.text }
func (r *redacted) Unwrap() []error { return r.classes }
