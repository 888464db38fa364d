package connectors

import (
	"container/heap"
	"context"
	"slices"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// A Fallback is another connector that is given the events of one that fails.
// They wait for the one that fails all the same.
type Fallback struct {
	Name  string
	After time.Duration // of failing

	// Latest says that of what the fallback was given, only each record's latest
	// event is sent when the connector is well again.
	Latest bool

	// Gets reports whether the fallback has the event by itself; nil: never.
	Gets func(ev events.Event) bool

	// Forward gives it an event. It is durable when Forward returns nil.
	Forward func(ctx context.Context, ev events.Stored) error
}

// A detour is the way of the events of a connector that fails to its fallback,
// in the order of the stream.
type detour struct {
	queue   []rider // still to go, oldest first
	looked  time.Time
	onTheGo bool
}

// lookEvery is how often it is looked for events that have become due.
const lookEvery = 5 * time.Second

// isTaken reports whether events go to the fallback, and otherwise from when on.
func (d *detour) isTaken(now time.Time, h *health, f *Fallback) (bool, time.Time) {
	if f == nil || h.Down.IsZero() || h.Paused {
		return false, time.Time{}
	}
	from := h.Down.Add(f.After)
	return !from.After(now), from
}

// next is when it has to be looked again; the zero time for never.
func (d *detour) next(now time.Time, h *health, f *Fallback) time.Time {
	taken, from := d.isTaken(now, h, f)
	if taken {
		return d.looked.Add(lookEvery)
	}
	return from
}

// divert gives the next event to the fallback, if it is time for that.
func (s *scheduler) divert(now time.Time) {
	d := &s.detour
	taken, _ := d.isTaken(now, s.health, s.engine.cfg.Fallback)
	if !taken || d.onTheGo || s.inFlight >= s.engine.cfg.Concurrency {
		return
	}
	if len(d.queue) == 0 && now.Sub(d.looked) >= lookEvery {
		d.looked = now
		d.queue = s.lanes.undiverted(now)
	}
	if len(d.queue) == 0 {
		return
	}
	next := d.queue[0]
	d.queue = d.queue[1:]
	d.onTheGo = true
	s.start(job{task: divert, lane: next.lane, entry: next.entry})
}

// undiverted lists what the fallback was not given, in the order of the stream.
func (ls *lanes) undiverted(now time.Time) []rider {
	var all []rider
	for _, l := range ls.byKey {
		for _, e := range l.queue {
			if e.sendable() && !e.diverted && !e.lent && e.release <= now.UnixNano() {
				e.load = nil
				all = append(all, rider{l, e})
			}
		}
	}
	slices.SortFunc(all, func(a, b rider) int { return a.entry.compare(b.entry) })
	return all
}

// diverted takes in that the fallback was given an event.
func (s *scheduler) diverted(r result) {
	s.detour.onTheGo = false
	if r.outcome != Diverted {
		return
	}
	s.stats.Diverted++
	l := s.lanes.byKey[r.job.lane.key]
	if l == nil {
		return // settled meanwhile
	}
	for i := range l.queue {
		if l.queue[i].ident() == r.job.entry.ident() {
			l.queue[i].diverted = true
		}
	}
}

// end takes back the detour. With Latest, what the fallback told and a later
// event of the record follows on is not told again.
func (d *detour) end(s *scheduler, now time.Time) {
	d.queue = nil
	if f := s.engine.cfg.Fallback; f == nil || !f.Latest {
		return
	}
	for _, l := range s.lanes.byKey {
		from := 0
		if l.state == busy {
			from = 1
		}
		for i := from; i < len(l.queue)-1; i++ {
			if l.queue[i].sendable() && l.queue[i].diverted {
				l.queue[i].fate = void
			}
		}
		if l.state == delayed {
			heap.Remove(&s.lanes.delayed, l.index)
			s.lanes.release(l, now)
		}
	}
}

// divert gives the event of j to the fallback and notes that it has it.
func (w *worker) divert(j job) result {
	content, _, err := w.load(j.entry, j.lane)
	if err != nil || content == nil {
		return result{job: j, abandoned: true} // what left the stream is settled in its turn
	}
	j.id = content.event.ID
	f := w.cfg.Fallback
	if f.Gets == nil || !f.Gets(content.event) {
		ev := j.entry.stored()
		ev.Body = w.body(content)
		err := w.persist(w.fetches, "give an event to the fallback", storeTimeout, func(ctx context.Context) error {
			return f.Forward(ctx, ev)
		})
		if err != nil {
			return result{job: j, abandoned: true}
		}
	}
	n := Note{
		EventID: j.id, Sequence: j.entry.sequence, Replay: j.entry.replay,
		At: time.Now().UTC(), Outcome: Diverted, To: f.Name,
	}
	if w.note(n) != nil {
		return result{job: j, abandoned: true}
	}
	return result{job: j, outcome: Diverted}
}
