package connectors

import (
	"slices"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// A Rehearsal finds out what an [Engine] would send of the events it is given, if
// every attempt was accepted at once. It sends nothing.
type Rehearsal struct {
	engine  *Engine
	perform func(Performance) error
	tally   Tally

	open    Window      // of those that wait for its end
	waiting []rehearsed // in the order of the stream

	queue []Performance // due, and held up by the rate
	free  time.Time     // when the rate lets the next one through
}

// A rehearsed event is wanted.
type rehearsed struct {
	at    time.Time // when the stream took it
	lane  string
	event events.Event
}

// A Performance is a delivery that would have been made.
type Performance struct {
	Delivery Delivery
	Observed int       // events of the stream that it stands for
	Due      time.Time // when its events were to be told
	At       time.Time // when the rate would have let it through
}

// A Tally says what would have become of events. Observed is the sum of those
// that were filtered, omitted, muted, unreadable, or told.
type Tally struct {
	Observed   int // events of the stream
	Filtered   int // not wanted by the filter, or about the connector itself
	Omitted    int // updates of which the mask leaves nothing
	Muted      int // what came after them in their window made them void
	Unreadable int
	Told       int // by some delivery
	Urgent     int // of those told, how many did not wait for the end of a window
}

// NewRehearsal returns the rehearsal of an engine. Of cfg it heeds Name, Filter,
// Mask, Calendar, Urgent, Differ, Rate and Burst. It calls perform for each
// delivery, in the order in which they would have left.
func NewRehearsal(cfg Config, perform func(Performance) error) *Rehearsal {
	return &Rehearsal{engine: NewEngine(cfg), perform: perform}
}

// Take takes the next event of the stream, and returns an error of perform.
func (r *Rehearsal) Take(ev events.Stored) error {
	r.tally.Observed++
	a := r.engine.arrive(ev)
	switch {
	case a.broken != nil:
		r.tally.Unreadable++
		return nil
	case a.entry.fate == omitted:
		r.tally.Omitted++
		return nil
	case a.entry.fate != wanted:
		r.tally.Filtered++
		return nil
	}
	due, w := r.engine.cfg.Calendar.Release(ev.At)
	if w != r.open {
		r.close()
		r.open = w
	}
	one := rehearsed{at: ev.At, lane: a.lane, event: a.entry.load.event}
	switch {
	case a.urgent && w != (Window{}):
		r.hurry(one)
	case w == (Window{}):
		r.single(one, due)
	default:
		r.waiting = append(r.waiting, one)
	}
	return r.leave(ev.At)
}

// End tells what is left, also of a window that has not ended yet, and returns
// what became of all events.
func (r *Rehearsal) End() (Tally, error) {
	r.close()
	err := r.leave(time.Time{})
	return r.tally, err
}

// hurry tells an urgent event, and with it what waits of its record.
func (r *Rehearsal) hurry(urgent rehearsed) {
	var before []rehearsed
	r.waiting = slices.DeleteFunc(r.waiting, func(one rehearsed) bool {
		same := one.lane == urgent.lane
		if same {
			before = append(before, one)
		}
		return same
	})
	told := r.tally.Told
	if len(before) == 0 {
		r.single(urgent, urgent.at)
	} else {
		r.several(append(before, urgent), Window{From: before[0].at.UTC(), To: urgent.at.UTC()})
	}
	r.tally.Urgent += r.tally.Told - told
}

// close tells the open window.
func (r *Rehearsal) close() {
	for part := range slices.Chunk(r.waiting, maxDigest) {
		r.several(part, r.open)
	}
	r.waiting = nil
}

func (r *Rehearsal) single(one rehearsed, due time.Time) {
	r.tally.Told++
	d := Delivery{ID: one.event.ID, Events: []events.Event{one.event}, Attempt: 1}
	r.queue = append(r.queue, Performance{Delivery: d, Observed: 1, Due: due})
}

func (r *Rehearsal) several(all []rehearsed, w Window) {
	evs := make([]events.Event, len(all))
	ids := make([]string, len(all))
	for i, one := range all {
		evs[i], ids[i] = one.event, one.event.ID
	}
	net, leftOut := r.engine.cfg.Differ.Digest(evs)
	r.tally.Muted += len(leftOut)
	r.tally.Told += len(all) - len(leftOut)
	if len(net) == 0 {
		return
	}
	d := Delivery{
		ID: deliveryID(ids), Events: net, Attempt: 1,
		Digest: w.digest(ids, r.engine.cfg.Calendar),
	}
	r.queue = append(r.queue, Performance{Delivery: d, Observed: len(all), Due: w.To})
}

// leave performs what the rate lets through before a time, or everything if that
// is zero.
func (r *Rehearsal) leave(before time.Time) error {
	for len(r.queue) > 0 {
		at := r.queue[0].Due
		if at.Before(r.free) {
			at = r.free
		}
		if !before.IsZero() && !at.Before(before) {
			return nil
		}
		p := r.next(at)
		if r.engine.cfg.Rate > 0 {
			r.free = at.Add(time.Duration(float64(time.Second) / r.engine.cfg.Rate))
		}
		if err := r.perform(p); err != nil {
			return err
		}
	}
	return nil
}

// next takes what leaves at a time out of the queue: one delivery, or one that
// carries several events if too many wait for their turn.
func (r *Rehearsal) next(at time.Time) Performance {
	p, n := r.queue[0], r.crowded(at)
	for _, more := range r.queue[1:n] {
		p.Delivery.Events = append(p.Delivery.Events, more.Delivery.Events...)
		p.Observed += more.Observed
	}
	if n > 1 {
		ids := make([]string, n)
		for i, e := range p.Delivery.Events {
			ids[i] = e.ID
		}
		p.Delivery.ID = deliveryID(ids)
	}
	p.At = at
	r.queue = r.queue[n:]
	return p
}

// crowded returns how many of the queue leave together at a time, at least one.
func (r *Rehearsal) crowded(at time.Time) int {
	burst := r.engine.cfg.Burst
	if burst <= 1 || r.engine.cfg.Rate <= 0 {
		return 1
	}
	due := 0
	for _, p := range r.queue[:min(len(r.queue), max(burst, crowd+1))] {
		if p.Delivery.Digest != nil || p.Due.After(at) {
			break
		}
		due++
	}
	if due <= crowd {
		return 1
	}
	return min(due, burst)
}
