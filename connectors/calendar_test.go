package connectors

import (
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"
)

func mustCalendar(t testing.TB, digest, quiet, timezone string) *Calendar {
	t.Helper()
	c, err := NewCalendar(digest, quiet, timezone)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNoCalendar(t *testing.T) {
	c, err := NewCalendar("", "", "Europe/Berlin")
	if c != nil || err != nil {
		t.Fatalf("NewCalendar = %v, %v, want nil, nil", c, err)
	}
	now := time.Now()
	if release, w := c.Release(now); !release.Equal(now) || w != (Window{}) {
		t.Errorf("Release = %v, %v, want at once", release, w)
	}
}

// TestRelease names times by the wall of the zone.
func TestRelease(t *testing.T) {
	tests := []struct {
		name                    string
		digest, quiet, timezone string
		at                      string
		from, to                string // "" at once
		isQuiet                 bool
	}{
		{"a quarter of an hour", "15m", "", "", "2026-11-23 09:31:10", "2026-11-23 09:30:00", "2026-11-23 09:45:00", false},
		{"its first second", "15m", "", "", "2026-11-23 09:30:00", "2026-11-23 09:30:00", "2026-11-23 09:45:00", false},
		{"a day of 45 minutes ahead", "30m", "", "Asia/Kathmandu", "2026-11-23 09:31:10", "2026-11-23 09:30:00", "2026-11-23 10:00:00", false},
		{"one that does not divide a day", "7h", "", "Europe/Berlin", "1970-01-01 05:00:00", "1970-01-01 01:00:00", "1970-01-01 08:00:00", false},
		{"hourly", "hourly", "", "Europe/Berlin", "2026-11-23 09:31:10", "2026-11-23 09:00:00", "2026-11-23 10:00:00", false},
		{"a day is a day of the zone", "1d", "", "Europe/Berlin", "2026-11-23 00:31:10", "2026-11-23 00:00:00", "2026-11-24 00:00:00", false},
		{"daily, before", "daily@08:00", "", "Europe/Berlin", "2026-11-23 07:59:59", "2026-11-22 08:00:00", "2026-11-23 08:00:00", false},
		{"daily, at", "daily@08:00", "", "Europe/Berlin", "2026-11-23 08:00:00", "2026-11-23 08:00:00", "2026-11-24 08:00:00", false},
		{"weekly", "weekly@mon-08:00", "", "Europe/Berlin", "2026-11-23 07:00:00", "2026-11-16 08:00:00", "2026-11-23 08:00:00", false},
		{"weekly, on a Sunday", "weekly@sun-23:59", "", "Europe/Berlin", "2026-11-23 07:00:00", "2026-11-22 23:59:00", "2026-11-29 23:59:00", false},

		{"weekly, on a Thursday", "weekly@thu-12:00", "", "", "2026-11-26 11:00:00", "2026-11-19 12:00:00", "2026-11-26 12:00:00", false},
		{"weekly, on a Friday", "weekly@fri-12:00", "", "", "2026-11-26 11:00:00", "2026-11-20 12:00:00", "2026-11-27 12:00:00", false},
		{"weekly, on a Saturday", "weekly@sat-12:00", "", "", "2026-11-26 11:00:00", "2026-11-21 12:00:00", "2026-11-28 12:00:00", false},
		{"weekly, on a Tuesday", "weekly@tue-12:00", "", "", "2026-11-26 11:00:00", "2026-11-24 12:00:00", "2026-12-01 12:00:00", false},
		{"weekly, on a Wednesday", "weekly@wed-12:00", "", "", "2026-11-26 11:00:00", "2026-11-25 12:00:00", "2026-12-02 12:00:00", false},

		{"not in quiet hours", "", "22:00-07:00", "Europe/Berlin", "2026-11-23 21:59:59", "", "", false},
		{"in quiet hours", "", "22:00-07:00", "Europe/Berlin", "2026-11-23 22:00:00", "2026-11-23 22:00:00", "2026-11-24 07:00:00", true},
		{"in quiet hours after midnight", "", "22:00-07:00", "Europe/Berlin", "2026-11-24 06:59:59", "2026-11-23 22:00:00", "2026-11-24 07:00:00", true},
		{"after quiet hours", "", "22:00-07:00", "Europe/Berlin", "2026-11-24 07:00:00", "", "", false},
		{"several that touch", "", "22:00-00:00, 00:00-02:00, 01:00-07:00", "", "2026-11-24 00:00:00", "2026-11-23 22:00:00", "2026-11-24 07:00:00", true},
		{"several", "", "22:00-07:00,12:00-13:00", "", "2026-11-24 12:30:00", "2026-11-24 12:00:00", "2026-11-24 13:00:00", true},

		{"a digest away from quiet hours", "15m", "22:00-07:00", "", "2026-11-23 21:31:00", "2026-11-23 21:30:00", "2026-11-23 21:45:00", false},
		{"one that ends when they begin", "15m", "22:00-07:00", "", "2026-11-23 21:50:00", "2026-11-23 21:45:00", "2026-11-24 07:00:00", true},
		{"one in the middle of them", "15m", "22:00-07:00", "", "2026-11-24 03:00:00", "2026-11-23 21:45:00", "2026-11-24 07:00:00", true},
		{"the last of them", "15m", "22:00-07:00", "", "2026-11-24 06:59:59", "2026-11-23 21:45:00", "2026-11-24 07:00:00", true},
		{"the first after them", "15m", "22:00-07:00", "", "2026-11-24 07:00:00", "2026-11-24 07:00:00", "2026-11-24 07:15:00", false},
		{"a daily one in them, before", "daily@06:00", "22:00-07:00", "", "2026-11-23 12:00:00", "2026-11-23 07:00:00", "2026-11-24 07:00:00", true},
		{"a daily one in them, after", "daily@06:00", "22:00-07:00", "", "2026-11-24 06:30:00", "2026-11-23 07:00:00", "2026-11-24 07:00:00", true},
		{"a daily one past them", "daily@08:00", "22:00-07:00", "", "2026-11-24 06:30:00", "2026-11-23 08:00:00", "2026-11-24 08:00:00", false},
		{"a daily one at their end", "daily@07:00", "22:00-07:00", "", "2026-11-24 06:30:00", "2026-11-23 07:00:00", "2026-11-24 07:00:00", false},

		{"spring: a quarter before the gap", "15m", "", "Europe/Berlin", "2026-03-29 01:50:00", "2026-03-29 01:45:00", "2026-03-29 03:00:00", false},
		{"spring: a day without 02:30", "daily@02:30", "", "Europe/Berlin", "2026-03-29 01:59:59", "2026-03-28 02:30:00", "2026-03-29 03:00:00", false},
		{"spring: the day after", "daily@02:30", "", "Europe/Berlin", "2026-03-29 03:00:00", "2026-03-29 03:00:00", "2026-03-30 02:30:00", false},
		{"spring: a day without midnight", "1d", "", "America/Sao_Paulo", "2018-11-03 23:59:59", "2018-11-03 00:00:00", "2018-11-04 01:00:00", false},
		{"spring: half an hour", "1h", "", "Australia/Lord_Howe", "2026-10-04 02:45:00", "2026-10-04 02:30:00", "2026-10-04 03:00:00", false},
		{"spring: quiet until what does not come", "", "22:00-02:30", "America/New_York", "2026-03-08 01:00:00", "2026-03-07 22:00:00", "2026-03-08 03:00:00", true},
		{"spring: quiet from what does not come", "", "02:30-07:00", "America/New_York", "2026-03-08 03:00:00", "2026-03-08 03:00:00", "2026-03-08 07:00:00", true},
		{"autumn: a day of 25 hours", "1d", "", "America/New_York", "2026-11-01 12:00:00", "2026-11-01 00:00:00", "2026-11-02 00:00:00", false},
		{"autumn: two midnights", "1d", "", "America/Sao_Paulo", "2019-02-16 22:00:00", "2019-02-16 00:00:00", "2019-02-17 00:00:00", false},
		{"the last day of a leap year", "4h", "", "Europe/Berlin", "2044-12-31 02:00:00", "2044-12-31 00:00:00", "2044-12-31 04:00:00", false},
		{"the last night of a leap year", "", "22:00-07:00", "Europe/Berlin", "2044-12-31 02:00:00", "2044-12-30 22:00:00", "2044-12-31 07:00:00", true},
		{"a day that does not come", "daily@08:00", "", "Pacific/Apia", "2011-12-29 09:00:00", "2011-12-29 08:00:00", "2011-12-31 00:00:00", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustCalendar(t, tt.digest, tt.quiet, tt.timezone)
			at := parseWall(t, tt.at, tt.timezone)
			release, w := c.Release(at)
			if tt.to == "" {
				if release != at || w != (Window{}) {
					t.Fatalf("Release = %v, %v, want at once", release, w)
				}
				return
			}
			want := Window{parseWall(t, tt.from, tt.timezone).UTC(), parseWall(t, tt.to, tt.timezone).UTC(), tt.isQuiet}
			if w != want || release != want.To {
				t.Errorf("Release = %v, %v\nwant %v", release, w, want)
			}
		})
	}
}

// TestAutumn: an hour comes twice. A short window is told in both, a daily one in
// the first, and it is quiet whenever the clocks say so.
func TestAutumn(t *testing.T) {
	first := time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC) // 02:00 in Berlin, and again an hour later
	at := func(minutes int) time.Time { return first.Add(time.Duration(minutes) * time.Minute) }
	tests := []struct {
		digest, quiet string
		at, from, to  int // minutes
		isQuiet       bool
	}{
		{"15m", "", 50, 45, 60, false},
		{"15m", "", 60, 60, 75, false},
		{"4h", "", 59, -120, 60, false},
		{"4h", "", 60, 60, 180, false},
		{"daily@02:30", "", 20, 30 - 24*60, 30, false},
		{"daily@02:30", "", 89, 30, 90 + 24*60, false},
		{"daily@02:30", "", 91, 30, 90 + 24*60, false},
		{"", "02:15-02:45", 20, 15, 45, true},
		{"", "02:15-02:45", 80, 75, 105, true},
		{"", "22:00-02:30", 65, 60, 90, true},
		{"", "02:30-07:00", 45, 30, 60, true},
		{"15m", "22:00-02:30", 10, -255, 30, true},
		{"15m", "22:00-02:30", 31, 30, 45, false},
		{"15m", "22:00-02:30", 46, 45, 90, true},
	}
	for _, tt := range tests {
		_, w := mustCalendar(t, tt.digest, tt.quiet, "Europe/Berlin").Release(at(tt.at))
		if want := (Window{at(tt.from), at(tt.to), tt.isQuiet}); w != want {
			t.Errorf("%s %s: Release(%d) = %d, %d, %v, want %d, %d, %v", tt.digest, tt.quiet, tt.at,
				int(w.From.Sub(first).Minutes()), int(w.To.Sub(first).Minutes()), w.Quiet, tt.from, tt.to, tt.isQuiet)
		}
	}
}

func parseWall(t *testing.T, text, timezone string) time.Time {
	t.Helper()
	l, err := time.LoadLocation(timezone)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.ParseInLocation(time.DateTime, text, l)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestCalendarMistakes(t *testing.T) {
	tests := []struct{ digest, quiet, timezone, want string }{
		{"9s", "", "", `DIGEST: "9s" is too short`},
		{"-15m", "", "", `DIGEST: "-15m" is too short`},
		{"8d", "", "", `DIGEST: "8d" is too long`},
		{"10500ms", "", "", `DIGEST: "10500ms" is not a number of whole seconds`},
		{"often", "", "", `DIGEST: "often" is not a digest`},
		{"1dx", "", "", `DIGEST: "1dx" is not a digest`},
		{"daily@24:00", "", "", `DIGEST: "24:00" is not a time of the day`},
		{"daily", "", "", `DIGEST: "daily" is not a digest`},
		{"weekly@monday-08:00", "", "", `DIGEST: "monday" is not a day`},
		{"weekly@mon", "", "", `DIGEST: "" is not a time of the day`},
		{"", "22:00", "", `QUIET_HOURS: "22:00" are not quiet hours`},
		{"", "22:00-7", "", `QUIET_HOURS: "22:00-7" are not quiet hours: "7" is not a time`},
		{"", "22:00-22:00", "", `QUIET_HOURS: "22:00-22:00" ends where it begins`},
		{"", "22:00-07:00,", "", `QUIET_HOURS: "" are not quiet hours`},
		{"", "22:00-07:00,07:00-22:00", "", `QUIET_HOURS: the whole day is quiet`},
		{"15m", "", "Europe/Bärlin", `TIMEZONE: is not the name of a time zone`},
		{"", "", "Local", `TIMEZONE: is not the name of a time zone`},
		{"x", "y", "z", "DIGEST|QUIET_HOURS|TIMEZONE"},
	}
	for _, tt := range tests {
		c, err := NewCalendar(tt.digest, tt.quiet, tt.timezone)
		if err == nil || c != nil {
			t.Errorf("NewCalendar(%q, %q, %q) = %v, %v, want an error", tt.digest, tt.quiet, tt.timezone, c, err)
			continue
		}
		wants := strings.Split(tt.want, "|")
		if len(SettingErrors(err)) != len(wants) {
			t.Errorf("NewCalendar(%q, %q, %q) = %v, want %d setting errors", tt.digest, tt.quiet, tt.timezone, err, len(wants))
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("NewCalendar(%q, %q, %q) = %v, want %q in it", tt.digest, tt.quiet, tt.timezone, err, want)
			}
		}
	}
}

// calendarZones have every kind of change: of an hour and of half an hour, at
// midnight, of a whole day, in both hemispheres, in Ramadan, and none.
var calendarZones = []string{
	"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo",
	"Pacific/Apia", "Africa/Casablanca", "America/St_Johns", "Asia/Kolkata", "Europe/Dublin", "Pacific/Kwajalein",
	"Antarctica/Troll", "Pacific/Chatham", "America/Scoresbysund", "Asia/Gaza",
}

// anyCalendar draws settings in whole minutes.
func anyCalendar(t *rapid.T) (digest, quiet, timezone string) {
	clock := func(label string) string {
		m := rapid.IntRange(0, dayMinutes-1).Draw(t, label)
		if rapid.Bool().Draw(t, "in the night") {
			m %= 5 * 60
		}
		return fmt.Sprintf("%02d:%02d", m/60, m%60)
	}
	switch rapid.IntRange(0, 4).Draw(t, "digest") {
	case 0:
		digest = rapid.SampledFrom([]string{"1m", "15m", "30m", "hourly", "2h", "4h", "12h", "24h", "1d"}).Draw(t, "divides")
	case 1:
		digest = fmt.Sprintf("%dm", rapid.IntRange(1, 3*dayMinutes).Draw(t, "minutes"))
	case 2:
		digest = "daily@" + clock("daily")
	case 3:
		digest = "weekly@" + rapid.SampledFrom([]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}).Draw(t, "weekday") + "-" + clock("weekly")
	}
	var spans []string
	for range rapid.IntRange(0, 3).Draw(t, "spans") {
		spans = append(spans, clock("from")+"-"+clock("to"))
	}
	return digest, strings.Join(spans, ","), rapid.SampledFrom(calendarZones).Draw(t, "zone")
}

// anyTime draws a time, mostly near one at which the clocks are set.
func anyTime(t *rapid.T, timezone string) time.Time {
	l, err := time.LoadLocation(timezone)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(rapid.Int64Range(100_000_000, 2_500_000_000).Draw(t, "at"), 0).In(l)
	if _, end := at.ZoneBounds(); !end.IsZero() && rapid.IntRange(0, 5).Draw(t, "near") > 0 {
		at = end.Add(time.Duration(rapid.IntRange(-2*dayMinutes, 2*dayMinutes).Draw(t, "minutes from it")) * time.Minute)
	}
	return at.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "seconds")) * time.Second)
}

// TestCalendarLaws: windows follow each other without gaps, nothing is released
// early, late, out of order or in quiet hours, and what is released at an end
// belongs to the next window.
func TestCalendarLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digest, quiet, timezone := anyCalendar(t)
		c, err := NewCalendar(digest, quiet, timezone)
		if err != nil || c == nil {
			return
		}
		at := anyTime(t, timezone)
		release, w := c.Release(at)
		if c.quiet != nil && c.quiet.covers(release.Unix()) {
			t.Fatalf("released at %v, in quiet hours", release)
		}
		if w == (Window{}) {
			if release != at || digest != "" {
				t.Fatalf("Release(%v) = %v and no window", at, release)
			}
			return
		}
		if w.To != release || w.From.After(at) || !w.To.After(at) {
			t.Fatalf("Release(%v) = %v, %v", at, release, w)
		}
		if wait := release.Sub(at); wait > 9*24*time.Hour {
			t.Fatalf("waits for %s", wait)
		}
		inside := rapid.Int64Range(w.From.Unix(), w.To.Unix()-1).Draw(t, "inside")
		for _, same := range []time.Time{w.From, w.To.Add(-1), time.Unix(inside, 999_999_999)} {
			if r, v := c.Release(same); r != release || v != w {
				t.Fatalf("Release(%v) = %v, %v, in the window %v", same, r, v, w)
			}
		}
		r, next := c.Release(release)
		if next == (Window{}) && r != release || next != (Window{}) && next.From != release {
			t.Fatalf("Release(%v) = %v, %v, after the window %v", release, r, next, w)
		}
	})
}

// TestCalendarModel compares with a walk from minute to minute.
func TestCalendarModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digest, quiet, timezone := anyCalendar(t)
		c, err := NewCalendar(digest, quiet, timezone)
		if err != nil || c == nil {
			return
		}
		at := anyTime(t, timezone)
		_, got := c.Release(at)
		if want := modelWindow(digest, c, at); got != want {
			t.Fatalf("%s %s %s: Release(%v) = %v, want %v", digest, quiet, timezone, at, got, want)
		}
	})
}

// modelWindow finds the window of at by walking: at its edges a digest ends and
// it is not quiet, or quiet hours are over that a digest ended in.
func modelWindow(digest string, c *Calendar, at time.Time) Window {
	m := model{c: c, digest: digest}
	now := at.Truncate(time.Minute)
	if digest == "" && !m.quiet(now) {
		return Window{}
	}
	w := Window{From: now.UTC(), To: now.Add(time.Minute).UTC()}
	for !m.edge(w.From) {
		w.From = w.From.Add(-time.Minute)
	}
	for !m.edge(w.To) {
		w.To = w.To.Add(time.Minute)
	}
	w.Quiet = m.quiet(w.To.Add(-time.Minute)) && (digest == "" || m.endedInQuiet(w.To))
	return w
}

// A model knows the settings and what clocks on the wall show.
type model struct {
	c      *Calendar
	digest string
}

func (m model) wall(t time.Time) time.Time {
	switch d := m.c.digest.(type) {
	case intervals:
		t = t.In(d.zone.Location)
	case appointments:
		t = t.In(d.zone.Location)
	}
	if m.digest == "" {
		t = t.In(m.c.quiet.zone.Location)
	}
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

func (m model) quiet(t time.Time) bool {
	if m.c.quiet == nil {
		return false
	}
	wall := t.In(m.c.quiet.zone.Location)
	return m.c.quiet.on[wall.Hour()*60+wall.Minute()] > 0
}

// edge reports whether a window of the calendar begins at t.
func (m model) edge(t time.Time) bool {
	before := t.Add(-time.Minute)
	switch {
	case m.digest == "":
		return m.quiet(t) != m.quiet(before)
	case m.quiet(t):
		return false
	default:
		return m.ends(t) || m.quiet(before) && m.endedInQuiet(t)
	}
}

// endedInQuiet reports whether a digest ended in the quiet hours before t.
func (m model) endedInQuiet(t time.Time) bool {
	for t = t.Add(-time.Minute); m.quiet(t); t = t.Add(-time.Minute) {
		if m.ends(t) {
			return true
		}
	}
	return false
}

// ends reports whether a digest ends at t.
func (m model) ends(t time.Time) bool {
	wall, before := m.wall(t), m.wall(t.Add(-time.Minute))
	switch d := m.c.digest.(type) {
	case intervals:
		return wall.Sub(before) != time.Minute || mod(wall.Unix(), d.length) == 0
	case appointments:
		cell := func(w time.Time) int64 { return (w.Unix() - d.offset) / d.period }
		for back := time.Minute; cell(before) < cell(wall) && back < 26*time.Hour; back += time.Minute {
			before = m.wall(t.Add(-back))
		}
		return cell(before) < cell(wall)
	}
	return false
}

func BenchmarkRelease(b *testing.B) {
	c := mustCalendar(b, "15m", "22:00-07:00", "Europe/Berlin")
	at := time.Date(2026, 10, 24, 23, 0, 0, 0, time.UTC)
	for b.Loop() {
		c.Release(at)
	}
}
