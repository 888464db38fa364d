package poller

import (
	"fmt"
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
		all = append(all, s)
	}
	return all
}

// maxAge is how old the last poll of a collection should get: four rounds over
// all collections, and a minute at least.
func (p *Poller) maxAge() time.Duration {
	return max(4*time.Duration(len(p.watches))*p.pace.gap, time.Minute)
}

// Confirm says that an operator believes what the source shows of a collection
// whose mass deletion was held back. It takes effect with the next request.
func (p *Poller) Confirm(collection string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.watches {
		if w.layout.collection.Name == collection {
			return fmt.Errorf("collection %s: no deletion is held back", collection)
		}
	}
	return fmt.Errorf("account %s has no collection %s", p.Account, collection)
}

// Cost returns by how much one more collection, as busy as the average one,
// would raise the mean time from a change to its detection.
func (p *Poller) Cost() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pace.gap / 2
}
