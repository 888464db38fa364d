package connectortest

import (
	"net/http"
	"strconv"
	"time"
)

// A Fault is something that a receiver does with a delivery, other than to take it
// without a word.
type Fault struct {
	Name   string
	Answer HTTPAnswer

	// Accepted says that it is an acceptance all the same.
	Accepted bool

	// After is the wait that it asks for.
	After time.Duration
}

// Faults returns everything that an HTTP receiver may do, each for one attempt,
// for [HTTPRemote.Script]. Waits that it asks for are of a second. A bad
// certificate needs an [HTTPS] remote, and "never answers" a client with a timeout.
func Faults() []Fault {
	all := []Fault{
		{Name: "200", Answer: HTTPAnswer{Status: 200, Body: "thanks"}, Accepted: true},
		{Name: "204", Answer: HTTPAnswer{Status: 204}, Accepted: true},
		{Name: "slow header", Answer: HTTPAnswer{Wait: 50 * time.Millisecond, Status: 200}, Accepted: true},
		{Name: "200, slow body", Answer: HTTPAnswer{Status: 200, Body: "x", Stall: true}, Accepted: true},
		{Name: "200, endless body", Answer: HTTPAnswer{Status: 200, Endless: true}, Accepted: true},
		{Name: "200, body cut off", Answer: HTTPAnswer{Raw: "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx"}, Accepted: true},
		{Name: "301", Answer: HTTPAnswer{Status: 301, Header: map[string]string{"Location": "/elsewhere"}}},
		{Name: "302", Answer: HTTPAnswer{Status: 302, Header: map[string]string{"Location": "/elsewhere"}}},
	}
	for _, status := range []int{400, 401, 404, 410, 413, 429, 500, 503} {
		all = append(all, Fault{Name: strconv.Itoa(status), Answer: HTTPAnswer{Status: status, Body: http.StatusText(status)}})
	}
	for name, after := range RetryAfters(time.Second) {
		for _, status := range []int{429, 503} {
			all = append(all, Fault{Name: strconv.Itoa(status) + ", Retry-After: " + name, Answer: HTTPAnswer{Status: status, Header: after}, After: time.Second})
		}
	}
	return append(all,
		Fault{Name: "404, Retry-After", Answer: HTTPAnswer{Status: 404, Header: map[string]string{"Retry-After": "1"}}, After: time.Second},
		Fault{Name: "500, slow body", Answer: HTTPAnswer{Status: 500, Body: "x", Stall: true}},
		Fault{Name: "500, endless body", Answer: HTTPAnswer{Status: 500, Endless: true}},
		Fault{Name: "never answers", Answer: HTTPAnswer{Stall: true}},
		Fault{Name: "no HTTP", Answer: HTTPAnswer{Raw: "220 mail.example.com ESMTP\r\n"}},
		Fault{Name: "end before the answer", Answer: HTTPAnswer{Raw: "HTTP/1.1 20"}},
		Fault{Name: "reset before the answer", Answer: HTTPAnswer{Reset: true}},
		Fault{Name: "reset in the middle of the answer", Answer: HTTPAnswer{Raw: "HTTP/1.1 200 OK\r\nContent-Le", Reset: true}},
		Fault{Name: "bad certificate", Answer: HTTPAnswer{BadCertificate: true}},
	)
}

// RetryAfters returns the header Retry-After in each of its forms (RFC 9110 §10.2.3
// and §5.6.7), by their names. The dates are far from any real clock: only the
// answer's own Date tells how long after is.
func RetryAfters(after time.Duration) map[string]map[string]string {
	date := time.Date(2006, 1, 2, 3, 4, 5, 0, time.UTC)
	at := date.Add(after)
	forms := map[string]map[string]string{"seconds": {"Retry-After": strconv.Itoa(int(after.Seconds()))}}
	for name, layout := range map[string]string{
		"IMF-fixdate": http.TimeFormat,
		"RFC 850":     "Monday, 02-Jan-06 15:04:05 GMT",
		"asctime":     time.ANSIC,
	} {
		forms[name] = map[string]string{"Date": date.Format(http.TimeFormat), "Retry-After": at.Format(layout)}
	}
	return forms
}
