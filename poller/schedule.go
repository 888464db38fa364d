package poller

import "time"

// choose returns the request that is worth most at now, and when it may leave.
// It is the one place that decides: every request of the account, repetitions
// included, passes here.
//
// Collections are asked in turn, the longest waiting first. One baseline is read
// at a time and takes every other request, so that what is live stays fresh.
func (p *Poller) choose(now time.Time) (*watch, job, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var best, base *watch
	for _, w := range p.watches {
		switch {
		case !w.cursor.Live && !w.retryAt.After(now):
			if base == nil {
				base = w
			}
		case best == nil || before(w, best, now):
			best = w
		}
	}
	if base != nil && (best == nil || best.retryAt.After(now) || p.last == nil || p.last.cursor.Live) {
		best = base
	}
	at := later(p.pace.next(), later(p.denied.until, p.outage.until))
	return best, best.next(now), later(at, best.retryAt)
}

// before reports whether a is due before b: what may be asked at all, and of
// that the one asked longest ago.
func before(a, b *watch, now time.Time) bool {
	if aWaits, bWaits := a.retryAt.After(now), b.retryAt.After(now); aWaits || bWaits {
		if aWaits && bWaits {
			return a.retryAt.Before(b.retryAt)
		}
		return bWaits
	}
	return a.asked.Before(b.asked)
}

// A pace spaces requests: a gap that doubles when the server says that we are
// too fast, and shrinks slowly back.
type pace struct {
	least time.Duration // what the operator allows
	gap   time.Duration
	last  time.Time
	clean int       // answers in a row without a 429
	until time.Time // the server asked us to wait
}

const (
	longestGap  = 5 * time.Minute
	cleanToGain = 60 // clean answers before the gap shrinks by a twentieth
)

func newPace(rate float64) pace {
	if rate <= 0 {
		return pace{}
	}
	gap := time.Duration(float64(time.Second) / rate)
	return pace{least: gap, gap: gap}
}

func (p *pace) sent(at time.Time) { p.last = at }

func (p *pace) next() time.Time {
	if p.last.IsZero() {
		return p.until
	}
	return later(p.last.Add(p.gap), p.until)
}

func (p *pace) throttled(wait time.Duration, now time.Time) {
	p.clean = 0
	p.gap = min(max(2*p.gap, time.Second), longestGap)
	p.until = now.Add(max(wait, p.gap, 2*time.Second))
}

func (p *pace) answered() {
	if p.gap == p.least {
		return
	}
	if p.clean++; p.clean >= cleanToGain {
		p.clean = 0
		p.gap = max(p.least, p.gap*95/100)
	}
}
