package trackops

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// gapMargin lengthens the gap between two requests: they arrive with jitter, so
// a gap of exactly one second is half the time too short at the other end.
const gapMargin = 0.02

// pace spaces the requests of an account. The limiter alone is not enough: it
// counts from when it let a request through, and one that then left late (a late
// wake-up, a slow dial) would be followed too closely by the next. So behind it
// a gate measures from when bytes last left on a connection.
type pace struct {
	limiter *rate.Limiter

	mu      sync.Mutex
	rate    float64
	written time.Time
	late    time.Duration   // by how much the last request may have travelled longer than the next
	trips   []time.Duration // the latest round trips, at most manyTrips
}

// newPace continues after a request written at last, perhaps by an earlier process.
func newPace(perSecond float64, last time.Time) *pace {
	if now := time.Now(); last.After(now) {
		last = now // the clock was set back since
	}
	p := &pace{limiter: rate.NewLimiter(rate.Limit(perSecond), 1), written: last}
	p.setRate(perSecond)
	return p
}

func (p *pace) setRate(perSecond float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = perSecond
	p.limiter.SetLimit(rate.Limit(perSecond))
}

// wait returns when the next request may be written.
func (p *pace) wait(ctx context.Context) error {
	grant := p.limiter.Reserve()
	due := time.Now().Add(grant.Delay())
	for {
		now := time.Now()
		// The gate is asked again after each wait: the rate may have changed.
		d := max(due.Sub(now), p.untilOpen(now))
		if d <= 0 {
			return nil
		}
		timer := time.NewTimer(d)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			grant.Cancel()
			return ctx.Err()
		}
	}
}

func (p *pace) untilOpen(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.written.IsZero() {
		return 0
	}
	gap := time.Duration((1 + gapMargin) / p.rate * float64(time.Second))
	// A request that travelled long must not be followed by one that does not.
	gap = max(gap, time.Duration(float64(time.Second)/p.rate)+p.late)
	return p.written.Add(gap).Sub(now)
}

// noteAnswer notes that the answer to the last request begins to come. What its
// round trip took beyond the shortest of the latest ones may all have been on its
// way there; of the first one that is all of it.
func (p *pace) noteAnswer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	trip, least := time.Since(p.written), time.Duration(0)
	if len(p.trips) > 0 {
		least = slices.Min(p.trips)
	}
	p.late = min(max(0, trip-least), mostLate)
	p.trips = append(p.trips, trip)
	if len(p.trips) > manyTrips {
		p.trips = p.trips[1:]
	}
}

const (
	// mostLate bounds what a slow answer adds to a gap.
	mostLate = 5 * time.Second
	// manyTrips is after how many slow answers Trackops is slow, and not the way.
	manyTrips = 20
)

func (p *pace) noteWrite() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written = time.Now()
}

func (p *pace) lastWrite() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.written
}

// A pacedConn notes when it writes. This is later, and truer, than what
// httptrace.WroteRequest says: that is called before the buffer is flushed, and
// not for a request that is still on its way out when its context ends.
type pacedConn struct {
	net.Conn
	pace *pace
}

func (c pacedConn) Write(b []byte) (int, error) {
	c.pace.noteWrite()
	n, err := c.Conn.Write(b)
	c.pace.noteWrite()
	return n, err
}
