package connectors

import (
	"cmp"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm/runtime"
)

// safeFunctions are the operators and functions that never fail: nil in, or
// anything else that they are not for, and nil or false out.
func safeFunctions() []expr.Option {
	var all []expr.Option
	for name, f := range map[string]func(a any) any{
		"true": func(a any) any { b, _ := a.(bool); return b },
		"list": asList, "len": length, "float": float, "date": date, "duration": duration,
		"lower": text(strings.ToLower), "upper": text(strings.ToUpper), "trim": text(strings.TrimSpace),
		"0-": func(a any) any { return arithmetic("-", zeroLike(a), a) },
		"0+": func(a any) any { return arithmetic("+", zeroLike(a), a) },
	} {
		call := func(args ...any) (any, error) { return f(args[0]), nil }
		switch name {
		case "true":
			all = append(all, expr.Function(safePrefix+name, call, new(func(any) bool)))
		case "list":
			all = append(all, expr.Function(safePrefix+name, call, new(func(any) []any)))
		default:
			all = append(all, expr.Function(safePrefix+name, call, new(func(any) any)))
		}
	}
	for _, op := range []string{"<", "<=", ">", ">=", "in", "contains", "startsWith", "endsWith", "matches"} {
		call := func(args ...any) (any, error) { return holds(op, args[0], args[1]), nil }
		all = append(all, expr.Function(safePrefix+op, call, new(func(any, any) bool)))
	}
	for _, op := range []string{"+", "-", "*", "/", "%", "**", "^", "member"} {
		call := func(args ...any) (any, error) {
			if op == "member" {
				return member(args[0], args[1]), nil
			}
			return arithmetic(op, args[0], args[1]), nil
		}
		all = append(all, expr.Function(safePrefix+op, call, new(func(any, any) any)))
	}
	now := func(...any) (any, error) { return time.Now(), nil }
	return append(all, expr.Function(safePrefix+"now", now, new(func() any)))
}

// member returns a part of a list or a map, or nil.
func member(of, key any) any {
	switch of := of.(type) {
	case map[string]any:
		if name, ok := key.(string); ok {
			return of[name]
		}
	case []any:
		if i, ok := index(key, len(of)); ok {
			return of[i]
		}
	case []string:
		if i, ok := index(key, len(of)); ok {
			return of[i]
		}
	}
	return nil
}

// index reads a position in a list; a negative one counts from the end.
func index(key any, n int) (int, bool) {
	i, ok := key.(int)
	if ok && i < 0 {
		i += n
	}
	return i, ok && i >= 0 && i < n
}

// holds evaluates an operator that is true or false.
func holds(op string, a, b any) bool {
	switch op {
	case "in":
		return isIn(a, b)
	case "matches":
		s, ok := a.(string)
		pattern, isPattern := b.(*regexp.Regexp)
		return ok && isPattern && pattern.MatchString(s)
	case "contains", "startsWith", "endsWith":
		s, ok := a.(string)
		part, isText := b.(string)
		return ok && isText && map[string]func(string, string) bool{
			"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix,
		}[op](s, part)
	}
	order, ok := compare(a, b)
	if !ok {
		return false
	}
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	default:
		return order >= 0
	}
}

func isIn(a, b any) bool {
	switch b := b.(type) {
	case map[string]any:
		key, ok := a.(string)
		_, found := b[key]
		return ok && found
	case []any:
		for _, one := range b {
			if runtime.Equal(one, a) {
				return true
			}
		}
	case []string:
		for _, one := range b {
			if one == a {
				return true
			}
		}
	}
	return false
}

// compare orders two values of one kind; ok is false when there is no order.
func compare(a, b any) (order int, ok bool) {
	switch a := a.(type) {
	case int:
		if b, ok := b.(int); ok {
			return cmp.Compare(a, b), true
		}
	case string:
		b, ok := b.(string)
		return cmp.Compare(a, b), ok
	case time.Time:
		b, ok := b.(time.Time)
		return a.Compare(b), ok
	case time.Duration:
		b, ok := b.(time.Duration)
		return cmp.Compare(a, b), ok
	}
	x, xOK := float(a).(float64)
	y, yOK := float(b).(float64)
	if _, isText := a.(string); isText || !xOK || !yOK || math.IsNaN(x) || math.IsNaN(y) {
		return 0, false
	}
	if _, isText := b.(string); isText {
		return 0, false
	}
	return cmp.Compare(x, y), true
}

// arithmetic computes with numbers, times and durations, and joins texts.
func arithmetic(op string, a, b any) any {
	switch x := a.(type) {
	case int:
		if y, ok := b.(int); ok {
			return whole(op, x, y)
		}
	case string:
		if y, ok := b.(string); ok && op == "+" {
			return x + y
		}
		return nil
	case time.Time:
		return timeArithmetic(op, x, b)
	case time.Duration:
		y, ok := b.(time.Duration)
		if ok && (op == "+" || op == "-") {
			return time.Duration(whole(op, int(x), int(y)).(int))
		}
		return nil
	}
	if _, isText := b.(string); isText {
		return nil
	}
	x, xOK := float(a).(float64)
	y, yOK := float(b).(float64)
	if !xOK || !yOK {
		return nil
	}
	return fraction(op, x, y)
}

func timeArithmetic(op string, t time.Time, b any) any {
	switch b := b.(type) {
	case time.Duration:
		if op == "+" {
			return t.Add(b)
		} else if op == "-" {
			return t.Add(-b)
		}
	case time.Time:
		if op == "-" {
			return t.Sub(b)
		}
	}
	return nil
}

// whole computes with ints, wrapping around; division gives a fraction.
func whole(op string, x, y int) any {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "%":
		if y == 0 {
			return nil
		}
		return x % y
	}
	return fraction(op, float64(x), float64(y))
}

func fraction(op string, x, y float64) any {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "/":
		return x / y
	case "**", "^":
		return math.Pow(x, y)
	}
	return nil
}

func zeroLike(a any) any {
	if _, ok := a.(time.Duration); ok {
		return time.Duration(0)
	}
	return 0
}

func asList(a any) any {
	switch a := a.(type) {
	case []any:
		return a
	case []string:
		list := make([]any, len(a))
		for i, s := range a {
			list[i] = s
		}
		return list
	}
	return []any{}
}

// length counts characters of a text, members of a list or map.
func length(a any) any {
	switch a := a.(type) {
	case string:
		return utf8.RuneCountInString(a)
	case []any:
		return len(a)
	case []string:
		return len(a)
	case map[string]any:
		return len(a)
	}
	return nil
}

// float makes a number of a number or of a text that spells one.
func float(a any) any {
	switch a := a.(type) {
	case int:
		return float64(a)
	case float64:
		return a
	case string:
		if f, err := strconv.ParseFloat(strings.TrimSpace(a), 64); err == nil {
			return f
		}
	}
	return nil
}

func text(change func(string) string) func(any) any {
	return func(a any) any {
		if s, ok := a.(string); ok {
			return change(s)
		}
		return nil
	}
}

// date reads the usual spellings of a time; without a zone it is UTC.
func date(a any) any {
	if t, ok := a.(time.Time); ok {
		return t
	}
	s, _ := a.(string)
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return nil
}

func duration(a any) any {
	if d, ok := a.(time.Duration); ok {
		return d
	}
	s, _ := a.(string)
	if d, err := time.ParseDuration(s); err == nil {
		return d
	}
	return nil
}
