package trackopstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// An answer is what the account says, before it becomes HTTP or a page.
type answer struct {
	status     int
	retryAfter string
	date       time.Time

	records []json.RawMessage // of a list, or the one
	single  bool
	null    bool
	isCount bool
	count   int
	pages   int
	message string // of a refusal

	fault *Fault // what happens to the answer on its way
}

func refuse(status int, message string) answer { return answer{status: status, message: message} }

// ask answers a request now: the way of both HTTP and in-process callers.
func (a *Account) ask(method, path string, values url.Values, authorized bool) answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.catchUp()
	now := time.Now()
	ans := a.decide(now, method, path, values, authorized)
	ans.date = now.Add(a.opts.Skew).Truncate(time.Second)
	status := ans.status
	if f := ans.fault; f != nil {
		if f.Status != 0 {
			status = f.Status
		}
		if f.Reset {
			status = 0
		}
	}
	a.logRequest(RequestLog{At: now, Method: method, Path: path, Query: values.Encode(), Status: status})
	return ans
}

func (a *Account) decide(now time.Time, method, path string, values url.Values, authorized bool) answer {
	if a.tooEarly(now) {
		return a.throttled()
	}
	c, id := a.route(path)
	fault := a.nextFault(c)
	if fault != nil && fault.replacesAnswer() {
		return answer{status: http.StatusOK, fault: fault}
	}
	ans := a.respond(method, c, id, values, authorized)
	ans.fault = fault
	return ans
}

func (a *Account) respond(method string, c *collection, id string, values url.Values, authorized bool) answer {
	switch {
	case !authorized:
		return refuse(http.StatusUnauthorized, "Invalid credentials")
	case c == nil:
		return refuse(http.StatusNotFound, "Not Found")
	case a.quirks(c).Denied != 0:
		return refuse(a.quirks(c).Denied, "The feature is not activated for this account")
	case method != http.MethodGet:
		return refuse(http.StatusMethodNotAllowed, "Method Not Allowed")
	case id != "":
		found, refused := a.find(c, id)
		if refused != nil {
			return *refused
		}
		return answer{status: http.StatusOK, single: true, records: []json.RawMessage{a.present(found)}}
	}
	q, refused := a.parse(c, values)
	if refused != nil {
		return *refused
	}
	if q.count {
		n := a.total(q)
		return answer{status: http.StatusOK, isCount: true, count: n, pages: (n + q.perPage - 1) / q.perPage}
	}
	return a.list(q)
}

func (a *Account) list(q query) answer {
	rows, past := a.page(q)
	if past {
		switch a.opts.PastEnd {
		case NotFoundPage:
			return refuse(http.StatusNotFound, "Not Found")
		case NullPage:
			return answer{status: http.StatusOK, null: true}
		}
	}
	ans := answer{status: http.StatusOK, records: make([]json.RawMessage, len(rows))}
	for i, r := range rows {
		ans.records[i] = a.present(r)
	}
	return ans
}

// present returns a record as an answer shows it: a file with an address that is
// new each time.
func (a *Account) present(r row) json.RawMessage {
	raw := a.encoded(r.from, r.rec, r.rec.shown)
	if !r.from.api.VolatileURLs {
		return raw
	}
	a.serial++
	die := newDice(a.opts.Seed, a.serial)
	address := fmt.Sprintf("https://files.example.com/secure/%d?expires=%d&signature=%016x",
		r.from.id(r.rec), a.now()/1000+15*60, die.next())
	out := make([]byte, 0, len(raw)+2*len(address)+64)
	out = append(out, raw[:len(raw)-1]...)
	out = append(out, `,"download_url":"`...)
	out = append(out, address...)
	out = append(out, `","Preview":{"width":320,"url":"`...)
	out = append(out, address...)
	return append(out, `&size=preview"}}`...)
}

// route splits a path into a collection and the id of a single record. The
// longest collection path wins: case/requests is not the case "requests".
func (a *Account) route(path string) (c *collection, id string) {
	segments := strings.Split(path, "/")
	for n := min(2, len(segments)); n > 0; n-- {
		c := a.byPath[strings.Join(segments[:n], "/")]
		if c == nil {
			continue
		}
		rest := segments[n:]
		for i, s := range rest {
			text, err := url.PathUnescape(s)
			if err != nil || text == "" {
				return nil, ""
			}
			rest[i] = text
		}
		return c, strings.Join(rest, "/")
	}
	return nil, ""
}

// nextFault takes the fault that the request to c gets, if any.
func (a *Account) nextFault(c *collection) *Fault {
	for i, f := range a.faults {
		if f.Collection != "" && (c == nil || f.Collection != c.name) {
			continue
		}
		switch {
		case f.Times > 1:
			a.faults[i].Times--
		case f.Times >= 0:
			a.faults = append(a.faults[:i:i], a.faults[i+1:]...)
		}
		return &f
	}
	if len(a.opts.Faults) > 0 && a.rng.Float64() < a.opts.FaultRate {
		f := a.opts.Faults[a.rng.IntN(len(a.opts.Faults))]
		return &f
	}
	return nil
}

func (f *Fault) replacesAnswer() bool {
	return f.Status != 0 || f.HTML || f.Body != "" || f.Reset
}

// body returns the answer as JSON, or what a fault made of it, and its status.
func (ans answer) body() (status int, contentType string, body []byte) {
	if f := ans.fault; f != nil && f.replacesAnswer() {
		return f.body()
	}
	const contentJSON = "application/json"
	switch {
	case ans.status != http.StatusOK:
		return ans.status, contentJSON, errorBody(ans.message)
	case ans.null:
		return ans.status, contentJSON, []byte("null")
	case ans.isCount:
		return ans.status, contentJSON, fmt.Appendf(nil, `{"record_count":%d,"page_count":%d}`, ans.count, ans.pages)
	case ans.single:
		return ans.status, contentJSON, ans.records[0]
	}
	size := 2
	for _, r := range ans.records {
		size += len(r) + 1
	}
	body = append(make([]byte, 0, size), '[')
	for i, r := range ans.records {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, r...)
	}
	return ans.status, contentJSON, append(body, ']')
}

func errorBody(message string) []byte {
	return append(strconv.AppendQuoteToASCII([]byte(`{"error":`), message), '}')
}

func (f *Fault) body() (status int, contentType string, body []byte) {
	status = f.Status
	if status == 0 {
		status = http.StatusOK
	}
	switch {
	case f.Body != "":
		return status, "application/json", []byte(f.Body)
	case f.HTML:
		return status, "text/html", []byte("<html><head><title>" + http.StatusText(status) + "</title></head><body>Scheduled maintenance</body></html>")
	}
	return status, "application/json", errorBody(http.StatusText(status))
}
