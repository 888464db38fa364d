package trackopstest

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// An encoder writes one record. Its methods append JSON values.
type encoder struct {
	buf      []byte
	text     bool // numbers and booleans as strings
	format   trackops.TimeFormat
	fraction bool

	id      int64
	created int64 // milliseconds since 1970
}

func (e *encoder) raw(s string) { e.buf = append(e.buf, s...) }

// bare writes a number or boolean, quoted if the account writes all as text.
func (e *encoder) bare(s string) {
	if e.text {
		s = `"` + s + `"`
	}
	e.raw(s)
}

func (e *encoder) int(n int64) { e.bare(strconv.FormatInt(n, 10)) }

func (e *encoder) flag(v bool) {
	switch {
	case e.text && v:
		e.raw(`"1"`)
	case e.text:
		e.raw(`"0"`)
	default:
		e.raw(strconv.FormatBool(v))
	}
}

// cents writes a decimal the way PHP frameworks do: "12.50".
func (e *encoder) cents(n int) {
	e.buf = append(e.buf, '"')
	e.buf = strconv.AppendInt(e.buf, int64(n/100), 10)
	e.buf = append(e.buf, '.', byte('0'+n/10%10), byte('0'+n%10), '"')
}

func (e *encoder) str(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(err) // a string always encodes
			}
			e.buf = append(e.buf, quoted...)
			return
		}
	}
	e.buf = append(e.buf, '"')
	e.raw(s)
	e.buf = append(e.buf, '"')
}

// name begins a member of an object.
func (e *encoder) name(s string) {
	if e.buf[len(e.buf)-1] != '{' {
		e.buf = append(e.buf, ',')
	}
	e.buf = append(e.buf, '"')
	e.raw(s)
	e.buf = append(e.buf, '"', ':')
}

func (e *encoder) date(ms int64) {
	e.buf = append(e.buf, '"')
	e.buf = time.UnixMilli(ms).UTC().AppendFormat(e.buf, time.DateOnly)
	e.buf = append(e.buf, '"')
}

// time writes a timestamp; 0 is null.
func (e *encoder) time(ms int64) {
	if ms == 0 {
		e.raw("null")
		return
	}
	t := time.UnixMilli(ms).UTC()
	switch e.format {
	case trackops.Unix:
		if e.fraction {
			e.bare(strconv.FormatFloat(float64(ms)/1000, 'f', 3, 64))
			return
		}
		e.bare(strconv.FormatInt(ms/1000, 10))
	case trackops.UnixMillis:
		e.bare(strconv.FormatInt(ms, 10))
	default:
		layout := string(e.format)
		if e.fraction {
			layout = layout[:len("2006-01-02 15:04:05")] + ".000" + layout[len("2006-01-02 15:04:05"):]
		}
		e.buf = append(e.buf, '"')
		e.buf = t.AppendFormat(e.buf, layout)
		e.buf = append(e.buf, '"')
	}
}
