package trackops_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

func ask(t *testing.T, cfg trackops.Config, r trackops.Request, handler http.HandlerFunc) (trackops.Page, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	cfg.BaseURL = server.URL + "/api/v1"
	if r.Collection.Name == "" {
		r.Collection = collection(t, "clients")
	}
	return newClient(t, cfg).Do(t.Context(), r)
}

func body(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, text)
	}
}

func TestAnswers(t *testing.T) {
	list := trackops.Request{}
	second := trackops.Request{Page: 2}
	single := trackops.Request{ID: "7"}
	count := trackops.Request{Count: true}
	for name, tc := range map[string]struct {
		request trackops.Request
		handler http.HandlerFunc
		records int
		err     error  // wrapped
		text    string // in the error
	}{
		"records":                  {list, body(200, ` [{"id":1}, {"id":2} ] `), 2, nil, ""},
		"byte order mark":          {list, body(200, "\ufeff[{}]"), 1, nil, ""},
		"empty list":               {list, body(200, `[]`), 0, nil, ""},
		"null":                     {list, body(200, `null`), 0, nil, ""},
		"404 past the end":         {second, body(404, `{"error":"x"}`), 0, nil, ""},
		"one record":               {single, body(200, `{"id":7}`), 1, nil, ""},
		"one record in a list":     {single, body(200, `[{"id":7}]`), 1, nil, ""},
		"no record in a list":      {single, body(200, `[]`), 0, trackops.ErrUnexpected, "get clients 7: "},
		"null for a record":        {single, body(200, `null`), 0, trackops.ErrUnexpected, ""},
		"two for one":              {single, body(200, `[{},{}]`), 0, trackops.ErrUnexpected, ""},
		"count":                    {count, body(200, `{"record_count":"12","page_count":1}`), 0, nil, ""},
		"count ignored":            {count, body(200, `[{"id":1}]`), 0, trackops.ErrIgnored, "count clients: "},
		"count without number":     {count, body(200, `{"record_count":null}`), 0, trackops.ErrUnexpected, ""},
		"object for a list":        {list, body(200, `{"error":"no"}`), 0, trackops.ErrUnexpected, "list clients, page 1: "},
		"number in the list":       {list, body(200, `[{},3]`), 0, trackops.ErrUnexpected, "item 2"},
		"plain value":              {list, body(200, `true`), 0, trackops.ErrUnexpected, ""},
		"cut array":                {list, body(200, `[{"id":1},{"id":2}`), 0, trackops.ErrTruncated, ""},
		"cut object":               {list, body(200, `[{"id":1},{"id`), 0, trackops.ErrTruncated, ""},
		"cut object for a list":    {list, body(200, `{"id`), 0, trackops.ErrTruncated, ""},
		"empty body":               {list, body(200, ``), 0, trackops.ErrTruncated, ""},
		"no content":               {list, body(204, ``), 0, trackops.ErrTruncated, ""},
		"html":                     {list, body(200, `<html>secret</html>`), 0, trackops.ErrNotJSON, "HTML"},
		"wrong json":               {list, body(200, `[{"id":1},,]`), 0, trackops.ErrNotJSON, "byte"},
		"more after the end":       {list, body(200, `[] []`), 0, trackops.ErrNotJSON, ""},
		"warning before the json":  {list, body(200, "Warning: x\n[]"), 0, trackops.ErrNotJSON, ""},
		"too large, announced":     {list, body(200, "["+strings.Repeat(" ", 3000)+"]"), 0, trackops.ErrTooLarge, "2048 bytes"},
		"too large, compressed":    {list, zipped("[" + strings.Repeat(" ", 300_000) + "]"), 0, trackops.ErrTooLarge, ""},
		"compressed":               {list, zipped(`[{"id":1}]`), 1, nil, ""},
		"connection cut":           {list, cut, 0, trackops.ErrTruncated, ""},
		"connection closed":        {list, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, io.EOF, "without an answer"},
		"503 with a page":          {list, body(503, "<html><title>Down</title>\n<p>for\x00 maintenance"), 0, nil, "list clients, page 1: status 503 Service Unavailable: Down for maintenance"},
		"400":                      {list, body(400, `{"error":"Invalid request parameters"}`), 0, nil, `status 400 Bad Request: {"error":"Invalid request parameters"}`},
		"404 on the first page":    {list, body(404, ``), 0, nil, "status 404 Not Found"},
		"404 of a record":          {trackops.Request{ID: "7", Page: 2}, body(404, ``), 0, nil, "status 404 Not Found"},
		"long word in the excerpt": {list, body(500, "see "+strings.Repeat("x", 50)+" now"), 0, nil, "see … now"},
	} {
		t.Run(name, func(t *testing.T) {
			page, err := ask(t, trackops.Config{MaxBody: 2048}, tc.request, tc.handler)
			if len(page.Records) != tc.records {
				t.Errorf("%d records, want %d", len(page.Records), tc.records)
			}
			if tc.err == nil && tc.text == "" {
				if err != nil {
					t.Errorf("error %v, want none", err)
				}
				return
			}
			if err == nil || tc.err != nil && !errors.Is(err, tc.err) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %q, want %q with %q in it", err, tc.err, tc.text)
			}
		})
	}
}

func zipped(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, text)
		z.Close()
	}
}

func cut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	io.WriteString(w, `[{"id":1}`)
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func TestClassesOfStatus(t *testing.T) {
	classes := map[string]func(error) bool{
		"unsupported": trackops.IsUnsupported, "not found": trackops.IsNotFound,
		"denied": trackops.IsDenied, "throttled": trackops.IsThrottled,
	}
	want := map[int]string{400: "unsupported", 401: "denied", 403: "denied", 404: "not found", 410: "not found", 429: "throttled", 500: "", 302: ""}
	for status, expected := range want {
		_, err := ask(t, trackops.Config{}, trackops.Request{}, body(status, ""))
		if fault.Status(err) != status {
			t.Errorf("status of %v = %d, want %d", err, fault.Status(err), status)
		}
		for name, is := range classes {
			if got := is(err); got != (name == expected) {
				t.Errorf("%d is %s: %t", status, name, got)
			}
		}
	}
	if !trackops.IsUnsupported(fmt.Errorf("x: %w", trackops.ErrIgnored)) {
		t.Error("an ignored parameter is supported")
	}
}

func TestRetryAfterIsCarriedNotSlept(t *testing.T) {
	const date = "Mon, 23 Nov 2026 09:30:00 GMT"
	for _, value := range []string{
		"90", "Mon, 23 Nov 2026 09:31:30 GMT", "Monday, 23-Nov-26 09:31:30 GMT", "Mon Nov 23 09:31:30 2026",
	} {
		start := time.Now()
		page, err := ask(t, trackops.Config{}, trackops.Request{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", date)
			w.Header().Set("Retry-After", value)
			w.WriteHeader(429)
		})
		if after, ok := fault.After(err); !ok || after != 90*time.Second {
			t.Errorf("After with %q = %s, %t, want 90s", value, after, ok)
		}
		if time.Since(start) > 30*time.Second {
			t.Errorf("Do slept for %q", value)
		}
		if page.Date.Format(http.TimeFormat) != date {
			t.Errorf("Date = %s, want %s", page.Date, date)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	visited := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited = true }))
	defer other.Close()
	_, err := ask(t, trackops.Config{}, trackops.Request{}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/secret-path?token="+testToken, http.StatusFound)
	})
	if visited {
		t.Error("the redirect was followed")
	}
	if fault.Status(err) != 302 || strings.Contains(err.Error(), "secret-path") {
		t.Errorf("error %v, want status 302 without the path", err)
	}
}

func TestSlowBodyIsATimeout(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	_, err := ask(t, trackops.Config{Timeout: 50 * time.Millisecond}, trackops.Request{}, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `[{"id":1},`)
		w.(http.Flusher).Flush()
		<-release
	})
	if !errors.Is(err, trackops.ErrTimeout) {
		t.Errorf("error %v, want ErrTimeout", err)
	}
}
