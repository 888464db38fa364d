package connectors

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const day = 24 * 3600 // seconds, of a day on which no clocks are set

// intervals are windows of one length, which end early when the clocks are set.
type intervals struct {
	zone   zone
	length int64
}

func (w intervals) around(t int64) (from, to int64) {
	from = t - mod(w.zone.wall(t), w.length)
	return w.zone.since(t, from), w.zone.until(t, from+w.length)
}

// appointments are windows that end at one time of the day or the week.
type appointments struct {
	zone   zone
	period int64 // a day or a week
	offset int64 // from 1970-01-01 00:00, a Thursday
}

func (w appointments) around(t int64) (from, to int64) {
	wall := w.zone.wall(t)
	// Clocks were never set back by more than a day, so this one is ahead of t.
	next := wall - mod(wall-w.offset, w.period) + 2*w.period
	from = w.zone.first(next)
	for from > t {
		next -= w.period
		from, to = w.zone.first(next), from
	}
	return from, to
}

// readDigest returns nil for "".
func readDigest(value string, z zone) (windows, error) {
	if value == "" {
		return nil, nil
	}
	w, problem := parseDigest(value, z)
	if problem != "" {
		return nil, &SettingError{Setting: "DIGEST", Problem: problem, Accepted: "a duration of whole seconds from 10s to 7d, as 15m or 4h, hourly, daily@08:00, or weekly@mon-08:00"}
	}
	return w, nil
}

func parseDigest(value string, z zone) (w windows, problem string) {
	if value == "hourly" {
		return intervals{z, 3600}, ""
	}
	if clock, ok := strings.CutPrefix(value, "daily@"); ok {
		offset, err := readClock(clock)
		if err != nil {
			return nil, err.Error()
		}
		return appointments{z, day, offset}, ""
	}
	if appointment, ok := strings.CutPrefix(value, "weekly@"); ok {
		return parseWeekly(appointment, z)
	}
	d, err := readDays(value)
	length := int64(d / time.Second)
	switch {
	case err != nil:
		return nil, strconv.Quote(value) + " is not a digest"
	case d%time.Second != 0:
		return nil, strconv.Quote(value) + " is not a number of whole seconds"
	case d < 10*time.Second:
		return nil, strconv.Quote(value) + " is too short"
	case d > 7*24*time.Hour:
		return nil, strconv.Quote(value) + " is too long"
	case length == day:
		return appointments{z, day, 0}, ""
	case day%length != 0:
		z = zone{time.UTC}
	}
	return intervals{z, length}, ""
}

func parseWeekly(value string, z zone) (w windows, problem string) {
	weekday, clock, _ := strings.Cut(value, "-")
	i := slices.Index([]string{"thu", "fri", "sat", "sun", "mon", "tue", "wed"}, weekday)
	if i < 0 {
		return nil, strconv.Quote(weekday) + " is not a day of the week"
	}
	offset, err := readClock(clock)
	if err != nil {
		return nil, err.Error()
	}
	return appointments{z, 7 * day, int64(i)*day + offset}, ""
}

// readClock returns the seconds from midnight to a time as 08:00.
func readClock(value string) (int64, error) {
	t, err := time.Parse("15:04", value)
	if err != nil {
		return 0, errors.New(strconv.Quote(value) + " is not a time of the day")
	}
	return int64(t.Hour()*3600 + t.Minute()*60), nil
}

var leadingDays = regexp.MustCompile(`^([0-9]{1,3})d`)

// readDays reads a duration that may begin with days: 1d, 1d12h, 90m.
func readDays(value string) (time.Duration, error) {
	found := leadingDays.FindStringSubmatch(value)
	if found == nil {
		return time.ParseDuration(value)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		return 0, err
	}
	rest := strings.TrimPrefix(value, found[0])
	if rest == "" {
		rest = "0s"
	}
	d, err := time.ParseDuration(rest)
	return time.Duration(n)*24*time.Hour + d, err
}
