package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/diff"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// anyValue draws a JSON value of few names and few values, so that ways cross.
func anyValue(depth int) *rapid.Generator[any] {
	scalar := rapid.SampledFrom([]any{nil, true, "", "a", "b", "é", 0, 1, json.Number("1.0"), json.Number("9007199254740993"), json.Number("12.50")})
	if depth == 0 {
		return scalar
	}
	below := rapid.Deferred(func() *rapid.Generator[any] { return anyValue(depth - 1) })
	return rapid.OneOf(
		scalar,
		rapid.Map(rapid.SliceOfN(below, 0, 3), func(a []any) any { return a }),
		rapid.Map(rapid.MapOfN(anyName(), below, 0, 3), func(o map[string]any) any { return o }),
	)
}

func anyName() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"a", "b", "name", "", "a/b", "~1", "0", "é"})
}

func anyRecord(t *rapid.T) []byte {
	doc, err := json.Marshal(rapid.MapOfN(anyName(), anyValue(2), 0, 4).Draw(t, "record"))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// A life is a record that goes through what records go through, and the events
// that the poller would make of it.
type life struct {
	doc    []byte // nil before it is created; the last version while it is deleted
	exists bool
	evs    []events.Event
}

func (l *life) step(t *rapid.T) {
	next, action := l.doc, events.Deleted
	if !l.exists || rapid.IntRange(0, 4).Draw(t, "delete") > 0 {
		next, action = anyRecord(t), events.Updated
	}
	if rapid.IntRange(0, 3).Draw(t, "as before") == 0 && l.doc != nil && !l.exists {
		next = l.doc
	}
	var changes []events.Change
	if l.doc != nil {
		var err error
		if changes, err = diff.Changes(l.doc, next); err != nil {
			t.Fatal(err)
		}
	}
	switch {
	case l.doc == nil:
		action = events.Created
	case !l.exists:
		action = events.Restored
	case action == events.Updated && len(changes) == 0:
		return
	}
	l.doc, l.exists = next, action != events.Deleted
	at := time.Unix(int64(len(l.evs)), 0).UTC()
	l.evs = append(l.evs, events.Event{Data: events.Data{
		Account: "acme", Collection: "clients", Action: action, ID: "7", Revision: uint64(len(l.evs) + 1),
		ObservedAt: at, NotBefore: &at, Changes: changes, Record: l.doc,
	}}.Stamp("ep0c"))
}

// TestNetIsTheDifference: whatever a record goes through in a window, and
// whatever part of it a filter leaves out, what is told is the difference between
// the first state and the last.
func TestNetIsTheDifference(t *testing.T) {
	differ := connectors.Differ{Apply: diff.Apply, Changes: diff.Changes}
	rapid.Check(t, func(t *rapid.T) {
		var l life
		for range rapid.IntRange(0, 3).Draw(t, "steps before") {
			l.step(t)
		}
		before := l
		l.evs = nil
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			l.step(t)
		}
		if len(l.evs) == 0 {
			return
		}
		window := l.evs[:1:1]
		for _, ev := range l.evs[1:] {
			if ev.ID == l.evs[len(l.evs)-1].ID || rapid.Bool().Draw(t, "wanted") {
				window = append(window, ev)
			}
		}
		ev, ok := differ.Net(window)
		if err := sameDifference(before, l, len(window), ev, ok); err != nil {
			t.Fatalf("%v\nfrom %s (%v) to %s (%v)\nnet %v %+v", err, before.doc, before.exists, l.doc, l.exists, ok, ev)
		}
	})
}

// TestNetOfLists: elements come and go at the end of a list, one after the other.
func TestNetOfLists(t *testing.T) {
	differ := connectors.Differ{Apply: diff.Apply, Changes: diff.Changes}
	var evs []events.Event
	for i, docs := range [][2]string{{`{"a":[1]}`, `{"a":[1,2,3]}`}, {`{"a":[1,2,3]}`, `{"a":[1,2],"b":[[],[0]]}`}} {
		changes, err := diff.Changes([]byte(docs[0]), []byte(docs[1]))
		if err != nil {
			t.Fatal(err)
		}
		evs = append(evs, events.Event{Data: events.Data{
			Collection: "clients", Action: events.Updated, Revision: uint64(i), Changes: changes, Record: []byte(docs[1]),
		}}.Stamp("ep0c"))
	}
	ev, ok := differ.Net(evs)
	got, err := json.Marshal(ev.Data.Changes)
	if want := `[{"path":"/a/1","to":2},{"path":"/b","to":[[],[0]]}]`; err != nil || !ok || string(got) != want {
		t.Errorf("Net = %s, %v, %v, want %s", got, ok, err, want)
	}
}

// sameDifference checks ev against what leads from one state of a record to another,
// told by some events.
func sameDifference(from, to life, told int, ev events.Event, ok bool) error {
	differs := !from.exists || !diff.Equal(from.doc, to.doc)
	switch {
	case !from.exists && !to.exists, from.exists && to.exists && !differs:
		if ok {
			return fmt.Errorf("nothing differs, and something is told")
		}
		return nil
	case !ok:
		return fmt.Errorf("something differs, and nothing is told")
	case slices.ContainsFunc(to.evs, func(e events.Event) bool { return e.ID == ev.ID }) != (told == 1):
		return fmt.Errorf("the id is %s: of the stream's only if nothing else happened", ev.ID)
	}
	want := events.Updated
	switch {
	case !to.exists:
		want = events.Deleted
	case from.doc == nil:
		want = events.Created
	case !from.exists:
		want = events.Restored
	}
	if ev.Data.Action != want || !diff.Equal(ev.Data.Record, to.doc) {
		return fmt.Errorf("want it %s, as it is", want)
	}
	if want == events.Created || want == events.Deleted {
		if len(ev.Data.Changes) > 0 {
			return fmt.Errorf("want no changes")
		}
		return nil
	}
	after, err := diff.Apply(from.doc, ev.Data.Changes)
	if err != nil {
		return err
	}
	shortest, err := diff.Changes(from.doc, to.doc)
	if err != nil {
		return err
	}
	if !diff.Equal(after, to.doc) || len(ev.Data.Changes) != len(shortest) {
		return fmt.Errorf("the changes lead to %s; want %d", after, len(shortest))
	}
	return nil
}
