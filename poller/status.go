package poller

import "time"

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
