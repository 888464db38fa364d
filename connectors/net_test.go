package connectors

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// wordDiffer compares records that are one JSON value: enough to follow a way.
// The way of package diff is followed in the tests of the program.
func wordDiffer() Differ {
	return Differ{
		Apply: func(doc []byte, changes []events.Change) ([]byte, error) {
			for _, c := range changes {
				if string(c.From) != string(doc) {
					return nil, errors.New("the value there is another one")
				}
				doc = c.To
			}
			return doc, nil
		},
		Changes: func(from, to []byte) ([]events.Change, error) {
			if string(from) == string(to) {
				return nil, nil
			}
			return []events.Change{{From: from, To: to}}, nil
		},
	}
}

// way makes events of a way as "created a, updated a>b, deleted b, restored b>c".
func way(text string) []events.Event {
	var evs []events.Event
	for i, step := range strings.Split(text, ", ") {
		action, values, _ := strings.Cut(step, " ")
		from, to, moved := strings.Cut(values, ">")
		if !moved {
			to = from
		}
		at := time.Date(2026, 11, 23, 9, i, 0, 0, time.UTC)
		before := at.Add(-time.Second)
		ev := events.Event{Time: at, Data: events.Data{
			Account: "acme", Collection: "clients", Action: events.Action(action), ID: "7", Revision: uint64(i + 2),
			ObservedAt: at, NotBefore: &before, NotAfter: &at,
		}}.Stamp("ep0c")
		if to == "…" {
			ev.Data.Truncated = true
		} else {
			ev.Data.Record = json.RawMessage(`"` + to + `"`)
		}
		if moved {
			ev.Data.Changes = []events.Change{{From: json.RawMessage(`"` + from + `"`), To: json.RawMessage(`"` + to + `"`)}}
		}
		evs = append(evs, ev)
	}
	return evs
}

func TestNet(t *testing.T) {
	tests := []struct{ way, want string }{ // want: "", or action record, and changes
		{"updated a>b, updated b>c", "updated c a>c"},
		{"updated a>b, updated b>a", ""},
		{"updated a>b, updated b>c, updated c>d", "updated d a>d"},
		{"updated a>b, updated c>d", "updated d a>d"}, // a gap, by the filter
		{"created a, updated a>b", "created b"},
		{"created a, deleted a", ""},
		{"created a, updated a>b, deleted b", ""},
		{"created a, deleted a, restored a>b", "created b"},
		{"updated a>b, deleted b", "deleted b"},
		{"deleted a, restored a", ""},
		{"deleted a, restored a>b", "updated b a>b"},
		{"deleted a, restored a>b, updated b>a", ""},
		{"deleted a, restored a>b, deleted b", "deleted b"},
		{"restored a, updated a>b", "restored b a>b"},
		{"restored a>b, updated b>a", "restored a"},
		{"restored a>b, updated b>c", "restored c a>c"},
		{"restored a, deleted a", ""},
		{"deleted a, deleted a", "deleted a"},
		{"updated a>…, updated …>c", "updated c a>…,…>c"},
		{"updated a>b, updated b>…", "updated … a>b,b>…"},
		{"updated a>b, updated b>…, updated …>c", "updated c a>c"},
		{"updated a>x, updated b>c", "updated c a>c"},
		{"created a, updated a>…", "created …"},
		{"deleted …, restored …>b", "updated b …>b"},
		{"created …, deleted …", ""},
		{"updated …, updated …", "updated …"},
	}
	for _, tt := range tests {
		evs := way(tt.way)
		first, last := evs[0], evs[len(evs)-1]
		got, ok := wordDiffer().Net(evs)
		if told := tell(got); ok != (tt.want != "") || ok && told != tt.want {
			t.Errorf("Net(%s) = %q, %v, want %q", tt.way, told, ok, tt.want)
			continue
		}
		if !ok {
			continue
		}
		if got.Data.Revision != last.Data.Revision || !got.Time.Equal(last.Time) ||
			!got.Data.ObservedAt.Equal(last.Data.ObservedAt) || !got.Data.NotAfter.Equal(*last.Data.NotAfter) ||
			!got.Data.NotBefore.Equal(*first.Data.NotBefore) || got.Type != "com.trackops.clients."+string(got.Data.Action) {
			t.Errorf("Net(%s) has the envelope %+v", tt.way, got)
		}
		again, _ := wordDiffer().Net(evs)
		fewer, _ := wordDiffer().Net(append(slices.Clone(evs[1:]), evs[len(evs)-1]))
		if !plainID.MatchString(got.ID) || got.ID == last.ID || got.ID != again.ID || got.ID == fewer.ID {
			t.Errorf("Net(%s) has the ids %q and %q, of others %q; want one of these events only", tt.way, got.ID, again.ID, fewer.ID)
		}
		if !cmp.Equal(evs, way(tt.way)) {
			t.Errorf("Net(%s) changed the events", tt.way)
		}
	}
}

// plainID is what an id may consist of.
var plainID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// tell is the reverse of way, for one event.
func tell(ev events.Event) string {
	words := []string{string(ev.Data.Action), string(ev.Data.Record)}
	if ev.Data.Record == nil {
		words[1] = "…"
	}
	var changes []string
	for _, c := range ev.Data.Changes {
		changes = append(changes, string(c.From)+">"+string(c.To))
	}
	if changes != nil {
		words = append(words, strings.Join(changes, ","))
	}
	return strings.ReplaceAll(strings.Join(words, " "), `"`, "")
}

func TestNetOfOneAndOfNone(t *testing.T) {
	if _, ok := (Differ{}).Net(nil); ok {
		t.Error("Net(nil) is something")
	}
	one := way("updated a>a")
	if got, ok := (Differ{}).Net(one); !ok || !cmp.Equal(got, one[0]) {
		t.Errorf("Net = %+v, %v, want the event as it is", got, ok)
	}
}

// TestNetAtAnotherTime: a change that is taken back leaves a new updated_at, and is
// nothing to tell all the same. What changed nothing else is.
func TestNetAtAnotherTime(t *testing.T) {
	touch := events.Change{Path: "/updated_at", From: json.RawMessage(`1`), To: json.RawMessage(`2`)}
	name := events.Change{Path: "/name", From: json.RawMessage(`"a"`), To: json.RawMessage(`"b"`)}
	for _, c := range []struct {
		first, second, net []events.Change
		ok                 bool
	}{
		{[]events.Change{name, touch}, []events.Change{name, touch}, []events.Change{touch}, false},
		{[]events.Change{touch}, []events.Change{touch}, []events.Change{touch}, true},
		{[]events.Change{name, touch}, []events.Change{touch}, []events.Change{name, touch}, true},
	} {
		evs := way("updated a>b, updated b>c")
		evs[0].Data.Changes, evs[1].Data.Changes = c.first, c.second
		d := Differ{
			Apply:   func(doc []byte, _ []events.Change) ([]byte, error) { return doc, nil },
			Changes: func([]byte, []byte) ([]events.Change, error) { return c.net, nil },
		}
		if _, ok := d.Net(evs); ok != c.ok {
			t.Errorf("Net of %v and %v, which come to %v: %v, want %v", c.first, c.second, c.net, ok, c.ok)
		}
	}
}

// TestNetOfWhatDoesNotFit: nothing that was told is lost.
func TestNetOfWhatDoesNotFit(t *testing.T) {
	evs := way("updated a>b, updated b>c")
	evs[0].Data.Record = json.RawMessage(`{`)
	got, ok := wordDiffer().Net(evs)
	if !ok || tell(got) != "updated c a>b,b>c" || got.Data.Truncated {
		t.Errorf("Net = %q, %v", tell(got), ok)
	}
	evs = way("updated a>…, updated …>c")
	if got, _ := wordDiffer().Net(evs); !got.Data.Truncated {
		t.Error("nobody sees that long values are missing")
	}
}

func TestDigest(t *testing.T) {
	of := func(id, text string) []events.Event {
		evs := way(text)
		for i := range evs {
			evs[i].Data.ID = id
			evs[i] = evs[i].Stamp("ep0c")
		}
		return evs
	}
	one, two, three := of("1", "updated a>b, updated b>c"), of("2", "updated a>b, updated b>a"), of("3", "created a")
	other := of("1", "created a")
	other[0].Data.Collection = "cases"
	other[0] = other[0].Stamp("ep0c")
	system := events.NewSystem("acme", events.SourceUnreachable, "acme", 1, time.Now(), "down", nil).Stamp("ep0c")
	again := events.NewSystem("acme", events.SourceUnreachable, "acme", 2, time.Now(), "down", nil).Stamp("ep0c")

	net, leftOut := wordDiffer().Digest([]events.Event{one[0], two[0], system, three[0], other[0], one[1], again, two[1]})
	var got []string
	for _, e := range net {
		got = append(got, e.ID)
	}
	if want := []string{system.ID, three[0].ID, other[0].ID, netID(one), again.ID}; !slices.Equal(got, want) {
		t.Errorf("net = %v, want %v", got, want)
	}
	if want := []string{two[0].ID, two[1].ID}; !slices.Equal(leftOut, want) {
		t.Errorf("left out = %v, want %v", leftOut, want)
	}
	for i, want := range map[int]events.Event{0: system, 1: three[0], 2: other[0], 4: again} {
		if !cmp.Equal(net[i], want) {
			t.Errorf("net has %+v, want the only event of its record as it is: %+v", net[i], want)
		}
	}
	if tell(net[3]) != "updated c a>c" {
		t.Errorf("of the first record: %s", tell(net[3]))
	}
}
