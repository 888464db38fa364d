package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// maxRequest is far above any event.
const maxRequest = 64 << 20

// A request is a webhook delivery as its receiver saved it.
type request struct {
	header http.Header
	body   []byte

	id, timestamp, signature string
}

// parseRequest reads a request line, if there is one, headers up to an empty line,
// and the body. Lines of the head may end in CRLF or LF.
func parseRequest(raw []byte) (request, error) {
	r := request{header: make(http.Header)}
	for number := 1; ; number++ {
		line, rest, ended := bytes.Cut(raw, []byte("\n"))
		if !ended && len(line) == 0 {
			return r, errors.New("it ends before an empty line, which is where the body begins")
		}
		raw = rest
		text := strings.TrimSuffix(string(line), "\r")
		if text == "" {
			break
		}
		name, value, ok := strings.Cut(text, ":")
		switch {
		case ok && name != "" && !strings.ContainsAny(name, " \t\"(),/;<=>?@[\\]{}"):
			r.header.Add(textproto.CanonicalMIMEHeaderKey(name), strings.TrimSpace(value))
		case number > 1 || !isRequestLine(text):
			return r, fmt.Errorf("line %d is no header", number)
		}
	}
	r.id, r.timestamp = r.header.Get("webhook-id"), r.header.Get("webhook-timestamp")
	r.signature = strings.Join(r.header.Values("webhook-signature"), " ")
	r.body = r.unframe(raw)
	return r, nil
}

// isRequestLine reports whether text is like "POST /path HTTP/1.1".
func isRequestLine(text string) bool {
	_, rest, ok := strings.Cut(text, " ")
	_, version, more := strings.Cut(rest, " ")
	return ok && more && strings.HasPrefix(version, "HTTP/")
}

// unframe returns the body within raw. Many receivers save the headers as they came
// and the body without its chunks: what is not chunked is the body itself.
func (r request) unframe(raw []byte) []byte {
	if strings.EqualFold(r.header.Get("Transfer-Encoding"), "chunked") {
		if body, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(raw))); err == nil {
			return body
		}
		return raw
	}
	// A newline behind the body is the file's.
	if length, err := r.length(); err == nil && length < len(raw) && len(bytes.TrimRight(raw[length:], "\r\n")) == 0 {
		return raw[:length]
	}
	return raw
}

func (r request) length() (int, error) {
	length, err := strconv.ParseUint(r.header.Get("Content-Length"), 10, 31)
	return int(length), err
}

// time is the request's timestamp, which is a number.
func (r request) time() time.Time {
	seconds, _ := strconv.ParseInt(r.timestamp, 10, 64) // checked by signatures
	return time.Unix(seconds, 0)
}

// A variant is what a body may have been before somebody changed it.
type variant struct {
	hint string
	body []byte
}

// variants undoes what receivers and editors do to a body.
func (r request) variants() []variant {
	all := []variant{
		{"the body has got a newline at its end", bytes.TrimRight(r.body, "\r\n")},
		{"the body has lost the newline at its end", append(slices.Clip(r.body), '\n')},
		{"the body has lost the newline at its end", append(slices.Clip(r.body), '\r', '\n')},
		{"the line ends of the body were changed", bytes.ReplaceAll(r.body, []byte("\r\n"), []byte("\n"))},
		{"the line ends of the body were changed", bytes.ReplaceAll(bytes.ReplaceAll(r.body, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))},
	}
	const parsed = "the body was parsed as JSON and written again"
	add := func(body []byte) {
		all = append(all, variant{parsed, body})
		if e, err := events.Decode(body); err == nil {
			if enc, err := e.Encode(); err == nil {
				all = append(all, variant{parsed, enc.Body}) // with our order of the members
			}
		}
	}
	for _, options := range [][]jsontext.Options{
		{jsontext.PreserveRawStrings(true)},
		{jsontext.PreserveRawStrings(false)},
		{jsontext.PreserveRawStrings(false), jsontext.EscapeForJS(true)}, // as package encoding/json has it
	} {
		body := jsontext.Value(bytes.Clone(r.body))
		if body.Compact(options...) == nil {
			add(body)
		}
	}
	return all
}

// suspicion says what looks wrong with a body that no variant explains.
func (r request) suspicion() string {
	if length, err := r.length(); err == nil && length != len(r.body) {
		return fmt.Sprintf("the body has %d bytes and Content-Length says %d: it was cut off, or parsed and written again", len(r.body), length)
	}
	compact := jsontext.Value(bytes.Clone(r.body))
	if compact.Compact() == nil && len(compact) < len(r.body) {
		return "the body holds white space that the notifier does not write: it may have been parsed as JSON and written again. Verify the bytes as they came, before anything parses them"
	}
	return ""
}

// events lists type and id of what r carries.
func (r request) events() []string {
	type named struct{ Type, ID string }
	var all []named
	var one named
	switch {
	case r.header.Get("ce-id") != "":
		all = []named{{r.header.Get("ce-type"), r.header.Get("ce-id")}}
	case json.Unmarshal(r.body, &all) == nil:
	case json.Unmarshal(r.body, &one) == nil:
		all = []named{one}
	}
	var lines []string
	for _, e := range all {
		if e.Type != "" && e.ID != "" {
			lines = append(lines, connectors.OneLine(e.Type+" "+e.ID))
		}
	}
	return lines
}
