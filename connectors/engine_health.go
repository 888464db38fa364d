package connectors

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"time"
)

// learn tells the breaker what became of an attempt, and acts on what follows.
func (s *scheduler) learn(r result, now time.Time) {
	before := s.health.state()
	if r.err != "" {
		s.changed(before, s.health.struck(r.blow, now), now)
		return
	}
	n := s.health.acceptedAt(now)
	s.detour.end(s, now)
	s.changed(before, n, now)
}

// changed puts a change of health into effect.
func (s *scheduler) changed(before State, n news, now time.Time) {
	after := s.health.state()
	if after.Sends() && !before.Sends() {
		s.lanes.unhold(now)
		s.lanes.hasten(now)
	}
	if n != nothing || after != before || s.health.State == Open {
		s.remember(n, nil)
	}
}

// remember lets the keeper put the health on record, and tell of it.
func (s *scheduler) remember(n news, done chan<- error) {
	text, err := s.health.remembered()
	if err != nil {
		s.engine.cfg.Logger.Error("the state of the connector cannot be written", "error", err.Error())
		return // it is plain data: it always encodes
	}
	m := memo{text: text}
	if n != nothing {
		m.told = []Health{s.health.Health}
	}
	if done != nil {
		m.done = []chan<- error{done}
	}
	s.keeper.put(m)
}

// probe chooses a waiting event to see whether the connector is well again, when
// it is time: one that was held up, one to be tried again, or a digest.
func (s *scheduler) probe(now time.Time) (job, bool) {
	if s.health.state() != Open || s.probing {
		return job{}, false
	}
	if s.health.Probe.After(now) {
		s.gate = s.health.Probe
		return job{}, false
	}
	if s.giveUpOverdue(now) {
		return s.next(now)
	}
	j, ok := s.candidate(now)
	if !ok {
		return job{}, false
	}
	if !s.isOpen(now) {
		s.putBack(j, now)
		return job{}, false
	}
	j.probe, s.probing = true, true
	return j.boarded(), true
}

// candidate takes what is to be the probe out of where it waits.
func (s *scheduler) candidate(now time.Time) (job, bool) {
	var l *lane
	if s.lanes.held.len() > 0 {
		l = s.lanes.held.pop()
	} else {
		for _, one := range s.lanes.delayed { // the first due come early
			if one.queue[0].past != nil {
				l = one
				heap.Remove(&s.lanes.delayed, l.index)
				break
			}
		}
	}
	if l != nil {
		j := job{task: deliver}
		if head := l.queue[0]; head.gathers() {
			j.window = head.window
		}
		j.seat(l)
		return j, true
	}
	return s.whole(now)
}

// giveUpOverdue finds held events that would have had all their attempts by now,
// had they been made, and gives them up: an alert is not to come days late
// because the connector was down so long. However short the schedule is, each may
// become a probe before that. It reports whether there are any.
func (s *scheduler) giveUpOverdue(now time.Time) bool {
	found := false
	for n := s.lanes.held.len(); n > 0; n-- {
		l := s.lanes.held.pop()
		head := &l.queue[0]
		spent, due := 0, time.Unix(0, max(head.at, head.release))
		if head.past != nil {
			spent = head.past.spent
			if head.past.next.After(due) {
				due = head.past.next
			}
		}
		if due.Before(s.health.Since) {
			due = s.health.Since
		}
		if now.Sub(due) <= max(s.engine.retry.left(spent), 2*lastProbe) {
			s.lanes.held.push(l)
			continue
		}
		if head.past == nil {
			head.past = &progress{}
		}
		head.past.reason = clip("schedule exhausted while the connector failed: " + s.health.Reason)
		s.lanes.release(l, now)
		found = true
	}
	return found
}

// ErrNotRunning says that an engine does not deliver, so that nobody can pause it.
var ErrNotRunning = errors.New("the connector does not run")

// Pause stops deliveries, until [Engine.Resume]: events are kept. It returns once
// that is on record and so survives a restart, or with [ErrNotRunning] when ctx
// ends. It may be called again.
func (e *Engine) Pause(ctx context.Context) error {
	return e.order(ctx, func(s *scheduler, _ time.Time) { s.health.pause() })
}

// Resume takes back Pause, and lets a parked connector try again; what waits is
// tried at once. It may be called of a connector that runs.
func (e *Engine) Resume(ctx context.Context) error {
	return e.order(ctx, func(s *scheduler, now time.Time) {
		s.health.resume(now)
		s.lanes.hasten(now)
	})
}

func (e *Engine) order(ctx context.Context, do func(s *scheduler, now time.Time)) error {
	done := make(chan error, 1)
	order := func(s *scheduler) {
		before, now := s.health.state(), time.Now()
		do(s, now)
		s.changed(before, nothing, now)
		s.remember(nothing, done)
	}
	select {
	case e.orders <- order:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNotRunning, ctx.Err())
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stateKey is what the health is remembered under.
const stateKey = "state"

// A keeper puts the health on record and tells of it, in order, while deliveries
// go on.
type keeper struct {
	engine *Engine
	memos  chan memo
	ended  chan struct{}
}

// A memo is the state of a connector to remember.
type memo struct {
	text string
	told []Health       // to be told first
	done []chan<- error // of those who wait for it
}

func newKeeper(e *Engine) *keeper {
	return &keeper{engine: e, memos: make(chan memo, 1), ended: make(chan struct{})}
}

// put hands over m, and never waits: what was not begun yet becomes a part of it.
// One goroutine at a time may call it.
func (k *keeper) put(m memo) {
	select {
	case earlier := <-k.memos:
		m.told, m.done = append(earlier.told, m.told...), append(earlier.done, m.done...)
	default:
	}
	k.memos <- m
}

// run ends when memos is closed; from the end of ctx on it tries each only once.
func (k *keeper) run(ctx context.Context) {
	defer close(k.ended)
	for m := range k.memos {
		for _, h := range m.told {
			if k.engine.cfg.Observer.Health != nil {
				k.engine.cfg.Observer.Health(h)
			}
		}
		err := k.remember(ctx, m.text)
		if err != nil {
			k.engine.cfg.Logger.Warn("the state of the connector is not on record", "error", clip(err.Error()))
		}
		for _, done := range m.done {
			done <- err
		}
	}
}

// close waits until everything is on record, or has been tried for a moment.
func (k *keeper) close(giveUp context.CancelFunc) {
	close(k.memos)
	late := time.AfterFunc(time.Second, giveUp)
	<-k.ended
	late.Stop()
}

func (k *keeper) remember(ctx context.Context, text string) error {
	memory := k.engine.cfg.Memory
	if memory == nil {
		return nil
	}
	return k.engine.persist(ctx, "remember the state", storeTimeout, func(ctx context.Context) error {
		return memory.Remember(ctx, stateKey, text)
	})
}

// restore reads what an earlier process remembered. It fails only when ctx ends.
func (e *Engine) restore(ctx context.Context) (*health, error) {
	h := newHealth(time.Now())
	if e.cfg.Memory == nil {
		return h, nil
	}
	var text string
	err := e.persist(ctx, "recall the state", storeTimeout, func(ctx context.Context) (err error) {
		text, err = e.cfg.Memory.Recall(ctx, stateKey)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := h.restore(text, time.Now()); err != nil {
		e.cfg.Logger.Warn("the state on record is unreadable and left out", "error", err)
		h = newHealth(time.Now())
	}
	return h, nil
}
