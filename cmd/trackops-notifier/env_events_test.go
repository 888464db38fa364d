package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/trackops-notifier/trackops-notifier/events"
	"pgregory.net/rapid"
)

// covers reports whether a NATS subject with * matches another, which may hold *
// as well: whether they overlap.
func covers(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	if len(as) != len(bs) {
		return false
	}
	for i := range as {
		if as[i] != bs[i] && as[i] != "*" && bs[i] != "*" {
			return false
		}
	}
	return true
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	polled := []string{"cases", "clients"}
	for value, want := range map[string]string{
		"*.*":                        "trackops.a.cases.* trackops.a.clients.*",
		"clients.*":                  "trackops.a.clients.*",
		"clients.created,clients.*":  "trackops.a.clients.*",
		"*.created, clients.deleted": "trackops.a.cases.created trackops.a.clients.created trackops.a.clients.deleted",
		"*.created,*.created":        "trackops.a.cases.created trackops.a.clients.created",
		"cases.created,cases.updated,cases.deleted,cases.restored": "trackops.a.cases.*",
		"system.*":                        "trackops.a.system.*",
		"system.dead_lettered":            "trackops.a.system.dead_lettered",
		"*.deleted,system.schema_changed": "trackops.a.cases.deleted trackops.a.clients.deleted trackops.a.system.schema_changed",
	} {
		l := newLoader(nil)
		patterns := l.readPatterns("X", value, polled)
		if got := strings.Join(patterns.Subjects([]string{"a"}, polled), " "); got != want || len(l.errs) > 0 {
			t.Errorf("%s gives %s, want %s (%v)", value, got, want, l.errs)
		}
	}
}

// The subjects match an event exactly when a pattern means it, and never overlap.
func TestSubjectsMeanThePatterns(t *testing.T) {
	t.Parallel()
	universe := []string{"cases", "clients", "case_updates", "files"}
	rapid.Check(t, func(t *rapid.T) {
		polled := rapid.SliceOfNDistinct(rapid.SampledFrom(universe), 1, len(universe), rapid.ID[string]).Draw(t, "polled")
		accounts := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"acme", "globex", "initech"}), 1, 3, rapid.ID[string]).Draw(t, "accounts")
		pattern := rapid.Custom(func(t *rapid.T) string {
			collection := rapid.SampledFrom(append([]string{"*", events.System}, polled...)).Draw(t, "collection")
			action := rapid.SampledFrom(append([]events.Action{"*"}, actionsOf(collection)...)).Draw(t, "action")
			return collection + "." + string(action)
		})
		items := rapid.SliceOfN(pattern, 1, 6).Draw(t, "patterns")
		l := newLoader(nil)
		subjects := l.readPatterns("X", strings.Join(items, ","), polled).Subjects(accounts, polled)
		if len(l.errs) > 0 {
			t.Fatalf("%q: %v", items, l.errs)
		}
		for i, a := range subjects {
			for _, b := range subjects[i+1:] {
				if covers(a, b) {
					t.Fatalf("%q: %s and %s overlap", items, a, b)
				}
			}
		}
		for _, account := range []string{"acme", "globex", "initech"} {
			for _, collection := range append(slices.Clone(universe), events.System) {
				for _, action := range actionsOf(collection) {
					want := slices.Contains(accounts, account) && meant(items, polled, collection, string(action))
					subject := events.Subject(account, collection, action)
					got := slices.ContainsFunc(subjects, func(s string) bool { return covers(s, subject) })
					if got != want {
						t.Fatalf("%q: %s matched %v, want %v by %q", items, subject, got, want, subjects)
					}
				}
			}
		}
	})
}

// meant says independently of the code whether a pattern means an event.
func meant(items, polled []string, collection, action string) bool {
	for _, item := range items {
		var c, a string
		if _, err := fmt.Sscanf(strings.Replace(item, ".", " ", 1), "%s %s", &c, &a); err != nil {
			panic(err)
		}
		inside := c == collection
		if c == "*" {
			inside = slices.Contains(polled, collection)
		}
		if inside && (a == "*" || a == action) {
			return true
		}
	}
	return false
}
