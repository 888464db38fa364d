package main

import (
	"fmt"
	"regexp"
	"testing"
	"time"
)

// What the message says can be kept is accepted when it is taken at its word,
// for one account as for several, and half of it is not.
func TestTheMaxAgeThatCanBeKeptIsAccepted(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`([0-9hms.]+) can be kept`)
	for name, environ := range map[string][]string{
		"all collections":       base(),
		"one collection":        base("POLL_COLLECTIONS=clients", "TRACKOPS_API_RATE=1"),
		"a slow pace":           base("TRACKOPS_API_RATE=0.01"),
		"much for sweeps":       base("POLL_SWEEP_SHARE=0.5"),
		"one collection added":  base("COLLECTION_NOTES_PATH=notes"),
		"one of two accounts":   several(),
		"the lowest share":      base("POLL_SWEEP_SHARE=0.01"),
		"a collection per word": base("POLL_COLLECTIONS=clients,cases,invoices"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			errs := mistakes(t, append(environ, "POLL_MAX_AGE=1ms"))
			found := named.FindStringSubmatch(errs.Error())
			if len(errs) != 1 || errs[0].Variable != "POLL_MAX_AGE" || found == nil {
				t.Fatalf("message names nothing that can be kept:\n%v", errs)
			}
			kept, err := time.ParseDuration(found[1])
			if err != nil {
				t.Fatal(err)
			}
			if c := load(t, append(environ, "POLL_MAX_AGE="+kept.String())); c.Poll.MaxAge != kept {
				t.Errorf("POLL_MAX_AGE=%s gives %s", kept, c.Poll.MaxAge)
			}
			mistakes(t, append(environ, fmt.Sprintf("POLL_MAX_AGE=%s", kept/3)))
		})
	}
}

func TestTheBoundsOfTheSweepShareAreAccepted(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]float64{"0.01": 0.01, "0.5": 0.5, "5e-2": 0.05} {
		if c := load(t, base("POLL_SWEEP_SHARE="+value)); c.Poll.SweepShare != want {
			t.Errorf("POLL_SWEEP_SHARE=%s gives %v, want %v", value, c.Poll.SweepShare, want)
		}
	}
}

// The poller gets what was asked for: it refuses what cannot be kept, as no
// other part does.
func TestThePollerIsTold(t *testing.T) {
	t.Parallel()
	c := load(t, base("DATA_DIR="+t.TempDir(), "NATS_LISTEN=off", "POLL_MAX_AGE=7m", "POLL_SWEEP_SHARE=0.25"))
	n := openTestNotifier(t, c)
	for _, p := range n.pollers {
		if p.MaxAge != 7*time.Minute || p.SweepShare != 0.25 {
			t.Errorf("poller of %s has %s and %v", p.Account, p.MaxAge, p.SweepShare)
		}
	}
	for _, s := range n.statuses() {
		if s.MaxAge != 7*time.Minute {
			t.Errorf("%s may become %s old", s.Collection, s.MaxAge)
		}
	}
}
