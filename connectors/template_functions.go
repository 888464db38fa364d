package connectors

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// functions are all that a template can call besides "and" and "or". Those of the
// first line are for the rewritten tree; docs/templates.md has the others. Every
// argument may be missing: it is nil then.
func (t *Template) functions() map[string]any {
	return map[string]any{
		"show": t.show, "showvalue": t.showValue, "given": given, "each": each,

		"get": get, "index": get, "len": lengthOf, "first": first, "slice": t.slice, "join": t.joinList, "split": t.split,
		"default": fallback, "json": t.rawJSON, "not": func(v any) bool { return given(v) == nil },

		"upper": t.change(strings.ToUpper), "lower": t.change(strings.ToLower), "title": t.change(titled),
		"trim": t.change(strings.TrimSpace), "oneline": t.change(OneLine), "urlencode": t.change(url.QueryEscape),
		"truncate": t.truncate, "replace": t.replace, "print": t.print, "println": t.println, "printf": t.printf,
		"contains": t.test(strings.Contains), "hasPrefix": t.test(strings.HasPrefix), "hasSuffix": t.test(strings.HasSuffix),

		"number": t.change(grouped), "money": t.money, "date": t.date, "plural": plural, "add": add,

		"link": t.link, "url": t.url,
		"bold":   func(v any) (formatted, error) { return t.marked("b", "*", v) },
		"italic": func(v any) (formatted, error) { return t.marked("i", "_", v) },
		"code":   func(v any) (formatted, error) { return t.marked("code", "`", v) },

		"eq": equalsAny, "ne": func(a, b any) bool { return !equals(a, b) },
		"lt": ordered(func(o int) bool { return o < 0 }), "le": ordered(func(o int) bool { return o <= 0 }),
		"gt": ordered(func(o int) bool { return o > 0 }), "ge": ordered(func(o int) bool { return o >= 0 }),
	}
}

// change makes a function of one text.
func (t *Template) change(f func(string) string) func(any) (string, error) {
	return func(v any) (string, error) {
		s, err := t.textOf(v)
		if err != nil {
			return "", err
		}
		return f(s), nil
	}
}

// test makes a question about two texts. The part comes first: what is asked can
// stand at the end of a pipeline.
func (t *Template) test(f func(s, part string) bool) func(part, v any) (bool, error) {
	return func(part, v any) (bool, error) {
		texts, err := t.texts(part, v)
		return err == nil && f(texts[1], texts[0]), err
	}
}

func (t *Template) texts(values ...any) ([]string, error) {
	out := make([]string, len(values))
	for i, v := range values {
		var err error
		if out[i], err = t.textOf(v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// titled begins every word with a capital.
func titled(s string) string {
	before := ' '
	return strings.Map(func(r rune) rune {
		start := !unicode.IsLetter(before) && !unicode.IsDigit(before) && before != '\'' && before != '’'
		before = r
		if start {
			return unicode.ToTitle(r)
		}
		return r
	}, s)
}

// truncate keeps at most limit characters.
func (t *Template) truncate(limit int, v any) (string, error) {
	s, err := t.textOf(v)
	if err != nil || limit < 0 || utf8.RuneCountInString(s) <= limit {
		return s, err
	}
	runes := []rune(s)
	if limit == 0 {
		return "", nil
	}
	return strings.TrimSpace(string(runes[:limit-1])) + "…", nil
}

// slice is a part of a text or a list, from one position until before another.
// Where there is nothing, it is empty.
func (t *Template) slice(v any, bounds ...int) (any, error) {
	list := reflect.ValueOf(v)
	if !isList(list) {
		s, err := t.textOf(v)
		if err != nil {
			return nil, err
		}
		list = reflect.ValueOf([]rune(s))
	}
	from, to := 0, list.Len()
	if len(bounds) > 0 {
		from = min(max(bounds[0], 0), to)
	}
	if len(bounds) > 1 {
		to = max(from, min(bounds[1], to))
	}
	part := list.Slice(from, to).Interface()
	if runes, ok := part.([]rune); ok {
		return string(runes), nil
	}
	return part, nil
}

// isList reports whether v is a list, and not JSON in bytes.
func isList(v reflect.Value) bool {
	return v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8
}

// first is the beginning of a list.
func first(n int, v any) any {
	list := reflect.ValueOf(v)
	if !isList(list) {
		return nil
	}
	return list.Slice(0, min(max(n, 0), list.Len())).Interface()
}

// lengthOf counts the characters of a text, the members of a list or an object.
func lengthOf(v any) int {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Slice, reflect.Map:
		return r.Len()
	case reflect.String:
		return utf8.RuneCountInString(r.String())
	}
	return 0
}

func (t *Template) joinList(separator string, v any) (string, error) {
	list := reflect.ValueOf(v)
	if !isList(list) {
		return t.textOf(v)
	}
	parts := make([]string, list.Len())
	for i := range parts {
		var err error
		if parts[i], err = t.textOf(list.Index(i).Interface()); err != nil {
			return "", err
		}
	}
	if err := t.run.spend(len(separator) * len(parts)); err != nil {
		return "", err
	}
	return strings.Join(parts, separator), nil
}

func (t *Template) split(separator string, v any) ([]string, error) {
	s, err := t.textOf(v)
	if err != nil || s == "" {
		return nil, err
	}
	if err := t.run.spend(32 * strings.Count(s, separator)); err != nil {
		return nil, err
	}
	return strings.Split(s, separator), nil
}

func (t *Template) replace(old, with, v any) (string, error) {
	texts, err := t.texts(old, with, v)
	if err != nil || texts[0] == "" {
		return texts[2], err
	}
	if err := t.run.spend(strings.Count(texts[2], texts[0]) * len(texts[1])); err != nil {
		return "", err
	}
	return strings.ReplaceAll(texts[2], texts[0], texts[1]), nil
}

// fallback is v, or instead where there is none.
func fallback(instead, v any) any {
	if s, ok := v.(string); v == nil || ok && strings.TrimSpace(s) == "" {
		return instead
	}
	return v
}

func (t *Template) print(values ...any) (string, error) {
	texts, err := t.texts(values...)
	return strings.Join(texts, ""), err
}

func (t *Template) println(values ...any) (string, error) {
	texts, err := t.texts(values...)
	return strings.Join(texts, " ") + "\n", err
}

// marked is v with marks around it.
func (t *Template) marked(html, mrkdwn string, v any) (formatted, error) {
	s, err := t.textOf(v)
	return t.mark(html, mrkdwn, s), err
}

// plural chooses a word: {{plural 1 "change" "changes"}}.
func plural(n any, one, several string) string {
	if equals(n, 1) {
		return one
	}
	return several
}

// add adds whole numbers: positions in a loop count from 0.
func add(values ...any) (int, error) {
	sum := 0
	for _, v := range values {
		n, ok := spelledNumber(operand(v)).(int)
		if !ok {
			return 0, errors.New("only whole numbers can be added")
		}
		sum += n
	}
	return sum, nil
}

// money groups the digits of an amount, with two behind the point if it has one
// or none, and a currency in front: {{money "$" .Record.balance}}.
func (t *Template) money(values ...any) (string, error) {
	if len(values) == 0 || len(values) > 2 {
		return "", errors.New(`money takes an amount, or a currency and an amount`)
	}
	texts, err := t.texts(values...)
	if err != nil {
		return "", err
	}
	amount, ok := amount(texts[len(texts)-1])
	if !ok || len(texts) == 1 {
		return amount, nil
	}
	if rest, negative := strings.CutPrefix(amount, "-"); negative {
		return "-" + texts[0] + rest, nil
	}
	return texts[0] + amount, nil
}

// date writes a time in a layout of Go's package time, in UTC or in the zone that
// is named: {{.Record.created_at | date "2 Jan 15:04" "Europe/Berlin"}}. What is
// no time stays as it is.
func (t *Template) date(layout string, values ...any) (string, error) {
	if len(values) == 0 || len(values) > 2 {
		return "", errors.New("date takes a layout, perhaps a time zone, and a time")
	}
	zone := time.UTC
	if len(values) == 2 {
		name, err := t.textOf(values[0])
		if err != nil {
			return "", err
		}
		if zone, err = time.LoadLocation(name); err != nil {
			return "", fmt.Errorf("there is no time zone %q", name)
		}
	}
	v := operand(values[len(values)-1])
	at, ok := date(v).(time.Time)
	if !ok {
		return t.textOf(values[len(values)-1])
	}
	if s, isText := v.(string); !isText || len(s) > len(time.DateOnly) {
		at = at.In(zone) // a day is the same in all zones
	}
	return at.Format(layout), nil
}

func equals(a, b any) bool {
	if o, ok := order(a, b); ok {
		return o == 0
	}
	a, b = operand(a), operand(b)
	return a == nil && b == nil || a != nil && b != nil && reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.DeepEqual(a, b)
}

// equalsAny reports whether a is one of the others.
func equalsAny(a any, others ...any) (bool, error) {
	if len(others) == 0 {
		return false, errors.New("eq takes two values or more")
	}
	for _, b := range others {
		if equals(a, b) {
			return true, nil
		}
	}
	return false, nil
}

// ordered makes a comparison. Values without an order are not below, above or
// equal to each other.
func ordered(holds func(int) bool) func(a, b any) bool {
	return func(a, b any) bool {
		o, ok := order(a, b)
		return ok && holds(o)
	}
}
