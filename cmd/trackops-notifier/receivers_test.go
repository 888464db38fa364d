package main

import (
	"net"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// addSlack declares the connector team, and returns the channel behind it.
func (r *rig) addSlack() *connectortest.HTTPRemote {
	channel := connectortest.HTTP(r.t, connectortest.HTTPAnswer{Status: 200, Body: "ok"})
	r.env["CONNECTOR_TEAM_TYPE"] = "slack"
	r.env["CONNECTOR_TEAM_WEBHOOK_URL"] = "http://" + channel.Addr() + "/services/T0/B0/s3cret-hook"
	return channel
}

// addMail declares the connector office, and returns the mail server behind it.
func (r *rig) addMail() *connectortest.SMTPRemote {
	r.t.Helper()
	server := connectortest.SMTP(r.t, connectortest.SMTPOptions{User: "alerts", Password: "s3cret-mail"})
	host, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		r.t.Fatal(err)
	}
	for name, value := range map[string]string{
		"TYPE": "email", "SMTP_HOST": host, "SMTP_PORT": port, "SMTP_TLS": "none",
		"SMTP_USERNAME": "alerts", "SMTP_PASSWORD": "s3cret-mail",
		"FROM": "Trackops <alerts@example.com>", "TO": "ann@example.com, Bob <bob@example.com>",
	} {
		r.env["CONNECTOR_OFFICE_"+name] = value
	}
	return server
}

// TestFromAccountToSlackAndMail: what a team reads, by variables alone.
func TestFromAccountToSlackAndMail(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 230}, Rate: 1, RateSlack: onTheWay})
	channel, mail := r.addSlack(), r.addMail()
	r.env["CONNECTOR_TEAM_EVENTS"] = "clients.updated"
	r.env["CONNECTOR_OFFICE_EVENTS"] = "clients.updated, clients.deleted"
	p := r.start()
	r.awaitReady(15 * time.Second)
	id := r.account.IDs("clients")[7]
	r.change(id, map[string]any{"name": "Acme <Ltd>"})
	until(t, "one message each", 4*time.Second, func() bool { return len(channel.Received()) == 1 && len(mail.Received()) == 1 })
	r.change(id, map[string]any{"name": "Acme & Sons"})
	until(t, "a second message each", 4*time.Second, func() bool { return len(channel.Received()) == 2 && len(mail.Received()) == 2 })

	post := string(channel.Received()[1].Body)
	for _, want := range []string{"Acme \\u0026lt;Ltd\\u0026gt;", "Acme \\u0026amp; Sons", "→"} {
		if !strings.Contains(post, want) && !strings.Contains(post, strings.ReplaceAll(want, `\u0026`, "&")) {
			t.Errorf("the post lacks %s:\n%s", want, post)
		}
	}
	letter := mail.Received()[1]
	if got := strings.Join(letter.Recipients, " "); got != "ann@example.com bob@example.com" {
		t.Errorf("the mail went to %s", got)
	}
	if got := letter.Header.Get("Subject"); !strings.Contains(got, "Client updated") || !strings.Contains(got, "acme") {
		t.Errorf("subject %q", got)
	}
	if letter.Header.Get("Message-Id") == mail.Received()[0].Header.Get("Message-Id") {
		t.Error("two mails have one Message-Id")
	}
	for _, q := range r.account.Requests() {
		if q.Status != 200 {
			t.Errorf("a request was answered with %d", q.Status)
		}
	}
	stopClean(t, p)
	noSecrets(t, p.stdout.String()+p.stderr.String(), "s3cret-hook", "s3cret-mail", "/services/")
}

// TestHostileRecords: what people and scripts write into fields acts neither on a
// terminal nor on a channel, and long records come whole where they fit.
func TestHostileRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 3}})
	hook, channel := r.addWebhook("CRM"), r.addSlack()
	r.env["CONNECTOR_SCREEN_TYPE"] = "console"
	p := r.start()
	r.awaitReady(10 * time.Second)
	notes := strings.Repeat("\x1b[2J\u009b31m long \u202e<!channel> <https://evil.example|x> & \r\n", 3000)
	id := r.create(map[string]any{
		"name":  "\x1b]0;owned\x07 <!channel> @here *x* \u0000\u0008\u2028\ufeff",
		"notes": notes,
	})
	awaitEvent(t, hook, id, events.Created)
	until(t, "it is on the screen and in the channel", 5*time.Second, func() bool {
		return strings.Contains(p.stdout.String(), "revision") && len(channel.Received()) == 1
	})
	checkTerminal(t, p.stdout.String())
	if body := string(channel.Received()[0].Body); strings.Contains(body, "<!channel>") || strings.Contains(body, `<!channel`) || strings.Contains(body, `\u003c!channel`) {
		t.Errorf("the post calls everybody:\n%s", body)
	}
	if e := find(hook.events(), id, events.Created); len(e.Data.Record) < 100_000 {
		t.Errorf("the record has %d bytes, want all of it", len(e.Data.Record))
	}
	out, _, err := r.command("events")
	if err != nil {
		t.Fatal(err)
	}
	checkTerminal(t, out)
	checkTerminal(t, p.stderr.String())
}

// checkTerminal fails the test if text holds what acts on a terminal.
func checkTerminal(t *testing.T, text string) {
	t.Helper()
	for i, c := range text {
		if c != '\n' && unicode.IsControl(c) || c >= '\u202a' && c <= '\u202e' {
			t.Fatalf("%U at byte %d of %d", c, i, len(text))
		}
	}
}

// TestHostileReceiver: what a receiver answers is shown by commands, and must not
// act on a terminal either.
func TestHostileReceiver(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 3}})
	remote := connectortest.HTTP(t, connectortest.HTTPAnswer{
		Status: 418, Header: map[string]string{"X-Slack-Error": "\u009b31m"}, Body: "\x1b[2J\x1b]0;owned\x07 \u202e" + strings.Repeat("long ", 50_000),
	})
	r.env["CONNECTOR_CRM_TYPE"] = "webhook"
	r.env["CONNECTOR_CRM_URL"] = "http://" + remote.Addr() + "/s3cret-path"
	r.env["CONNECTOR_CRM_RETRY"] = "off"
	p := r.start()
	r.awaitReady(10 * time.Second)
	r.create(nil)
	until(t, "it is given up", 10*time.Second, func() bool {
		report, _ := r.ready()
		return len(report.Connectors) == 1 && report.Connectors[0].Dead == 1
	})
	list, errs, err := r.command("dead", "list")
	if err != nil || !strings.Contains(list, "418") {
		t.Errorf("dead list = %q %s, %v", list, errs, err)
	}
	show, _, err := r.command("dead", "show", strings.Fields(strings.Split(list, "\n")[1])[0])
	if err != nil {
		t.Errorf("dead show = %v", err)
	}
	_, errs, err = r.command("test-send", "crm")
	if err == nil {
		t.Error("test-send = nil, want an error")
	} else {
		errs += err.Error()
	}
	stopClean(t, p)
	all := list + show + errs + p.stdout.String() + p.stderr.String()
	checkTerminal(t, strings.ReplaceAll(all, "\t", " "))
	noSecrets(t, all, "s3cret-path")
}
