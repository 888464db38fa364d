package email

import (
	"fmt"
	"net/mail"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// A letter writes mails. It is safe for concurrent use.
type letter struct {
	from      *mail.Address
	to, cc    []string
	userAgent string
	connector string // its name
	link      func(events.Event) string
	page      page
	now       func() time.Time

	fixed               string               // the subject of every mail, if not ""
	subject, text, html *connectors.Template // of the operator; nil is ours
}

// write makes the mail of a delivery.
func (l letter) write(d connectors.Delivery) (*gomail.Msg, error) {
	if len(d.Events) == 0 || !isPlainID(d.ID) {
		return nil, fault.Permanent(fmt.Errorf("write mail: delivery %q has no events, or an id that cannot be in a Message-ID", d.ID))
	}
	c, err := l.compose(d)
	if err != nil {
		return nil, err
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := l.address(m); err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	m.Subject(c.subject)
	m.SetDateWithValue(l.now())
	m.SetGenHeader(gomail.HeaderUserAgent, l.userAgent)
	for name, value := range l.marks(d) {
		m.SetGenHeader(gomail.Header(name), value)
	}
	m.SetBodyString(gomail.TypeTextPlain, strings.TrimRight(c.text, "\n")+"\n")
	if c.html != "" {
		m.AddAlternativeString(gomail.TypeTextHTML, c.html)
	}
	return m, nil
}

func (l letter) address(m *gomail.Msg) error {
	if err := m.From(l.from.String()); err != nil {
		return fmt.Errorf("sender: %w", err)
	}
	if err := m.To(l.to...); err != nil {
		return fmt.Errorf("recipients: %w", err)
	}
	if err := m.Cc(l.cc...); err != nil {
		return fmt.Errorf("recipients of copies: %w", err)
	}
	return nil
}

// A content is what a mail says.
type content struct{ subject, text, html string }

// compose renders the operator's templates, and the default message if they say
// nothing about d. With a text of theirs alone the mail has no HTML part: mail
// programs would show ours in its place.
func (l letter) compose(d connectors.Delivery) (content, error) {
	data, err := connectors.NewTemplateData(d, l.connector, l.link)
	if err != nil {
		return content{}, err
	}
	v, err := viewOf(d, data, l.link)
	if err != nil {
		return content{}, err
	}
	switch {
	case l.fixed != "":
		v.Subject = l.fixed
	case l.subject != nil:
		if v.Subject, err = l.renderSubject(data); err != nil {
			return content{}, err
		}
	}
	c := content{subject: v.Subject}
	if c.text, err = render(l.text, data); err != nil {
		return content{}, err
	}
	if c.html, err = render(l.html, data); err != nil {
		return content{}, err
	}
	if c.text == "" && c.html == "" {
		if c.html, err = l.page.html(v); err != nil {
			return content{}, err
		}
	}
	if c.text == "" {
		c.text = v.text()
	}
	return c, nil
}

// render returns what t says about data: "" if it is blank, or there is no t.
func render(t *connectors.Template, data connectors.TemplateData) (string, error) {
	if t == nil {
		return "", nil
	}
	text, err := t.Render(data)
	if strings.TrimSpace(text) == "" {
		text = ""
	}
	return text, err
}

// renderSubject returns what the template makes of data, in one line. Of a template
// for one event it is the summary if there are several, and it is never empty.
func (l letter) renderSubject(data connectors.TemplateData) (string, error) {
	text, err := l.subject.Render(data)
	if err != nil {
		return "", fmt.Errorf("subject: %w", err)
	}
	if connectors.OneLine(text) == "" || strings.HasPrefix(text, data.Summary+"\n") {
		text = data.Summary
	}
	return headerText(text), nil
}

// headerText makes one line of s that fits in a header. What looks like an encoded
// word (RFC 2047) would be read as what it encodes, and is broken up.
func headerText(s string) string {
	return connectors.Shorten(strings.ReplaceAll(connectors.OneLine(s), "=?", "= ?"), maxSubject)
}
