package slack

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
)

var update = flag.Bool("update", false, "write the golden files anew")

// recordLink is the pattern of an operator.
func recordLink(e events.Event) string {
	if e.Data.Collection == events.System {
		return ""
	}
	return "https://ops.example/" + e.Data.Collection + "/" + e.Data.ID
}

// samples are all sample events, and how many there are of each.
func sampleEvents() []events.Event {
	var all []events.Event
	for i, s := range connectortest.Samples() {
		s.Event.Time = s.Event.Time.Add(time.Duration(i) * time.Second)
		s.Event.Data.ObservedAt = s.Event.Data.ObservedAt.Add(time.Duration(i) * time.Second)
		all = append(all, s.Event)
	}
	return all
}

func digestOf(all []events.Event, quiet bool) connectors.Delivery {
	d := connectors.Delivery{ID: "digest-1", Events: all, Attempt: 1, Digest: &connectors.Digest{
		From: time.Date(2026, 11, 23, 9, 15, 0, 0, time.UTC), To: time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC), Quiet: quiet,
	}}
	for _, e := range all {
		d.Digest.IDs = append(d.Digest.IDs, e.ID, e.ID+"x")
	}
	return d
}

func TestGolden(t *testing.T) {
	deliveries := map[string]connectors.Delivery{
		"burst":        {ID: "burst-1", Events: sampleEvents(), Attempt: 1},
		"digest":       digestOf(sampleEvents()[:6], false),
		"digest-quiet": digestOf(sampleEvents()[:1], true),
	}
	for _, s := range connectortest.Samples() {
		deliveries[s.Name] = one(s.Event)
	}
	c := connected(t, newFakeSlack(), &settings{BotToken: token, Channel: "#alerts"}, connectors.Env{Link: recordLink})
	for name, d := range deliveries {
		got, err := c.Preview(d)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+".golden.json")
		if *update {
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
}
