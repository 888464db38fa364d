package connectors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// maskModel says what a mask is, path by path.
type maskModel struct{ fields, omit [][]string }

func newMaskModel(fields, omit []string) (m maskModel) {
	for _, p := range fields {
		tokens, _ := parsePointer(p)
		m.fields = append(m.fields, tokens)
	}
	for _, p := range omit {
		tokens, _ := parsePointer(p)
		m.omit = append(m.omit, tokens)
	}
	return m
}

// leads reports whether the pattern, or its first tokens, lead to the path.
func leads(pattern, path []string) bool {
	for i := range min(len(pattern), len(path)) {
		if pattern[i] != "*" && pattern[i] != path[i] {
			return false
		}
	}
	return true
}

func (m maskModel) omits(path []string) bool {
	return slices.ContainsFunc(m.omit, func(p []string) bool { return len(p) <= len(path) && leads(p, path) })
}

func (m maskModel) keeps(path []string) bool {
	return len(m.fields) == 0 || slices.ContainsFunc(m.fields, func(p []string) bool { return len(p) <= len(path) && leads(p, path) })
}

func (m maskModel) isAbove(path []string) bool {
	return slices.ContainsFunc(m.fields, func(p []string) bool { return len(p) > len(path) && leads(p, path) })
}

// mask returns what is left of v at path; put says what takes the place of the rest.
func (m maskModel) mask(path []string, v any, put func(v any) (any, bool)) (any, bool) {
	at := func(token string) []string { return append(slices.Clone(path), token) }
	_, isObject := v.(map[string]any)
	_, isArray := v.([]any)
	if m.omits(path) || !m.keeps(path) && !((isObject || isArray) && m.isAbove(path)) {
		return put(v)
	}
	switch v := v.(type) {
	case map[string]any:
		left := map[string]any{}
		for name, value := range v {
			if value, ok := m.mask(at(name), value, put); ok {
				left[name] = value
			}
		}
		return left, true
	case []any:
		left := make([]any, len(v))
		for i, value := range v {
			left[i], _ = m.mask(at(strconv.Itoa(i)), value, put)
		}
		return left, true
	}
	return v, true
}

func hideIt(any) (any, bool) { return nil, false }

func (m maskModel) apply(v any) (any, bool) { return m.mask(nil, v, hideIt) }

func drawJSON(t *rapid.T, depth int) any {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	names := rapid.SampledFrom([]string{"a", "b", "c", "0", "~/", "*"})
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return json.Number(strconv.Itoa(rapid.IntRange(0, 2).Draw(t, "number")))
	case 2, 3:
		return rapid.SampledFrom([]string{"x", "y", "\n"}).Draw(t, "text")
	case 4:
		v := map[string]any{}
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			v[names.Draw(t, "name")] = drawJSON(t, depth-1)
		}
		return v
	default:
		v := make([]any, rapid.IntRange(0, 3).Draw(t, "elements"))
		for i := range v {
			v[i] = drawJSON(t, depth-1)
		}
		return v
	}
}

func drawPointers(t *rapid.T, what string) []string {
	token := rapid.SampledFrom([]string{"a", "b", "c", "0", "1", "*", "~0~1"})
	pointer := rapid.Custom(func(t *rapid.T) string {
		return "/" + strings.Join(rapid.SliceOfN(token, 1, 3).Draw(t, "tokens"), "/")
	})
	return rapid.SliceOfN(pointer, 0, 3).Draw(t, what)
}

func toJSON(t testing.TB, v any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// fromJSON reads a value as encoding/json does, with the numbers as they are spelled.
func fromJSON(raw []byte) (v any, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	return v, dec.Decode(&v) == nil
}

// A record is masked as the model says, and no more by masking it again.
func TestMaskIsWhatTheModelSays(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		fields, omit := drawPointers(r, "fields"), drawPointers(r, "omit")
		record := drawJSON(r, 4)
		m := maskOf(t, fields, omit)
		once, _ := m.Apply(updateOf(string(toJSON(t, record))))
		want, left := newMaskModel(fields, omit).apply(record)
		got, ok := fromJSON(once.Data.Record)
		if ok != left || left && !reflect.DeepEqual(got, want) {
			r.Fatalf("%v masked is %s, want %s", record, once.Data.Record, toJSON(t, want))
		}
		if twice, _ := m.Apply(once); !reflect.DeepEqual(twice, once) {
			r.Fatalf("masked twice it is %s, once %s", twice.Data.Record, once.Data.Record)
		}
	})
}

// objectChanges lists the changes from one value to the other. Arrays count as
// scalars here: within them a null in the place of what is left out keeps
// additions and removals from fitting.
func objectChanges(t testing.TB, path string, from, to any, list *[]events.Change) {
	a, isObject := from.(map[string]any)
	b, becomes := to.(map[string]any)
	if !isObject || !becomes {
		if !reflect.DeepEqual(from, to) {
			*list = append(*list, events.Change{Path: path, From: toJSON(t, from), To: toJSON(t, to)})
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(a)) {
		at := path + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		if after, ok := b[name]; ok {
			objectChanges(t, at, a[name], after, list)
		} else {
			*list = append(*list, events.Change{Path: at, From: toJSON(t, a[name])})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[name]; !ok {
			at := path + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
			*list = append(*list, events.Change{Path: at, To: toJSON(t, b[name])})
		}
	}
}

// applyChange applies a change to a record of objects.
func applyChange(record any, c events.Change) (any, error) {
	tokens, _ := parsePointer(c.Path)
	to, present := fromJSON(c.To)
	if len(tokens) == 0 {
		return to, nil
	}
	at := record
	for _, token := range tokens[:len(tokens)-1] {
		object, _ := at.(map[string]any)
		at = object[token]
	}
	object, ok := at.(map[string]any)
	last := tokens[len(tokens)-1]
	from, had := fromJSON(c.From)
	now, has := object[last]
	if !ok || had != has || had && !reflect.DeepEqual(from, now) {
		return nil, fmt.Errorf("%s does not fit: %v is there, %s expected", c.Path, now, c.From)
	}
	if delete(object, last); present {
		object[last] = to
	}
	return record, nil
}

// The masked changes lead from the masked old record to the masked new one, and
// each says something.
func TestMaskedChangesFitTheMaskedRecords(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		fields, omit := drawPointers(r, "fields"), drawPointers(r, "omit")
		draw := func(what string) any {
			return rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}),
				rapid.Custom(func(t *rapid.T) any { return drawJSON(t, 2) }), 0, 3).Draw(r, what)
		}
		before, after := draw("before"), draw("after")
		before, _ = fromJSON(toJSON(t, before))
		after, _ = fromJSON(toJSON(t, after))
		var changes []events.Change
		objectChanges(t, "", before, after, &changes)
		masked, ok := maskOf(t, fields, omit).Apply(updateOf(string(toJSON(t, after)), changes...))
		if ok != (len(changes) == 0 || len(masked.Data.Changes) > 0) {
			r.Fatalf("ok = %v of %s", ok, quoted(masked.Data.Changes))
		}
		model := newMaskModel(fields, omit)
		record, _ := model.apply(before)
		for _, c := range masked.Data.Changes {
			if bytes.Equal(c.From, c.To) {
				r.Fatalf("%s says nothing", quoted(c))
			}
			var err error
			if record, err = applyChange(record, c); err != nil {
				r.Fatalf("masked changes %s of %s: %v", quoted(masked.Data.Changes), quoted(changes), err)
			}
		}
		if want, _ := fromJSON(masked.Data.Record); !reflect.DeepEqual(record, want) {
			r.Fatalf("the changes %s lead to %s, want %s", quoted(masked.Data.Changes), toJSON(t, record), masked.Data.Record)
		}
	})
}

// FuzzMask checks that what is left out occurs nowhere, whatever the record, the
// pointers and the change are.
func FuzzMask(f *testing.F) {
	f.Add(`{"a":{"b":[1,{"c":2}]},"d":"x"}`, "/a /d", "/a/b/*/c", "/a", `{"b":[]}`)
	f.Add(`[[1,2],{"":3}]`, "", "/0/1 /1/", "/1", `null`)
	f.Add(`{"a":1,"a":{"\u0061":2}}`, "/*/a", "", "/a/a", `{"a":1}{}`)
	f.Fuzz(func(t *testing.T, record, fields, omit, path, side string) {
		if len(record)+len(side) > 2000 || len(fields)+len(omit) > 60 {
			return
		}
		m, err := CompileMask(pointerList(fields), pointerList(omit))
		if err != nil {
			return
		}
		once, _ := m.Apply(updateOf(record, oneChange(path, side, record), oneChange(path, record, "-")))
		if twice, _ := m.Apply(once); !reflect.DeepEqual(twice, once) {
			t.Errorf("masked twice it is %s, once %s", quoted(twice.Data), quoted(once.Data))
		}
		value, ok := fromJSON([]byte(record))
		if !ok {
			return
		}
		model := newMaskModel(pointerList(fields), pointerList(omit))
		secret, _ := model.mask(nil, value, plantMarker)
		if strings.Contains(string(toJSON(t, value)), maskMarker) {
			return
		}
		masked, _ := m.Apply(updateOf(string(toJSON(t, secret)), changesOf(t, secret)...))
		encoded, err := masked.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(encoded.Body), maskMarker) {
			t.Errorf("fields %q, omit %q leave in %s:\n%s", fields, omit, toJSON(t, secret), encoded.Body)
		}
	})
}

const maskMarker = "tops3cret"

// plantMarker puts the marker in the place of what is left out: a value of the same kind.
func plantMarker(v any) (any, bool) {
	switch v.(type) {
	case map[string]any:
		return map[string]any{maskMarker: []any{maskMarker}}, true
	case []any:
		return []any{maskMarker, map[string]any{maskMarker: maskMarker}}, true
	}
	return maskMarker, true
}

// changesOf are changes from and to each part of v.
func changesOf(t *testing.T, v any) []events.Change {
	var all []events.Change
	var walk func(path string, v any)
	walk = func(path string, v any) {
		raw := toJSON(t, v)
		all = append(all, events.Change{Path: path, From: raw}, events.Change{Path: path, To: raw},
			events.Change{Path: path, From: raw, To: json.RawMessage(`1`)})
		switch v := v.(type) {
		case map[string]any:
			for name, value := range v {
				walk(path+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), value)
			}
		case []any:
			for i, value := range v {
				walk(path+"/"+strconv.Itoa(i), value)
			}
		}
	}
	walk("", v)
	return all
}

func BenchmarkMask(b *testing.B) {
	record := `{"id":1042,"ssn":"123","name":"Acme"`
	for i := range 40 {
		record += fmt.Sprintf(`,"custom_field_%d":{"value":"some text of a usual length","label":"Field %d"}`, i, i)
	}
	record += `,"contacts":[{"name":"Ann","email":"a@x"},{"name":"Bo","email":"b@x"}]}`
	ev := updateOf(record, oneChange("/name", `"a"`, `"b"`), oneChange("/ssn", `1`, `2`))
	for name, m := range map[string]*Mask{
		"omit":   maskOf(b, nil, []string{"/ssn", "/contacts/*/email", "/custom_field_7"}),
		"fields": maskOf(b, []string{"/id", "/name", "/contacts/*/name"}, nil),
		"whole":  maskOf(b, nil, []string{"/missing"}),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(record)))
			b.ReportAllocs()
			for b.Loop() {
				m.Apply(ev)
			}
		})
	}
}
