package diff

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// failer is what *testing.T and *rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func scan(t failer, r *Rules, raw []byte) Fingerprint {
	t.Helper()
	f, err := r.Scan(raw, nil, nil)
	if err != nil {
		t.Fatalf("Scan(%s): %v", raw, err)
	}
	return f
}

func clean(t failer, r *Rules, raw []byte) []byte {
	t.Helper()
	out, err := r.Clean(raw)
	if err != nil {
		t.Fatalf("Clean(%s): %v", raw, err)
	}
	return out
}

func changes(t failer, from, to []byte) []events.Change {
	t.Helper()
	c, err := Changes(from, to)
	if err != nil {
		t.Fatalf("Changes(%s, %s): %v", from, to, err)
	}
	return c
}

func rules(t failer, urls bool, ignore ...string) *Rules {
	t.Helper()
	r, err := NewRules(ignore, urls)
	if err != nil {
		t.Fatalf("NewRules(%q): %v", ignore, err)
	}
	return r
}

func TestSpellingIsNoChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := values(3).Draw(t, "value")
		a, b := spell(t, v), spell(t, v)
		if scan(t, new(Rules), a) != scan(t, new(Rules), b) {
			t.Fatalf("fingerprints of %s and %s differ", a, b)
		}
		if c := changes(t, a, b); len(c) > 0 {
			t.Fatalf("Changes(%s, %s) = %v, want none", a, b, c)
		}
	})
}

// TestChangesLead checks that there are changes exactly if the fingerprints
// differ, exactly if the values do; and that applying them leads to the new
// version, also after a way through an event's JSON.
func TestChangesLead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := values(3).Draw(t, "old")
		recent := mutate(t, old)
		from, to := spell(t, old), spell(t, recent)
		c := changes(t, from, to)
		if want := same(old, recent); (len(c) == 0) != want {
			t.Fatalf("Changes(%s, %s) = %v, but their values being the same is %v", from, to, c, want)
		}
		checkPair(t, from, to, c)

		got, err := Apply(from, throughJSON(t, c))
		if err != nil || !Equal(got, to) {
			t.Fatalf("after a way through JSON, Apply(%s, %v) = %s, %v; want %s", from, c, got, err, to)
		}
	})
}

func throughJSON(t failer, c []events.Change) []events.Change {
	t.Helper()
	encoded, err := events.Event{SpecVersion: "1.0", ID: "x", Data: events.Data{Collection: "clients", Changes: c}}.Encode()
	if err != nil {
		t.Fatalf("Encode: %v", err)
	}
	e, err := events.Decode(encoded.Body)
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	return e.Data.Changes
}

// checkPair checks the laws that hold for the changes of any two documents.
func checkPair(t failer, from, to []byte, c []events.Change) {
	t.Helper()
	if equal := scan(t, new(Rules), from) == scan(t, new(Rules), to); equal != (len(c) == 0) {
		t.Fatalf("fingerprints of %s and %s being equal is %v, but the changes are %v", from, to, equal, c)
	}
	got, err := Apply(from, c)
	if err != nil {
		t.Fatalf("Apply(%s, %v): %v", from, c, err)
	}
	if scan(t, new(Rules), got) != scan(t, new(Rules), to) || !Equal(got, to) {
		t.Fatalf("Apply(%s, %v) = %s, want %s", from, c, got, to)
	}
	if len(changes(t, got, to)) > 0 {
		t.Fatalf("Changes(%s, %s) after Apply, want none", got, to)
	}
}

// pointers draws JSON Pointers that mostly lead somewhere in v.
func pointers(t *rapid.T, v any) []string {
	var out []string
	for range rapid.IntRange(0, 3).Draw(t, "pointers") {
		var path []byte
		for at := v; len(path) == 0 || rapid.Bool().Draw(t, "deeper"); {
			token := names().Draw(t, "token")
			switch v := at.(type) {
			case object:
				if len(v) > 0 {
					p := rapid.SampledFrom(v).Draw(t, "member")
					token, at = p.name, p.value
				}
			case []any:
				if len(v) > 0 {
					token, at = "*", rapid.SampledFrom(v).Draw(t, "element")
				}
			}
			if rapid.IntRange(0, 3).Draw(t, "wildcard") == 0 {
				token = "*"
			}
			path = appendToken(path, []byte(token))
		}
		out = append(out, string(path))
	}
	return out
}

func TestScanAndCleanAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := records(3).Draw(t, "record")
		ignore, urls := pointers(t, v), rapid.Bool().Draw(t, "urls")
		r, raw := rules(t, urls, ignore...), spell(t, v)

		var parsed [][]string
		for _, p := range ignore {
			tokens, err := parsePointer(p)
			if err != nil {
				t.Fatalf("parsePointer(%q): %v", p, err)
			}
			parsed = append(parsed, tokens)
		}
		want, _ := less(v, parsed, urls)
		got := clean(t, r, raw)
		if f := scan(t, new(Rules), spell(t, want)); scan(t, new(Rules), got) != f || scan(t, r, raw) != f {
			t.Fatalf("less %q, urls %v: Clean(%s) = %s, want the values %v", ignore, urls, raw, got, want)
		}
	})
}

func TestCleanTwiceIsCleanOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := records(3).Draw(t, "record")
		ignore := slices.DeleteFunc(pointers(t, v), func(p string) bool {
			return strings.ContainsAny(p, "0123456789") // an index moves what is behind it
		})
		r := rules(t, rapid.Bool().Draw(t, "urls"), ignore...)
		once := clean(t, r, spell(t, v))
		if twice := clean(t, r, once); &twice[0] != &once[0] {
			t.Fatalf("less %q: Clean(%s) = %s, want the same bytes", ignore, once, twice)
		}
	})
}

func TestCleanLeavesNoURL(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := spell(t, values(3).Draw(t, "value"))
		checkNoURL(t, clean(t, rules(t, true), raw))
	})
}

func checkNoURL(t failer, cleaned []byte) {
	t.Helper()
	var v any
	dec := json.NewDecoder(bytes.NewReader(cleaned))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("decode %s: %v", cleaned, err)
	}
	if hasWebAddress(v) {
		t.Fatalf("Clean left a URL in %s", cleaned)
	}
}

// TestCleanKeepsBytes checks that Clean without rules only removes white space,
// as encoding/json does it.
func TestCleanKeepsBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := spellKeepingOrder(t, values(3).Draw(t, "value"))
		before := bytes.Clone(raw)
		var want bytes.Buffer
		if err := json.Compact(&want, raw); err != nil {
			t.Fatalf("compact %s: %v", raw, err)
		}
		if got := clean(t, new(Rules), raw); !bytes.Equal(got, want.Bytes()) || !bytes.Equal(raw, before) {
			t.Fatalf("Clean(%s) = %s, want %s; the record is now %s", before, got, want.Bytes(), raw)
		}
	})
}

func TestIgnoredFieldsNeverCount(t *testing.T) {
	r := rules(t, false, "/updated_at", "/contacts/*/seen", "/*/etag")
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) any { return values(2).Draw(t, name) }
		kept := draw("kept")
		record := func() object {
			return object{{"id", kept}, {"updated_at", draw("updated_at")},
				{"contacts", []any{object{{"id", kept}, {"seen", draw("seen")}}}},
				{"User", object{{"etag", draw("etag")}, {"name", kept}}}}
		}
		a, b := spell(t, record()), spell(t, record())
		if scan(t, r, a) != scan(t, r, b) || !Equal(clean(t, r, a), clean(t, r, b)) {
			t.Fatalf("ignored fields count in %s and %s", a, b)
		}
	})
}

// TestDuplicateNames checks that Scan, Clean, Changes and Apply all take the
// last of several members with one name, as encoding/json does.
func TestDuplicateNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		member := rapid.Custom(func(t *rapid.T) []byte {
			name := rapid.SampledFrom([]string{`"a"`, `"\u0061"`, `"b"`, `""`, "\"\xff\"", `"\ufffd"`, `"\ud800"`}).Draw(t, "name")
			return append([]byte(name+":"), spell(t, scalars().Draw(t, "value"))...)
		})
		draw := func() []byte {
			members := rapid.SliceOfN(member, 0, 80).Draw(t, "members")
			return slices.Concat([]byte(`{"nested":{`), bytes.Join(members, []byte(",")), []byte("}}"))
		}
		from, to := draw(), draw()
		a, okA := read(from)
		b, okB := read(to)
		c := changes(t, from, to)
		if okA && okB && same(a, b) != (len(c) == 0) {
			t.Fatalf("Changes(%s, %s) = %v", from, to, c)
		}
		checkPair(t, from, to, c)
		if cleaned := clean(t, new(Rules), from); scan(t, new(Rules), cleaned) != scan(t, new(Rules), from) {
			t.Fatalf("fingerprints of %s and cleaned %s differ", from, cleaned)
		}
		single, err := Apply(from, nil)
		if err != nil || !Equal(single, from) || scan(t, new(Rules), single) != scan(t, new(Rules), from) {
			t.Fatalf("Apply(%s, none) = %s, %v", from, single, err)
		}
	})
}
