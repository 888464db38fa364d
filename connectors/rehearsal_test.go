package connectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/trackops-notifier/trackops-notifier/events"
)

var curtain = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// scene is an event that the stream takes some seconds after the curtain.
func scene(t interface{ Fatal(...any) }, seconds int, record, step string, revision uint64) events.Stored {
	ev := way(step)[0]
	ev.Data.ID, ev.Data.Revision = record, revision
	return stage(t, seconds, ev)
}

func stage(t interface{ Fatal(...any) }, seconds int, ev events.Event) events.Stored {
	encoded, err := ev.Stamp("ep0c").Encode()
	if err != nil {
		t.Fatal(err)
	}
	return events.Stored{At: curtain.Add(time.Duration(seconds) * time.Second), Body: encoded.Body}
}

// rehearse returns a line for each delivery: due, at, and what it tells.
func rehearse(t *testing.T, cfg Config, scenes ...events.Stored) (lines []string, tally Tally) {
	t.Helper()
	cfg.Differ = wordDiffer()
	r := NewRehearsal(cfg, func(p Performance) error {
		var told []string
		for _, e := range p.Delivery.Events {
			told = append(told, e.Data.ID+" "+tell(e))
		}
		line := fmt.Sprintf("%v+%v %d: %s", p.Due.Sub(curtain), p.At.Sub(p.Due), p.Observed, strings.Join(told, ", "))
		if d := p.Delivery.Digest; d != nil {
			line += fmt.Sprintf(" [%v %v %v %d]", d.From.Sub(curtain), d.To.Sub(curtain), d.Quiet, len(d.IDs))
		}
		lines = append(lines, line)
		return nil
	})
	for _, s := range scenes {
		if err := r.Take(s); err != nil {
			t.Fatal(err)
		}
	}
	tally, err := r.End()
	if err != nil {
		t.Fatal(err)
	}
	return lines, tally
}

func mustFilter(t *testing.T, expression string) *Filter {
	t.Helper()
	f, err := CompileFilter(expression)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRehearsal(t *testing.T) {
	mask, err := CompileMask(nil, []string{"/secret"})
	if err != nil {
		t.Fatal(err)
	}
	omitted := way("updated a")[0]
	omitted.Data.Changes = []events.Change{{Path: "/secret", From: json.RawMessage("1"), To: json.RawMessage("2")}}
	about := events.NewSystem("acme", events.ConnectorFailing, "team", 1, curtain, "down", nil)
	var crowd []events.Stored
	for i := range 7 {
		crowd = append(crowd, scene(t, 0, fmt.Sprint(i), "created a", 2))
	}
	minutely, err := NewCalendar("1m", "", "")
	if err != nil {
		t.Fatal(err)
	}
	early, err := NewCalendar("", "08:00-09:01", "")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		cfg    Config
		scenes []events.Stored
		want   string
		tally  Tally
	}{
		{"at once", Config{}, []events.Stored{scene(t, 1, "7", "updated a>b", 2), scene(t, 1, "7", "updated b>a", 3)},
			"1s+0s 1: 7 updated b a>b|1s+0s 1: 7 updated a b>a", Tally{Observed: 2, Told: 2}},
		{"a window, and one that has not ended", Config{Calendar: minutely},
			[]events.Stored{scene(t, 1, "7", "updated a>b", 2), scene(t, 2, "8", "created x", 1), scene(t, 59, "7", "updated b>c", 3), scene(t, 60, "7", "updated c>d", 4)},
			"1m0s+0s 3: 8 created x, 7 updated c a>c [0s 1m0s false 3]|2m0s+0s 1: 7 updated d c>d [1m0s 2m0s false 1]", Tally{Observed: 4, Told: 4}},
		{"void", Config{Calendar: minutely}, []events.Stored{scene(t, 1, "7", "updated a>b", 2), scene(t, 2, "7", "updated b>a", 3)},
			"", Tally{Observed: 2, Muted: 2}},
		{"quiet hours", Config{Calendar: early}, []events.Stored{scene(t, 1, "7", "updated a>b", 2), scene(t, 61, "7", "updated b>c", 3)},
			"1m0s+0s 1: 7 updated b a>b [-1h0m0s 1m0s true 1]|1m1s+0s 1: 7 updated c b>c", Tally{Observed: 2, Told: 2}},
		{"an urgent one takes its record along", Config{Calendar: minutely, Urgent: mustFilter(t, `data.record == "c"`)},
			[]events.Stored{scene(t, 1, "7", "updated a>b", 2), scene(t, 2, "8", "created x", 1), scene(t, 3, "7", "updated b>c", 3), scene(t, 4, "7", "updated c>d", 4)},
			"3s+0s 2: 7 updated c a>c [1s 3s false 2]|1m0s+0s 2: 8 created x, 7 updated d c>d [0s 1m0s false 2]", Tally{Observed: 4, Told: 4, Urgent: 2}},
		{"an urgent one alone", Config{Calendar: minutely, Urgent: mustFilter(t, `data.record == "c"`)},
			[]events.Stored{scene(t, 3, "7", "updated b>c", 3)}, "3s+0s 1: 7 updated c b>c", Tally{Observed: 1, Told: 1, Urgent: 1}},
		{"what is not wanted", Config{Name: "team", Filter: mustFilter(t, `data.action != "created"`), Mask: mask},
			[]events.Stored{scene(t, 1, "7", "created a", 1), stage(t, 2, omitted), stage(t, 3, about), {Body: []byte("?")}},
			"", Tally{Observed: 4, Filtered: 2, Omitted: 1, Unreadable: 1}},
		{"the rate", Config{Rate: 0.5}, crowd[:3], "0s+0s 1: 0 created a|0s+2s 1: 1 created a|0s+4s 1: 2 created a", Tally{Observed: 3, Told: 3}},
		{"a crowd", Config{Rate: 0.5, Burst: 5}, crowd,
			"0s+0s 5: 0 created a, 1 created a, 2 created a, 3 created a, 4 created a|0s+2s 1: 5 created a|0s+4s 1: 6 created a", Tally{Observed: 7, Told: 7}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lines, tally := rehearse(t, tt.cfg, tt.scenes...)
			if got := strings.Join(lines, "|"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if tally != tt.tally {
				t.Errorf("tally %+v, want %+v", tally, tt.tally)
			}
		})
	}
}

func TestRehearsalEndsWithItsAudience(t *testing.T) {
	gone := errors.New("gone")
	r := NewRehearsal(Config{}, func(Performance) error { return gone })
	if err := r.Take(scene(t, 0, "7", "created a", 1)); err != nil {
		t.Errorf("Take = %v before it is due", err)
	}
	if err := r.Take(scene(t, 1, "7", "created a", 1)); !errors.Is(err, gone) {
		t.Errorf("Take = %v, want %v", err, gone)
	}
}

// TestRehearsalLaw: every event has one outcome, nothing is told early, in another
// order or faster than the rate lets through, and a digest names every event.
func TestRehearsalLaw(t *testing.T) {
	urgent := mustFilter(t, `data.record == "c"`)
	rapid.Check(t, func(t *rapid.T) {
		calendar, err := NewCalendar(rapid.SampledFrom([]string{"", "1m", "5m"}).Draw(t, "digest"), rapid.SampledFrom([]string{"", "09:01-09:04"}).Draw(t, "quiet"), "")
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{
			Calendar: calendar, Urgent: urgent, Differ: wordDiffer(),
			Rate: rapid.SampledFrom([]float64{0, 1, 10}).Draw(t, "rate"), Burst: rapid.SampledFrom([]int{0, 3, 20}).Draw(t, "burst"),
		}
		told, deliveries := map[string]int{}, map[string]bool{}
		observed := 0
		var last Performance
		r := NewRehearsal(cfg, func(p Performance) error {
			observed += p.Observed
			if p.At.Before(p.Due) || p.At.Before(last.At) || p.Due.Before(last.Due) {
				t.Fatalf("%v, due %v, after %v, due %v", p.At, p.Due, last.At, last.Due)
			}
			if cfg.Rate > 0 && !last.At.IsZero() && p.At.Sub(last.At).Seconds() < 0.999/cfg.Rate {
				t.Fatalf("%s between two", p.At.Sub(last.At))
			}
			last = p
			if deliveries[p.Delivery.ID] {
				t.Fatalf("%s names two deliveries", p.Delivery.ID)
			}
			deliveries[p.Delivery.ID] = true
			if alone := p.Delivery.ID == p.Delivery.Events[0].ID; alone != (p.Delivery.Digest == nil && p.Observed == 1) {
				t.Fatalf("%s names a delivery of %d events", p.Delivery.ID, p.Observed)
			}
			for _, e := range p.Delivery.Events {
				if e.Data.ObservedAt.After(p.At) {
					t.Fatalf("%s is told at %v", e.ID, p.At)
				}
				told[e.ID]++
			}
			if d := p.Delivery.Digest; d != nil {
				if len(d.IDs) != p.Observed || !d.To.Equal(p.Due) {
					t.Fatalf("digest %+v of %d events, due %v", d, p.Observed, p.Due)
				}
				return nil
			}
			if len(p.Delivery.Events) != p.Observed {
				t.Fatalf("%d events, %d observed", len(p.Delivery.Events), p.Observed)
			}
			return nil
		})
		at, n := 0, rapid.IntRange(0, 40).Draw(t, "events")
		state := map[string]string{}
		for i := range n {
			at += rapid.SampledFrom([]int{0, 0, 0, 1, 20, 60}).Draw(t, "seconds")
			record, to := rapid.SampledFrom([]string{"7", "8", "9"}).Draw(t, "record"), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "to")
			step := "updated " + state[record] + ">" + to
			if state[record] == "" {
				step = "created " + to
			}
			state[record] = to
			ev := way(step)[0]
			ev.Data.ID, ev.Data.Revision, ev.Data.ObservedAt = record, uint64(i+1), curtain.Add(time.Duration(at)*time.Second)
			if err := r.Take(stage(t, at, ev)); err != nil {
				t.Fatal(err)
			}
		}
		tally, err := r.End()
		if err != nil {
			t.Fatal(err)
		}
		if tally.Observed != n || tally.Told+tally.Muted != n || tally.Urgent > tally.Told || len(told) > tally.Told || observed > n || observed < tally.Told {
			t.Fatalf("of %d events %d were observed in deliveries, %d told: %+v", n, observed, len(told), tally)
		}
		for id, times := range told {
			if times != 1 {
				t.Fatalf("%s was told %d times", id, times)
			}
		}
	})
}
