package fault

import (
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ParseRetryAfter reads a Retry-After header (RFC 9110 §10.2.3): seconds or one
// of the three date forms of §5.6.7. A date is measured against the answer's own
// Date header where there is one, so that two clocks that disagree do no harm,
// and against now otherwise. A date in the past is a wait of zero, and no wait is
// longer than ten years.
func ParseRetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0, false
	}
	if isDigits(value) {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > maxSeconds {
			seconds = maxSeconds
		}
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(0, at.Sub(now)), maxSeconds*time.Second), true
}

// maxSeconds keeps a hostile number or date inside a time.Duration: ten years.
const maxSeconds = 10 * 365 * 24 * 3600

func isDigits(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// Backoff returns the wait before try number attempt (1 is the first
// repetition): base doubled each time, at most limit, with jitter upwards.
func Backoff(attempt int, base, limit time.Duration) time.Duration {
	d := base
	for range attempt - 1 {
		if d >= limit/2 {
			d = limit
			break
		}
		d *= 2
	}
	return Jitter(min(d, limit))
}

// Jitter lengthens d by up to a tenth. It never shortens it: a wait that the
// other side asked for is a promise. The longest Duration stays what it is.
func Jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d + rand.N(min(d/10, math.MaxInt64-d)+1)
}
