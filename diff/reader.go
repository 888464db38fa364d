package diff

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// A reader walks through one JSON text without copying it.
type reader struct {
	dec jsontext.Decoder
	buf bytes.Buffer
	raw []byte
}

var errMoreValues = errors.New("more than one value")

// reset makes r read raw, from its beginning.
func (r *reader) reset(raw []byte) {
	r.raw = raw
	r.buf = *bytes.NewBuffer(raw) // read in place: jsontext does not copy a bytes.Buffer
	r.dec.Reset(&r.buf, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// next returns the whole next value or member name, a part of the text.
func (r *reader) next() ([]byte, error) {
	value, err := r.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	end := int(r.dec.InputOffset())
	return r.raw[end-len(value) : end : end], nil
}

// skipToken reads the bracket or brace that comes next.
func (r *reader) skipToken() error {
	_, err := r.dec.ReadToken()
	return err
}

// end checks that nothing but white space follows the value just read.
func (r *reader) end() error {
	switch _, err := r.dec.ReadToken(); {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return errMoreValues
	default:
		return err
	}
}

// describe words an error of reading JSON with its place, but without names and
// values: records are confidential.
func describe(err error) error {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("read JSON, byte %d: %w", syntax.ByteOffset, syntax.Err)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read JSON: %w", err)
}

// isVerbatim says whether a quoted string holds its characters as they are.
func isVerbatim(quoted []byte) bool {
	for i, c := range quoted {
		if c == '\\' {
			return false
		}
		if c >= utf8.RuneSelf {
			return bytes.IndexByte(quoted[i:], '\\') < 0 && utf8.Valid(quoted[i:])
		}
	}
	return true
}

// appendText appends the characters of a quoted string that was read as valid.
func appendText(dst, quoted []byte) []byte {
	if isVerbatim(quoted) {
		return append(dst, quoted[1:len(quoted)-1]...)
	}
	// An error could only say that something was replaced by U+FFFD, as it should be.
	dst, _ = jsontext.AppendUnquote(dst, quoted)
	return dst
}

// text returns the characters of a quoted string, if possible without a copy.
func text(quoted []byte) []byte {
	if isVerbatim(quoted) {
		return quoted[1 : len(quoted)-1 : len(quoted)-1]
	}
	return appendText(nil, quoted)
}
