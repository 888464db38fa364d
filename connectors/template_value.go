package connectors

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// textOf is a value as a template prints it: numbers as they are spelled, nothing
// for what is missing, JSON for lists and objects.
func (t *Template) textOf(v any) (string, error) {
	s, err := textOf(v)
	if err != nil {
		return "", err
	}
	return s, t.run.spend(len(s))
}

func textOf(v any) (string, error) {
	r := reflect.ValueOf(v)
	if !r.IsValid() || isNilPointer(r) {
		return "", nil
	}
	switch v := v.(type) {
	case *time.Time:
		return textOf(*v)
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04:05 UTC"), nil
	case json.RawMessage:
		return string(v), nil
	case fmt.Stringer:
		return v.String(), nil
	}
	switch r.Kind() {
	case reflect.String:
		return r.String(), nil
	case reflect.Bool:
		return strconv.FormatBool(r.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(r.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(r.Uint(), 10), nil
	case reflect.Float64:
		return strconv.FormatFloat(r.Float(), 'f', -1, 64), nil
	case reflect.Map, reflect.Slice:
		if r.IsNil() {
			return "", nil
		}
		raw, err := marshal(v)
		return string(raw), err
	case reflect.Pointer, reflect.Array, reflect.Struct:
		raw, err := marshal(v)
		return string(raw), err
	}
	return "", fmt.Errorf("a %T cannot be printed", v)
}

// jsonOf is a value as JSON.
func (t *Template) jsonOf(v any) (string, error) {
	raw, err := marshal(v)
	if err != nil {
		return "", err
	}
	return string(raw), t.run.spend(len(raw))
}

// rawJSON is a value as JSON: where JSON has a value it is that one, and elsewhere
// a text.
func (t *Template) rawJSON(v any) (json.RawMessage, error) {
	s, err := t.jsonOf(v)
	return json.RawMessage(s), err
}

// get returns the field of v that names lead to, or the position in a list, or nil
// where there is none. Only what is never there, a field that TemplateData does
// not have, is an error.
func get(v any, names ...any) (any, error) {
	for _, n := range names {
		name, err := textOf(n)
		if err != nil {
			return nil, err
		}
		if v, err = fieldOf(reflect.ValueOf(v), name); err != nil || v == nil {
			return nil, err
		}
	}
	return v, nil
}

func fieldOf(v reflect.Value, name string) (any, error) {
	if !v.IsValid() {
		return nil, nil
	}
	if m := v.MethodByName(name); m.IsValid() && !isNilPointer(v) {
		if m.Type().NumIn() > 0 || m.Type().NumOut() != 1 {
			return nil, fmt.Errorf("%s needs an argument", name)
		}
		return m.Call(nil)[0].Interface(), nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		return fieldOf(v.Elem(), name)
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String {
			if f := v.MapIndex(reflect.ValueOf(name).Convert(v.Type().Key())); f.IsValid() {
				return f.Interface(), nil
			}
			return nil, nil
		}
	case reflect.Slice:
		if i, err := strconv.Atoi(name); err == nil {
			if i < 0 || i >= v.Len() {
				return nil, nil
			}
			return v.Index(i).Interface(), nil
		}
		if _, ofRecord := v.Interface().([]any); !ofRecord {
			return nil, fmt.Errorf("a list has no .%s; range goes through it", name)
		}
	case reflect.Struct:
		if f := v.FieldByName(name); f.IsValid() && f.CanInterface() {
			return f.Interface(), nil
		}
		return nil, fmt.Errorf("there is no .%s", name)
	}
	return nil, nil
}

func isNilPointer(v reflect.Value) bool { return v.Kind() == reflect.Pointer && v.IsNil() }

// given returns v, or nil if people would call it false: "", no, 0, an empty list.
func given(v any) any {
	if v == nil {
		return nil
	}
	if n, ok := v.(json.Number); ok && strings.Trim(mantissa(string(n)), "-0.") == "" {
		return nil
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Map, reflect.Slice, reflect.String, reflect.Array:
		if r.Len() == 0 {
			return nil
		}
	case reflect.Struct:
		return v
	default:
		if r.IsZero() {
			return nil
		}
	}
	return v
}

// mantissa is a number without its exponent.
func mantissa(n string) string {
	before, _, _ := strings.Cut(strings.ToLower(n), "e")
	return before
}

// each returns what a loop can go over: a list, an object, or a number that the
// template itself wrote. Of a record that has another shape, it is nothing.
func each(v any) any {
	switch reflect.ValueOf(v).Kind() {
	case reflect.Map, reflect.Slice, reflect.Array, reflect.Int:
		return v
	}
	return nil
}

// operand is a value as comparisons and arithmetic take it.
func operand(v any) any {
	switch n := v.(type) {
	case json.Number:
		f, _ := number(n)
		return f
	case time.Time, time.Duration, nil:
		return v
	case *time.Time:
		if n == nil {
			return nil
		}
		return *n
	}
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return int(r.Int())
	case r.CanUint():
		return int(r.Uint())
	case r.CanFloat():
		return r.Float()
	case r.Kind() == reflect.String:
		return r.String()
	}
	return v
}

// order compares two values. A text that spells a number is one beside a number:
// Trackops may send either.
func order(a, b any) (int, bool) {
	a, b = operand(a), operand(b)
	if isNumber(a) && !isNumber(b) {
		b = spelledNumber(b)
	} else if isNumber(b) && !isNumber(a) {
		a = spelledNumber(a)
	}
	return compare(a, b)
}

func isNumber(v any) bool {
	switch v.(type) {
	case int, float64:
		return true
	}
	return false
}

// spelledNumber is the number that a text spells, or else v as it is.
func spelledNumber(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	if i, err := strconv.Atoi(strings.TrimSpace(s)); err == nil {
		return i
	}
	if f := float(s); f != nil {
		return f
	}
	return v
}
