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

	// Latest says that of what the fallback was given, nothing is sent when the
	// connector is well again that a later event of the record follows on.
	Latest bool

	// Gets reports whether the fallback has the event by itself; nil: never. It is
	// asked of the event as it was, without this connector's mask.
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
	used    bool // what the fallback was given waits
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
	switch {
	case !taken:
		return from
	case d.onTheGo || len(d.queue) > 0:
		return time.Time{} // a worker that is done is enough to go on
	}
	return d.looked.Add(lookEvery)
}

// divert gives the next event to the fallback, if it is time for that.
func (s *scheduler) divert(now time.Time) {
	d := &s.detour
	taken, _ := d.isTaken(now, s.health, s.engine.cfg.Fallback)
	if !taken || d.onTheGo {
		return
	}
	if len(d.queue) == 0 && now.Sub(d.looked) >= lookEvery {
		d.looked = now
		d.queue = s.lanes.undiverted(now)
	}
	for len(d.queue) > 0 && !d.onTheGo && s.inFlight < s.engine.cfg.Concurrency {
		next := d.queue[0]
		d.queue = d.queue[1:]
		// What was listed may have been sent, or given up, meanwhile.
		if e := s.lanes.find(next.lane.key, next.entry.ident()); e != nil && e.sendable() {
			d.onTheGo = true
			s.start(job{task: divert, lane: next.lane, entry: next.entry})
		}
	}
}

// undiverted lists what the fallback was not given, in the order of the stream.
func (ls *lanes) undiverted(now time.Time) []rider {
	var all []rider
	for _, l := range ls.byKey {
		for _, e := range l.queue {
			if !e.diverted && !e.lent && e.release <= now.UnixNano() {
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
	s.detour.used = true
	if l := s.lanes.byKey[r.job.lane.key]; l != nil {
		for i := range l.queue {
			if l.queue[i].ident() == r.job.entry.ident() {
				l.queue[i].diverted = true
			}
		}
	}
}

// end says that the connector is well again: what the fallback was given is sent,
// or, with Latest, only what no later event of the record follows on.
func (d *detour) end(s *scheduler, now time.Time) {
	if !d.used {
		return
	}
	d.used = false
	for _, l := range s.lanes.byKey {
		s.supersede(l, now)
	}
}

// supersede makes void, with Latest, what the fallback was given of l and an event
// follows on.
func (s *scheduler) supersede(l *lane, now time.Time) {
	if f := s.engine.cfg.Fallback; f == nil || !f.Latest {
		return
	}
	followed, found := false, false
	for i := len(l.queue) - 1; i >= l.out && l.queue[i].fate != void; i-- {
		e := &l.queue[i]
		if !e.sendable() {
			continue
		}
		if followed && e.diverted {
			e.fate, found = void, true
		}
		followed = true
	}
	if found && l.state == delayed {
		heap.Remove(&s.lanes.delayed, l.index)
		s.lanes.release(l, now)
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
	whole, err := events.Decode(content.body)
	if err != nil || f.Gets == nil || !f.Gets(whole) {
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
