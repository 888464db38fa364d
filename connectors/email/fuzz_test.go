package email

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// FuzzMail writes mails about anything and reads them.
func FuzzMail(f *testing.F) {
	f.Add("Acme\r\nBcc: x@evil.example\r\n\r\nbody", "acme", "clients", "office", uint8(1))
	f.Add("<!channel> \x00\u2028é🕵️\u202e=?utf-8?q?=0D=0ABcc:x?=", "a\nb", "c\r\nX-Injected: 1", "o\r\nX-Injected: 1", uint8(3))
	f.Add("\xff\xfe\xc3(", "\xff", "\xff", "\xff", uint8(2))
	f.Add(strings.Repeat("x", 150_000), strings.Repeat("y", 3000), strings.Repeat("z", 3000), strings.Repeat("w", 3000), uint8(0))
	f.Add(strings.Repeat("日本語🕵️", 5000), "שלום", "مرحبا", "\u202e", uint8(2))
	f.Add("\r\n.\r\nMAIL FROM:<x@evil.example>\r\n", "", "", "", uint8(60))
	letters := []letter{testLetter(f, nil, ""), testLetter(f, map[string]string{"SUBJECT": "{{.Title}} {{.Connector}}"}, "")}
	f.Fuzz(func(t *testing.T, name, account, collection, connector string, n uint8) {
		l := letters[n%2]
		l.connector = connector
		m, err := l.write(connectors.Delivery{ID: "id", Events: hostileEvents(t, name, account, collection, int(n%16)+1)})
		if fault.IsPermanent(err) && strings.Contains(err.Error(), "the text would be longer") {
			return // the operator's template repeats more than a mail may hold
		}
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		if err := checkMail(b.Bytes()); err != nil {
			t.Fatalf("%v\n%.3000s", err, b.Bytes())
		}
	})
}

func testLetter(t testing.TB, extra map[string]string, connector string) letter {
	t.Helper()
	all := settingsFor("mail.example.com:25", "none")
	for name, value := range extra {
		all[name] = value
	}
	s := &settings{
		SMTPHost: all["SMTP_HOST"], SMTPTls: all["SMTP_TLS"], From: all["FROM"], To: all["TO"], CC: all["CC"], Subject: all["SUBJECT"],
		Template: all["TEMPLATE"], TemplateFile: all["TEMPLATE_FILE"], HTMLTemplate: all["HTML_TEMPLATE"], HTMLTemplateFile: all["HTML_TEMPLATE_FILE"],
	}
	c, err := build(s, connectors.Env{Name: connector, Version: "1.2.3", Link: func(e events.Event) string { return "https://acme.example/" + e.Data.ID }})
	if err != nil {
		t.Fatal(err)
	}
	return c.letter
}

// hostileEvents are n events in which the texts occur wherever they can.
func hostileEvents(t *testing.T, name, account, collection string, n int) []events.Event {
	t.Helper()
	raw, err := json.Marshal(map[string]string{"name": name, name: name})
	if err != nil {
		t.Fatal(err)
	}
	value, err := json.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	var out []events.Event
	for i := range n {
		e := connectortest.Samples()[i%2].Event
		e.Data.Record, e.Data.Account, e.Data.Collection, e.Data.Message = raw, account, collection, name
		e.Data.Detail = map[string]any{name: name}
		e.Data.ID += fmt.Sprint(i/2) + name[:min(len(name), i)]
		if e.Data.Action == events.Updated {
			e.Data.Changes = []events.Change{{Path: "/" + name, From: value}, {Path: "/name", From: []byte(`"x"`), To: value}}
		}
		out = append(out, e.Stamp("k7q2"))
	}
	return out
}

// checkMail says what is wrong with a mail: it has to be read by others, with no
// header that we did not write, and no line that a server may refuse.
func checkMail(raw []byte) error {
	for line := range bytes.Lines(raw) {
		if len(line) > 1000 || !bytes.HasSuffix(line, []byte("\r\n")) { // RFC 5322 §2.1.1: 998 and the line end
			return fmt.Errorf("a line of %d bytes: %.100q", len(line), line)
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	const known = " From To Cc Subject Message-Id In-Reply-To References List-Id Date User-Agent Auto-Submitted X-Auto-Response-Suppress Mime-Version Content-Type Content-Transfer-Encoding "
	for name, values := range m.Header {
		if !strings.Contains(known, " "+name+" ") || len(values) != 1 {
			return fmt.Errorf("header %s: %.300q", name, values)
		}
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != connectors.OneLine(subject) || subject == "" || utf8.RuneCountInString(subject) > maxSubject {
		return fmt.Errorf("subject %.300q: %w", subject, err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	if kind == "text/plain" {
		return checkPart(m.Body)
	}
	if kind != "multipart/alternative" {
		return fmt.Errorf("a %s", kind)
	}
	reader := multipart.NewReader(m.Body, params["boundary"])
	for _, want := range []string{"text/plain; charset=UTF-8", "text/html; charset=UTF-8"} {
		part, err := reader.NextRawPart()
		if err != nil {
			return err
		}
		if got := part.Header.Get("Content-Type"); got != want {
			return fmt.Errorf("a part of %s, want %s", got, want)
		}
		if err := checkPart(part); err != nil {
			return err
		}
	}
	if _, err := reader.NextRawPart(); err != io.EOF {
		return fmt.Errorf("after the last part: %w", err)
	}
	return nil
}

func checkPart(r io.Reader) error {
	body, err := io.ReadAll(quotedprintable.NewReader(r))
	switch {
	case err != nil:
		return err
	case len(body) == 0 || !utf8.Valid(body):
		return fmt.Errorf("a part of %d bytes, valid UTF-8 %v", len(body), utf8.Valid(body))
	case bytes.ContainsAny(body, "\x00\x1b\u202e"):
		return fmt.Errorf("a part with characters that act")
	}
	return nil
}
