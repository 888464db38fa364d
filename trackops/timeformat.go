package trackops

import (
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A TimeFormat is the text form of an account's timestamps. The vendor documents
// that they are UTC but never shows one, so the form is learnt from what the
// account sends and mirrored in parameters. The zero value stands for [SQL].
type TimeFormat string

// The forms an account may use: layouts of package time, or a number.
const (
	SQL            TimeFormat = "2006-01-02 15:04:05"
	ISO            TimeFormat = "2006-01-02T15:04:05Z"
	ISOOffset      TimeFormat = "2006-01-02T15:04:05-07:00"
	ISOShortOffset TimeFormat = "2006-01-02T15:04:05-0700" // PHP's DATE_ISO8601
	ISOBare        TimeFormat = "2006-01-02T15:04:05"
	SQLOffset      TimeFormat = "2006-01-02 15:04:05-07:00"
	Unix           TimeFormat = "unix"
	UnixMillis     TimeFormat = "unix-ms"
)

// TimeFormats lists the forms.
func TimeFormats() []TimeFormat {
	return append(calendarFormats(), Unix, UnixMillis)
}

func calendarFormats() []TimeFormat {
	return []TimeFormat{SQL, ISO, ISOOffset, ISOShortOffset, ISOBare, SQLOffset}
}

// Format writes t in UTC, cut to the second.
func (f TimeFormat) Format(t time.Time) string {
	switch f {
	case Unix:
		return strconv.FormatInt(t.Unix(), 10)
	case UnixMillis:
		return strconv.FormatInt(t.Unix()*1000, 10)
	case "":
		f = SQL
	}
	return t.UTC().Format(string(f))
}

const (
	// Smaller numbers are no times of ours: an id, a year. It is March 1973.
	minUnix = 100_000_000
	// From here on a number counts milliseconds: as seconds it is the year 5138.
	minUnixMillis = 100_000_000_000
	// The end of the year 9999, the last that every layout can write.
	maxUnixMillis = 253_402_300_799_999
)

// ParseTime reads a timestamp: a raw JSON value (string or number), or its bare
// text. A time without a zone is UTC. ok is false for anything else, such as
// null, a date alone, or MySQL's 0000-00-00 00:00:00. The time is in UTC and
// keeps its fraction of a second; the format never has one.
func ParseTime(raw []byte) (t time.Time, f TimeFormat, ok bool) {
	if len(raw) > 0 && raw[0] == '"' {
		text, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return time.Time{}, "", false
		}
		raw = text
	}
	text := strings.TrimSpace(string(raw))
	if len(text) > 40 { // longer than any form, and bounded work for hostile input
		return time.Time{}, "", false
	}
	if isNumber(text) {
		return parseUnix(text)
	}
	return parseCalendar(text)
}

func isNumber(s string) bool {
	digits, rest, _ := strings.Cut(s, ".")
	return digits != "" && strings.Trim(digits, "0123456789") == "" && strings.Trim(rest, "0123456789") == ""
}

func parseUnix(s string) (time.Time, TimeFormat, bool) {
	digits, fraction, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < minUnix || n > maxUnixMillis {
		return time.Time{}, "", false
	}
	if n >= minUnixMillis {
		return time.UnixMilli(n).UTC(), UnixMillis, true
	}
	nanos, err := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	if err != nil {
		return time.Time{}, "", false
	}
	return time.Unix(n, nanos).UTC(), Unix, true
}

// parseCalendar tries the layouts with a fraction allowed: package time accepts
// one after the seconds also where the layout has none.
func parseCalendar(s string) (time.Time, TimeFormat, bool) {
	if len(s) < len("2006-01-02 15:04:05") {
		return time.Time{}, "", false
	}
	for _, f := range calendarFormats() {
		if t, err := time.Parse(string(f), s); err == nil {
			t = t.UTC()
			return t, f, t.Year() >= 1970 && t.Year() <= 9999
		}
	}
	return time.Time{}, "", false
}
