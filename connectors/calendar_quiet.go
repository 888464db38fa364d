package connectors

import (
	"strconv"
	"strings"
)

const dayMinutes = 24 * 60

// quietHours are when the clocks show one of the times they name.
type quietHours struct {
	zone zone

	// For each minute of the day that is quiet, how many minutes of that day before
	// it, and from it on, are quiet at one stretch. Those that are not have none.
	before, on [dayMinutes]int64
}

// covers reports whether t is quiet.
func (q *quietHours) covers(t int64) bool { return q.on[q.minute(t)] > 0 }

// end returns when the quiet hours are over that t is in; t itself if it is in none.
func (q *quietHours) end(t int64) int64 {
	for q.covers(t) {
		second := mod(q.zone.wall(t), 60)
		t = q.zone.until(t, t-second+60*q.on[q.minute(t)])
	}
	return t
}

// start returns when the quiet hours began that t is in.
func (q *quietHours) start(t int64) int64 {
	for {
		second := mod(q.zone.wall(t), 60)
		t = q.zone.since(t, t-second-60*q.before[q.minute(t)])
		if !q.covers(t - 1) {
			return t
		}
		t--
	}
}

func (q *quietHours) minute(t int64) int64 { return mod(q.zone.wall(t), day) / 60 }

// readQuietHours returns nil for "".
func readQuietHours(value string, z zone) (*quietHours, error) {
	if value == "" {
		return nil, nil
	}
	refuse := func(problem string) (*quietHours, error) {
		return nil, &SettingError{Setting: "QUIET_HOURS", Problem: problem, Accepted: "times of the day as 22:00-07:00, several comma-separated, that leave some of the day"}
	}
	var quiet [dayMinutes]bool
	left := dayMinutes
	for span := range strings.SplitSeq(value, ",") {
		from, to, problem := parseSpan(strings.TrimSpace(span))
		if problem != "" {
			return refuse(problem)
		}
		for m := from; m != to; m = (m + 1) % dayMinutes {
			if !quiet[m] {
				quiet[m] = true
				left--
			}
		}
	}
	if left == 0 {
		return refuse("the whole day is quiet")
	}
	return newQuietHours(quiet, z), nil
}

// parseSpan returns the first minute of the span and the first after it.
func parseSpan(value string) (from, to int64, problem string) {
	first, last, _ := strings.Cut(value, "-")
	from, err := readClock(strings.TrimSpace(first))
	if err == nil {
		to, err = readClock(strings.TrimSpace(last))
	}
	switch {
	case err != nil:
		return 0, 0, strconv.Quote(value) + " are not quiet hours: " + err.Error()
	case from == to:
		return 0, 0, strconv.Quote(value) + " ends where it begins"
	}
	return from / 60, to / 60, ""
}

// newQuietHours measures the stretches of quiet minutes; not all are quiet.
func newQuietHours(quiet [dayMinutes]bool, z zone) *quietHours {
	q := &quietHours{zone: z}
	for m := range quiet {
		if m > 0 && quiet[m] && quiet[m-1] {
			q.before[m] = q.before[m-1] + 1
		}
	}
	next := int64(0)
	for m := dayMinutes - 1; m >= 0; m-- {
		if next++; !quiet[m] {
			next = 0
		}
		q.on[m] = next
	}
	return q
}
