package poller

import "time"

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
	// paceMargin keeps requests apart by a little more than the limit, as the API
	// client's own gate does: they travel for different times.
	paceMargin  = 1.02
	longestGap  = 5 * time.Minute
	cleanToGain = 60 // clean answers before the gap shrinks by a twentieth
)

func newPace(rate float64) pace {
	if rate <= 0 {
		return pace{}
	}
	gap := time.Duration(paceMargin * float64(time.Second) / rate)
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
