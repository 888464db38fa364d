package diff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"pgregory.net/rapid"
)

// The model is what a record means, free of all spelling: nil, bool, string,
// decimal, []any or object. The laws are tested against it.

// A decimal is digits × 10^exponent; the digits neither begin nor end with 0,
// and there are none for zero.
type decimal struct {
	negative bool
	digits   string
	exponent int
}

// An object holds distinct names in some order.
type object []pair

type pair struct {
	name  string
	value any
}

var (
	oddNames   = []string{"a", "b", "id", "name", "", "/", "~", "~1", "a/b", "*", "0", "1", "-", "é", "日本", "\"", "\\", "\x00", "\ufffd", "User", "https://h.example/n"}
	oddStrings = []string{"", "1", "true", "null", "A", "é", "\u2028", "😀", "a/b", "<&>", "\x7f\x01",
		"https://files.example/x?sig=1", "HTTP://h.example", " \t\nhttp://h.example/a b", "see https://h.example", "https:", "http://", "ftp://h.example", `https:\/\/h.example`, "\ufeffhttps://h.example"}
	oddNumbers = []decimal{{}, {false, "1", 0}, {true, "1", 0}, {false, "9007199254740993", 0}, {false, "9007199254740992", 0}, {false, "125", -1}, {false, "1", 2}, {true, "3", -7}, {false, "1", 400}, {false, "123456789012345678901234567890123", -12}}
)

func names() *rapid.Generator[string] {
	return rapid.OneOf(rapid.SampledFrom(oddNames), rapid.StringN(0, 6, -1))
}

func decimals() *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		if rapid.Bool().Draw(t, "odd") {
			return rapid.SampledFrom(oddNumbers).Draw(t, "number")
		}
		digits := strings.Trim(rapid.StringMatching(`[0-9]{1,25}`).Draw(t, "digits"), "0")
		if digits == "" {
			return decimal{}
		}
		return decimal{rapid.Bool().Draw(t, "negative"), digits, rapid.IntRange(-30, 30).Draw(t, "exponent")}
	})
}

func scalars() *rapid.Generator[any] {
	return rapid.OneOf(
		rapid.SampledFrom([]any{nil, true, false}),
		decimals(),
		rapid.Map(rapid.OneOf(rapid.SampledFrom(oddStrings), rapid.StringN(0, 12, -1)), func(s string) any { return s }),
	)
}

// values generates documents of at most the given depth.
func values(depth int) *rapid.Generator[any] {
	if depth == 0 {
		return scalars()
	}
	return rapid.OneOf(
		scalars(),
		rapid.Map(rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return values(depth - 1) }), 0, 4), func(a []any) any { return a }),
		rapid.Map(records(depth), func(o object) any { return o }),
	)
}

func records(depth int) *rapid.Generator[object] {
	return rapid.Custom(func(t *rapid.T) object {
		o := object{}
		for _, name := range rapid.SliceOfNDistinct(names(), 0, 5, rapid.ID).Draw(t, "names") {
			o = append(o, pair{name, values(depth-1).Draw(t, "value")})
		}
		return o
	})
}

// mutate returns v with some of its parts replaced, removed, added or moved.
func mutate(t *rapid.T, v any) any {
	switch rapid.IntRange(0, 5).Draw(t, "mutation") {
	case 0:
		return v
	case 1:
		return values(1).Draw(t, "replacement")
	}
	switch v := v.(type) {
	case []any:
		var out []any
		for _, e := range v {
			out = append(out, mutate(t, e))
		}
		if n := rapid.IntRange(0, len(out)+2).Draw(t, "length"); n < len(out) {
			return out[:n]
		}
		return append(out, values(1).Draw(t, "element"))
	case object:
		out := object{}
		for _, p := range v {
			if rapid.IntRange(0, 4).Draw(t, "keep") > 0 {
				out = append(out, pair{p.name, mutate(t, p.value)})
			}
		}
		name := names().Draw(t, "new name")
		if !slices.ContainsFunc(out, func(p pair) bool { return p.name == name }) {
			out = append(out, pair{name, values(1).Draw(t, "new value")})
		}
		return out
	}
	return v
}

// spell writes v as JSON in one of the many ways there are.
func spell(t *rapid.T, v any) []byte { return speller{t, true}.value(nil, v) }

// spellKeepingOrder spells v with its members in their order.
func spellKeepingOrder(t *rapid.T, v any) []byte { return speller{t, false}.value(nil, v) }

type speller struct {
	t       *rapid.T
	shuffle bool
}

func (s speller) space(b []byte) []byte {
	return append(b, rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r\n  "}).Draw(s.t, "space")...)
}

func (s speller) value(b []byte, v any) []byte {
	b = s.space(b)
	switch v := v.(type) {
	case nil:
		b = append(b, "null"...)
	case bool:
		b = strconv.AppendBool(b, v)
	case string:
		b = s.text(b, v)
	case decimal:
		b = s.number(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = s.value(b, e)
		}
		b = append(s.space(b), ']')
	case object:
		b = s.object(b, v)
	}
	return s.space(b)
}

func (s speller) object(b []byte, o object) []byte {
	if s.shuffle && len(o) > 1 {
		o = rapid.Permutation(o).Draw(s.t, "order")
	}
	b = append(b, '{')
	for i, p := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.space(s.text(s.space(b), p.name))
		b = s.value(append(b, ':'), p.value)
	}
	return append(s.space(b), '}')
}

func (s speller) text(b []byte, text string) []byte {
	b = append(b, '"')
	for _, r := range text {
		switch {
		case r < ' ' || r == '"' || r == '\\' || r < 0x10000 && rapid.IntRange(0, 5).Draw(s.t, "escape") == 0:
			b = fmt.Appendf(b, `\u%04x`, r)
		case r == '/' && rapid.Bool().Draw(s.t, "escape slash"):
			b = append(b, `\/`...)
		default:
			b = append(b, string(r)...)
		}
	}
	return append(b, '"')
}

// number moves the decimal point somewhere and pads with zeros.
func (s speller) number(b []byte, d decimal) []byte {
	if d.negative || d.digits == "" && rapid.Bool().Draw(s.t, "minus zero") {
		b = append(b, '-')
	}
	digits, exponent := d.digits, d.exponent
	if digits == "" {
		digits, exponent = "0", rapid.IntRange(-40, 40).Draw(s.t, "exponent of zero")
	} else if exponent > 0 && exponent < 30 && rapid.Bool().Draw(s.t, "write out zeros") {
		digits, exponent = digits+strings.Repeat("0", exponent), 0
	}
	if fraction := rapid.IntRange(0, len(digits)+2).Draw(s.t, "fraction digits"); fraction > 0 {
		if pad := fraction + 1 - len(digits); pad > 0 {
			digits = strings.Repeat("0", pad) + digits
		}
		point := len(digits) - fraction
		digits = digits[:point] + "." + digits[point:] + strings.Repeat("0", rapid.IntRange(0, 2).Draw(s.t, "zeros behind"))
		exponent += fraction
	}
	b = append(b, digits...)
	if exponent == 0 && rapid.Bool().Draw(s.t, "no exponent") {
		return b
	}
	return fmt.Appendf(b, "%s%+0*d", rapid.SampledFrom([]string{"e", "E"}).Draw(s.t, "e"), rapid.IntRange(1, 5).Draw(s.t, "width"), exponent)
}

// same is the law of sameness on the model.
func same(a, b any) bool {
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case object:
		b, ok := b.(object)
		return ok && len(a) == len(b) && !slices.ContainsFunc(a, func(p pair) bool {
			i := slices.IndexFunc(b, func(q pair) bool { return q.name == p.name })
			return i < 0 || !same(p.value, b[i].value)
		})
	}
	switch b.(type) {
	case []any, object:
		return false
	}
	return a == b
}

// less returns v without what the rules ignore. ok is false if that is v itself.
func less(v any, pointers [][]string, urls bool) (kept any, ok bool) {
	below := func(token string) (rests [][]string, hit bool) {
		for _, p := range pointers {
			if p[0] == token || p[0] == "*" {
				hit = hit || len(p) == 1
				rests = append(rests, p[1:])
			}
		}
		return rests, hit
	}
	switch v := v.(type) {
	case string:
		return v, !urls || !isURL([]byte(v))
	case []any:
		out := []any{}
		for i, e := range v {
			if rests, hit := below(strconv.Itoa(i)); !hit {
				if kept, ok := less(e, rests, urls); ok {
					out = append(out, kept)
				}
			}
		}
		return out, true
	case object:
		out := object{}
		for _, p := range v {
			if rests, hit := below(p.name); !hit && (!urls || !isURL([]byte(p.name))) {
				if kept, ok := less(p.value, rests, urls); ok {
					out = append(out, pair{p.name, kept})
				}
			}
		}
		return out, true
	}
	return v, true
}

// read decodes JSON with encoding/json into the model. ok is false for JSON
// whose numbers are too long to compare by another way than our own.
func read(raw []byte) (v any, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, false
	}
	return fromJSON(v)
}

func fromJSON(v any) (any, bool) {
	switch v := v.(type) {
	case json.Number:
		_, exponent, _ := strings.Cut(strings.ToLower(v.String()), "e")
		r, ok := new(big.Rat), len(exponent) < 5
		if ok {
			r, ok = r.SetString(v.String())
		}
		return fmt.Sprintf("number %s", r.RatString()), ok
	case string:
		return "string " + v, true
	case []any:
		out := []any{}
		for _, e := range v {
			e, ok := fromJSON(e)
			if !ok {
				return nil, false
			}
			out = append(out, e)
		}
		return out, true
	case map[string]any:
		out := object{}
		for name, e := range v {
			e, ok := fromJSON(e)
			if !ok {
				return nil, false
			}
			out = append(out, pair{name, e})
		}
		return out, true
	}
	return v, true
}

// webAddress says, by net/url and apart from isURL, whether s is an absolute
// http(s) URL.
func webAddress(s string) bool {
	u, err := url.Parse(strings.TrimSpace(s))
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// hasWebAddress says whether a decoded document holds such a URL anywhere.
func hasWebAddress(v any) bool {
	switch v := v.(type) {
	case string:
		return webAddress(v)
	case []any:
		return slices.ContainsFunc(v, hasWebAddress)
	case map[string]any:
		for name, e := range v {
			if webAddress(name) || hasWebAddress(e) {
				return true
			}
		}
	}
	return false
}
