package connectors

import (
	"context"
	"time"
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
	acks    int                // of these, those that were settled before the start
	health  *health
	keeper  *keeper
	probing bool // a probe is under way
	detour  detour

	arrivals chan arrival
	jobs     chan job
	results  chan result
	inFlight int   // jobs
	carried  int   // events of these, diverted ones aside
	stats    Stats // as of now; others see it when it is published

	pace      *Pace
	gate      time.Time // when the attempt whose turn it is may leave; zero when none is held up
	timer     *time.Timer
	subjects  map[string]string // one copy of each: there are few
	window    *Window           // of the last event that has one
	digestMax int               // the most events of a digest
	upToDate  bool              // the stream had no more when the last event came
	seen      time.Time         // when the stream took the last event that came
	high      entry             // the highest number and the latest time that came of the stream
}

// A job is what a worker does with one event, or with the riders of one delivery.
type job struct {
	task   task
	entry  entry
	id     string  // the event's
	lane   *lane   // nil for what needs no order
	riders []rider // several events, in order; then entry is the first
	window *Window // they are its digest; nil: one is told after the other
	probe  bool
}

// A rider is one of several events in a delivery.
type rider struct {
	lane  *lane
	entry entry
}

type task int

const (
	deliver  task = iota // attempt, and note what came of it
	fetch                // read the body again
	giveUp               // bury
	passOver             // settle what is not sent
	divert               // give it to the fallback
	ack                  // settle what the ledger has already
	writeOff             // note what cannot come from the stream any more
)

func newScheduler(e *Engine, known *memory, h *health, k *keeper) *scheduler {
	n := e.cfg.Concurrency
	e.cfg.Pace.hold(h.Silent)
	return &scheduler{
		engine: e, known: known, settled: newSettledSet(), lanes: newLanes(),
		inHand: map[ident]struct{}{},
		health: h, keeper: k, pace: e.cfg.Pace,
		arrivals:  make(chan arrival, n),
		jobs:      make(chan job, n), // never more in flight: neither side waits
		results:   make(chan result, n),
		timer:     time.NewTimer(time.Hour),
		subjects:  map[string]string{},
		digestMax: maxDigest, upToDate: true,
	}
}

// run schedules until ctx ends.
func (s *scheduler) run(ctx context.Context) {
	defer s.timer.Stop()
	for {
		now := time.Now()
		s.lanes.wake(now)
		s.dispatch(now)
		s.divert(now)
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
		case do := <-s.engine.orders:
			do(s)
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
				s.pace.done(time.Now()) // others may share it
				return
			}
			step++
			deadline.Reset(moment)
		}
	}
	s.publish()
}

// hungry says whether more events are welcome: enough to keep the workers busy
// and to fill a delivery of several, and never more than may be held.
func (s *scheduler) hungry() bool {
	toDo := s.lanes.ready.len() + s.lanes.loaded.len() + s.direct.len()
	return toDo < 2*max(s.engine.cfg.Concurrency, s.engine.cfg.Burst) && s.lanes.waiting < s.engine.cfg.MaxWaiting
}

// arrive gives an event its place: in the lane of its record, or among what has
// none, for it is settled already or nobody can read it.
func (s *scheduler) arrive(a arrival) {
	a.entry.subject = s.intern(a.entry.subject)
	who := a.entry.ident()
	if who.replay == 0 {
		s.upToDate, s.seen = a.behind == 0, time.Unix(0, a.entry.at)
		s.follow(who.sequence, a.entry.at)
	}
	if _, ok := s.inHand[who]; ok {
		return
	}
	j := job{entry: a.entry, id: a.id}
	known, past := s.known.recall(a.id, a.entry)
	switch {
	case known || s.settled.has(who):
		j.task = ack
		s.acks++
	case a.broken != nil:
		j.task = giveUp
		j.entry.past = &progress{reason: clip("undecodable: " + a.broken.Error())}
		s.stats.Observed++
	default:
		if a.entry.past = past; past != nil {
			a.entry.diverted = past.diverted
		}
		s.line(a, time.Now())
		return
	}
	s.inHand[who] = struct{}{}
	s.direct.push(j)
}

// follow takes in the number and the time of an event of the stream. A younger one
// with an old number says that the stream lost its end and went on from there: what
// was settled under these numbers were other events.
func (s *scheduler) follow(sequence uint64, at int64) {
	if at > s.high.at && sequence <= s.high.sequence {
		s.settled.cut(sequence)
	}
	s.high.sequence, s.high.at = max(s.high.sequence, sequence), max(s.high.at, at)
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
		j, ok := s.next(now)
		if !ok {
			return
		}
		s.start(j)
	}
}

// next chooses what is done next: an event or several that are due, the digest of
// a window, or the probe of a connector that fails.
func (s *scheduler) next(now time.Time) (job, bool) {
	sends := s.health.state().Sends()
	for l := s.lanes.front(now); l != nil; l = s.lanes.front(now) {
		head := l.queue[0]
		switch {
		case head.sendable() && !sends:
			s.lanes.hold()
			continue
		case head.sendable() && s.isCrowded(l):
			if s.isOpen(now) {
				return s.collapse(now), true
			}
			return job{}, false
		case head.load == nil:
			return s.head(fetch), true
		case head.terminal():
			return s.head(giveUp), true
		case !head.sendable():
			return s.head(passOver), true
		case s.isOpen(now):
			return s.head(deliver), true
		}
		return job{}, false
	}
	choose := s.probe
	if sends {
		choose = s.digest
	}
	j, ok := choose(now)
	if !ok && s.gate.IsZero() && s.lanes.front(now) != nil {
		return s.next(now) // a lane whose head is of no window any more
	}
	return j, ok
}

// head makes the head of the front lane a job.
func (s *scheduler) head(t task) job {
	l, e := s.lanes.take()
	j := job{task: t, lane: l, entry: e}
	if e.load != nil {
		j.id = e.load.event.ID
	}
	return j
}

func (s *scheduler) start(j job) {
	s.inFlight++
	s.carried += j.events()
	s.jobs <- j
}

// events is how many a job carries on their way.
func (j job) events() int {
	if j.task == divert {
		return 0 // it stays in its lane
	}
	return max(1, len(j.riders))
}

// isOpen reports whether an attempt may leave now; then it counts as left.
func (s *scheduler) isOpen(now time.Time) bool {
	if at := s.pace.take(now); at.After(now) {
		s.gate = at
		return false
	}
	return true
}

// arm sets the timer to when something is due.
func (s *scheduler) arm(now time.Time) {
	at := s.gate
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if len(s.lanes.delayed) > 0 {
		sooner(s.lanes.delayed[0].due)
	}
	sooner(s.detour.next(now, s.health, s.engine.cfg.Fallback))
	if at.IsZero() {
		s.timer.Stop()
		return
	}
	s.timer.Reset(max(at.Sub(now), time.Millisecond))
}

// finish takes in what a worker did.
func (s *scheduler) finish(r result) {
	s.inFlight--
	s.carried -= r.job.events()
	now := time.Now()
	if r.job.task == deliver {
		s.pace.done(now)
	}
	if r.job.probe {
		s.probing = false
	}
	if r.job.task == divert {
		s.diverted(r)
		return
	}
	if r.abandoned {
		return // the engine is being stopped; the event comes again
	}
	s.tally(r, now)
	if r.pause.After(s.health.Silent) {
		s.health.Silent = r.pause
		s.pace.hold(r.pause)
		s.remember(nothing, nil)
	}
	s.place(r, now)
	if r.attempted {
		s.learn(r, now)
	}
}

// place takes back what r's worker had.
func (s *scheduler) place(r result, now time.Time) {
	switch {
	case r.job.riders != nil:
		s.disembark(r, now)
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
	if r.attempted {
		s.stats.attempted(r.err, now)
	}
	for _, one := range r.riders {
		s.share(one.past)
		s.stats.count(one.outcome)
	}
	switch {
	case r.job.task == ack:
		s.acks--
		s.stats.Skipped++
	case r.riders == nil:
		s.share(r.past)
		s.stats.count(r.outcome)
	}
}

// share keeps one copy of what thousands of records are told.
func (s *scheduler) share(p *progress) {
	if p == nil || len(p.tries) == 0 {
		return
	}
	if last := &p.tries[len(p.tries)-1]; last.err == s.stats.LastError {
		last.err = s.stats.LastError
	}
}

// publish shows how it is now.
func (s *scheduler) publish() {
	held := s.lanes.waiting + len(s.inHand)
	s.stats.InFlight, s.stats.Waiting, s.stats.Pending = s.carried, held-s.carried, held-s.acks
	s.stats.PausedUntil = s.pace.heldUntil()
	s.stats.Health, s.stats.State = s.health.Health, s.health.state()
	e := s.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	s.stats.StoreError = e.stats.StoreError
	e.stats = s.stats
}
