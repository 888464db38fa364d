package connectors

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// A masker copies what a mask leaves of a JSON value.
type masker struct {
	dec    jsontext.Decoder
	buf    bytes.Buffer
	out    []byte
	name   []byte // of the member looked at
	differ bool   // something was left out
}

// maxMasker is the memory that a masker may keep for the next value.
const maxMasker = 64 << 10

// mask returns what is left of a value, or nil if nothing is. It returns raw
// itself where nothing is left out.
func (k *masker) mask(raw json.RawMessage, at *maskStep) json.RawMessage {
	if len(raw) == 0 || at.verdict == leaveOut {
		return nil
	}
	k.buf = *bytes.NewBuffer(raw) // read in place: jsontext does not copy a bytes.Buffer
	k.dec.Reset(&k.buf, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	k.out, k.differ = k.out[:0], false
	kept, err := k.value(at)
	if err == nil {
		err = k.end()
	}
	left := raw
	switch {
	case err != nil || !kept:
		left = nil
	case k.differ:
		left = bytes.Clone(k.out)
	}
	if cap(k.out) > maxMasker {
		k.out = nil
	}
	return left
}

// value copies what is left of the next value; kept is false if nothing is.
func (k *masker) value(at *maskStep) (kept bool, err error) {
	if at.verdict == leaveOut {
		k.differ = true
		return false, k.dec.SkipValue()
	}
	if at.verdict == lookInside {
		switch k.dec.PeekKind() {
		case '{':
			return true, k.object(at)
		case '[':
			return true, k.array(at)
		}
		if !at.scalars {
			k.differ = true
			return false, k.dec.SkipValue()
		}
	}
	value, err := k.dec.ReadValue()
	k.out = append(k.out, value...)
	return true, err
}

func (k *masker) object(at *maskStep) error {
	if err := k.bracket('{'); err != nil {
		return err
	}
	first := len(k.out)
	for k.dec.PeekKind() != '}' {
		mark := k.separate(first)
		quoted, err := k.dec.ReadValue()
		if err != nil {
			return err
		}
		k.out = append(append(k.out, quoted...), ':')
		kept, err := k.value(at.member(k.unquote(quoted)))
		if err != nil {
			return err
		}
		if !kept {
			k.out = k.out[:mark]
		}
	}
	return k.bracket('}')
}

func (k *masker) array(at *maskStep) error {
	if err := k.bracket('['); err != nil {
		return err
	}
	first := len(k.out)
	for i := 0; k.dec.PeekKind() != ']'; i++ {
		k.separate(first)
		kept, err := k.value(at.element(i))
		if err != nil {
			return err
		}
		if !kept {
			k.out = append(k.out, "null"...)
		}
	}
	return k.bracket(']')
}

// separate writes the comma before all but the first entry, and returns where
// the output ended before.
func (k *masker) separate(first int) int {
	mark := len(k.out)
	if mark > first {
		k.out = append(k.out, ',')
	}
	return mark
}

// unquote returns the characters of a member's name, until the next call.
func (k *masker) unquote(quoted []byte) []byte {
	name := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(name, '\\') < 0 && utf8.Valid(name) {
		return name
	}
	// The error is that something reads as U+FFFD, as it does for receivers.
	k.name, _ = jsontext.AppendUnquote(k.name[:0], quoted)
	return k.name
}

// bracket copies the bracket or brace that comes next.
func (k *masker) bracket(b byte) error {
	k.out = append(k.out, b)
	_, err := k.dec.ReadToken()
	return err
}

// end checks that nothing but white space follows the value just read.
func (k *masker) end() error {
	switch _, err := k.dec.ReadToken(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	default:
		return errors.New("more than one value")
	}
}
