package connectors

import (
	"errors"
	"time"
)

// A Calendar says when an event is told: at once, at the end of its digest's
// window, or after quiet hours. The answer follows from the time of the event
// alone, so it is the same after a restart.
//
// Windows follow each other without gaps. One that ends in quiet hours lasts
// until these are over, and is one with the others that end there. Without a
// digest, quiet hours are a window, and what is taken outside of them is told at
// once. It is quiet when the clocks on the wall say so: 22:00-07:00 begins at
// 22:00:00 and is over at 07:00:00.
//
// A nil Calendar tells everything at once. A Calendar may be used concurrently.
type Calendar struct {
	zone   zone
	digest windows     // nil: none
	quiet  *quietHours // nil: none
}

// windows divides the seconds since 1970 into windows.
type windows interface {
	// around returns the window that t is in: from is the first second of it, to
	// that of the next window.
	around(t int64) (from, to int64)
}

// A Window is the time of the events that are told together: from From on, until
// before To. Both are in UTC and whole seconds, so that windows can be compared
// and be the keys of a map. The zero Window is none.
type Window struct {
	From, To time.Time
	Quiet    bool // the window lasted until quiet hours were over
}

// digest is what a delivery of the window stands for, in the times of c.
func (w Window) digest(ids []string, c *Calendar) *Digest {
	zone := c.Location()
	return &Digest{From: w.From.In(zone), To: w.To.In(zone), IDs: ids, Quiet: w.Quiet}
}

// NewCalendar reads the settings DIGEST, QUIET_HOURS and TIMEZONE. Its error is
// one or more joined [SettingError]s. Without digest and quiet hours it returns nil.
//
// A digest is a duration of whole seconds, 10s to 7d; "hourly"; "daily@08:00"; or
// "weekly@mon-08:00". Durations that divide a day are aligned to the clocks on
// the wall: 15m ends at :00, :15, :30 and :45, and 4h at 00:00, 04:00 and so on,
// and when the clocks are set in between. Other durations are aligned to
// 1970-01-01 00:00 UTC. A daily or weekly one ends when the clocks first show its
// time on that day, or skip it.
//
// Quiet hours are comma-separated, as "22:00-07:00,12:00-13:00". The timezone is
// an IANA name; "" is UTC.
func NewCalendar(digest, quiet, timezone string) (*Calendar, error) {
	z, err := readZone(timezone)
	d, digestErr := readDigest(digest, z)
	q, quietErr := readQuietHours(quiet, z)
	if err := errors.Join(digestErr, quietErr, err); err != nil {
		return nil, err
	}
	if d == nil && q == nil {
		return nil, nil
	}
	return &Calendar{zone: z, digest: d, quiet: q}, nil
}

// Location is the time zone of the calendar, UTC of a nil one.
func (c *Calendar) Location() *time.Location {
	if c == nil {
		return time.UTC
	}
	return c.zone.Location
}

// Release returns when an event is told that the stream took at the given time,
// and the window it is told with. What is told at once has the zero Window, and
// is released at the time given. An event is never released before one that was
// taken earlier.
func (c *Calendar) Release(at time.Time) (time.Time, Window) {
	if c == nil {
		return at, Window{}
	}
	t := at.Unix()
	var from, to int64
	var quiet bool
	switch {
	case c.digest != nil:
		from, to, quiet = c.window(t)
	case c.quiet.covers(t):
		from, to, quiet = c.quiet.start(t), c.quiet.end(t), true
	default:
		return at, Window{}
	}
	w := Window{From: time.Unix(from, 0).UTC(), To: time.Unix(to, 0).UTC(), Quiet: quiet}
	return w.To, w
}

// window returns the digest's window that t is in, after those that end in quiet
// hours became one.
func (c *Calendar) window(t int64) (from, to int64, quiet bool) {
	from, next := c.digest.around(t)
	if c.quiet == nil {
		return from, next, false
	}
	if end := c.quiet.end(from); end > t { // a window ended in these quiet hours before t
		from, _ = c.digest.around(c.quiet.start(t) - 1)
		return c.quiet.end(from), end, true
	}
	to = c.quiet.end(next)
	return c.quiet.end(from), to, to != next
}
