package connectors

import (
	"net/http"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

const (
	// maxAfter is the longest wait a receiver may ask for.
	maxAfter = 24 * time.Hour

	// maxThrottle ends the patience with a receiver that answers 429 only.
	maxThrottle = 7 * 24 * time.Hour

	// throttleWait is the wait after a 429 when neither the receiver nor the
	// schedule has one.
	throttleWait = time.Minute

	// statusThrottled is the answer that says nothing about the event.
	statusThrottled = http.StatusTooManyRequests

	// maxTries bounds what one event remembers: answers of 429 are not bounded
	// by the schedule.
	maxTries = 100
)

// progress is what is known of an event that was attempted and is not settled.
type progress struct {
	id        string    // the event's
	sequence  uint64    // as of the ledger; 0 for what was first attempted by this process
	replayed  bool      // it is of a replay
	tries     []try     // oldest first, at most maxTries
	first     time.Time // when the first attempt began
	next      time.Time // not before this
	spent     int       // attempts that counted against the schedule
	throttled int       // answers of 429 since the last other one
	reason    string    // not empty: no further attempt, it belongs to the dead letters
	diverted  bool      // the fallback was given the event
}

// A try is one failed attempt in few bytes: there may be tens of thousands of
// failing records.
type try struct {
	at, next int64 // Unix nanoseconds; next is 0 when there is none
	took     time.Duration
	attempt  int
	status   int
	err      string
	answer   string
	probe    bool
}

// remember adds t. Of too many, the oldest answer of 429 goes first.
func (p *progress) remember(t try) {
	p.tries = append(p.tries, t)
	if len(p.tries) <= maxTries {
		return
	}
	oldest := 0
	for i, one := range p.tries {
		if one.status == statusThrottled {
			oldest = i
			break
		}
	}
	p.tries = append(p.tries[:oldest], p.tries[oldest+1:]...)
}

// A schedule is the waits between attempts: n waits are 1 + n attempts.
type schedule []time.Duration

// A verdict is what follows from a failed attempt.
type verdict struct {
	spent  int           // attempts that counted against the schedule so far
	wait   time.Duration // until the next attempt, if reason is empty
	pause  time.Duration // for every event of the connector
	reason string        // not empty: no further attempt
}

// judge decides what follows from err, the outcome at the time now of an attempt
// at an event with the given progress; p.first is set. Waits are of the schedule
// times stretch, which is 1 or a little more.
//
// A 429 spends no attempt, for it says nothing about the event, but ends seven
// days after the first attempt. Neither do a probe of a connector that is known
// to fail, nor what says that the other side is closed or unsafe: the event waits
// until that changes. A wait that the receiver asked for is kept whole up to a
// day, and for the whole connector.
func (s schedule) judge(p *progress, err error, probe bool, now time.Time, stretch float64) verdict {
	after, asked := fault.After(err)
	after = min(max(after, 0), maxAfter)
	status := fault.Status(err)
	v := verdict{spent: p.spent + 1}
	if asked && status != 0 {
		v.pause = after
	}
	switch {
	case fault.IsPermanent(err):
		v.reason = "permanent"
	case fault.IsGone(err), fault.IsUnsafe(err), probe && status != statusThrottled:
		v.spent, v.wait = p.spent, after
	case status == statusThrottled:
		v.spent = p.spent
		step := p.spent
		if !asked {
			step += p.throttled // nobody said when: each time a little later
		}
		if v.wait = max(s.at(step, stretch), after); v.wait == 0 {
			v.wait = time.Duration(float64(throttleWait) * stretch)
		}
		if now.Add(v.wait).Sub(p.first) > maxThrottle {
			v.reason = "throttled for seven days"
		}
	case v.spent > len(s):
		v.reason = "schedule exhausted"
	default:
		v.wait = max(s.at(p.spent, stretch), after)
	}
	return v
}

// at returns the wait of a step; the last one goes on.
func (s schedule) at(step int, stretch float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	return time.Duration(float64(s[min(step, len(s)-1)]) * stretch)
}

// stretch draws the jitter of one failure: upwards only.
func stretch() float64 {
	return float64(fault.Jitter(time.Second)) / float64(time.Second)
}

// left is how long the schedule still goes on after the given number of attempts.
func (s schedule) left(spent int) time.Duration {
	var sum time.Duration
	for _, wait := range s[min(spent, len(s)):] {
		sum += wait
	}
	return sum
}
