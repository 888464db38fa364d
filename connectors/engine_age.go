package connectors

import (
	"container/heap"
	"context"
	"time"
)

// An AgingFeed is a [Feed] of a stream whose oldest events leave it.
type AgingFeed interface {
	// Oldest returns the sequence below which there are no events any more.
	Oldest(ctx context.Context) (uint64, error)
}

// lookForAged is how often it is looked for events that left the stream while
// they waited. What is sent meanwhile is found out by reading it again.
const lookForAged = time.Minute

// age lets the scheduler know what left the stream, at once and then every minute,
// until ctx ends.
func (e *Engine) age(ctx context.Context) {
	feed, ok := e.cfg.Feed.(AgingFeed)
	if !ok {
		return
	}
	for ctx.Err() == nil {
		var oldest uint64
		err := e.persist(ctx, "look for the oldest event", storeTimeout, func(ctx context.Context) (err error) {
			oldest, err = feed.Oldest(ctx)
			return err
		})
		if err != nil {
			return // ctx ended
		}
		select {
		case e.orders <- func(s *scheduler) { s.expire(oldest, time.Now()) }:
		case <-ctx.Done():
		}
		sleep(ctx, lookForAged)
	}
}

// expire settles what waits and is older than the stream's oldest event: it can not
// be sent any more, however long the connector fails or is paused.
func (s *scheduler) expire(oldest uint64, now time.Time) {
	s.known.expire(oldest, func(p *progress) {
		j := job{task: writeOff, id: p.id, entry: entry{sequence: p.sequence, past: p}}
		s.inHand[j.entry.ident()] = struct{}{}
		s.stats.Observed++
		s.direct.push(j)
	})
	s.lanes.expire(oldest, now)
}

// expire hands over, and forgets, the attempts at events older than oldest, which
// cannot come any more. Replays have a body of their own.
func (m *memory) expire(oldest uint64, each func(p *progress)) {
	for d, p := range m.failed {
		if p.sequence < oldest && !p.replayed {
			delete(m.failed, d)
			each(p)
		}
	}
}

// expire marks entries older than oldest. Those that a worker has, or that are about
// to be sent, find out by themselves.
func (ls *lanes) expire(oldest uint64, now time.Time) {
	loose := map[*lane]bool{} // their heads are to be settled
	for _, l := range ls.byKey {
		if l.state == busy || l.state == ready {
			continue
		}
		before := l.queue[0].fate
		for i := range l.queue {
			if e := &l.queue[i]; e.replay == 0 && e.sequence < oldest && e.sendable() {
				e.fate = aged
				ls.unload(l, i)
			}
		}
		if l.queue[0].fate != before {
			loose[l] = true
		}
	}
	if len(loose) == 0 {
		return
	}
	goes := func(l *lane) bool { return loose[l] }
	ls.held.remove(goes)
	for w, group := range ls.groups {
		if group.remove(goes); group.len() == 0 {
			delete(ls.groups, w)
		}
	}
	for l := range loose {
		if l.state == delayed {
			heap.Remove(&ls.delayed, l.index)
		}
		ls.release(l, now)
	}
}
