package fault_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

const tenYears = 10 * 365 * 24 * time.Hour

func header(retryAfter, date string) http.Header {
	h := http.Header{}
	if retryAfter != "" {
		h.Set("Retry-After", retryAfter)
	}
	if date != "" {
		h.Set("Date", date)
	}
	return h
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(1994, time.November, 6, 8, 49, 0, 0, time.UTC)
	const fixdate, rfc850, asctime = "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"
	tests := []struct {
		name, value, date string
		want              time.Duration
		ok                bool
	}{
		{"absent", "", "", 0, false},
		{"absent beside a date", "", fixdate, 0, false},
		{"only white space", "  ", "", 0, false},
		{"seconds", "120", "", 2 * time.Minute, true},
		{"seconds whatever the answer's clock says", "120", fixdate, 2 * time.Minute, true},
		{"no seconds", "0", "", 0, true},
		{"leading zeros", "007", "", 7 * time.Second, true},
		{"white space around", " 5\t", "", 5 * time.Second, true},
		{"ten years", "315360000", "", tenYears, true},
		{"more than ten years", "315360001", "", tenYears, true},
		{"more than an int64", "99999999999999999999999", "", tenYears, true},
		{"negative", "-5", "", 0, false},
		{"signed", "+5", "", 0, false},
		{"a fraction", "1.5", "", 0, false},
		{"an exponent", "1e3", "", 0, false},
		{"a unit", "5s", "", 0, false},
		{"digits of another script", "٣", "", 0, false},
		{"two values in one", "5, 10", "", 0, false},
		{"words", "soon", "", 0, false},

		{"IMF-fixdate", fixdate, "", 37 * time.Second, true},
		{"RFC 850 date", rfc850, "", 37 * time.Second, true},
		{"asctime date", asctime, "", 37 * time.Second, true},
		{"date in the past", "Sun, 06 Nov 1994 08:48:00 GMT", "", 0, true},
		{"date far ahead", "Fri, 31 Dec 9999 23:59:59 GMT", "", tenYears, true},
		{"date in another zone", "Sun, 06 Nov 1994 08:49:37 +0100", "", 0, false},
		{"date as RFC 3339 has it", "1994-11-06T08:49:37Z", "", 0, false},
		{"day that does not exist", "Thu, 31 Feb 1994 08:49:37 GMT", "", 0, false},

		{"against the answer's clock, which is ahead", fixdate, "Sun, 06 Nov 1994 08:49:30 GMT", 7 * time.Second, true},
		{"against the answer's clock, which is behind", fixdate, "Sun, 06 Nov 1994 07:49:37 GMT", time.Hour, true},
		{"against the answer's clock in RFC 850", asctime, "Sunday, 06-Nov-94 08:49:35 GMT", 2 * time.Second, true},
		{"before the answer's clock", fixdate, "Sun, 06 Nov 1994 09:00:00 GMT", 0, true},
		{"against an answer's clock that is none", rfc850, "today", 37 * time.Second, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, ok := fault.ParseRetryAfter(header(test.value, test.date), now)
			if got != test.want || ok != test.ok {
				t.Errorf("ParseRetryAfter(%q, Date %q) = %v, %v, want %v, %v", test.value, test.date, got, ok, test.want, test.ok)
			}
		})
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, value := range []string{"120", "-1", "1.5", "99999999999999999999", "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Fri, 31 Dec 9999 23:59:59 GMT"} {
		f.Add(value, "")
		f.Add(value, "Sun, 06 Nov 1994 08:49:30 GMT")
		f.Add(value, "Mon, 01 Jan 0001 00:00:00 GMT")
	}
	now := time.Date(2026, time.November, 23, 9, 30, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value, date string) {
		d, ok := fault.ParseRetryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, now)
		if d < 0 || d > tenYears || !ok && d != 0 {
			t.Fatalf("ParseRetryAfter(%q, Date %q) = %v, %v", value, date, d, ok)
		}
		if plain := strings.TrimSpace(value); plain != "" && strings.Trim(plain, "0123456789") == "" && !ok {
			t.Fatalf("ParseRetryAfter(%q) does not take seconds", value)
		}
		if wait := fault.Jitter(d); wait < d || wait > d+d/10 {
			t.Fatalf("Jitter(%v) = %v", d, wait)
		}
	})
}
