package email

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	user     = "notifier@example.com"
	password = "hunter2-s3cret"
)

func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Suite{
		Kind: Kind(),
		Remote: func(t *testing.T) connectortest.Remote {
			return connectortest.SMTP(t, connectortest.SMTPOptions{User: user, Password: password})
		},
		Settings:     func(addr string) map[string]string { return settingsFor(addr, "none") },
		Secrets:      []string{password, "\x00" + user + "\x00" + password},
		ID:           func(r connectortest.Received) string { return r.Header.Get("Message-Id") },
		Check:        func(r connectortest.Received) error { _, _, err := parts(r); return err },
		NoRetryAfter: "a mail server cannot say when to come back",
	})
}

func settingsFor(addr, encryption string) map[string]string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		panic(err) // the address of a listener
	}
	return map[string]string{
		"SMTP_HOST": host, "SMTP_PORT": port, "SMTP_TLS": encryption, "SMTP_USERNAME": user, "SMTP_PASSWORD": password,
		"FROM": "Trackops <alerts@example.com>", "TO": `ops@example.com, "Boss, The" <boss@example.com>`, "CC": "audit@example.com",
	}
}

// parts returns the text and the HTML of a mail, or why it is not one.
func parts(r connectortest.Received) (text, html string, err error) {
	for name, want := range map[string]string{"Auto-Submitted": "auto-generated", "Mime-Version": "1.0"} {
		if got := r.Header.Get(name); got != want {
			return "", "", fmt.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name, values := range r.Header {
		if len(values) != 1 || strings.Contains(name, "Bcc") {
			return "", "", fmt.Errorf("%s: %q", name, values)
		}
	}
	if _, err := mail.ParseDate(r.Header.Get("Date")); err != nil {
		return "", "", err
	}
	for _, name := range []string{"From", "To", "Cc"} {
		if _, err := mail.ParseAddressList(r.Header.Get(name)); err != nil {
			return "", "", fmt.Errorf("%s: %w", name, err)
		}
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(r.Header.Get("Subject"))
	if err != nil || subject == "" || utf8.RuneCountInString(subject) > 250 {
		return "", "", fmt.Errorf("subject %q: %w", subject, err)
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		return "", "", fmt.Errorf("content type %q: %w", kind, err)
	}
	found := map[string]string{}
	for reader := multipart.NewReader(bytes.NewReader(r.Body), params["boundary"]); ; {
		part, err := reader.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", "", err
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			return "", "", err
		}
		found[part.Header.Get("Content-Type")] = strings.ReplaceAll(string(body), "\r\n", "\n")
	}
	text, html = found["text/plain; charset=UTF-8"], found["text/html; charset=UTF-8"]
	if len(found) != 2 || text == "" || html == "" || !utf8.ValidString(text) || strings.Contains(html, "<script") || strings.Contains(html, "<img") {
		return "", "", fmt.Errorf("parts: %v", found)
	}
	return text, html, nil
}

func connect(t *testing.T, settings map[string]string) *connector {
	t.Helper()
	c, err := connectortest.New(t, Kind(), settings, connectors.Env{Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	return c.(*connector)
}

func deliver(t *testing.T, c connectors.Connector, all ...events.Event) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return c.Deliver(ctx, deliveryOf(all...))
}

func deliveryOf(all ...events.Event) connectors.Delivery {
	return connectors.Delivery{ID: all[0].ID, Events: all, Attempt: 1}
}

func TestGolden(t *testing.T) {
	remote := connectortest.SMTP(t, connectortest.SMTPOptions{User: user, Password: password})
	env := connectors.Env{Name: "office", Version: "1.2.3", Link: func(e events.Event) string {
		if e.Data.Collection == events.System {
			return ""
		}
		return "https://acme.viewcases.com/" + e.Data.Collection + "/" + e.Data.ID
	}}
	made, err := connectortest.New(t, Kind(), settingsFor(remote.Addr(), "none"), env)
	if err != nil {
		t.Fatal(err)
	}
	c := made.(*connector)
	c.letter.now = func() time.Time { return time.Date(2026, 11, 23, 9, 30, 5, 0, time.UTC) }
	for i, delivery := range goldenDeliveries() {
		if err := c.Deliver(t.Context(), delivery.Delivery); err != nil {
			t.Fatal(err)
		}
		got := remote.Received()[i]
		text, html, err := parts(got)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, delivery.name+".golden.txt", headers(got.Header)+"\n"+text)
		golden(t, delivery.name+".golden.html", html)
	}
}

type namedDelivery struct {
	name string
	connectors.Delivery
}

// goldenDeliveries are every sample by itself, a burst of all of them, and a
// digest of a quiet night.
func goldenDeliveries() []namedDelivery {
	var out []namedDelivery
	var all, net []events.Event
	var ids []string
	for i, sample := range connectortest.Samples() {
		e := sample.Event
		out = append(out, namedDelivery{sample.Name, connectors.Delivery{ID: e.ID, Events: []events.Event{e}, Attempt: 1}})
		e.Time = e.Time.Add(time.Duration(i) * 20 * time.Second)
		all, ids = append(all, e), append(ids, e.ID)
		if i%5 == 1 {
			net = append(net, e)
		}
	}
	berlin := time.FixedZone("CET", 3600)
	night := &connectors.Digest{
		From: time.Date(2026, 11, 22, 22, 0, 0, 0, berlin), To: time.Date(2026, 11, 23, 7, 0, 0, 0, berlin), IDs: ids, Quiet: true,
	}
	return append(out,
		namedDelivery{"burst", connectors.Delivery{ID: "burst-1", Events: all, Attempt: 1}},
		namedDelivery{"digest", connectors.Delivery{ID: "digest-1", Events: net, Attempt: 1, Digest: night}})
}

func headers(h textproto.MIMEHeader) string {
	var b strings.Builder
	for _, name := range []string{"From", "To", "Cc", "Subject", "Message-Id", "In-Reply-To", "References", "List-Id", "Date", "User-Agent", "Auto-Submitted", "X-Auto-Response-Suppress"} {
		fmt.Fprintf(&b, "%s: %s\n", name, h.Get(name))
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestAnswers(t *testing.T) {
	type answer = connectortest.SMTPAnswer
	for _, c := range []struct {
		name   string
		answer answer
		text   string
	}{
		{"sender refused", answer{Stage: connectortest.AtMail, Code: 550, Text: "not you"}, "550"},
		{"sender busy", answer{Stage: connectortest.AtMail, Code: 421, Text: "closing"}, "421"},
		{"login wanted", answer{Stage: connectortest.AtMail, Code: 530, Text: "login"}, "530"},
		{"recipients refused", answer{Stage: connectortest.AtRcpt, Code: 550, Text: "no such user"}, "recipient ops@example.com: 550"},
		{"recipients greylisted", answer{Stage: connectortest.AtRcpt, Code: 451, Text: "later"}, "451"},
		{"recipients, closing", answer{Stage: connectortest.AtRcpt, Code: 421, Text: "closing"}, "421"},
		{"message refused", answer{Stage: connectortest.AtData, Code: 554, Text: "spam"}, "554"},
		{"message later", answer{Stage: connectortest.AtData, Code: 452, Text: "disk full"}, "452"},
		{"hang-up at the sender", answer{Stage: connectortest.AtMail, HangUp: true}, ""},
		{"hang-up at the recipient", answer{Stage: connectortest.AtRcpt, HangUp: true}, ""},
		{"hostile words", answer{Stage: connectortest.AtData, Code: 554, Text: "a\x1b[2Jb"}, "554"},
	} {
		t.Run(c.name, func(t *testing.T) {
			remote := connectortest.SMTP(t, connectortest.SMTPOptions{User: user, Password: password})
			remote.Script(c.answer)
			err := deliver(t, connect(t, settingsFor(remote.Addr(), "none")), connectortest.Samples()[0].Event)
			if err == nil || fault.IsPermanent(err) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("Deliver = %v, permanent %v; want a temporary error with %q", err, fault.IsPermanent(err), c.text)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("the error holds control characters: %q", err)
			}
		})
	}
}

// One recipient that the server refuses keeps the mail from no other, and those
// who have it do not get it again.
func TestPartialAcceptance(t *testing.T) {
	type answer = connectortest.SMTPAnswer
	remote := connectortest.SMTP(t, connectortest.SMTPOptions{User: user, Password: password})
	c := connect(t, settingsFor(remote.Addr(), "none"))
	e := connectortest.Samples()[0].Event
	remote.Script(
		answer{Stage: connectortest.AtRcpt, Rcpt: "boss@example.com", Code: 451, Text: "later"},
		answer{Stage: connectortest.AtRcpt, Rcpt: "boss@example.com", Code: 550, Text: "gone"},
	)
	if err := deliver(t, c, e); err == nil || fault.IsPermanent(err) || !strings.Contains(err.Error(), "1 of 3") || !strings.Contains(err.Error(), "boss@example.com: 451") {
		t.Errorf("first attempt = %v, want a temporary error about boss", err)
	}
	if err := deliver(t, c, e); !fault.IsPermanent(err) || !strings.Contains(err.Error(), "boss@example.com: 550") {
		t.Errorf("second attempt = %v, want a permanent error about boss", err)
	}
	if err := deliver(t, c, e); err != nil {
		t.Errorf("third attempt = %v, want nil", err)
	}
	var got [][]string
	for _, r := range remote.Received() {
		if r.Accepted {
			got = append(got, r.Recipients)
		}
	}
	if diff := cmp.Diff([][]string{{"ops@example.com", "audit@example.com"}, {"boss@example.com"}}, got); diff != "" {
		t.Errorf("who got the mail (-want +got):\n%s", diff)
	}
	other := connectortest.Samples()[1].Event
	if err := deliver(t, c, other); err != nil {
		t.Fatal(err)
	}
	all := remote.Received()
	if got := all[len(all)-1].Recipients; len(got) != 3 {
		t.Errorf("another delivery went to %v, want everyone", got)
	}
}

// A notebook is a memory that outlives the connector.
type notebook struct {
	notes map[string]string
	away  error
}

func (n *notebook) Remember(_ context.Context, key, value string) error {
	if n.away == nil {
		n.notes[key] = value
	}
	return n.away
}

func (n *notebook) Recall(_ context.Context, key string) (string, error) {
	return n.notes[key], n.away
}

// Who accepted outlives the process, and no address is written down.
func TestPartialSurvivesARestart(t *testing.T) {
	all := []string{"a@example.com", "b@example.com", "c@example.com"}
	book := &notebook{notes: map[string]string{}}
	left := func() []string {
		t.Helper()
		got, err := newPartial(3, book).left(t.Context(), "one", all)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	before := newPartial(3, book)
	if err := before.note(t.Context(), "other", all, true); err != nil || len(book.notes) != 0 {
		t.Errorf("note of what all accepted at once = %v, remembers %v", err, book.notes)
	}
	for _, who := range all[:2] {
		if err := before.note(t.Context(), "one", []string{who}, false); err != nil {
			t.Fatal(err)
		}
	}
	if got := left(); !slices.Equal(got, all[2:]) {
		t.Errorf("left after a restart %v, want %v", got, all[2:])
	}
	if text := fmt.Sprint(book.notes); strings.Contains(text, "example.com") {
		t.Errorf("the memory holds addresses: %s", text)
	}
	book.away = errors.New("no memory")
	if _, err := newPartial(3, book).left(t.Context(), "one", all); err == nil {
		t.Error("left without the memory = nil, want an error: they would get it twice")
	}
	book.away = nil
	if err := before.note(t.Context(), "one", all[2:], true); err != nil {
		t.Fatal(err)
	}
	if got := left(); len(got) != 3 {
		t.Errorf("left once everyone has it %v, want all, for a replay", got)
	}
}

func TestPartialIsBounded(t *testing.T) {
	p := newPartial(3, nil)
	note := func(delivery, got string, everyone bool) {
		if err := p.note(t.Context(), delivery, []string{got}, everyone); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		note(fmt.Sprint(i), "a", false)
	}
	if len(p.accepted) != 3 || len(p.order) != 3 || p.accepted["9"] == nil || p.accepted["6"] != nil {
		t.Errorf("partial holds %v, want the last three", p.order)
	}
	note("8", "b", true)
	if len(p.accepted) != 2 || len(p.order) != 2 {
		t.Errorf("partial holds %v, want two", p.order)
	}
}

func TestEncryption(t *testing.T) {
	web := httptest.NewUnstartedServer(nil) // for its certificate
	web.StartTLS()
	defer web.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(web.Certificate())
	for _, c := range []struct {
		encryption string
		options    connectortest.SMTPOptions
		trust      bool
		want       string // in the error
	}{
		{"starttls", connectortest.SMTPOptions{TLS: web.TLS}, true, ""},
		{"tls", connectortest.SMTPOptions{TLS: web.TLS, Implicit: true}, true, ""},
		{"", connectortest.SMTPOptions{}, true, "STARTTLS"},
		{"starttls", connectortest.SMTPOptions{TLS: web.TLS}, false, "certificate"},
		{"tls", connectortest.SMTPOptions{TLS: web.TLS, Implicit: true}, false, "certificate"},
	} {
		c.options.User, c.options.Password = user, password
		remote := connectortest.SMTP(t, c.options)
		conn := connect(t, settingsFor(remote.Addr(), c.encryption))
		if c.trust {
			conn.tls.RootCAs = trusted
		}
		err := deliver(t, conn, connectortest.Samples()[0].Event)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || fault.IsPermanent(err)) {
			t.Errorf("%q to %+v: Deliver = %v, want %q, temporary", c.encryption, c.options.Implicit, err, c.want)
		}
	}
}

func TestWrongPasswordIsTemporary(t *testing.T) {
	remote := connectortest.SMTP(t, connectortest.SMTPOptions{User: user, Password: "another"})
	err := deliver(t, connect(t, settingsFor(remote.Addr(), "none")), connectortest.Samples()[0].Event)
	if err == nil || fault.IsPermanent(err) || !strings.Contains(err.Error(), "535") || strings.Contains(err.Error(), password) {
		t.Errorf("Deliver = %v, want a temporary error with 535 and without the password", err)
	}
}

func TestAddressesAreCheckedAtDialTime(t *testing.T) {
	err := deliver(t, connect(t, settingsFor("169.254.169.254:25", "none")), connectortest.Samples()[0].Event)
	if !errors.Is(err, connectors.ErrAddressRefused) {
		t.Errorf("Deliver = %v, want %v", err, connectors.ErrAddressRefused)
	}
}

func TestSettings(t *testing.T) {
	base := settingsFor("mail.example.com:2525", "starttls")
	with := func(pairs ...string) map[string]string {
		out := make(map[string]string)
		for k, v := range base {
			out[k] = v
		}
		for i := 0; i < len(pairs); i += 2 {
			out[pairs[i]] = pairs[i+1]
		}
		return out
	}
	for _, c := range []struct {
		settings map[string]string
		want     []string
	}{
		{base, nil},
		{with("SMTP_TLS", "", "SMTP_PORT", "", "CC", "", "SUBJECT", "A fixed subject"), nil},
		{nil, []string{"SMTP_HOST", "FROM", "TO"}},
		{with("SMTP_TLS", "ssl", "SMTP_PORT", "70000"), []string{"SMTP_TLS", "SMTP_PORT"}},
		{with("SMTP_PORT", "0"), []string{"SMTP_PORT"}},
		{with("SMTP_HOST", "mail.example.com:25"), []string{"SMTP_HOST"}},
		{with("SMTP_PASSWORD", ""), []string{"SMTP_PASSWORD"}},
		{with("SMTP_USERNAME", ""), []string{"SMTP_USERNAME"}},
		{with("FROM", "a@example.com, b@example.com"), []string{"FROM"}},
		{with("FROM", "nobody", "TO", "ops@example.com\r\nBcc: x@evil.example", "CC", "@"), []string{"FROM", "TO", "CC"}},
		{with("SUBJECT", "a\r\nBcc: x@evil.example"), []string{"SUBJECT"}},
		{with("SUBJECT", "{{.Title", "TEMPLATE", "{{nothing}}", "HTML_TEMPLATE", "{{if}}"), []string{"TEMPLATE", "HTML_TEMPLATE", "SUBJECT"}},
		{with("TEMPLATE", "a", "TEMPLATE_FILE", "/nowhere/a"), []string{"TEMPLATE"}},
		{with("HTML_TEMPLATE_FILE", os.DevNull), []string{"HTML_TEMPLATE_FILE"}},
	} {
		_, err := connectortest.New(t, Kind(), c.settings, connectors.Env{})
		var got []string
		for _, e := range connectors.SettingErrors(err) {
			got = append(got, e.Setting)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("New(%v) = %v (-want +got):\n%s", c.settings, err, diff)
		}
	}
	for encryption, port := range map[string]int{"": 587, "starttls": 587, "tls": 465, "none": 25} {
		if c := connect(t, with("SMTP_TLS", encryption, "SMTP_PORT", "")); c.port != port {
			t.Errorf("port with %q = %d, want %d", encryption, c.port, port)
		}
	}
}
