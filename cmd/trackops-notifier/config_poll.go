package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/trackops-notifier/trackops-notifier/poller"
)

// pollConfig is how the requests of an account are shared out.
type pollConfig struct {
	MaxAge     time.Duration // the longest time between two polls of a collection; 0: the poller's own
	SweepShare float64       // the part of all requests that sweeps get at least
}

const (
	leastSweepShare, mostSweepShare = 0.01, 0.5
	acceptedMaxAge                  = "a duration that the pace allows, as 2m or 1h"
)

func (l *loader) poll(maxAge, sweepShare string) pollConfig {
	return pollConfig{
		MaxAge: parse(l, "POLL_MAX_AGE", maxAge, acceptedMaxAge, func(v string) (time.Duration, error) {
			if v == "" {
				return 0, nil
			}
			return readDuration(v)
		}),
		SweepShare: parse(l, "POLL_SWEEP_SHARE", sweepShare, fmt.Sprintf("a number from %g to %g", leastSweepShare, mostSweepShare), func(v string) (float64, error) {
			share, err := readNumber(v)
			switch {
			case err != nil:
				return 0, err
			case share < leastSweepShare:
				return 0, fmt.Errorf("%s is too little: sweeps would never end", quote(v))
			case share > mostSweepShare:
				return 0, fmt.Errorf("%s leaves polls too few requests", quote(v))
			}
			return share, nil
		}),
	}
}

// feasible reports a POLL_MAX_AGE that the pace does not allow. Each account has
// a pace of its own and all the collections, so their number does not matter.
// Where a variable that counts here is wrong, what was meant is not known.
func (l *loader) feasible(c config) {
	counts := []string{"POLL_COLLECTIONS", "POLL_MAX_AGE", "POLL_SWEEP_SHARE", "TRACKOPS_API_RATE"}
	if slices.ContainsFunc(l.errs, func(m mistake) bool { return slices.Contains(counts, m.Variable) }) {
		return
	}
	if err := poller.Feasible(len(c.Collections), c.Rate, c.Poll.MaxAge, c.Poll.SweepShare); err != nil {
		l.report("POLL_MAX_AGE", err.Error(), acceptedMaxAge+"; fewer collections (POLL_COLLECTIONS) or a higher TRACKOPS_API_RATE allow a shorter one")
	}
}
