package diff

import (
	"bytes"
	"encoding/json"
	"testing"
)

var seeds = []string{
	record800, `{}`, `[]`, `null`, `"x"`, `-0.0e-00`, `1e99999999999999999999`, "[1,\xff]", "\"\xff\"", `"\ud800\u0041"`, `"\ud83d\ude00"`, `{"a":1,"a":2}`, `{"":{"~":[{"/":1}]}}`,
	` { "a" : [ 1.0 , "https:\/\/h.example\/x" ] } `, `{"a":`, `[1 2]`, `{"a":{"b":{"c":[[[0]]]}}}`, "\ufeff{}", `{"https://h.example":1}`,
}

// FuzzScan checks that Scan takes exactly what encoding/json does, and sees what
// encoding/json sees.
func FuzzScan(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	r := rules(f, true, "/a/*/b", "/*/c", "/updated_at")
	f.Fuzz(func(t *testing.T, raw []byte) {
		values := make([][]byte, 1)
		_, err := new(Rules).Scan(raw, []string{"a"}, values)
		if (err == nil) != json.Valid(raw) {
			t.Fatalf("Scan(%q): error %v, but json.Valid = %v", raw, err, json.Valid(raw))
		}
		if err != nil {
			return
		}
		var m map[string]json.RawMessage
		if json.Unmarshal(raw, &m) == nil && !bytes.Equal(m["a"], values[0]) {
			t.Fatalf("Scan(%q): member a = %q, want %q", raw, values[0], m["a"])
		}
		if scan(t, r, raw) != scan(t, new(Rules), clean(t, r, raw)) {
			t.Fatalf("Scan(%q) and Scan of what Clean makes of it differ", raw)
		}
	})
}

func FuzzClean(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	r := rules(f, true, "/a/*/b", "/*/c", "/updated_at")
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		once, err := r.Clean(raw)
		if (err == nil) != json.Valid(raw) {
			t.Fatalf("Clean(%q): error %v, but json.Valid = %v", raw, err, json.Valid(raw))
		}
		if err != nil {
			return
		}
		if twice := clean(t, r, once); !bytes.Equal(twice, once) {
			t.Fatalf("Clean(%q) = %q, want no change", once, twice)
		}
		checkNoURL(t, once)
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			t.Fatal(err)
		}
		if plain := clean(t, new(Rules), raw); !bytes.Equal(plain, compact.Bytes()) {
			t.Fatalf("Clean(%q) without rules = %q, want %q", raw, plain, compact.Bytes())
		}
		if !bytes.Equal(raw, before) {
			t.Fatalf("Clean changed the record %q into %q", before, raw)
		}
	})
}

// FuzzChanges checks the laws of changes on any two documents, and compares the
// verdict with that of encoding/json and math/big.
func FuzzChanges(f *testing.F) {
	for i, s := range seeds {
		f.Add([]byte(s), []byte(seeds[(i+1)%len(seeds)]))
		f.Add([]byte(s), []byte(s))
	}
	f.Fuzz(func(t *testing.T, from, to []byte) {
		c, err := Changes(from, to)
		if valid := json.Valid(from) && json.Valid(to); (err == nil) != valid {
			t.Fatalf("Changes(%q, %q): error %v, but json.Valid = %v", from, to, err, valid)
		}
		if err != nil {
			return
		}
		checkPair(t, from, to, c)
		a, okA := read(from)
		b, okB := read(to)
		if okA && okB && same(a, b) != (len(c) == 0) {
			t.Fatalf("Changes(%q, %q) = %v, but encoding/json reads the same: %v", from, to, c, same(a, b))
		}
	})
}
