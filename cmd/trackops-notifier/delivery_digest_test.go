package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// awaitWindow waits until a window of ten seconds has at least left to run, and
// returns when it ends.
func awaitWindow(t *testing.T, left time.Duration) time.Time {
	t.Helper()
	const length = 10 * time.Second
	var end time.Time
	until(t, "a window begins", length+time.Second, func() bool {
		end = time.Now().Truncate(length).Add(length)
		return time.Until(end) > left
	})
	return end
}

// TestDigests: what happens in a window is one message to each receiver, with what
// differs at its end and is not omitted. The program is killed within the window,
// at its end, and several times while the digest is under way: nothing is lost, and
// what is repeated is the message that was in flight.
func TestDigests(t *testing.T) {
	t.Parallel()
	const hidden = "d0nt-t3ll"
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 3}})
	crm, channel, mail := newInbox(t), r.addSlack(), r.addMail()
	r.connect("CRM", crm.URL)
	names := []string{"crm", "team", "office"}
	for _, name := range names {
		variable := "CONNECTOR_" + strings.ToUpper(name)
		r.env[variable+"_DIGEST"], r.env[variable+"_OMIT"] = "10s", "/ssn"
		r.env[variable+"_RETRY"] = strings.Repeat("100ms,", 20) + "1s"
	}
	r.env["TRACKOPS_RECORD_URL"] = "https://{subdomain}.example.com/{collection}/{id}"
	cmd, log := r.spawn()
	logs := []*syncBuffer{log}
	again := func() {
		cmd, log = r.kill(cmd)
		logs = append(logs, log)
	}
	r.awaitReady(20 * time.Second)
	ids := r.account.IDs("clients")
	back, moved, quiet := ids[0], ids[1], ids[2]
	var before struct{ Name string }
	if err := json.Unmarshal(r.account.Snapshot("clients")[back], &before); err != nil {
		t.Fatal(err)
	}

	end := awaitWindow(t, 7*time.Second)
	r.change(back, map[string]any{"name": "Elsewhere"})
	r.change(moved, map[string]any{"name": "Halfway"})
	r.change(quiet, map[string]any{"ssn": hidden})
	r.awaitStream(3)
	r.change(back, map[string]any{"name": before.Name})
	r.change(moved, map[string]any{"name": "Destination", "ssn": hidden})
	added := r.create(map[string]any{"name": "Newcomer", "ssn": hidden})
	stream := r.awaitStream(6)
	if late := time.Since(end); late > 0 {
		t.Fatalf("the changes took %s too long for the window", late)
	}
	release := crm.stall()
	again()
	early := 0
	until(t, "the window ends", 12*time.Second, func() bool {
		n := len(crm.received()) + len(channel.Received()) + len(mail.Received())
		if time.Now().After(end) {
			return true
		}
		early = n
		return false
	})
	if early > 0 {
		t.Errorf("%d messages before the end of the window", early)
	}
	again()
	until(t, "the digest is told", 15*time.Second, func() bool {
		return len(crm.received()) == 1 && r.counted("team", "digested") == "3" && r.counted("office", "digested") == "3"
	})
	const kills = 3
	for n := range kills {
		again()
		until(t, "it is told again", 15*time.Second, func() bool { return len(crm.received()) == n+2 })
	}
	release()
	for _, name := range names {
		r.awaitIdle(name)
		r.checkLedger(name, stream)
	}
	if got := r.counted("crm", "digested") + " " + r.counted("crm", "muted") + " " + r.counted("crm", "filtered"); got != "3 2 0" {
		t.Errorf("digested, muted and filtered: %s", got)
	}
	r.end(cmd)

	checkDigest(t, crm.received(), stream, moved, added, back)
	if n := len(channel.Received()); n != 1 {
		t.Errorf("%d messages in the channel", n)
	}
	if n := len(mail.Received()); n != 1 {
		t.Errorf("%d mails", n)
	}
	letter := strings.ReplaceAll(string(mail.Received()[0].Body), "=\r\n", "") // quoted-printable
	post := string(channel.Received()[0].Body)
	for _, want := range []string{"Destination", "Newcomer", "acme.example.com/clients/" + moved} {
		if !strings.Contains(post, want) || !strings.Contains(letter, want) {
			t.Errorf("no %s in the post or the mail:\n%s\n%s", want, post, letter)
		}
	}
	shown := post + letter + fmt.Sprint(crm.received())
	for _, log := range logs {
		shown += log.String()
	}
	noSecrets(t, shown, hidden, "Halfway", "Elsewhere")
}

// checkDigest checks that all messages are one and the same, the news of two
// records: one that moved and one that is new. It has the ids of all events that it
// stands for, also of the record that came back.
func checkDigest(t *testing.T, messages []message, stream []events.Event, moved, added, back string) {
	t.Helper()
	for _, m := range messages[1:] {
		if m.id != messages[0].id || m.body != messages[0].body {
			t.Errorf("two messages:\n%s %s\n%s %s", messages[0].id, messages[0].body, m.id, m.body)
		}
	}
	var batch []struct {
		IDs string `json:"digestids"`
	}
	var want []string
	for _, e := range stream {
		if slices.Contains([]string{moved, added, back}, e.Data.ID) {
			want = append(want, e.ID)
		}
	}
	if err := json.Unmarshal([]byte(messages[0].body), &batch); err != nil || batch[0].IDs != strings.Join(want, ",") || len(want) != 5 {
		t.Errorf("the ids of the digest are %+v, %v, want %v", batch, err, want)
	}
	net := messages[0].events
	if len(net) != 2 {
		t.Fatalf("the digest tells %v", told(net))
	}
	i := slices.IndexFunc(net, func(e events.Event) bool { return e.Data.ID == moved })
	if i < 0 || find(net, added, events.Created) == nil {
		t.Fatalf("the digest tells %v", told(net))
	}
	if slices.Contains(want, net[i].ID) || !slices.Contains(want, find(net, added, events.Created).ID) {
		t.Errorf("the digest tells %s and %s, want the second one only by its id in the stream, as the first is of two events", net[i].ID, find(net, added, events.Created).ID)
	}
	for _, c := range net[i].Data.Changes {
		if c.Path == "/name" && string(c.To) == `"Destination"` && string(c.From) != `"Halfway"` {
			return
		}
	}
	t.Errorf("the net change is %v", net[i].Data.Changes)
}

// TestQuietHours: what happens in quiet hours waits, across a kill, except what is
// urgent, which takes along what waits of its record. The hours are those of a time
// zone. Without quiet hours the rest is told.
func TestQuietHours(t *testing.T) {
	t.Parallel()
	const zone = "Asia/Kathmandu" // five and three quarters ahead of UTC
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().In(location)
	hours := now.Add(-2*time.Hour).Format("15:04") + "-" + now.Add(2*time.Hour).Format("15:04")

	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 2}})
	crm, utc := newInbox(t), newInbox(t)
	r.connect("CRM", crm.URL, "QUIET_HOURS="+hours, "TIMEZONE="+zone, `URGENT=data.record.name == "Urgent Ltd"`)
	r.connect("UTC", utc.URL, "QUIET_HOURS="+hours)
	cmd, _ := r.spawn()
	r.awaitReady(20 * time.Second)
	ids := r.account.IDs("clients")
	urgent, calm := ids[0], ids[1]
	r.change(urgent, map[string]any{"name": "Not yet"})
	r.change(calm, map[string]any{"name": "Calm"})
	until(t, "it is told where it is not quiet", 10*time.Second, func() bool { return len(utc.events()) == 2 })
	until(t, "it waits where it is", 10*time.Second, func() bool { return r.state("crm").Pending == 2 })
	waiting := find(utc.events(), calm, events.Updated)
	if _, f := r.explained(waiting.ID, "crm"); f.State != statePending || f.Next == nil || time.Until(*f.Next) < time.Hour || time.Until(*f.Next) > 3*time.Hour {
		t.Errorf("explain: %+v, want pending until it is not quiet any more", f)
	}
	cmd, _ = r.kill(cmd)
	r.awaitReady(20 * time.Second)

	r.change(urgent, map[string]any{"name": "Urgent Ltd"})
	until(t, "the urgent change is told", 10*time.Second, func() bool { return len(crm.received()) > 0 && r.state("crm").Pending == 1 })
	got := crm.events()
	if len(got) != 1 || got[0].Data.ID != urgent {
		t.Fatalf("told: %v, want %s only", told(got), urgent)
	}
	for _, c := range got[0].Data.Changes {
		if c.Path == "/name" && (string(c.From) == `"Not yet"` || string(c.To) != `"Urgent Ltd"`) {
			t.Errorf("the change is from %s to %s, want what waited with it", c.From, c.To)
		}
	}
	r.checkResidual("crm")
	r.end(cmd)

	delete(r.env, "CONNECTOR_CRM_QUIET_HOURS")
	delete(r.env, "CONNECTOR_CRM_TIMEZONE")
	delete(r.env, "CONNECTOR_CRM_URGENT")
	r.start()
	until(t, "the rest is told", 10*time.Second, func() bool { return len(crm.received()) == 2 })
	r.awaitIdle("crm")
	if last := crm.events()[1]; last.ID != waiting.ID || len(crm.events()) != 2 {
		t.Errorf("told: %v, want %s at last", told(crm.events()), waiting.ID)
	}
	r.checkLedger("crm", withoutSystem(r.stream()))
}
