package connectors

import (
	"sort"
	"time"
)

// A zone is what the clocks on the wall show. Times are seconds since 1970 in
// UTC; the wall's are counted as if the wall were in UTC.
type zone struct{ *time.Location }

func readZone(name string) (zone, error) {
	if name == "" {
		return zone{time.UTC}, nil
	}
	l, err := time.LoadLocation(name)
	if err != nil || l == time.Local {
		return zone{time.UTC}, &SettingError{
			Setting: "TIMEZONE", Problem: "is not the name of a time zone", Accepted: "an IANA name, as Europe/Berlin or UTC",
		}
	}
	return zone{l}, nil
}

func (z zone) time(t int64) time.Time { return time.Unix(t, 0).In(z.Location) }

// offset is how far the wall is ahead of UTC.
func (z zone) offset(t int64) int64 {
	_, seconds := z.time(t).Zone()
	return int64(seconds)
}

// wall is what the clocks show.
func (z zone) wall(t int64) int64 { return t + z.offset(t) }

// first returns when the clocks first show the given time or a later one.
func (z zone) first(wall int64) int64 {
	const farthest = 16 * 3600 // no offset was ever as large
	t := wall - farthest
	for z.wall(t) < wall {
		t = z.until(t, wall-z.offset(t))
	}
	return t
}

// since returns when the clocks were last set up to t, low if that was before.
// Between the two they are set once at most.
//
// [time.Time.ZoneBounds] would not do: for years that are not in the tables it
// gives the ends of years too, and a wrong one in leap years.
func (z zone) since(t, low int64) int64 {
	offset := z.offset(t)
	return low + int64(sort.Search(int(t-low), func(i int) bool { return z.offset(low+int64(i)) == offset }))
}

// until returns when the clocks are next set after t, high if that is later.
// Between the two they are set once at most.
func (z zone) until(t, high int64) int64 {
	offset := z.offset(t)
	return t + int64(sort.Search(int(high-t), func(i int) bool { return z.offset(t+int64(i)) != offset }))
}

// mod is the remainder of a division that rounds down.
func mod(a, b int64) int64 { return ((a % b) + b) % b }
