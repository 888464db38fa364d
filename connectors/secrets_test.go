package connectors

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

func TestRedact(t *testing.T) {
	const secret = "s3cret/+?"
	for _, said := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)), "s3cret%2F%2B%3F"} {
		in := fault.Unsafe(fault.Permanent(fault.RetryAfter(time.Minute, fmt.Errorf("%w: %w: you said %s", &fault.StatusError{Code: 410}, context.Canceled, said))))
		got := Redact(in, "", secret)
		if strings.Contains(got.Error(), said) || !strings.Contains(got.Error(), "you said [redacted]") {
			t.Errorf("Redact(%v) = %v", in, got)
		}
		after, _ := fault.After(got)
		if fault.Status(got) != 410 || after != time.Minute || !fault.IsPermanent(got) || !fault.IsGone(got) || !fault.IsUnsafe(got) || !errors.Is(got, context.Canceled) {
			t.Errorf("Redact(%v) = %v lost its class", in, got)
		}
	}
	plain := errors.New("nothing to hide")
	if Redact(plain, secret, "a") != plain || Redact(nil, secret) != nil {
		t.Error("Redact changed an error that holds no secret")
	}
	if got := Redact(errors.New("a\x1b[2J\nb" + strings.Repeat("x", 5000))).Error(); strings.ContainsAny(got, "\x1b\n") || len(got) > 700 {
		t.Errorf("Redact = %q, want one short line", got)
	}
}

// Whatever makes an error unsafe stays so when its text has to be changed.
func TestRedactKeepsWhatIsUnsafe(t *testing.T) {
	for _, err := range []error{
		fmt.Errorf("you said s3cret: %w", &tls.CertificateVerificationError{Err: errors.New("unknown authority")}),
		fmt.Errorf("you said s3cret: %w", fault.Unsafe(errors.New("refused"))),
	} {
		if got := Redact(err, "s3cret"); !fault.IsUnsafe(got) || got == err {
			t.Errorf("Redact(%v) = %v, unsafe %v", err, got, fault.IsUnsafe(got))
		}
	}
	if got := Redact(errors.New("you said s3cret"), "s3cret"); fault.IsUnsafe(got) {
		t.Errorf("Redact made %v unsafe", got)
	}
}

func TestRedactText(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"plain":                   {"thanks", "thanks"},
		"empty":                   {"", ""},
		"lines":                   {"<html>\r\n  <b>busy</b>\n</html>\n", "<html> <b>busy</b> </html>"},
		"a secret":                {"you sent /hooks/s3cret&x", "you sent [redacted]"},
		"in an address":           {"%2Fhooks%2Fs3cret%26x", "[redacted]"},
		"in HTML":                 {"Cannot POST /hooks/s3cret&amp;x", "Cannot POST [redacted]"},
		"in JSON":                 {`{"path":"\/hooks\/s3cret&x"}`, `{"path":"[redacted]"}`},
		"in base64":               {base64.StdEncoding.EncodeToString([]byte("/hooks/s3cret&x")), "[redacted]"},
		"one in another":          {"/hooks/s3cret&x s3cret", "[redacted] [redacted]"},
		"too short to be one":     {"eu", "eu"},
		"binary":                  {"\x00\x1b[2J\xff\xfe\u202e", `\u0000\u001b[2J` + "\uFFFD\uFFFD" + `\u202e`},
		"cut through a secret":    {strings.Repeat(" ", maxAnswerBytes-8) + "/hooks/s3cret&x", "[redacte"},
		"cut through a character": {strings.Repeat(" ", maxAnswerBytes-1) + "é", "\uFFFD"},
	} {
		if got := RedactText(c.text, "s3cret", "/hooks/s3cret&x", "eu"); got != c.want {
			t.Errorf("%s: RedactText(%q) = %q, want %q", name, c.text, got, c.want)
		}
	}
	if got := RedactText(strings.Repeat("日本", 200)); utf8.RuneCountInString(got) > maxAnswerText || !strings.HasSuffix(got, "characters") {
		t.Errorf("RedactText of 400 characters = %q, %d characters", got, utf8.RuneCountInString(got))
	}
}
