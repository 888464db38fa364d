package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// TestOmittedNowhere: what a connector must not be given occurs in no message, log,
// attempt or dead letter, and in no command's output about it, though a filter may
// ask for it, and though the receiver repeats what it was sent. An update of that
// alone is not sent.
func TestOmittedNowhere(t *testing.T) {
	t.Parallel()
	const hidden = "d0nt-t3ll"
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 2}})
	dead := connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 500, Echo: true})
	few := connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 200, Echo: true})
	channel, mail := r.addSlack(), r.addMail()
	omit := "OMIT=/ssn,/contacts/*/phone,/plain"
	r.connect("DEAD", "http://"+dead.Addr(), omit, "RETRY=10ms", `FILTER=data.record.ssn contains "d0nt"`)
	r.connect("FEW", "http://"+few.Addr(), "FIELDS=/name,/contacts/*/name")
	r.env["CONNECTOR_SCREEN_TYPE"] = "console"
	for _, name := range []string{"SCREEN", "TEAM", "OFFICE"} {
		r.env["CONNECTOR_"+name+"_OMIT"] = strings.TrimPrefix(omit, "OMIT=")
	}
	p := r.start()
	r.awaitReady(15 * time.Second)
	ids := r.account.IDs("clients")
	secrets := func(n int) map[string]any {
		value := fmt.Sprint(hidden, n)
		return map[string]any{
			"ssn": value, "plain": map[string]any{"deep": []any{value}},
			"contacts": []any{map[string]any{"name": "Bo", "phone": value}, map[string]any{"name": "Cy", "phone": value}},
		}
	}
	added := r.create(secrets(0))
	until(t, "it is given up, and told elsewhere", 15*time.Second, func() bool {
		return r.state("dead").Dead == 1 && len(channel.Received()) == 1 && len(mail.Received()) == 1 && len(few.Received()) == 1
	})
	r.change(ids[0], map[string]any{"ssn": hidden})
	r.change(added, secrets(1))
	stream := r.awaitStream(3)
	for _, name := range []string{"dead", "few", "team", "office", "screen"} {
		until(t, name+" is done", 10*time.Second, func() bool { return r.state(name).Pending == 0 })
		r.checkLedger(name, stream)
	}
	r.change(added, map[string]any{"name": "Shown", "ssn": hidden + "2"})
	until(t, "the change is told", 10*time.Second, func() bool {
		return r.state("dead").Dead >= 2 && len(channel.Received()) >= 2 && len(mail.Received()) >= 2 && len(few.Received()) >= 2
	})
	e := find(r.stream(), added, events.Created)

	shown := r.spoken(t, e.ID)
	stopClean(t, p)
	shown += p.stdout.String() + p.stderr.String()
	for _, remote := range []interface {
		Received() []connectortest.Received
	}{dead, few, channel, mail} {
		for _, m := range remote.Received() {
			shown += fmt.Sprint(m.Header) + string(m.Body)
		}
	}
	for _, want := range []string{"Shown", "500 Internal Server Error", "(omitted)", "POST / map["} {
		if !strings.Contains(shown, want) {
			t.Errorf("nothing shows %s", want)
		}
	}
	noSecrets(t, shown, hidden)
	if n := len(channel.Received()) + len(mail.Received()) + len(few.Received()); n != 6 {
		t.Errorf("%d messages to three receivers, want two to each: the change of what is omitted is none", n)
	}
	if !storedIn(t, r.dir, bus.Stream, hidden) {
		t.Error("the stream of events does not hold whole records")
	}
	for _, name := range []string{bus.AttemptsStream, bus.DeadStream} {
		if storedIn(t, r.dir, name, hidden) {
			t.Errorf("the stream %s holds what is omitted", name)
		}
		if !storedIn(t, r.dir, name, e.ID) {
			t.Errorf("the stream %s does not hold %s", name, e.ID)
		}
	}
}

// spoken returns what the commands say of an event and its dead letters.
func (r *rig) spoken(t *testing.T, id string) string {
	t.Helper()
	var all strings.Builder
	say := func(args ...string) string {
		out, errs, err := r.command(args...)
		if err != nil {
			t.Errorf("%s = %v", args, err)
		}
		all.WriteString(out + errs)
		return out
	}
	for line := range strings.Lines(say("dead", "list")) {
		if ref := strings.Fields(line)[0]; strings.Contains(line, "acme_clients") {
			say("dead", "show", ref)
		}
	}
	say("explain", id)
	say("explain", "--json", id)
	say("status")
	for _, name := range []string{"dead", "few", "team", "office", "screen"} {
		say("backtest", name)
	}
	resp, err := http.Get("http://" + r.env["HTTP_LISTEN"] + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return all.String() + body.String() + r.metrics()
}

// storedIn reports whether the files of a stream hold a text.
func storedIn(t *testing.T, dir, stream, text string) bool {
	t.Helper()
	found, files := false, 0
	err := filepath.WalkDir(natsDir(dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, "/streams/"+stream+"/") {
			return err
		}
		content, err := os.ReadFile(path)
		files++
		found = found || bytes.Contains(content, []byte(text))
		return err
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files of the stream %s, %v", files, stream, err)
	}
	return found
}
