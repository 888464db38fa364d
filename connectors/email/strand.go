package email

import (
	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/diff"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// A strand is all that a delivery says of one record.
type strand struct {
	sum   events.Event // what its events come to, or the last if that is nothing
	count int          // of its events
	note  string       // why the sum says nothing
}

// strands returns one strand for each record, in the order of their first events.
// Every operational event is one by itself.
func strands(all []events.Event) []strand {
	type record struct{ account, collection, id string }
	at := make(map[record]int)
	var groups [][]events.Event
	for _, e := range all {
		r := record{e.Data.Account, e.Data.Collection, e.Data.ID}
		i, known := at[r]
		if known && r.collection != events.System {
			groups[i] = append(groups[i], e)
			continue
		}
		at[r] = len(groups)
		groups = append(groups, []events.Event{e})
	}
	out := make([]strand, len(groups))
	for i, group := range groups {
		out[i] = strandOf(group)
	}
	return out
}

func strandOf(all []events.Event) strand {
	s := strand{count: len(all)}
	last := all[len(all)-1]
	net, ok := connectors.Differ{Apply: diff.Apply, Changes: diff.Changes}.Net(all)
	switch {
	case ok:
		s.sum = net
	case last.Data.Action == events.Deleted:
		s.sum, s.note = last, "Created, and deleted again."
	default:
		s.sum, s.note = last, "Changed, and changed back."
		s.sum.Data.Action, s.sum.Data.Changes = events.Updated, nil
	}
	return s
}
