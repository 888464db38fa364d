package email

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

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
	Subject      string `split_words:"true" desc:"template of the subject, one line; default like [acme] Client created: Acme Ltd"`

	Template         string `split_words:"true" desc:"template of the text; without HTML_TEMPLATE the mail then has no HTML part"`
	TemplateFile     string `split_words:"true" desc:"file of TEMPLATE"`
	HTMLTemplate     string `split_words:"true" desc:"template of the HTML part"`
	HTMLTemplateFile string `split_words:"true" desc:"file of HTML_TEMPLATE"`
}

type encryption string

const (
	startTLS encryption = "starttls"
	fullTLS  encryption = "tls"
	noTLS    encryption = "none"
)

func build(s *settings, env connectors.Env) (*connector, error) {
	p := problems{env: env}
	c := &connector{user: s.SMTPUsername, pass: s.SMTPPassword, partial: newPartial(1000, env.Memory)}
	p.server(c, s)
	from := p.addresses("FROM", s.From, true)
	p.check(len(from) <= 1, "FROM", "names several senders", "one address")
	to, cc := p.addresses("TO", s.To, true), p.addresses("CC", s.CC, false)
	for _, a := range append(to, cc...) {
		c.recipients = appendOnce(c.recipients, a.Address)
	}
	c.letter = letter{
		to: texts(to), cc: texts(cc), userAgent: env.UserAgent(), connector: env.Name, link: env.Link, now: time.Now,
		text: p.template("TEMPLATE", s.Template, s.TemplateFile, connectors.Plain),
		html: p.template("HTML_TEMPLATE", s.HTMLTemplate, s.HTMLTemplateFile, connectors.HTML),
	}
	p.subject(&c.letter, s.Subject)
	if len(p.all) > 0 {
		return nil, errors.Join(p.all...)
	}
	c.letter.from = from[0]
	var err error
	c.letter.page, err = newPage()
	return c, err
}

// server reads how the mail server is reached.
func (p *problems) server(c *connector, s *settings) {
	p.check(isHost(s.SMTPHost), "SMTP_HOST", "not set, or no host name", "a name such as mail.example.com, or an address")
	c.host = s.SMTPHost
	c.tls = &tls.Config{ServerName: c.host, MinVersion: tls.VersionTLS12}
	if c.encryption = encryption(s.SMTPTls); c.encryption == "" {
		c.encryption = startTLS
	}
	defaultPort, known := map[encryption]int{startTLS: 587, fullTLS: 465, noTLS: 25}[c.encryption]
	p.check(known, "SMTP_TLS", fmt.Sprintf("is %q", s.SMTPTls), "starttls, tls or none")
	if c.port = defaultPort; s.SMTPPort != "" {
		port, err := strconv.ParseUint(s.SMTPPort, 10, 16)
		p.check(err == nil && port > 0, "SMTP_PORT", fmt.Sprintf("is %q", s.SMTPPort), "a number from 1 to 65535")
		c.port = int(port)
	}
	p.check(s.SMTPPassword == "" || s.SMTPUsername != "", "SMTP_USERNAME", "not set, but SMTP_PASSWORD is", "the user that the password belongs to")
	p.check(s.SMTPUsername == "" || s.SMTPPassword != "", "SMTP_PASSWORD", "not set, but SMTP_USERNAME is", "the password of that user")
}

// subject reads a text or a template. A text is the subject of every mail, also of
// those about several events.
func (p *problems) subject(l *letter, s string) {
	p.check(connectors.OneLine(s) == s, "SUBJECT", "holds control characters, line ends or repeated spaces", "one line of text, or a template of it")
	if !strings.Contains(s, "{{") {
		l.fixed = headerText(s)
		return
	}
	l.subject = p.template("SUBJECT", s, "", connectors.Plain)
}

// template reads a template, and returns nil if there is none.
func (p *problems) template(setting, text, file string, medium connectors.Medium) *connectors.Template {
	t, err := p.env.ReadTemplate(setting, text, file, medium)
	if err != nil {
		p.all = append(p.all, err)
	}
	return t
}

func texts(list []*mail.Address) []string {
	var out []string
	for _, a := range list {
		out = append(out, a.String())
	}
	return out
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
type problems struct {
	env connectors.Env
	all []error
}

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
