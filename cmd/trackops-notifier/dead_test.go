package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// A grave fills the dead letters of connectors that are no longer configured.
type grave struct {
	t   *testing.T
	bus *bus.Bus
}

// bury leaves a letter for revision r of a record and returns the event's id. One
// without its event is as of an event that was too large.
func (g grave) bury(connector, collection, record string, r, sequence uint64, whole bool) string {
	g.t.Helper()
	e := events.Event{Data: events.Data{Account: "acme", Collection: collection, Action: events.Updated, ID: record, Revision: r}}.Stamp("k7q2")
	encoded, err := e.Encode()
	if err != nil {
		g.t.Fatal(err)
	}
	letter := connectors.DeadLetter{Connector: connector, Reason: "status 500 <no>", Sequence: sequence}
	if whole {
		letter.Event = encoded.Body
	}
	body, err := json.Marshal(letter)
	if err != nil {
		g.t.Fatal(err)
	}
	feed, err := g.bus.Attach(g.t.Context(), connector, []string{encoded.Subject})
	if err != nil {
		g.t.Fatal(err)
	}
	defer feed.Close()
	headers := map[string]string{
		connectors.HeaderReason: letter.Reason, connectors.HeaderAttempts: "3", connectors.HeaderSequence: fmt.Sprint(sequence),
	}
	if err := feed.Bury(g.t.Context(), events.Stored{Sequence: sequence, Subject: encoded.Subject}, e.ID, headers, body); err != nil {
		g.t.Fatal(err)
	}
	return e.ID
}

// replayed returns the ids of the first n events that a connector gets again.
func (g grave) replayed(connector string, n int) []string {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 5*time.Second)
	defer cancel()
	feed, err := g.bus.Attach(ctx, connector, []string{"trackops.acme.clients.updated"})
	if err != nil {
		g.t.Fatal(err)
	}
	defer feed.Close()
	var ids []string
	for range n {
		again, err := feed.Next(ctx)
		if err != nil {
			g.t.Fatalf("replays of %s: %v after %v", connector, err, ids)
		}
		e, err := events.Decode(again.Body)
		if err != nil || again.Replay == 0 {
			g.t.Fatalf("replay %+v: %v", again, err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// deadRig runs a notifier whose connector crm has no letters, beside those of the
// test.
func deadRig(t *testing.T) (*rig, grave) {
	t.Helper()
	r := newRig(t, trackopstest.Options{})
	r.env["CONNECTOR_CRM_TYPE"] = "console"
	r.start()
	r.awaitReady(10 * time.Second)
	cfg, err := loadConfig(r.environ(), kinds())
	if err != nil {
		t.Fatal(err)
	}
	b, err := connectCommand(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return r, grave{t, b}
}

// listed returns what dead list --json shows, as connector/record/revision.
func (r *rig) listed(filters ...string) []string {
	r.t.Helper()
	out, errs, err := r.command(append([]string{"dead", "list", "--json"}, filters...)...)
	if err != nil {
		r.t.Fatalf("dead list %v = %v", filters, err)
	}
	var all []string
	for line := range strings.Lines(out) {
		var l deadLine
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Attempts != 3 || l.Reason != "status 500 <no>" || time.Since(l.GivenUp) > time.Minute {
			r.t.Errorf("dead list --json printed %s, %v", line, err)
		}
		parts := strings.Split(l.EventID, "_")
		all = append(all, strings.Join([]string{l.Connector, l.Collection, l.Record, parts[3]}, "/"))
	}
	if errs != "" {
		r.t.Errorf("dead list %v says %q beside %d letters", filters, errs, len(all))
	}
	return all
}

func TestDeadFilters(t *testing.T) {
	t.Parallel()
	r, g := deadRig(t)
	g.bury("old", "clients", "7", 3, 12, true)
	g.bury("old", "clients", "7", 2, 11, true)
	g.bury("old", "case_updates", "7", 2, 13, true)
	large := g.bury("old", "clients", "a b", 2, 14, false)
	both := g.bury("older", "clients", "8", 5, 15, true)
	g.bury("old", "clients", "8", 5, 15, true)
	all := []string{"old/clients/7/3", "old/clients/7/2", "old/case_updates/7/2", "old/clients//2", "older/clients/8/5", "old/clients/8/5"}
	for _, c := range []struct {
		filters string
		want    []string
	}{
		{"", all}, {"--since 1h", all}, {"--since 2999-01-01T00:00:00Z", nil},
		{"--connector older", all[4:5]}, {"--connector crm", nil},
		{"--collection case_updates", all[2:3]}, {"--collection cases", nil},
		{"--record 7", all[:3]}, {"--record 7 --collection clients", all[:2]}, {"--record 8 --connector old", all[5:]}, {"--record k7q2", nil},
	} {
		if diff := cmp.Diff(c.want, r.listed(strings.Fields(c.filters)...)); diff != "" {
			t.Errorf("dead list %s (-want +got):\n%s", c.filters, diff)
		}
	}
	if diff := cmp.Diff(all[3:4], r.listed("--record", "a b")); diff != "" {
		t.Errorf("the record of a letter without its event (-want +got):\n%s", diff)
	}
	show, _, err := r.command("dead", "show", both, "--connector", "old")
	if err != nil || strings.Count(show, `"reason"`) != 1 || !strings.Contains(show, `"connector": "old"`) {
		t.Errorf("dead show --connector old = %s, %v", show, err)
	}

	if _, errs, err := r.command("dead", "replay", "--connector", "old", "--collection", "clients"); exitCode(err) != exitFailed || !strings.Contains(errs, large+": it was too large") {
		t.Errorf("dead replay = %v\n%s", err, errs)
	}
	want := []string{"acme_clients_7_2_k7q2", "acme_clients_7_3_k7q2", both}
	if diff := cmp.Diff(want, g.replayed("old", 3)); diff != "" {
		t.Errorf("replayed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(all[2:5], r.listed()); diff != "" {
		t.Errorf("left after the replay (-want +got):\n%s", diff)
	}

	if _, errs, err := r.command("dead", "drop", large, both); err != nil || strings.Count(errs, " is dropped; ") != 2 || !strings.Contains(errs, both+" is dropped; older will") {
		t.Errorf("dead drop = %v\n%s", err, errs)
	}
	if diff := cmp.Diff(all[2:3], r.listed()); diff != "" {
		t.Errorf("left after the drop (-want +got):\n%s", diff)
	}
	for _, want := range []string{"is dropped", "there are no dead letters"} {
		if _, errs, err := r.command("dead", "drop", "all"); err != nil || !strings.Contains(errs, want) {
			t.Errorf("dead drop all = %v, %q, want %q", err, errs, want)
		}
	}
}

// Whatever is wrong with a command, no letter is touched.
func TestDeadCommandsRefuse(t *testing.T) {
	t.Parallel()
	r, g := deadRig(t)
	id := g.bury("old", "clients", "7", 2, 11, true)
	for _, verb := range []string{"replay", "drop"} {
		for args, want := range map[string]int{
			"": exitMisuse, "--json all": exitMisuse, "--connector=": exitMisuse, "--connector=old --record=": exitMisuse,
			"--since yesterday all": exitMisuse, "--connector odl": exitMisuse, "--connector * all": exitMisuse, "--connector > " + id: exitMisuse,
			"acme_clients_9_2_k7q2 " + id: exitFailed, "all " + id: exitFailed, id + " --record 8": exitFailed, id + " --connector crm": exitFailed,
		} {
			_, _, err := r.command(append([]string{"dead", verb}, strings.Fields(args)...)...)
			if exitCode(err) != want {
				t.Errorf("dead %s %s = %v (exit %d), want exit %d", verb, args, err, exitCode(err), want)
			}
			if strings.Contains(args, "odl") && !strings.Contains(fmt.Sprint(err), "did you mean old?") {
				t.Errorf("dead %s %s = %v, want the nearest name", verb, args, err)
			}
		}
	}
	for _, args := range []string{"list " + id, "list all", "show", "show " + id + " " + id, "list --connector crn", "bury"} {
		if _, _, err := r.command(append([]string{"dead"}, strings.Fields(args)...)...); exitCode(err) != exitMisuse {
			t.Errorf("dead %s = %v (exit %d), want a misuse", args, err, exitCode(err))
		}
	}
	if _, _, err := r.command("dead", "show", id, "--connector", "crm"); exitCode(err) != exitFailed {
		t.Errorf("dead show of another connector's letter = %v", err)
	}
	if got := r.listed(); !slices.Equal(got, []string{"old/clients/7/2"}) {
		t.Errorf("letters = %q, want the one there was", got)
	}
}

func TestDeadChoiceByTime(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	choice, err := deadFlags{since: "2h"}.choose("drop", nil, now)
	if err != nil {
		t.Fatal(err)
	}
	for ago, want := range map[time.Duration]bool{time.Hour: true, 2 * time.Hour: true, 2*time.Hour + 1: false} {
		if got := choice.has(bus.DeadLetter{At: now.Add(-ago)}); got != want {
			t.Errorf("--since 2h takes a letter of %s ago: %v, want %v", ago, got, want)
		}
	}
	var m misuse
	if _, err := (deadFlags{}).choose("drop", nil, now); !errors.As(err, &m) {
		t.Errorf("drop of nothing in particular = %v, want a misuse", err)
	}
}
