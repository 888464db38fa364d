package connectors

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"
)

var decimal = regexp.MustCompile(`^-?\d{1,40}(\.\d{1,20})?$`)

// grouped writes a decimal number with commas, and every digit as it was: 1,234.5.
// What is no such number stays as it is.
func grouped(s string) string {
	if !decimal.MatchString(s) {
		return s
	}
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	whole, rest, found := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if found {
		rest = "." + rest
	}
	return sign + whole + rest
}

// amount is a sum of money as people write it: 1,234.50. It is false of what is no
// decimal number, and that stays as it is.
func amount(s string) (string, bool) {
	if !decimal.MatchString(s) {
		return s, false
	}
	whole, cents, _ := strings.Cut(s, ".")
	return grouped(whole + "." + cents + strings.Repeat("0", max(0, 2-len(cents)))), true
}

// readable is the value of a field as people read it: sums of money with commas,
// days and times by the names of months. What has another form than expected stays
// as it is, and so does every digit.
func readable(name string, raw json.RawMessage) (string, error) {
	value, err := valueText(raw)
	switch {
	case err != nil:
		return "", err
	case isMoney(name):
		sum, _ := amount(value)
		return sum, nil
	case isTime(name):
		return readableTime(value), nil
	}
	return value, nil
}

// isMoney tells sums by the names that Trackops gives them.
func isMoney(name string) bool {
	switch name {
	case "amount", "balance", "rate", "subtotal", "tax", "total", "credit_limit":
		return true
	}
	return strings.HasSuffix(name, "_money") || strings.HasSuffix(name, "_amount") || strings.HasSuffix(name, "_total")
}

func isTime(name string) bool {
	return name == "date" || strings.HasSuffix(name, "_date") || strings.HasSuffix(name, "_on") || strings.HasSuffix(name, "_at")
}

// readableTime writes a day or a time by the name of its month. Times without a
// zone are UTC in Trackops.
func readableTime(s string) string {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.Format("2 Jan 2006")
	}
	t, ok := date(s).(time.Time)
	if !ok || t.Nanosecond() != 0 {
		return s
	}
	layout := "2 Jan 2006, 15:04:05 UTC"
	if t.Second() == 0 {
		layout = "2 Jan 2006, 15:04 UTC"
	}
	return t.UTC().Format(layout)
}
