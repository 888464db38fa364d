package poller

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// A Status is where one collection stands.
type Status struct {
	Account     string
	Collection  string
	State       string // "baseline", "live", "off", "failing"
	Held        int    // live records
	Expected    int    // records counted at the start of the baseline; 0 if unknown
	LastSuccess time.Time
	LastError   string
	Overdue     bool // the last success is longer ago than it should be

	Rate      float64       // estimated changes a second
	Age       time.Duration // since the last complete poll
	MaxAge    time.Duration // what that may become
	Next      time.Duration // until the next poll, about
	Predicted time.Duration // mean time from a change to its detection, by the present pace
	Measured  time.Duration // the same as it was; 0 if nothing was measured yet

	Coverage time.Time // every record was read again since; zero: not yet
	Sweep    float64   // how much of the sweep under way is done, 0 to 1
	Suspects int       // absent records under examination
	Braked   string    // why deletions are held back; "" if they are not
	Refused  []string  // questions that the API does not take
	Volatile []string  // fields that change by themselves: JSON Pointers for COLLECTION_<NAME>_IGNORE
}

// Ready reports whether the collection can be relied on: its baseline is
// complete and it is not overdue. One that the account does not have is.
func (s Status) Ready() bool {
	return s.State == "off" || (s.State == "live" || s.State == "failing") && !s.Overdue
}

// Status returns where each collection stands at now. It may be called while
// Run is running.
func (p *Poller) Status(now time.Time) []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := 3 * p.maxAge()
	all := make([]Status, 0, len(p.watches))
	for _, w := range p.watches {
		s := Status{
			Account:     p.Account,
			Collection:  w.layout.collection.Name,
			State:       "live",
			Held:        w.held,
			LastSuccess: w.lastSuccess,
			LastError:   w.lastError,
			Overdue:     now.Sub(w.lastSuccess) > limit,
		}
		switch {
		case w.off != "":
			s.State, s.LastError = "off", w.off
		case !w.cursor.Live:
			s.State = "baseline"
			if b := w.cursor.Baseline; b != nil {
				s.Expected = max(b.Count, 0)
			}
		case w.lastError != "":
			s.State = "failing"
		case p.stateError != "":
			s.State, s.LastError = "failing", p.stateError
		}
		p.describe(&s, w, now)
		all = append(all, s)
	}
	return all
}

// describe fills in how the collection is watched.
func (p *Poller) describe(s *Status, w *watch, now time.Time) {
	s.MaxAge = p.maxAge()
	s.Rate = w.rate()
	if last := w.lastPoll(); !last.IsZero() {
		s.Age = now.Sub(last)
	}
	gap := w.gap.mean()
	s.Next = max(0, gap-s.Age)
	s.Predicted, s.Measured = gap/2, w.cursor.Delay.mean()
	s.Coverage = w.cursor.Swept
	if sw := w.cursor.Sweep; sw != nil && w.held > 0 {
		s.Sweep = min(1, float64(sw.Rows)/float64(w.held))
	}
	s.Suspects = len(w.cursor.Suspects)
	if b := w.cursor.Brake; b != nil && !b.Confirmed && (b.Why == whyBlind || now.Sub(b.Since) < brakeFor) {
		s.Braked = b.Why
	}
	for _, q := range slices.Sorted(maps.Keys(w.cursor.Refused)) {
		if !w.cursor.takes(q, now) {
			s.Refused = append(s.Refused, string(q))
		}
	}
	s.Volatile = w.cursor.Volatile
}

// maxAge is how old the last poll of a collection may get.
func (p *Poller) maxAge() time.Duration {
	if p.MaxAge > 0 {
		return p.MaxAge
	}
	return max(4*time.Duration(len(p.watches))*p.pace.gap, time.Minute)
}

// Feasible returns an error if the pace does not allow a poll of each collection
// within maxAge, beside the sweeps' share. A maxAge of 0 is always kept.
func Feasible(collections int, rate float64, maxAge time.Duration, sweepShare float64) error {
	if maxAge <= 0 || rate <= 0 {
		return nil
	}
	least := paceMargin * float64(collections) / (rate * (1 - sweepShare)) // seconds
	if maxAge.Seconds() >= least {
		return nil
	}
	return fmt.Errorf("a poll of each of %d collections every %s is more than %g requests a second allow; %.0fs can be kept", collections, maxAge, rate, math.Ceil(least))
}

// Confirm says that an operator believes what the source shows of a collection
// whose deletions are held back. It takes effect with the next request; each
// deletion still needs its witnesses.
func (p *Poller) Confirm(collection string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.watches {
		if w.layout.collection.Name != collection {
			continue
		}
		if w.cursor.Brake == nil {
			return fmt.Errorf("collection %s: no deletion is held back", collection)
		}
		w.confirmed = true
		return nil
	}
	return fmt.Errorf("account %s has no collection %s", p.Account, collection)
}

// Cost returns by how much one more collection, as busy as the average one,
// would raise the mean time from a change to its detection.
func (p *Poller) Cost() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var roots, sum float64
	for _, w := range p.watches {
		roots += math.Sqrt(w.rate())
		sum += w.rate()
	}
	if sum == 0 {
		return 0
	}
	mean := roots * roots / (2 * sum) * p.pace.gap.Seconds() / (1 - p.SweepShare)
	return time.Duration(mean / float64(len(p.watches)) * float64(time.Second))
}
