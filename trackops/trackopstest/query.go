package trackopstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

const endOfTime = math.MaxInt64

// A query is what the parameters of a list or a count ask for.
type query struct {
	from          *collection
	perPage, page int
	asc, count    bool

	created, updated span
	filters          []filter // the others
	isRequest        string   // of cases: "", "0", "1"
}

// A span of time, inclusive, in milliseconds.
type span struct {
	low, high int64
	given     bool
}

func anytime() span { return span{low: math.MinInt64, high: endOfTime} }

func (s span) has(ms int64) bool { return ms >= s.low && ms <= s.high }

func (s *span) restrict(b bound, ms int64) {
	s.given = true
	if b == from {
		s.low = max(s.low, ms)
	} else {
		s.high = min(s.high, ms)
	}
}

// A filter on a field of the records.
type filter struct {
	param
	value string // canonical: a bool is 0 or 1
	at    int64  // of a ts
}

// parse reads parameters as the API does: 400 for whatever it does not know.
func (a *Account) parse(c *collection, values url.Values) (query, *answer) {
	q := query{from: c, perPage: trackops.MaxPerPage, page: 1, created: anytime(), updated: anytime()}
	quirks := a.quirks(c)
	for name, given := range values {
		if len(given) != 1 {
			return q, invalid(name)
		}
		known, ok := a.universal(&q, quirks, name, given[0])
		if !known {
			ok = a.filter(&q, quirks, name, given[0])
		}
		if !ok {
			return q, invalid(name)
		}
	}
	if quirks.NoCombination && q.created.given && q.updated.given {
		return q, invalid("the combination of filters")
	}
	return q, nil
}

func invalid(name string) *answer {
	ans := refuse(http.StatusBadRequest, "Invalid request parameters: "+name)
	return &ans
}

// universal reads a parameter that every collection takes.
func (a *Account) universal(q *query, quirks Quirks, name, value string) (known, ok bool) {
	var err error
	switch name {
	case "per_page":
		q.perPage, err = strconv.Atoi(value)
		if a.opts.RefuseLarge && q.perPage > trackops.MaxPerPage {
			return true, false
		}
		ok = err == nil && q.perPage > 0
		q.perPage = min(q.perPage, a.opts.MaxPerPage, trackops.MaxPerPage)
		return true, ok
	case "page":
		q.page, err = strconv.Atoi(value)
		return true, err == nil && q.page > 0
	case "dir":
		q.asc = value == "asc"
		return true, value == "asc" || value == "desc"
	case "mode":
		q.count = !quirks.IgnoreCount
		return true, value == "count" && !quirks.NoCount
	}
	return false, false
}

// filter reads a parameter of the collection.
func (a *Account) filter(q *query, quirks Quirks, name, value string) (ok bool) {
	p, known := q.from.params[name]
	if !known {
		return a.opts.Lenient
	}
	if p.isUpdated() && quirks.NoUpdatedFrom || p.isCreated() && quirks.NoCreated {
		return a.opts.Lenient
	}
	f, ok := a.parseFilter(p, value)
	switch {
	case !ok:
		return false
	case p.isUpdated():
		if !quirks.IgnoreUpdatedFrom {
			q.updated.restrict(p.bound, f.at)
		}
	case p.isCreated():
		if !quirks.IgnoreCreated {
			q.created.restrict(p.bound, f.at)
		}
	case p.field == "is_request":
		q.isRequest = f.value
	case p.field != "":
		q.filters = append(q.filters, f)
	}
	return true
}

func (a *Account) parseFilter(p param, value string) (filter, bool) {
	f := filter{param: p, value: value}
	switch p.kind {
	case "int":
		_, err := strconv.ParseInt(value, 10, 64)
		return f, err == nil
	case "bool":
		i := slices.Index([]string{"false", "0", "true", "1"}, value)
		f.value = strconv.Itoa(i / 2)
		return f, i >= 0
	case "date":
		_, err := time.Parse(time.DateOnly, value)
		return f, err == nil
	case "ts":
		t, format, ok := trackops.ParseTime([]byte(value))
		f.at = t.UnixMilli()
		return f, ok && (!a.opts.StrictTime || format == a.opts.TimeFormat)
	}
	return f, true
}

// sources returns the collections a list is made of: unless told otherwise,
// cases include case requests.
func (a *Account) sources(q query) []*collection {
	if q.from.name != "cases" {
		return []*collection{q.from}
	}
	requests := a.collections["case_requests"]
	switch q.isRequest {
	case "0":
		return []*collection{q.from}
	case "1":
		return []*collection{requests}
	}
	return []*collection{q.from, requests}
}

// A row is a record of a result.
type row struct {
	from *collection
	rec  *record
}

// total counts what q matches.
func (a *Account) total(q query) int {
	total := 0
	for _, c := range a.sources(q) {
		if q.isWindow() {
			total += len(c.index.createdRange(q.created.low, q.created.high))
			continue
		}
		total += len(a.matches(c, q))
	}
	return total
}

// isWindow reports whether the created index alone answers q.
func (q query) isWindow() bool { return !q.updated.given && len(q.filters) == 0 }

// page returns the rows of the page that q asks for, and whether the page is
// past the end.
func (a *Account) page(q query) (rows []row, past bool) {
	sources := a.sources(q)
	var all []row
	if len(sources) == 1 {
		c := sources[0]
		list := c.index.order
		if !q.isWindow() || q.created.given {
			list = a.matches(c, q)
		}
		low, high := q.bounds(len(list))
		for _, r := range list[low:high] {
			all = append(all, row{c, r})
		}
		if !q.asc {
			slices.Reverse(all)
		}
		return all, q.page > 1 && low >= high
	}
	for _, c := range sources {
		for _, r := range a.matches(c, q) {
			all = append(all, row{c, r})
		}
	}
	slices.SortStableFunc(all, func(x, y row) int {
		return int(min(max(x.from.index.key(x.rec, x.rec.shown)-y.from.index.key(y.rec, y.rec.shown), -1), 1))
	})
	low, high := q.bounds(len(all))
	all = slices.Clone(all[low:high])
	if !q.asc {
		slices.Reverse(all)
	}
	return all, q.page > 1 && low >= high
}

// bounds returns where the page lies in a list of n in ascending order.
func (q query) bounds(n int) (low, high int) {
	skip := n
	if q.page-1 <= n/q.perPage {
		skip = min(n, (q.page-1)*q.perPage)
	}
	end := min(n, skip+q.perPage)
	if q.asc {
		return skip, end
	}
	return n - end, n - skip
}

// matches returns the records of c that q matches, in the order of the sort key.
// It reads the smallest index that holds them all.
func (a *Account) matches(c *collection, q query) []*record {
	x := &c.index
	var found []*record
	window := x.createdRange(q.created.low, q.created.high)
	since := len(x.updates)
	if q.updated.given {
		since = x.updatedSince(q.updated.low)
	}
	keep := func(r *record) {
		v := r.shown
		if v.deleted || !q.created.has(v.created) || q.updated.given && (v.updated == 0 || !q.updated.has(v.updated)) {
			return
		}
		for _, f := range q.filters {
			if !f.matches(a.encoded(c, r, v)) {
				return
			}
		}
		found = append(found, r)
	}
	if q.updated.given && len(x.updates)-since < len(window) {
		for _, u := range x.updates[since:] {
			keep(u.rec)
		}
	} else {
		for _, r := range window {
			keep(r)
		}
	}
	slices.SortFunc(found, x.byOrder)
	return slices.Compact(found) // a record is in the log once for each of its updates
}

// matches reports whether a record's field passes.
func (f filter) matches(raw json.RawMessage) bool {
	text, ok := member(raw, f.field)
	if !ok {
		return false
	}
	if f.bound == equal {
		return canonical(f.kind, text) == f.value
	}
	var order int
	if f.kind == "ts" {
		t, _, ok := trackops.ParseTime([]byte(text))
		if !ok {
			return false
		}
		order = int(min(max(t.UnixMilli()-f.at, -1), 1))
	} else {
		order = bytes.Compare([]byte(text), []byte(f.value))
	}
	return f.bound == from && order >= 0 || f.bound == to && order <= 0
}

func canonical(kind, text string) string {
	if kind == "bool" {
		switch text {
		case "true":
			return "1"
		case "false":
			return "0"
		}
	}
	return text
}

// member returns the text of a top-level field, unquoted; false for null.
func member(raw json.RawMessage, name string) (string, bool) {
	d := jsontext.NewDecoder(bytes.NewBuffer(raw))
	if _, err := d.ReadToken(); err != nil {
		return "", false
	}
	for d.PeekKind() == '"' {
		key, err := d.ReadToken()
		if err != nil {
			return "", false
		}
		if key.String() != name {
			if d.SkipValue() != nil {
				return "", false
			}
			continue
		}
		value, err := d.ReadToken()
		return value.String(), err == nil && value.Kind() != 'n'
	}
	return "", false
}

// find returns the record that a single record's path names.
func (a *Account) find(c *collection, key string) (row, *answer) {
	candidates := []*collection{c}
	if c.name == "cases" {
		candidates = append(candidates, a.collections["case_requests"])
	}
	for _, from := range candidates {
		if r := from.find(key); r != nil && r.shown != nil && !r.shown.deleted {
			return row{from, r}, nil
		}
	}
	ans := refuse(http.StatusNotFound, fmt.Sprintf("The requested %s record does not exist", c.name))
	return row{}, &ans
}
