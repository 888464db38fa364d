package connectors

import "time"

// Stats is what an engine did since it was made, and how it is now.
type Stats struct {
	Waiting  int // events held and not in flight; the stream may keep more
	InFlight int // events that a worker has

	// Events that came for the first time, and what became of them. At any time
	// Observed is the sum of the others and Pending.
	Observed  uint64
	Delivered uint64
	Digested  uint64
	Muted     uint64
	Filtered  uint64
	Dead      uint64
	Expired   uint64
	Pending   int

	Skipped  uint64 // events that came although the ledger says they are settled
	Failed   uint64 // attempts
	Diverted uint64 // events that the fallback was given; they wait all the same

	State  State // how the connector does
	Health Health

	// Failures counts the attempts that failed since the last delivery, Since is
	// when the first of them ended and LastError what the last one said, free of
	// secrets.
	Failures  int
	Since     time.Time
	LastError string

	PausedUntil  time.Time // the receiver asked for silence until then; zero if never
	LastDelivery time.Time // zero if none

	// StoreError is why the ledger, the feed or the graveyard cannot be reached,
	// empty while they can.
	StoreError string
}

// Stats may be called at any time, concurrently, and costs next to nothing.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats
}

// trouble puts on record that the bus failed; it is tried again.
func (e *Engine) trouble(what string, err error) {
	text := clip(what + ": " + err.Error())
	e.mu.Lock()
	e.stats.StoreError = text
	e.mu.Unlock()
	e.cfg.Logger.Warn("the event store fails, trying again", "error", text)
}

// relief takes back trouble.
func (e *Engine) relief() {
	e.mu.Lock()
	e.stats.StoreError = ""
	e.mu.Unlock()
}

// count adds what became of an event.
func (s *Stats) count(o Outcome) {
	switch o {
	case Delivered:
		s.Delivered++
	case Digested:
		s.Digested++
	case Muted:
		s.Muted++
	case Filtered:
		s.Filtered++
	case Dead:
		s.Dead++
	case Expired:
		s.Expired++
	}
}

// attempted takes in the outcome of an attempt that ended at about now: what
// went wrong, or "".
func (s *Stats) attempted(err string, now time.Time) {
	if err == "" {
		s.Failures, s.Since, s.LastError = 0, time.Time{}, ""
		s.LastDelivery = now
		return
	}
	s.Failed++
	s.Failures++
	if s.Failures == 1 {
		s.Since = now
	}
	s.LastError = err
}
