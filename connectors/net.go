package connectors

import (
	"slices"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// A Differ compares two versions of a record. Its functions are those of package
// diff, and both are needed.
type Differ struct {
	Apply   func(doc []byte, changes []events.Change) ([]byte, error)
	Changes func(from, to []byte) ([]events.Change, error)
}

// Net returns what consecutive events of one record, oldest first, come to as
// one event: from A to B to C is from A to C. ok is false if they come to
// nothing, as from A to B to A does, also at another updated_at, or if there are
// none.
//
// One event is itself. What several come to is no event of the stream, and has an
// id of its own, the same one for the same events. It has the revision and the times
// of the last one, the NotBefore of the first, and the action that leads from the
// record's state before the first one to that after the last one. There may be gaps
// between the events: what happened there counts too.
//
// When an end of the way is not known, since the event was truncated or is not
// one of ours, every change of the events is told, one after the other.
func (d Differ) Net(evs []events.Event) (ev events.Event, ok bool) {
	switch len(evs) {
	case 0:
		return events.Event{}, false
	case 1:
		return evs[0], true
	}
	first, last := evs[0], evs[len(evs)-1]
	ev = last
	ev.ID = netID(evs)
	ev.Data.NotBefore = first.Data.NotBefore
	action := first.Data.Action
	existed := action != events.Created && action != events.Restored
	exists := last.Data.Action != events.Deleted
	switch {
	case !existed && !exists:
		return events.Event{}, false
	case !exists:
		return ev, true // deleted as it was
	case existed:
		action = events.Updated
	}
	ev.Data.Action = action
	ev.Type = "com.trackops." + ev.Data.Collection + "." + string(action)
	ev.Data.Changes = nil
	if action == events.Created {
		return ev, true
	}
	changes, known := d.between(first, last)
	if !known {
		changes = nil
		for _, e := range evs {
			changes = append(changes, e.Data.Changes...)
			ev.Data.Truncated = ev.Data.Truncated || e.Data.Truncated
		}
	}
	ev.Data.Changes = changes
	return ev, !known || !takenBack(changes, evs) || action == events.Restored
}

// netID names what several events come to: others have another name.
func netID(evs []events.Event) string {
	ids := make([]string, len(evs))
	for i, e := range evs {
		ids[i] = e.ID
	}
	return "net_" + hashOf(ids)
}

// stamp is where Trackops notes the time of a record's last change. It follows from
// every other change, and stays when that is taken back.
const stamp = "/updated_at"

// isStamp reports whether it is the stamp alone that changed.
func isStamp(changes []events.Change) bool { return len(changes) == 1 && changes[0].Path == stamp }

// takenBack reports whether evs changed a record, and net, the changes that they
// come to, says that all is as it was but the stamp.
func takenBack(net []events.Change, evs []events.Event) bool {
	moved := func(e events.Event) bool { return !isStamp(e.Data.Changes) }
	return len(net) == 0 || isStamp(net) && slices.ContainsFunc(evs, moved)
}

// between returns what leads from the record before the first event to the one
// after the last, and false if one of them is not known.
func (d Differ) between(first, last events.Event) ([]events.Change, bool) {
	if first.Data.Truncated || last.Data.Truncated {
		return nil, false
	}
	before, err := d.Apply(first.Data.Record, inverse(first.Data.Changes))
	if err != nil {
		return nil, false
	}
	changes, err := d.Changes(before, last.Data.Record)
	return changes, err == nil
}

// inverse returns what takes changes back.
func inverse(changes []events.Change) []events.Change {
	back := make([]events.Change, 0, len(changes))
	for _, c := range slices.Backward(changes) {
		back = append(back, events.Change{Path: c.Path, From: c.To, To: c.From})
	}
	return back
}

// Digest returns what the events of a window come to, oldest first: those of a
// record as one, in the place of its last one, and operational events each by
// itself. leftOut are the ids of the events of records that come to nothing.
func (d Differ) Digest(evs []events.Event) (net []events.Event, leftOut []string) {
	type record struct{ account, collection, id string }
	waiting := make(map[record][]events.Event)
	of := func(e events.Event) record { return record{e.Data.Account, e.Data.Collection, e.Data.ID} }
	for _, e := range evs {
		if e.Data.Collection != events.System {
			waiting[of(e)] = append(waiting[of(e)], e)
		}
	}
	seen := make(map[record]int)
	for _, e := range evs {
		if e.Data.Collection == events.System {
			net = append(net, e)
			continue
		}
		all := waiting[of(e)]
		if seen[of(e)]++; seen[of(e)] < len(all) {
			continue
		}
		if one, ok := d.Net(all); ok {
			net = append(net, one)
			continue
		}
		for _, gone := range all {
			leftOut = append(leftOut, gone.ID)
		}
	}
	return net, leftOut
}
