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
	tries     []try     // oldest first, at most maxTries
	first     time.Time // when the first attempt began
	next      time.Time // not before this
	spent     int       // attempts that counted against the schedule
	throttled int       // answers of 429 since the last other one
	reason    string    // not empty: no further attempt, it belongs to the dead letters
}

// A try is one failed attempt in few bytes: there may be tens of thousands of
// failing records.
type try struct {
	at, next int64 // Unix nanoseconds; next is 0 when there is none
	took     time.Duration
	attempt  int
	status   int
	err      string
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
// at an event with the given progress; p.first is set.
//
// A 429 spends no attempt, for it says nothing about the event, but ends seven
// days after the first attempt. A wait that the receiver asked for is kept whole
// up to a day, and with 429 and 503, which speak for the receiver and not for
// the event, it holds for the whole connector.
func (s schedule) judge(p *progress, err error, now time.Time) verdict {
	after, asked := fault.After(err)
	after = min(max(after, 0), maxAfter)
	status := fault.Status(err)
	v := verdict{spent: p.spent + 1}
	if status == statusThrottled || status == http.StatusServiceUnavailable {
		v.pause = after
	}
	switch {
	case fault.IsPermanent(err):
		v.reason = "permanent"
	case status == statusThrottled:
		v.spent = p.spent
		step := p.spent
		if !asked {
			step += p.throttled // nobody said when: each time a little later
		}
		if v.wait = max(s.at(step), after); v.wait == 0 {
			v.wait = fault.Jitter(throttleWait)
		}
		if now.Add(v.wait).Sub(p.first) > maxThrottle {
			v.reason = "throttled for seven days"
		}
	case v.spent > len(s):
		v.reason = "schedule exhausted"
	default:
		v.wait = max(s.at(p.spent), after)
	}
	return v
}

// at returns the wait of a step, with jitter upwards; the last one goes on.
func (s schedule) at(step int) time.Duration {
	if len(s) == 0 {
		return 0
	}
	return fault.Jitter(s[min(step, len(s)-1)])
}
