// Package email sends events by SMTP, as text and HTML. It never sends to a server
// without encryption unless SMTP_TLS says so.
//
// A delivery is one SMTP transaction with all recipients. One that the server
// refuses does not keep the mail from the others: it goes to those accepted, the
// refused ones are reported, and the next attempt is for them alone. Who has
// accepted is kept in memory for the last thousand deliveries that did not reach
// everyone; a restart forgets it, and all of them get the mail again, with the same
// Message-ID.
//
// An answer of 5xx in the transaction is permanent once it is that of all who
// are left; one of 4xx is temporary. Failures of connection, TLS and login are
// temporary whatever their code: they are mistakes of configuration, which get
// fixed. So are 530 to 538, by which a server asks for login or TLS.
package email

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// Kind returns the kind "email". It is retried for a day.
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
		Timeout: time.Minute,
	}
}

// The field names are such that envconfig splits them into the documented words.
type settings struct {
	SMTPHost     string `split_words:"true" desc:"mail server: a name or an address"`
	SMTPPort     string `split_words:"true" desc:"its port, default 587 with starttls, 465 with tls, 25 with none"`
	SMTPUsername string `split_words:"true" desc:"user to log in as; empty for no login"`
	SMTPPassword string `split_words:"true" secret:"true" desc:"password of SMTP_USERNAME"`
	SMTPTls      string `split_words:"true" desc:"starttls (default, required of the server), tls (from the first byte) or none (mail and password go unencrypted)"`
	From         string `split_words:"true" desc:"sender: alerts@example.com or Trackops <alerts@example.com>"`
	To           string `split_words:"true" desc:"recipients, comma-separated (RFC 5322)"`
	CC           string `split_words:"true" desc:"recipients of copies, comma-separated"`
	Subject      string `split_words:"true" desc:"subject of every mail, default like [acme] Client created: Acme Ltd"`
}

type encryption string

const (
	startTLS encryption = "starttls"
	fullTLS  encryption = "tls"
	noTLS    encryption = "none"
)

type connector struct {
	host       string
	port       int
	user, pass string
	encryption encryption
	tls        *tls.Config
	letter     letter
	recipients []string // of To and Cc, each once
	partial    *partial
}

func build(s *settings, env connectors.Env) (*connector, error) {
	var p problems
	c := &connector{
		host: s.SMTPHost, user: s.SMTPUsername, pass: s.SMTPPassword,
		encryption: encryption(s.SMTPTls), partial: newPartial(1000),
	}
	p.check(isHost(s.SMTPHost), "SMTP_HOST", "not set, or no host name", "a name such as mail.example.com, or an address")
	defaultPort, known := map[encryption]int{"": 587, startTLS: 587, fullTLS: 465, noTLS: 25}[c.encryption]
	p.check(known, "SMTP_TLS", fmt.Sprintf("is %q", s.SMTPTls), "starttls, tls or none")
	if c.encryption == "" {
		c.encryption = startTLS
	}
	if c.port = defaultPort; s.SMTPPort != "" {
		port, err := strconv.ParseUint(s.SMTPPort, 10, 16)
		p.check(err == nil && port > 0, "SMTP_PORT", fmt.Sprintf("is %q", s.SMTPPort), "a number from 1 to 65535")
		c.port = int(port)
	}
	p.check(s.SMTPPassword == "" || s.SMTPUsername != "", "SMTP_USERNAME", "not set, but SMTP_PASSWORD is", "the user that the password belongs to")
	p.check(s.SMTPUsername == "" || s.SMTPPassword != "", "SMTP_PASSWORD", "not set, but SMTP_USERNAME is", "the password of that user")
	p.check(connectors.OneLine(s.Subject) == s.Subject, "SUBJECT", "holds control characters, line ends or repeated spaces", "one line of text")
	from := p.addresses("FROM", s.From, true)
	p.check(len(from) <= 1, "FROM", "names several senders", "one address")
	to, cc := p.addresses("TO", s.To, true), p.addresses("CC", s.CC, false)
	if len(p.all) > 0 {
		return nil, errors.Join(p.all...)
	}
	for _, a := range append(to, cc...) {
		c.recipients = appendOnce(c.recipients, a.Address)
	}
	c.tls = &tls.Config{ServerName: c.host, MinVersion: tls.VersionTLS12}
	var err error
	c.letter, err = newLetter(from[0], to, cc, s.Subject, env.UserAgent())
	return c, err
}

// isHost reports whether s can be a host: an address, or letters, digits, hyphens
// and dots.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune(`/\@:;,"'<>[]()?#%`, r)
	})
}

// problems collects the mistakes in settings.
type problems struct{ all []error }

func (p *problems) check(ok bool, setting, problem, accepted string) {
	if !ok {
		p.all = append(p.all, &connectors.SettingError{Setting: setting, Problem: problem, Accepted: accepted})
	}
}

func (p *problems) addresses(setting, value string, required bool) []*mail.Address {
	if value == "" {
		p.check(!required, setting, "not set", "one address or more, comma-separated: Ops <ops@example.com>, boss@example.com")
		return nil
	}
	list, err := mail.ParseAddressList(value)
	p.check(err == nil, setting, fmt.Sprintf("%q is no list of addresses", value), "addresses, comma-separated: Ops <ops@example.com>, boss@example.com")
	return list
}

func appendOnce(list []string, s string) []string {
	for _, have := range list {
		if strings.EqualFold(have, s) {
			return list
		}
	}
	return append(list, s)
}

// Deliver sends one mail about all events of d to those recipients that have not
// accepted it yet.
func (c *connector) Deliver(ctx context.Context, d connectors.Delivery) error {
	msg, err := c.letter.write(d)
	if err != nil {
		return err
	}
	left := c.partial.left(d.ID, c.recipients)
	got, err := c.send(ctx, msg, left)
	c.partial.note(d.ID, got, len(got) == len(left))
	if err != nil {
		return c.redact(fmt.Errorf("send mail by %s: %w", c.host, err))
	}
	return nil
}

// Check connects, encrypts and logs in as Deliver does, and says goodbye.
func (c *connector) Check(ctx context.Context) error {
	err := c.converse(ctx, func(client *smtp.Client) error {
		// The server has let us in: how it says goodbye changes nothing.
		_ = client.Quit()
		return nil
	})
	if err != nil {
		return c.redact(fmt.Errorf("log in at %s: %w", c.host, err))
	}
	return nil
}

// redact keeps the password out of err, alone and as login with PLAIN sends it.
func (c *connector) redact(err error) error {
	return connectors.Redact(err, c.pass, "\x00"+c.user+"\x00"+c.pass)
}
