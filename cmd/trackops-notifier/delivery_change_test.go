package main

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// forget takes the variables of a connector out of the environment and returns them.
func (r *rig) forget(name string) map[string]string {
	variables := map[string]string{}
	for variable, value := range r.env {
		if strings.HasPrefix(variable, "CONNECTOR_"+name+"_") {
			variables[variable] = value
			delete(r.env, variable)
		}
	}
	return variables
}

// TestConnectorsComeAndGo: two that share a channel share its pace; one of another
// type has what its predecessor left; one that was away has what it missed; one of
// a new name begins with what is new.
func TestConnectorsComeAndGo(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 1}})
	old, renamed, away := newInbox(t), newInbox(t), newInbox(t)
	r.connect("OLD", old.URL)
	r.connect("AWAY", away.URL)
	r.connect("SCREEN", away.URL+"/s3cret-path", "RETRY=1h", "EVENTS=clients.deleted,clients.created")
	channel := r.addSlack()
	r.env["CONNECTOR_SALES_TYPE"], r.env["CONNECTOR_SALES_WEBHOOK_URL"] = "slack", r.env["CONNECTOR_TEAM_WEBHOOK_URL"]
	p := r.start()
	r.awaitReady(15 * time.Second)
	away.answer(http.StatusServiceUnavailable)
	first, second := r.create(nil), r.create(nil)
	until(t, "the channel has everything", 15*time.Second, func() bool { return len(channel.Received()) == 4 && len(old.events()) == 2 })
	checkPace(t, channel.Received(), time.Second)
	until(t, "two wait", 10*time.Second, func() bool { return r.state("screen").State == "failing" && r.state("away").State == "failing" })
	stopClean(t, p)

	left := r.forget("AWAY")
	r.forget("OLD")
	r.forget("SCREEN")
	r.connect("RENAMED", renamed.URL)
	r.env["CONNECTOR_SCREEN_TYPE"] = "console"
	p = r.start()
	r.awaitReady(15 * time.Second)
	if _, errs, err := r.command("resume", "screen"); err != nil || !strings.Contains(errs, "2 events wait, to be tried now") {
		t.Errorf("resume = %q, %v", errs, err)
	}
	until(t, "the new type has what was left", 10*time.Second, func() bool {
		return strings.Contains(p.stdout.String(), first) && strings.Contains(p.stdout.String(), second)
	})
	third := r.create(nil)
	awaitEvents(t, renamed, third)
	r.awaitIdle("screen")
	stopClean(t, p)
	if len(renamed.events()) != 1 {
		t.Errorf("of the new name: %v", told(renamed.events()))
	}

	maps.Copy(r.env, left)
	away.answer(0)
	p = r.start()
	r.awaitReady(15 * time.Second)
	awaitEvents(t, away, first, second, third)
	r.awaitIdle("away")
	r.awaitIdle("screen")
	stream := withoutSystem(r.stream())
	for _, name := range []string{"away", "screen", "renamed", "team", "sales"} {
		r.checkResidual(name)
	}
	r.checkLedger("away", stream)
	r.checkLedger("screen", stream)
	checkOrder(t, away.events())
	stopClean(t, p)
	if strings.Contains(p.stdout.String(), first) {
		t.Error("the screen shows again what it showed before")
	}
	if len(old.events()) != 2 {
		t.Errorf("what is not configured got %v", told(old.events()))
	}
}

// awaitEvents waits until an inbox has the news of new clients.
func awaitEvents(t *testing.T, b *inbox, ids ...string) {
	t.Helper()
	for _, id := range ids {
		until(t, "client "+id, 15*time.Second, func() bool { return find(b.events(), id, events.Created) != nil })
	}
}

// checkPace checks that no two requests came closer than that.
func checkPace(t *testing.T, all []connectortest.Received, apart time.Duration) {
	t.Helper()
	slices.SortFunc(all, func(a, b connectortest.Received) int { return a.At.Compare(b.At) })
	for i := 1; i < len(all); i++ {
		if gap := all[i].At.Sub(all[i-1].At); gap < apart {
			t.Errorf("messages %d and %d came %s apart, want %s", i, i+1, gap, apart)
		}
	}
}
