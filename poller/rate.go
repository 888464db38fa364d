package poller

import (
	"math"
	"time"
)

// A rate is an estimate of how often something happens, from how often it was
// found: a Gamma-Poisson estimate with a memory that fades. It is plain data,
// kept in the cursor across restarts.
type rate struct {
	Count float64   `json:"n"` // faded
	Time  float64   `json:"t"` // seconds, faded alike
	At    time.Time `json:"at"`
}

// halfLife is how long until an observation counts half. Half an hour follows
// office hours and bursts and is little worse than the true rate on a steady
// stream.
const halfLife = 30 * time.Minute

// observe takes in that k events were found, since the last call.
func (r rate) observe(k int, now time.Time) rate {
	if r.At.IsZero() {
		return rate{Count: float64(k), At: now}
	}
	dt := max(0, now.Sub(r.At).Seconds())
	fade := math.Exp2(-dt / halfLife.Seconds())
	return rate{Count: r.Count*fade + float64(k), Time: r.Time*fade + dt, At: now}
}

// perSecond returns the estimate, with prior events a second where nothing is
// known. It is never 0, so that nothing starves.
func (r rate) perSecond(prior float64) float64 {
	return (0.5 + r.Count) / (0.5/prior + r.Time)
}

// A delay is how long changes took to be found: a mean that fades.
type delay struct {
	Sum float64 `json:"sum"` // seconds
	N   float64 `json:"n"`
}

func (d delay) observe(took time.Duration, n int) delay {
	const keep = 0.98
	for range n {
		d = delay{d.Sum*keep + took.Seconds(), d.N*keep + 1}
	}
	return d
}

func (d delay) mean() time.Duration {
	if d.N == 0 {
		return 0
	}
	return time.Duration(d.Sum / d.N * float64(time.Second))
}
