//go:build postfix

// These tests speak to the Postfix that .ci/postfix starts:
//
//	.ci/postfix sh -c 'go test -tags postfix -run Postfix ./connectors/email -postfix-addr $POSTFIX_ADDR -postfix-dir $POSTFIX_DIR'

package email

import (
	"bytes"
	"context"
	"crypto/x509"
	"flag"
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
)

var (
	postfixAddr = flag.String("postfix-addr", "", "host:port of the server")
	postfixDir  = flag.String("postfix-dir", "", "where its certificate, log and mails are")
)

// toPostfix is a connector that sends to the recipients, encrypted.
func toPostfix(t *testing.T, to string) *connector {
	t.Helper()
	settings := settingsFor(*postfixAddr, "starttls")
	settings["SMTP_USERNAME"], settings["SMTP_PASSWORD"], settings["TO"], settings["CC"] = "", "", to, ""
	c := connect(t, settings)
	pem, err := os.ReadFile(filepath.Join(*postfixDir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	c.tls.RootCAs = x509.NewCertPool()
	c.tls.RootCAs.AppendCertsFromPEM(pem)
	return c
}

// eventually waits for what the server does after it answered.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain: %s; the log:\n%s", what, postfixLog(t))
		case <-tick.C:
		}
	}
}

func postfixLog(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(*postfixDir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// arrived returns the mails in a mailbox that have the id, as they were sent.
func arrived(t *testing.T, mailbox, id string) [][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(*postfixDir, "mail", mailbox, "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get("Message-Id") != "<"+id+"@example.com>" {
			continue
		}
		// Above our first header is what servers on the way add.
		ours := raw[bytes.Index(raw, []byte("Auto-Submitted:")):]
		out = append(out, bytes.ReplaceAll(ours, []byte("\n"), []byte("\r\n")))
	}
	return out
}

func TestPostfixTakesABurstOverOneConnection(t *testing.T) {
	c := toPostfix(t, "ops@example.com, boss@example.com")
	samples := connectortest.Samples()[:5]
	for _, s := range samples {
		var answer string
		d := deliveryOf(s.Event).OnAnswer(func(a connectors.Answer) { answer = a.Text })
		if err := c.Deliver(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^250 2\.0\.0 Ok: queued as \w+$`).MatchString(answer) {
			t.Errorf("answer %q, want the queue's id", answer)
		}
	}
	c.spare.take().quit()
	eventually(t, "one connection with five mails", func() bool {
		return regexp.MustCompile(`disconnect from .* starttls=1 mail=5 rcpt=10 data=5 rset=4 quit=1 `).MatchString(postfixLog(t))
	})
	for _, s := range samples {
		for _, mailbox := range []string{"ops", "boss"} {
			eventually(t, "the mail about "+s.Name, func() bool { return len(arrived(t, mailbox, s.Event.ID)) == 1 })
			if err := checkMail(arrived(t, mailbox, s.Event.ID)[0]); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
	}
}

func TestPostfixTakesHostileMails(t *testing.T) {
	c := toPostfix(t, "ops@example.com")
	for i, s := range connectortest.Hostile() {
		d := deliveryOf(s.Event)
		d.ID = fmt.Sprintf("hostile-%d", i)
		if err := c.Deliver(t.Context(), d); err != nil {
			if strings.Contains(err.Error(), "send mail") { // others are records that are not JSON
				t.Errorf("%s: %v", s.Name, err)
			}
			continue
		}
		eventually(t, s.Name, func() bool { return len(arrived(t, "ops", d.ID)) == 1 })
		if err := checkMail(arrived(t, "ops", d.ID)[0]); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}

// deliverByEngine publishes e and lets an engine deliver it. It returns the note of
// every attempt, the last of which settled the event.
func deliverByEngine(t *testing.T, c connectors.Connector, e events.Event) []connectors.Note {
	t.Helper()
	server, err := bus.Start(bus.ServerConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	b, err := server.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Ensure(t.Context(), bus.StreamConfig{}); err != nil {
		t.Fatal(err)
	}
	feed, err := b.Attach(t.Context(), "office", []string{"trackops.>"})
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := e.Encode()
	if err == nil {
		_, err = b.Publish(t.Context(), encoded)
	}
	if err != nil {
		t.Fatal(err)
	}
	notes := make(chan connectors.Note, 10)
	engine := connectors.NewEngine(connectors.Config{
		Name: "office", Connector: c, Feed: feed, Ledger: feed, Graveyard: feed, History: feed.History,
		Retry: []time.Duration{time.Second, time.Second}, Concurrency: 1,
		Observer: connectors.Observer{Attempt: func(n connectors.Note, _ time.Duration) { notes <- n }},
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	var all []connectors.Note
	for {
		select {
		case n := <-notes:
			if all = append(all, n); n.Outcome == connectors.Delivered || n.Next.IsZero() {
				return all
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("not settled; the log:\n%s", postfixLog(t))
		}
	}
}

// A greylisting server refuses for now. The schedule brings the mail again, to that
// recipient alone.
func TestPostfixGreylists(t *testing.T) {
	e := connectortest.Samples()[6].Event
	e.Data.ID = "grey" + fmt.Sprint(time.Now().UnixNano())
	e = e.Stamp("k7q2")
	notes := deliverByEngine(t, toPostfix(t, "ops@example.com, grey@example.com"), e)
	if len(notes) != 2 || !strings.Contains(notes[0].Error, "450 4.2.0") || notes[1].Outcome != connectors.Delivered {
		t.Errorf("attempts %+v, want one that is told to come back and one that is taken", notes)
	}
	for _, mailbox := range []string{"ops", "grey"} {
		eventually(t, "the mail to "+mailbox, func() bool { return len(arrived(t, mailbox, e.ID)) > 0 })
		if n := len(arrived(t, mailbox, e.ID)); n != 1 {
			t.Errorf("%s has it %d times, want once", mailbox, n)
		}
	}
	if n := strings.Count(postfixLog(t), "message-id=<"+e.ID+"@"); n != 2 {
		t.Errorf("the server took the mail %d times, want twice: once for each recipient", n)
	}
}

// A refused recipient keeps the mail from no other, and ends as a dead letter that
// names it.
func TestPostfixRefusesARecipient(t *testing.T) {
	e := connectortest.Samples()[7].Event
	notes := deliverByEngine(t, toPostfix(t, "boss@example.com, gone@example.com"), e)
	if len(notes) != 1 || !strings.Contains(notes[0].Error, "gone@example.com: 550 5.1.1") || notes[0].Outcome == connectors.Delivered {
		t.Errorf("attempts %+v, want one, and that gone@example.com was refused", notes)
	}
	eventually(t, "the mail to the other", func() bool { return len(arrived(t, "boss", e.ID)) == 1 })
}
