package connectors

import (
	"slices"
	"time"
)

const (
	// maxDigest bounds the events of one digest; a larger window becomes several.
	maxDigest = 1000

	// crowd is how many records, or events of one, may wait for their turn before
	// several are told in one delivery, if the connector can do that.
	crowd = 4

	// linger is how long after its end a window is waited for: an event that
	// the stream took just before the end needs a moment to get here.
	linger = time.Second
)

// line gives an event that came its place in the lane of its record.
func (s *scheduler) line(a arrival, now time.Time) {
	if a.entry.fate == wanted && (a.entry.replay == 0 || a.entry.lent) && !a.urgent {
		s.schedule(&a.entry, now)
	}
	if !s.lanes.add(a.lane, a.entry, now) {
		return
	}
	s.stats.Observed++
	if a.urgent && a.entry.fate == wanted {
		s.lanes.hurry(a.lane, a.entry, now)
	}
	s.rejoin(a, now)
}

// rejoin finds out what follows from a's event for those of its record that the
// fallback was given, perhaps before a restart.
func (s *scheduler) rejoin(a arrival, now time.Time) {
	if taken, _ := s.detour.isTaken(now, s.health, s.engine.cfg.Fallback); taken {
		s.detour.used = s.detour.used || a.entry.diverted
	} else if l := s.lanes.byKey[a.lane]; len(l.queue) > 1 && l.queue[len(l.queue)-2].diverted {
		s.supersede(l, now)
	}
}

// schedule gives e the window that the calendar says. Nothing is taken to come from
// the future, whatever the clock of the stream says.
func (s *scheduler) schedule(e *entry, now time.Time) {
	release, w := s.engine.cfg.Calendar.Release(time.Unix(0, min(e.at, now.UnixNano())))
	if w == (Window{}) {
		return
	}
	if s.window == nil || *s.window != w {
		s.window = &w
	}
	e.window, e.release = s.window, release.Add(linger).UnixNano()
}

// isCrowded reports whether so much waits, with the front lane l, that several
// events share a delivery.
func (s *scheduler) isCrowded(l *lane) bool {
	return s.engine.cfg.Burst > 1 && s.pace.limited() && max(s.lanes.ready.len()+s.lanes.loaded.len(), len(l.queue)) > crowd
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
			j.seat(l)
			break
		}
		s.board(&j, l, now, s.engine.cfg.Burst)
	}
	return j.boarded()
}

// board lets the head of l ride, which may, and those after it that may, up to limit
// in all. What is left out rides along in a digest, so that it does not divide it.
func (s *scheduler) board(j *job, l *lane, now time.Time, limit int) {
	j.seat(l)
	for _, e := range l.queue[1:] {
		along := j.window != nil && e.fate.leftOut()
		if len(j.riders) == limit || !along && (!e.sendable() || !e.dueBy(now) || !e.isOf(j.window) || e.solo) {
			break
		}
		j.seat(l)
	}
}

// seat lets the next entry of l ride.
func (j *job) seat(l *lane) {
	j.riders = append(j.riders, rider{l, l.queue[l.out]})
	l.state, l.out = busy, l.out+1
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
	j, ok := s.whole(now)
	if !ok {
		return job{}, false
	}
	if !s.isOpen(now) {
		s.putBack(j, now)
		return job{}, false
	}
	return j.boarded(), true
}

// whole gathers the earliest window that is complete.
func (s *scheduler) whole(now time.Time) (job, bool) {
	for w := s.complete(); w != nil; w = s.complete() {
		if j := s.gather(w, now); len(j.riders) > 0 {
			return j, true
		}
	}
	return job{}, false
}

// putBack takes back the lanes of a job that is not begun.
func (s *scheduler) putBack(j job, now time.Time) {
	for _, r := range j.riders {
		if r.lane.state == busy {
			s.lanes.release(r.lane, now)
		}
	}
}

// complete returns the earliest window that can be told now, or nil.
func (s *scheduler) complete() (first *Window) {
	// The stream has no more, or there is no room for more.
	all := s.upToDate || s.lanes.waiting >= s.engine.cfg.MaxWaiting
	for w := range s.lanes.groups {
		goesOnBehind := s.seen.After(w.To)
		if (all || goesOnBehind) && (first == nil || w.To.Before(first.To)) {
			first = &w
		}
	}
	return first
}

// gather lets the events of w ride. Of a lane whose head is of another window by
// now, none does.
func (s *scheduler) gather(w *Window, now time.Time) job {
	j := job{task: deliver, window: w}
	group := s.lanes.groups[*w]
	for group.len() > 0 && len(j.riders) < s.digestMax {
		l := group.pop()
		if head := l.queue[0]; !head.isOf(w) || !head.gathers() {
			s.lanes.release(l, now)
			continue
		}
		s.board(&j, l, now, s.digestMax)
	}
	if group.len() == 0 {
		delete(s.lanes.groups, *w)
	}
	return j
}

// disembark takes back the lanes of a delivery of several events.
func (s *scheduler) disembark(r result, now time.Time) {
	if r.tooLarge {
		s.digestMax = min(s.digestMax, max(1, len(r.job.riders)/2))
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
