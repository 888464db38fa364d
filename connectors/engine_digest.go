package connectors

import (
	"slices"
	"time"
)

const (
	// maxDigest bounds the events of one digest; a larger window becomes several.
	maxDigest = 1000

	// crowd is how many records may wait for their turn before several are told in
	// one delivery, if the connector can do that.
	crowd = 4

	// linger is how long after its end a window is waited for: an event that
	// the stream took just before the end needs a moment to get here.
	linger = time.Second
)

// line gives an event that came its place in the lane of its record.
func (s *scheduler) line(a arrival, now time.Time) {
	if a.entry.fate == wanted && (a.entry.replay == 0 || a.entry.lent) && !a.urgent {
		s.schedule(&a.entry)
	}
	if !s.lanes.add(a.lane, a.entry, now) {
		return
	}
	s.stats.Observed++
	if a.urgent && a.entry.fate == wanted {
		s.lanes.hurry(a.lane, a.entry, now)
	}
}

// schedule gives e the window that the calendar says.
func (s *scheduler) schedule(e *entry) {
	release, w := s.engine.cfg.Calendar.Release(time.Unix(0, e.at))
	if w == (Window{}) {
		return
	}
	if s.windows[w] == nil {
		s.windows[w] = &w
	}
	e.window, e.release = s.windows[w], release.Add(linger).UnixNano()
}

// isCrowded reports whether so much waits that several events share a delivery.
func (s *scheduler) isCrowded() bool {
	return s.engine.cfg.Burst > 1 && s.pace.limited() && s.lanes.ready.len()+s.lanes.loaded.len() > crowd
}

// collapse makes one delivery of what is at the front, in the order of the stream.
func (s *scheduler) collapse(now time.Time) job {
	j := job{task: deliver}
	for len(j.riders) < s.engine.cfg.Burst {
		l := s.lanes.front(now)
		if l == nil || !l.queue[0].sendable() || l.queue[0].solo && len(j.riders) > 0 {
			break
		}
		s.lanes.popFront()
		if l.queue[0].solo {
			l.state = busy
			j.riders = append(j.riders, rider{l, l.queue[0]})
			break
		}
		s.board(&j, l, now, s.engine.cfg.Burst)
	}
	return j.boarded()
}

// board lets the head of l ride, and those after it that may, up to limit in all.
func (s *scheduler) board(j *job, l *lane, now time.Time, limit int) {
	l.state = busy
	for _, e := range l.queue {
		if len(j.riders) == limit || !e.sendable() || !e.dueBy(now) || e.window != j.window || e.solo {
			break
		}
		j.riders = append(j.riders, rider{l, e})
	}
}

// boarded puts the riders in order. One alone that is no digest is an ordinary job.
func (j job) boarded() job {
	slices.SortFunc(j.riders, func(a, b rider) int { return a.entry.compare(b.entry) })
	first := j.riders[0]
	j.entry = first.entry
	if len(j.riders) == 1 && j.window == nil {
		j.lane, j.riders = first.lane, nil
		if j.entry.load != nil {
			j.id = j.entry.load.event.ID
		}
	}
	return j
}

// digest makes a delivery of a window that is complete.
func (s *scheduler) digest(now time.Time) (job, bool) {
	for {
		w := s.complete()
		if w == nil {
			return job{}, false
		}
		j := s.gather(w, now)
		if len(j.riders) == 0 {
			continue
		}
		if !s.isOpen(now) {
			s.putBack(j, now)
			return job{}, false
		}
		return j.boarded(), true
	}
}

// putBack undoes what gather did.
func (s *scheduler) putBack(j job, now time.Time) {
	for _, r := range j.riders {
		if r.lane.state == busy {
			s.lanes.release(r.lane, now)
		}
	}
	s.windows[*j.window] = j.window
}

// complete returns a window that can be told now, or nil.
func (s *scheduler) complete() *Window {
	for w := range s.lanes.groups {
		// The stream has no more, or goes on behind it, or there is no room for more.
		if s.upToDate || s.seen.After(w.To) || s.lanes.waiting >= s.engine.cfg.MaxWaiting {
			return w
		}
	}
	return nil
}

// gather lets the events of w ride. Of a lane whose head is of another window by
// now, none does.
func (s *scheduler) gather(w *Window, now time.Time) job {
	j := job{task: deliver, window: w}
	group := s.lanes.groups[w]
	for group.len() > 0 && len(j.riders) < s.digestMax {
		l := group.pop()
		if head := l.queue[0]; head.window != w || !head.sendable() || head.solo || !head.dueBy(now) {
			s.lanes.release(l, now)
			continue
		}
		s.board(&j, l, now, s.digestMax)
	}
	if group.len() == 0 {
		delete(s.lanes.groups, w)
		delete(s.windows, *w)
	}
	return j
}

// disembark takes back the lanes of a delivery of several events.
func (s *scheduler) disembark(r result, now time.Time) {
	if r.tooLarge {
		s.digestMax = max(1, len(r.job.riders)/2)
	}
	var lanes []*lane
	failed := false
	for i, one := range r.riders {
		l, e := r.job.riders[i].lane, r.job.riders[i].entry
		if !slices.Contains(lanes, l) {
			lanes = append(lanes, l)
		}
		at := slices.IndexFunc(l.queue, func(o entry) bool { return o.ident() == e.ident() })
		if one.outcome == Failed {
			l.queue[at].past, l.queue[at].solo = one.past, one.solo
			failed = true
			continue
		}
		if !one.replaced {
			s.settled.add(e.ident())
		}
		s.lanes.remove(l, at)
	}
	for _, l := range lanes {
		switch {
		case len(l.queue) == 0:
		case failed:
			slices.SortFunc(l.queue, entry.compare)
			s.lanes.giveBack(l, now)
		default:
			s.lanes.release(l, now)
		}
	}
}
