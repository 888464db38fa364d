package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// TestFallback: while two receivers refuse everything, each one's fallback gets
// the events, in order and once, also when the program is killed meanwhile, and a
// third receiver hears of it. On return one of them is sent everything, and the
// other each record's latest. Then one says that it is gone for good: it stays
// parked across a kill, and gets what waits when it is resumed.
func TestFallback(t *testing.T) {
	t.Parallel()
	const hidden = "d0nt-t3ll"
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 2}})
	all, latest, forAll, forLatest, ops := newInbox(t), newInbox(t), newInbox(t), newInbox(t), newInbox(t)
	retry := "RETRY=" + strings.Repeat("500ms,", 60) + "1s"
	r.connect("ALL", all.URL+"/s3cret-path", retry, "FALLBACK=for-all", "FALLBACK_AFTER=1s")
	r.connect("LATEST", latest.URL, retry, "FALLBACK=for-latest", "FALLBACK_AFTER=1s", "CATCHUP=latest", "OMIT=/ssn")
	r.connect("FOR_ALL", forAll.URL, "EVENTS=clients.restored")
	r.connect("FOR_LATEST", forLatest.URL, "EVENTS=clients.restored")
	r.connect("OPS", ops.URL, "EVENTS=system.connector_failing,system.connector_recovered")
	cmd, log := r.spawn()
	logs := []*syncBuffer{log}
	again := func() {
		cmd, log = r.kill(cmd)
		logs = append(logs, log)
		r.awaitReady(20 * time.Second)
	}
	r.awaitReady(20 * time.Second)
	ids := r.account.IDs("clients")
	change := func(name string) {
		for _, id := range ids {
			r.change(id, map[string]any{"name": name, "ssn": hidden + name})
		}
	}

	settled := func() {
		for _, name := range []string{"for-all", "for-latest", "ops"} {
			r.awaitIdle(name)
		}
	}

	all.answer(http.StatusForbidden)
	latest.answer(http.StatusServiceUnavailable) // nobody has to mend that at once
	change("one")
	r.awaitStream(2)
	until(t, "the fallbacks are given the first", 15*time.Second, func() bool { return len(forAll.events()) == 2 && len(forLatest.events()) == 2 })
	change("two")
	r.awaitStream(4)
	settled() // what is in flight in a kill may come twice
	again()
	change("three")
	stream := r.awaitStream(6)
	until(t, "the fallbacks are given the rest", 20*time.Second, func() bool { return len(forAll.events()) >= 6 && len(forLatest.events()) >= 6 })
	until(t, "it is known that one fails", 15*time.Second, func() bool { return system(ops, events.ConnectorFailing, "all") == 1 })
	settled()
	r.end(cmd)
	all.answer(0)
	latest.answer(0)
	again()
	for _, name := range []string{"all", "latest", "for-all", "for-latest", "ops"} {
		r.awaitIdle(name)
		r.checkResidual(name)
	}
	until(t, "it is known that it is well", 15*time.Second, func() bool { return system(ops, events.ConnectorRecovered, "all") == 1 })
	for name, box := range map[string]*inbox{"all": all, "for-all": forAll, "for-latest": forLatest} {
		checkOrder(t, box.events())
		if got := len(box.events()); got != 6 {
			t.Errorf("%s has %d events, want 6: %v", name, got, told(box.events()))
		}
	}
	checkLatest(t, latest.events(), ids, 4, 2)
	r.checkLedger("all", stream)
	r.checkLedger("latest", stream)

	change("four")
	r.awaitStream(8)
	until(t, "they go the usual way again", 10*time.Second, func() bool { return len(all.events()) == 8 })
	r.awaitIdle("latest")

	all.answer(http.StatusGone)
	latest.answer(http.StatusGone)
	change("five")
	until(t, "they are parked", 10*time.Second, func() bool {
		return r.state("all").State == string(connectors.Parked) && r.state("latest").State == string(connectors.Parked)
	})
	until(t, "it is known", 10*time.Second, func() bool {
		return system(ops, events.ConnectorFailing, "all") == 2 && system(ops, events.ConnectorFailing, "latest") == 1
	})
	settled()
	again()
	change("six")
	r.awaitStream(12)
	change("seven")
	stream = r.awaitStream(14)
	until(t, "the fallbacks are given all", 20*time.Second, func() bool { return len(forAll.events()) == 12 && len(forLatest.events()) == 12 })
	lent := stream[len(stream)-1].ID
	if _, f := r.explained(lent, "all"); !strings.HasPrefix(f.Held, "parked for ") || !strings.Contains(f.Held, "trackops-notifier resume all") {
		t.Errorf("explain: %+v, want that it is parked, and what to do", f)
	}
	if out, _, err := r.command("explain", lent, "for-all"); err != nil || !strings.Contains(out, ", as the fallback of all") || strings.Contains(out, "replay") {
		t.Errorf("explain = %s, %v, want that it stands in for all", out, err)
	}
	if c := r.state("all"); c.State != string(connectors.Parked) || c.Pending != 6 || !strings.Contains(c.Reason, "410") {
		t.Errorf("after a kill: %+v, want parked", c)
	}
	refusals := all.refusals()
	all.answer(0)
	latest.answer(0)
	for _, name := range []string{"all", "latest"} {
		if _, errs, err := r.command("resume", name); err != nil {
			t.Fatal(err, errs)
		}
		r.awaitIdle(name)
		r.checkLedger(name, stream)
	}
	checkOrder(t, all.events())
	if got := len(all.events()); got != 14 || all.refusals() != refusals {
		t.Errorf("all has %d events, want 14, and %d refusals more, want none", got, all.refusals()-refusals)
	}
	checkLatest(t, latest.events(), ids, 8, 5)
	checkLatest(t, forAll.events(), ids, 8, 6)
	for _, name := range []string{"for-all", "for-latest", "ops"} {
		r.awaitIdle(name)
		r.checkResidual(name)
	}
	r.end(cmd)
	for _, box := range []*inbox{latest, forLatest, ops} {
		for _, m := range box.received() {
			noSecrets(t, m.body, hidden, "s3cret-path")
		}
	}
	for _, log := range logs {
		noSecrets(t, log.String(), hidden, "s3cret-path")
	}
}

// system counts the events about a connector that an inbox got.
func system(b *inbox, action events.Action, connector string) int {
	n := 0
	for _, e := range b.events() {
		if e.Data.Action == action && e.Data.ID == connector {
			n++
		}
	}
	return n
}

// checkLatest checks that of each record the events came in order and once, the one
// of the last revision at the end, and at most so many in all.
func checkLatest(t *testing.T, got []events.Event, ids []string, last uint64, most int) {
	t.Helper()
	for _, id := range ids {
		var revisions []uint64
		for _, e := range got {
			if e.Data.ID == id {
				revisions = append(revisions, e.Data.Revision)
			}
		}
		if n := len(revisions); n == 0 || n > most || revisions[n-1] != last || !slices.IsSorted(revisions) || len(slices.Compact(revisions)) != n {
			t.Errorf("of %s came the revisions %v, want %d of them, rising to %d", id, revisions, most, last)
		}
	}
}
