package trackops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// A Page is the answer to a [Request].
type Page struct {
	// Records are JSON objects in valid UTF-8. They share one buffer and are to
	// be read only; a reader that keeps one for long copies it.
	Records []json.RawMessage

	// Count and Pages answer a count; Pages is in units of the request's PerPage.
	Count, Pages int

	// Date is the answer's Date header, to the second, or zero. Sent is when the
	// request left, Received when the last byte of the answer came, by our clock.
	Date, Sent, Received time.Time
}

// What is wrong with an answer of status 200. All are temporary.
var (
	// ErrNotJSON: an HTML page, or anything else that is no JSON.
	ErrNotJSON = errors.New("the answer is not JSON")
	// ErrTruncated: the answer ends too early.
	ErrTruncated = errors.New("the answer was cut off")
	// ErrUnexpected: JSON of another shape than the request's answer has.
	ErrUnexpected = errors.New("the answer is not what was asked for")
	// ErrTooLarge: the answer exceeds Config.MaxBody.
	ErrTooLarge = errors.New("the answer is too large")
	// ErrIgnored: the answer shows that the API took no notice of a parameter.
	ErrIgnored = errors.New("the API ignored a parameter")
)

// Decode reads the body of a good answer to r. The page's records alias body
// unless it has to be repaired. An answer that is not complete, valid JSON of
// the expected shape is one of the errors above; they repeat nothing of it.
func (r Request) Decode(body []byte) (Page, error) {
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	if !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, []byte("\ufffd"))
	}
	body = bytes.Trim(body, " \t\r\n")
	if len(body) == 0 {
		return Page{}, fmt.Errorf("%w: it is empty", ErrTruncated)
	}
	if body[0] == '<' {
		return Page{}, fmt.Errorf("%w: it is an HTML page", ErrNotJSON)
	}
	if r.Count {
		return decodeCount(body)
	}
	return r.decodeRecords(body)
}

func (r Request) decodeRecords(body []byte) (Page, error) {
	kind := jsontext.Value(body).Kind()
	if r.isPage() && kind == '{' {
		if err := validate(body); err != nil {
			return Page{}, err
		}
		return Page{}, fmt.Errorf("%w: an object instead of a list", ErrUnexpected)
	}
	records, err := split(body)
	if err != nil {
		return Page{}, err
	}
	if !r.isPage() && len(records) != 1 {
		return Page{}, fmt.Errorf("%w: %d records instead of one", ErrUnexpected, len(records))
	}
	return Page{Records: records}, nil
}

// split returns the objects of a JSON array, the object itself if body is one,
// or none if it is null.
func split(body []byte) ([]json.RawMessage, error) {
	d := newDecoder(body)
	switch d.PeekKind() {
	case 'n':
		return nil, validate(body)
	case '{':
		return []json.RawMessage{body}, validate(body)
	case '[':
	default:
		if err := validate(body); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: a plain value instead of a list", ErrUnexpected)
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, syntax(err)
	}
	records := make([]json.RawMessage, 0, MaxPerPage)
	for d.PeekKind() != ']' {
		value, err := d.ReadValue()
		if err != nil {
			return nil, syntax(err)
		}
		if value.Kind() != '{' {
			return nil, fmt.Errorf("%w: item %d of the list is no object", ErrUnexpected, len(records)+1)
		}
		end := int(d.InputOffset())
		records = append(records, body[end-len(value):end:end])
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, syntax(err)
	}
	return records, atEnd(d)
}

// validate reports whether body is one complete JSON value.
func validate(body []byte) error {
	d := newDecoder(body)
	if err := d.SkipValue(); err != nil {
		return syntax(err)
	}
	return atEnd(d)
}

func atEnd(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more follows after its end, at byte %d", ErrNotJSON, d.InputOffset())
	}
	return nil
}

// newDecoder parses in place: a bytes.Buffer is not copied. Repeated names are
// left to those who compare records; checking them here would double the work.
func newDecoder(body []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true))
}

// syntax classifies an error of the decoder. Its own text quotes names of the
// record.
func syntax(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return ErrTruncated
	}
	var s *jsontext.SyntacticError
	if errors.As(err, &s) {
		return fmt.Errorf("%w: wrong at byte %d", ErrNotJSON, s.ByteOffset)
	}
	return ErrNotJSON
}

func decodeCount(body []byte) (Page, error) {
	if err := validate(body); err != nil {
		return Page{}, err
	}
	switch jsontext.Value(body).Kind() {
	case '[':
		return Page{}, fmt.Errorf("%w: a list instead of a count", ErrIgnored)
	case '{':
	default:
		return Page{}, fmt.Errorf("%w: a plain value instead of a count", ErrUnexpected)
	}
	var answer struct {
		Records json.RawMessage `json:"record_count"`
		Pages   json.RawMessage `json:"page_count"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return Page{}, ErrNotJSON
	}
	count, ok := parseCount(answer.Records)
	if !ok {
		return Page{}, fmt.Errorf("%w: no record_count in it", ErrUnexpected)
	}
	// page_count follows from the record count, so one without it is accepted.
	pages, _ := parseCount(answer.Pages)
	return Page{Count: count, Pages: pages}, nil
}

// parseCount reads a number that may come as a string.
func parseCount(raw []byte) (int, bool) {
	n, err := strconv.Atoi(string(bytes.Trim(raw, `"`)))
	return n, err == nil && n >= 0
}
