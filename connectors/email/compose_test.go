package email

import (
	"bytes"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gomail "github.com/wneessen/go-mail"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
)

func TestSubject(t *testing.T) {
	client, other := connectortest.Samples()[0].Event, connectortest.Samples()[4].Event
	for _, c := range []struct {
		name, setting string
		events        []events.Event
		want          string
	}{
		{"ours", "", []events.Event{client}, "[acme] New client: Smith & Sons <Investigations>"},
		{"ours, of several", "", []events.Event{client, other}, "2 changes in acme, 09:30 UTC"},
		{"fixed", "Trackops: änderung", []events.Event{client}, "Trackops: änderung"},
		{"fixed, of several", "Trackops: änderung", []events.Event{client, other}, "Trackops: änderung"},
		{"template", "{{.Verb}} {{.Title}} by {{.Connector}}", []events.Event{client}, "created Smith & Sons <Investigations> by office"},
		{"template for one, of several", "{{.Verb}} {{.Title}}", []events.Event{client, other}, "2 changes in acme, 09:30 UTC"},
		{"template for several", "{{.Summary}}, {{len .Messages}} in all", []events.Event{client, other}, "2 changes in acme, 09:30 UTC, 2 in all"},
		{"empty template", "{{if false}}x{{end}}", []events.Event{client}, "New client: Smith & Sons <Investigations>"},
		{"template of lines", `{{.Title}}{{"\r\nBcc: x@evil.example"}}`, []events.Event{client}, "Smith & Sons <Investigations> Bcc: x@evil.example"},
		{"encoded word", `{{"=?utf-8?q?a?="}}`, []events.Event{client}, "= ?utf-8?q?a?="},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := testLetter(t, map[string]string{"SUBJECT": c.setting}, "office").write(deliveryOf(c.events...))
			if err != nil {
				t.Fatal(err)
			}
			got, err := new(mime.WordDecoder).DecodeHeader(m.GetGenHeader(gomail.HeaderSubject)[0])
			if err != nil || got != c.want {
				t.Errorf("subject = %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestTemplates(t *testing.T) {
	e := connectortest.Samples()[0].Event
	file := filepath.Join(t.TempDir(), "mail.tmpl")
	if err := os.WriteFile(file, []byte("<p>{{.Title}}</p>"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		settings map[string]string
		text     string // in the text part
		html     string // in the HTML part; "" is none
	}{
		{"none", nil, "Website: https://smith.example/?a=1&b=2", "Smith &amp; Sons"},
		{"text", map[string]string{"TEMPLATE": "New: {{.Title}}"}, "New: Smith & Sons <Investigations>", ""},
		{"HTML", map[string]string{"HTML_TEMPLATE": "<b>{{.Title}}</b>"}, "New client: Smith & Sons", "<b>Smith &amp; Sons &lt;Investigations&gt;</b>"},
		{"both", map[string]string{"TEMPLATE": "New: {{.Title}}", "HTML_TEMPLATE": "<b>{{.Title}}</b>"}, "New: Smith & Sons <", "<b>Smith &amp; Sons &lt;"},
		{"blank text", map[string]string{"TEMPLATE": "{{if false}}x{{end}}\n"}, "Website: https://smith.example/?a=1&b=2", "Smith &amp; Sons"},
		{"blank text and HTML", map[string]string{"TEMPLATE": "{{if false}}x{{end}}\n", "HTML_TEMPLATE": "<b>{{.Title}}</b>"}, "New client: Smith & Sons", "<b>Smith &amp; Sons"},
		{"text and blank HTML", map[string]string{"TEMPLATE": "New: {{.Title}}", "HTML_TEMPLATE": "{{if false}}x{{end}}\n"}, "New: Smith & Sons <", ""},
		{"file", map[string]string{"HTML_TEMPLATE_FILE": file}, "New client", "<p>Smith &amp; Sons &lt;Investigations&gt;</p>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := testLetter(t, c.settings, "office").compose(deliveryOf(e))
			if err != nil || !strings.Contains(got.text, c.text) || !strings.Contains(got.html, c.html) || (got.html == "") != (c.html == "") {
				t.Errorf("compose = %+v, %v; want the texts %q and %q", got, err, c.text, c.html)
			}
			m, err := testLetter(t, c.settings, "office").write(deliveryOf(e))
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if _, err := m.WriteTo(&b); err != nil {
				t.Fatal(err)
			}
			if err := checkMail(b.Bytes()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPreview(t *testing.T) {
	c := connect(t, settingsFor("mail.example.com:25", "none"))
	text, err := c.Preview(deliveryOf(connectortest.Samples()[0].Event))
	if err != nil {
		t.Fatal(err)
	}
	if err := checkMail([]byte(text)); err != nil || strings.Contains(text, password) || !strings.Contains(text, "Message-ID: <acme_clients_1042_1_k7q2@example.com>") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestTheServersAnswerIsReported(t *testing.T) {
	for name, c := range map[string]struct {
		script connectortest.SMTPAnswer
		want   string
	}{
		"accepted":      {connectortest.SMTPAnswer{}, "250 2.0.0 OK: queued"},
		"refused":       {connectortest.SMTPAnswer{Stage: connectortest.AtRcpt, Code: 550, Text: "no such user"}, "550 5.1.1 no such user"},
		"one refused":   {connectortest.SMTPAnswer{Stage: connectortest.AtRcpt, Rcpt: "boss@example.com", Code: 550, Text: "no"}, "250 2.0.0 OK: queued"},
		"with a secret": {connectortest.SMTPAnswer{Stage: connectortest.AtData, Code: 554, Text: "no " + password}, "554 5.1.1 no [redacted]"},
		"no answer":     {connectortest.SMTPAnswer{Stage: connectortest.AtMail, HangUp: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			remote := connectortest.SMTP(t, connectortest.SMTPOptions{User: user, Password: password})
			remote.Script(c.script)
			var got []connectors.Answer
			d := deliveryOf(connectortest.Samples()[0].Event).OnAnswer(func(a connectors.Answer) { got = append(got, a) })
			_ = connect(t, settingsFor(remote.Addr(), "none")).Deliver(t.Context(), d) // its error is another test's
			if c.want == "" && got != nil || c.want != "" && (len(got) != 1 || got[0].Text != c.want || got[0].Status != 0) {
				t.Errorf("answers %+v, want %q", got, c.want)
			}
		})
	}
}
