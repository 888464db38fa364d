// Package email sends events by SMTP, as text and HTML. It never sends to a server
// without encryption unless SMTP_TLS says so.
//
// A delivery is one SMTP transaction with all recipients. One that the server
// refuses does not keep the mail from the others: it goes to those accepted, the
// refused ones are reported, and the next attempt is for them alone, after a
// restart too. Only a crash between the server's answer and our note of it sends
// the mail to all of them again, with the same Message-ID.
//
// The connection stays open for ten seconds after a mail that the server took, for
// the mails of a burst. One that broke in the meantime is replaced; a message that
// the server may have seen is never sent again within an attempt.
//
// Whatever the server says, the next attempt is made by the schedule: mistakes of
// configuration get fixed, and full mailboxes emptied. Only where others have the
// mail and 5xx is the answer of all who are left, it is permanent: the record's
// next mail must not wait for an address that does not exist.
package email

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// Kind returns the kind "email". It is retried for a day. Each event is a mail of
// its own; with a rate, what waits behind it shares one.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:     "email",
		Doc:      "sends mail by SMTP, with text and HTML",
		Settings: func() any { return &settings{} },
		New: func(from any, env connectors.Env) (connectors.Connector, error) {
			s, ok := from.(*settings)
			if !ok {
				return nil, fmt.Errorf("email: settings are a %T", from)
			}
			c, err := build(s, env)
			if err != nil {
				return nil, err
			}
			return c, nil
		},
		Retry: []time.Duration{
			time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute,
			time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 8 * time.Hour,
		},
		Timeout:     time.Minute,
		Concurrency: 1, // so that a burst of mails takes one connection
		Burst:       50,
	}
}

type connector struct {
	host       string
	port       int
	user, pass string
	encryption encryption
	tls        *tls.Config
	letter     letter
	recipients []string // of To and Cc, each once
	partial    *partial
	spare      spare
}

// Deliver sends one mail about all events of d to those recipients that have not
// accepted it yet.
func (c *connector) Deliver(ctx context.Context, d connectors.Delivery) error {
	msg, err := c.letter.write(d)
	if err != nil {
		return err
	}
	left, err := c.partial.left(ctx, d.ID, c.recipients)
	if err != nil {
		return fmt.Errorf("send mail by %s: %w", c.host, err)
	}
	v, err := c.send(ctx, msg, left)
	if noteErr := c.partial.note(ctx, d.ID, v.accepted, len(v.accepted) == len(left)); err != nil {
		err = errors.Join(err, noteErr) // everyone has it otherwise: there is nothing to come back for
	}
	if isForGood(err) && len(left)-len(v.accepted) < len(c.recipients) {
		err = fault.Permanent(err) // others have it
	}
	if v.said != "" {
		d.Answer(0, connectors.RedactText(v.said, c.secrets()...))
	}
	if err != nil {
		return c.redact(fmt.Errorf("send mail by %s: %w", c.host, err))
	}
	return nil
}

// Preview returns the mail that Deliver would send about d, with its headers.
func (c *connector) Preview(d connectors.Delivery) (string, error) {
	msg, err := c.letter.write(d)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if _, err := msg.WriteTo(&b); err != nil {
		return "", fmt.Errorf("write mail: %w", err)
	}
	return b.String(), nil
}

// Check connects, encrypts and logs in as Deliver does, and says goodbye.
func (c *connector) Check(ctx context.Context) error {
	s, err := c.open(ctx)
	if err != nil {
		return c.redact(fmt.Errorf("log in at %s: %w", c.host, err))
	}
	s.quit()
	return nil
}

// redact keeps the password out of err.
func (c *connector) redact(err error) error { return connectors.Redact(err, c.secrets()...) }

// secrets are the password alone and as login with PLAIN sends it.
func (c *connector) secrets() []string { return []string{c.pass, "\x00" + c.user + "\x00" + c.pass} }
