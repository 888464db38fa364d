package trackops

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// MaxPerPage is the largest page the API gives.
const MaxPerPage = 100

// A Request is one question to the API: a page of a list, a count, or a single
// record.
type Request struct {
	Collection Collection

	// ID asks for that single record instead of a list; see [Key].Path. The
	// parts of a composite id are separated by slashes.
	ID string

	Count   bool // ask how many records there are (mode=count) instead of which
	Page    int  // from 1; 0 is 1
	PerPage int  // 0 is MaxPerPage
	Asc     bool // oldest first; the API's own default is newest first

	// Filters; a zero time is not sent. Bounds are inclusive and cut to the
	// second.
	UpdatedFrom, CreatedFrom, CreatedTo time.Time

	Format TimeFormat // how the filters are written
	Bare   bool       // without Collection.Query
}

// String names the request in logs and errors, without address or parameters:
// "list clients, page 2".
func (r Request) String() string {
	switch {
	case r.ID != "":
		return fmt.Sprintf("get %s %s", r.Collection.Name, r.ID)
	case r.Count:
		return "count " + r.Collection.Name
	}
	return fmt.Sprintf("list %s, page %d", r.Collection.Name, max(1, r.Page))
}

// Target returns what the request asks for: the escaped path below the base
// address and the parameters.
func (r Request) Target() (path string, query url.Values, err error) {
	if r.Collection.Path == "" {
		return "", nil, errors.New("the collection has no path")
	}
	if r.ID != "" {
		path, err = r.singlePath()
		return path, url.Values{}, err
	}
	query, err = r.query()
	return r.Collection.Path, query, err
}

func (r Request) singlePath() (string, error) {
	parts := []string{r.ID}
	if len(r.Collection.Composite) > 0 {
		parts = strings.Split(r.ID, "/")
	}
	path := r.Collection.Path
	for _, part := range parts {
		if part == "" || part == "." || part == ".." {
			return "", errors.New("the id cannot be part of an address")
		}
		path += "/" + url.PathEscape(part)
	}
	return path, nil
}

func (r Request) query() (url.Values, error) {
	q := url.Values{}
	if !r.Bare {
		maps.Copy(q, r.Collection.Query)
	}
	if r.Page < 0 || r.PerPage < 0 {
		return nil, errors.New("page and per_page cannot be negative")
	}
	q.Set("per_page", strconv.Itoa(r.perPage()))
	if r.Count {
		q.Set("mode", "count")
	} else {
		q.Set("page", strconv.Itoa(max(1, r.Page)))
		q.Set("dir", r.dir())
	}
	for _, filter := range []struct {
		name string
		at   time.Time
	}{
		{"updated_from", r.UpdatedFrom},
		{r.Collection.CreatedFrom, r.CreatedFrom},
		{r.Collection.CreatedTo, r.CreatedTo},
	} {
		if filter.at.IsZero() {
			continue
		}
		if filter.name == "" {
			return nil, errors.New("the collection has no filter by creation")
		}
		q.Set(filter.name, r.Format.Format(filter.at))
	}
	return q, nil
}

func (r Request) perPage() int {
	if r.PerPage == 0 {
		return MaxPerPage
	}
	return r.PerPage
}

func (r Request) dir() string {
	if r.Asc {
		return "asc"
	}
	return "desc"
}

// isPage reports whether the request asks for a page of a list.
func (r Request) isPage() bool { return r.ID == "" && !r.Count }
