package connectors

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A Pace lets attempts through at a rate. Connectors that write to the same place
// share one. Its methods may be called concurrently.
type Pace struct {
	limiter *rate.Limiter // nil lets everything through

	mu     sync.Mutex
	strict bool
	busy   bool
	free   time.Time // of a strict one: not before this
	silent time.Time // the other side asked for silence until then
}

// NewPace returns a pace of so many attempts a second, never two closer than
// that; 0 is unlimited. A strict one lets one attempt through at a time and counts
// from its end: then they cannot come closer together on their way either.
func NewPace(perSecond float64, strict bool) *Pace {
	p := &Pace{}
	if perSecond > 0 {
		p.limiter = rate.NewLimiter(rate.Limit(perSecond), 1)
		p.strict = strict
	}
	if p.strict { // an earlier process may have sent something just now
		p.free = time.Now().Add(p.interval())
	}
	return p
}

// take returns now if an attempt may leave now, which counts as left, and
// otherwise when to ask again. The limiter is asked for now only: a token
// reserved for later could be used late, and the one after it early.
func (p *Pace) take(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent.After(now) {
		return p.silent
	}
	if p.limiter == nil {
		return now
	}
	if p.strict && p.busy {
		return now.Add(p.interval() / 4)
	}
	if p.strict && p.free.After(now) {
		return p.free
	}
	if p.limiter.AllowN(now, 1) {
		p.busy = p.strict
		return now
	}
	missing := (1 - p.limiter.TokensAt(now)) / float64(p.limiter.Limit())
	return now.Add(max(1, time.Duration(math.Ceil(missing*float64(time.Second)))))
}

// done says that an attempt that take let through has ended.
func (p *Pace) done(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.strict {
		p.busy, p.free = false, now.Add(p.interval())
	}
}

// hold lets no attempt through before until: the other side asked for that, and it
// holds for all who write there.
func (p *Pace) hold(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until.After(p.silent) {
		p.silent = until
	}
}

// heldUntil returns the end of the silence, zero if there never was one.
func (p *Pace) heldUntil() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.silent
}

// limited reports whether anything can have to wait.
func (p *Pace) limited() bool { return p.limiter != nil }

func (p *Pace) interval() time.Duration {
	return time.Duration(float64(time.Second) / float64(p.limiter.Limit()))
}
