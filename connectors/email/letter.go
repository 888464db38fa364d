package email

import (
	"bytes"
	"fmt"
	htmltemplate "html/template"
	"net/mail"
	"strings"
	texttemplate "text/template"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// What a mail shows. Above these it says what it left out.
const (
	maxSubject = 200
	maxLabel   = 120
	maxValue   = 5000
	maxLines   = 100 // changes or facts of one event
	maxEvents  = 50
)

// A letter writes mails. It is safe for concurrent use.
type letter struct {
	from      *mail.Address
	to, cc    []string
	subject   string // of every mail, if not ""
	userAgent string
	text      *texttemplate.Template
	html      *htmltemplate.Template
	now       func() time.Time
}

func newLetter(from *mail.Address, to, cc []*mail.Address, subject, userAgent string) (letter, error) {
	l := letter{from: from, subject: subject, userAgent: userAgent, now: time.Now}
	for _, a := range to {
		l.to = append(l.to, a.String())
	}
	for _, a := range cc {
		l.cc = append(l.cc, a.String())
	}
	var err error
	if l.text, err = texttemplate.New("text").Parse(textBody); err != nil {
		return letter{}, err
	}
	l.html, err = htmltemplate.New("html").Parse(htmlBody)
	return l, err
}

// write makes the mail of a delivery. Its Message-ID is that of the delivery, so
// that a repetition can be recognised as one (RFC 5322 §3.6.4).
func (l letter) write(d connectors.Delivery) (*gomail.Msg, error) {
	if !isPlainID(d.ID) {
		return nil, fault.Permanent(fmt.Errorf("write mail: delivery id %q cannot be in a Message-ID", d.ID))
	}
	v, err := viewOf(d.Events)
	if err != nil {
		return nil, err
	}
	var text, html bytes.Buffer
	if err := l.text.Execute(&text, v); err != nil {
		return nil, fault.Permanent(fmt.Errorf("write mail: %w", err))
	}
	if err := l.html.Execute(&html, v); err != nil {
		return nil, fault.Permanent(fmt.Errorf("write mail: %w", err))
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := m.From(l.from.String()); err != nil {
		return nil, fmt.Errorf("write mail: sender: %w", err)
	}
	if err := m.To(l.to...); err != nil {
		return nil, fmt.Errorf("write mail: recipients: %w", err)
	}
	if err := m.Cc(l.cc...); err != nil {
		return nil, fmt.Errorf("write mail: recipients of copies: %w", err)
	}
	if l.subject != "" {
		v.Subject = l.subject
	}
	m.Subject(v.Subject)
	m.SetMessageIDWithValue(d.ID + "@" + domain(l.from.Address))
	m.SetDateWithValue(l.now())
	m.SetGenHeader(gomail.HeaderUserAgent, l.userAgent)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no out-of-office replies
	m.SetBodyString(gomail.TypeTextPlain, text.String())
	m.AddAlternativeString(gomail.TypeTextHTML, html.String())
	return m, nil
}

// isPlainID reports whether id is of [A-Za-z0-9_-]+, as event ids are.
func isPlainID(id string) bool {
	return id != "" && strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// domain is the right side of an address, if it can be one of a Message-ID.
func domain(address string) string {
	d := address[strings.LastIndexByte(address, '@')+1:]
	if d == "" || strings.ContainsFunc(d, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "trackops-notifier.invalid"
	}
	return d
}

// A view is what the templates see: texts, each on its own and of bounded length.
type view struct {
	Subject string
	Events  []eventView
	More    string // about the events left out
}

type eventView struct {
	Headline, Note, Stamp, Place string
	Changes                      []connectors.Changed
	Facts                        []connectors.Fact
	More                         string // about the lines left out
}

func viewOf(all []events.Event) (view, error) {
	var v view
	for i, e := range all {
		if i == maxEvents {
			v.More = "… and " + connectors.Count(len(all)-i) + " more events"
			break
		}
		m, err := connectors.NewMessage(e)
		if err != nil {
			return view{}, err
		}
		if i == 0 {
			v.Subject = connectors.Shorten(connectors.OneLine("["+e.Data.Account+"] "+m.Headline()), maxSubject)
		}
		v.Events = append(v.Events, viewOfOne(m))
	}
	if n := len(all) - 1; n > 0 {
		v.Subject += fmt.Sprintf(" (+%s)", connectors.Count(n))
	}
	return v, nil
}

func viewOfOne(m connectors.Message) eventView {
	v := eventView{
		Headline: connectors.Shorten(m.Headline(), maxSubject),
		Note:     connectors.Shorten(m.Note, maxValue),
		Stamp:    m.Stamp(), Place: connectors.Shorten(m.Place(), maxSubject),
	}
	if connectors.OneLine(m.Note) == m.Headline() && len(m.Headline()) <= maxSubject {
		v.Note = "" // an operational event's headline
	}
	for _, c := range m.Changes[:min(len(m.Changes), maxLines)] {
		from, to := connectors.Contrast(c.From, c.To, maxValue)
		v.Changes = append(v.Changes, connectors.Changed{
			Label: connectors.Shorten(c.Label, maxLabel),
			From:  connectors.Shorten(from, maxValue), To: connectors.Shorten(to, maxValue),
		})
	}
	for _, f := range m.Facts[:min(len(m.Facts), maxLines)] {
		v.Facts = append(v.Facts, connectors.Fact{Label: connectors.Shorten(f.Label, maxLabel), Value: connectors.Shorten(f.Value, maxValue)})
	}
	switch changes, facts := len(m.Changes)-len(v.Changes), len(m.Facts)-len(v.Facts); {
	case changes > 0:
		v.More = "… and more changes: " + connectors.Count(changes)
	case facts > 0:
		v.More = "… and more fields: " + connectors.Count(facts)
	}
	return v
}

const textBody = `{{range $i, $e := .Events}}{{if $i}}
----------------------------------------

{{end}}{{.Headline}}
{{with .Note}}
{{.}}
{{end}}{{if .Changes}}
{{range .Changes}}{{.Label}}: {{.From}} → {{.To}}
{{end}}{{end}}{{if .Facts}}
{{range .Facts}}{{.Label}}: {{.Value}}
{{end}}{{end}}{{with .More}}{{.}}
{{end}}
{{.Stamp}}
{{.Place}}
{{end}}{{with .More}}
{{.}}
{{end}}`

const htmlBody = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{{.Subject}}</title></head>
<body style="font-family: sans-serif; color: #222">
{{range .Events}}<h2 style="font-size: 1.1em">{{.Headline}}</h2>
{{with .Note}}<p style="white-space: pre-wrap">{{.}}</p>
{{end}}{{if .Changes}}<table cellpadding="4" style="border-collapse: collapse">
<tr align="left"><th>Field</th><th>Before</th><th>After</th></tr>
{{range .Changes}}<tr valign="top"><td>{{.Label}}</td><td style="white-space: pre-wrap; color: #a00">{{.From}}</td><td style="white-space: pre-wrap; color: #060">{{.To}}</td></tr>
{{end}}</table>
{{end}}{{if .Facts}}<table cellpadding="4" style="border-collapse: collapse">
{{range .Facts}}<tr valign="top"><td>{{.Label}}</td><td style="white-space: pre-wrap">{{.Value}}</td></tr>
{{end}}</table>
{{end}}{{with .More}}<p>{{.}}</p>
{{end}}<p style="color: #777; font-size: 0.9em">{{.Stamp}}<br>{{.Place}}</p>
{{end}}{{with .More}}<p>{{.}}</p>
{{end}}</body>
</html>
`
