package connectors

import (
	"context"
	"math"
	"time"

	"golang.org/x/time/rate"
)

// A scheduler decides what is done next. One goroutine owns it; what it decides,
// workers do.
type scheduler struct {
	engine  *Engine
	known   *memory
	settled *settledSet
	lanes   *lanes
	direct  fifo[job]          // need no turn, nobody is sent anything
	inHand  map[ident]struct{} // the events of direct

	arrivals chan arrival
	jobs     chan job
	results  chan result
	inFlight int

	limiter  *rate.Limiter // nil is unlimited
	paused   time.Time     // no attempt before this
	gate     time.Time     // when the attempt whose turn it is may leave; zero when none is held up
	timer    *time.Timer
	subjects map[string]string // one copy of each: there are few
}

// A job is what a worker does with one event.
type job struct {
	task  task
	entry entry
	id    string // the event's
	lane  *lane  // nil for what needs no order
}

type task int

const (
	deliver   task = iota // attempt, and note what came of it
	fetch                 // read the body again
	giveUp                // bury
	filterOut             // settle what the filter does not want
	ack                   // settle what the ledger has already
)

func newScheduler(e *Engine, known *memory) *scheduler {
	n := e.cfg.Concurrency
	s := &scheduler{
		engine: e, known: known, settled: newSettledSet(), lanes: newLanes(),
		inHand:   map[ident]struct{}{},
		arrivals: make(chan arrival, n),
		jobs:     make(chan job, n), // never more in flight: neither side waits
		results:  make(chan result, n),
		timer:    time.NewTimer(time.Hour),
		subjects: map[string]string{},
	}
	if e.cfg.Rate > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(e.cfg.Rate), 1)
	}
	return s
}

// run schedules until ctx ends.
func (s *scheduler) run(ctx context.Context) {
	defer s.timer.Stop()
	for {
		now := time.Now()
		s.lanes.wake(now)
		s.dispatch(now)
		s.publish()
		var arrivals <-chan arrival
		if s.hungry() {
			arrivals = s.arrivals
		}
		s.arm(now)
		select {
		case <-ctx.Done():
			return
		case a := <-arrivals:
			s.arrive(a)
		case r := <-s.results:
			s.finish(r)
		case <-s.timer.C:
		}
	}
}

// drain waits for what is in flight: for grace, then a moment for its notes,
// then no longer. A connector that heeds its context never needs the last.
func (s *scheduler) drain(grace time.Duration, endAttempts, endNotes context.CancelFunc) {
	defer close(s.jobs)
	const moment = 2 * time.Second
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	for step := 0; s.inFlight > 0; {
		select {
		case r := <-s.results:
			s.finish(r)
		case <-deadline.C:
			switch step {
			case 0:
				endAttempts()
			case 1:
				endNotes()
			default:
				s.engine.cfg.Logger.Error("the connector does not heed its context", "in_flight", s.inFlight)
				return
			}
			step++
			deadline.Reset(moment)
		}
	}
	s.publish()
}

// hungry says whether more events are welcome: enough to keep the workers busy,
// and never more than may be held.
func (s *scheduler) hungry() bool {
	toDo := s.lanes.ready.len() + s.lanes.loaded.len() + s.direct.len()
	return toDo < 2*s.engine.cfg.Concurrency && s.lanes.waiting < s.engine.cfg.MaxWaiting
}

// arrive gives an event its place: in the lane of its record, or among what has
// none, for it is settled already or nobody can read it.
func (s *scheduler) arrive(a arrival) {
	a.entry.subject = s.intern(a.entry.subject)
	who := a.entry.ident()
	if _, ok := s.inHand[who]; ok {
		return
	}
	j := job{entry: a.entry, id: a.id}
	known, past := s.known.recall(a.id, a.entry)
	switch {
	case known || s.settled.has(who):
		j.task = ack
	case a.broken != nil:
		j.task = giveUp
		j.entry.past = &progress{reason: clip("undecodable: " + a.broken.Error())}
	default:
		a.entry.past = past
		s.lanes.add(a.lane, a.entry, time.Now())
		return
	}
	s.inHand[who] = struct{}{}
	s.direct.push(j)
}

func (s *scheduler) intern(subject string) string {
	if one, ok := s.subjects[subject]; ok {
		return one
	}
	if len(s.subjects) < 10_000 {
		s.subjects[subject] = subject
	}
	return subject
}

// dispatch gives work to idle workers, in turn.
func (s *scheduler) dispatch(now time.Time) {
	s.gate = time.Time{}
	for s.inFlight < s.engine.cfg.Concurrency && s.direct.len() > 0 {
		s.start(s.direct.pop())
	}
	for s.inFlight < s.engine.cfg.Concurrency {
		l := s.lanes.front(now)
		if l == nil {
			return
		}
		head := l.queue[0]
		j := job{task: deliver, lane: l}
		switch {
		case head.load == nil:
			j.task = fetch
		case head.terminal():
			j.task = giveUp
		case head.unwanted:
			j.task = filterOut
		default:
			if at := s.opens(now); at.After(now) {
				s.gate = at
				return
			}
		}
		j.entry = s.lanes.take()
		if j.entry.load != nil {
			j.id = j.entry.load.event.ID
		}
		s.start(j)
	}
}

func (s *scheduler) start(j job) {
	s.inFlight++
	s.jobs <- j
}

// opens returns when the next attempt may leave; if that is now, it counts as
// left. The limiter is asked for now only: a token reserved for later could be
// used late, and the one after it early.
func (s *scheduler) opens(now time.Time) time.Time {
	if s.paused.After(now) {
		return s.paused
	}
	if s.limiter == nil || s.limiter.AllowN(now, 1) {
		return now
	}
	missing := (1 - s.limiter.TokensAt(now)) / float64(s.limiter.Limit())
	return now.Add(max(1, time.Duration(math.Ceil(missing*float64(time.Second)))))
}

// arm sets the timer to when something is due.
func (s *scheduler) arm(now time.Time) {
	at := s.gate
	if len(s.lanes.delayed) > 0 {
		if due := s.lanes.delayed[0].due; at.IsZero() || due.Before(at) {
			at = due
		}
	}
	if at.IsZero() {
		s.timer.Stop()
		return
	}
	s.timer.Reset(at.Sub(now))
}

// finish takes in what a worker did.
func (s *scheduler) finish(r result) {
	s.inFlight--
	if r.abandoned {
		return // the engine is being stopped; the event comes again
	}
	now := time.Now()
	s.tally(r, now)
	if r.pause.After(s.paused) {
		s.paused = r.pause
	}
	switch {
	case r.load != nil:
		s.lanes.fill(r.job.lane, r.load)
	case r.outcome == Failed:
		s.lanes.postpone(r.job.lane, r.past, now)
	case r.job.lane == nil:
		delete(s.inHand, r.job.entry.ident())
		s.settled.add(r.job.entry.ident())
	default:
		if !r.replaced {
			s.settled.add(r.job.entry.ident())
		}
		s.lanes.settle(r.job.lane, now)
	}
}

// tally counts r.
func (s *scheduler) tally(r result, now time.Time) {
	e := s.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.outcome == Failed {
		last := &r.past.tries[len(r.past.tries)-1]
		if last.err == e.stats.LastError {
			last.err = e.stats.LastError // one copy of what thousands of records are told
		}
	}
	if r.attempted {
		e.stats.attempted(r.err, now)
	}
	switch {
	case r.job.task == ack:
		e.stats.Skipped++
	case r.outcome != Failed:
		e.stats.count(r.outcome)
	}
}

// publish shows how it is now.
func (s *scheduler) publish() {
	e := s.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats.InFlight = s.inFlight
	e.stats.Waiting = s.lanes.waiting + len(s.inHand) - s.inFlight
	e.stats.PausedUntil = s.paused
}
