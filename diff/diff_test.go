package diff

import (
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/trackops-notifier/trackops-notifier/events"
)

func TestNumbersAreExact(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"1", "1.0", true}, {"1.10", "1.1", true}, {"1e2", "100", true}, {"1E+2", "100.00", true}, {"-0", "0", true}, {"-0.0e9", "0", true},
		{"120", "12e1", true}, {"0.010", "1e-2", true}, {"100.5", "1005e-1", true}, {"1e-0", "1", true}, {"10e-1", "1", true},
		{"1", "-1", false}, {"1", "10", false}, {"0.1", "0.01", false}, {"1e1", "1e-1", false}, {"12", "1e2", false},
		{"9007199254740993", "9007199254740992", false}, {"9007199254740993.0", "9007199254740993", true},
		{"0.1", "0.1000000000000000055511151231257827", false},
		{"1e400", "1e401", false}, {"10e400", "1e401", true},
		{"10e999999999999999999", "1e1000000000000000000", true}, {"0.1e1000000000000000000", "1e999999999999999999", true},
		{"10e-1000000000000000000", "1e-999999999999999999", true}, {"0.1e-999999999999999999", "1e-1000000000000000000", true},
		{"10e99999999999999999999999", "1e100000000000000000000000", true}, {"0.01e100000000000000000000001", "1e99999999999999999999999", true},
		{"1e99999999999999999999999", "1e99999999999999999999998", false}, {"1e99999999999999999999999", "1e-99999999999999999999999", false},
		{"0e99999999999999999999999", "0", true}, {"1e0000000000000000000000002", "100", true}, {"1e-0000000000000000000000000", "1", true}, {"10e-0000000000000000000000001", "1", true},
		{strings.Repeat("9", 5000), strings.Repeat("9", 4999) + "8", false},
		{"1" + strings.Repeat("0", 5000), "1e5000", true},
	} {
		if got := Equal([]byte(tt.a), []byte(tt.b)); got != tt.same {
			t.Errorf("Equal(%.40s, %.40s) = %v, want %v", tt.a, tt.b, got, tt.same)
		}
		checkPair(t, []byte(tt.a), []byte(tt.b), changes(t, []byte(tt.a), []byte(tt.b)))
	}
}

// TestLongExponents compares the sum of a long exponent and a shift with
// math/big's.
func TestLongExponents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`(1|9|[1-9])(0{16,22}|9{16,22})[0-9]{0,4}`).Draw(t, "exponent")
		sign := rapid.SampledFrom([]string{"", "+", "-"}).Draw(t, "sign")
		shift := rapid.IntRange(-2000, 2000).Draw(t, "shift")
		want, _ := new(big.Int).SetString(sign+digits, 10)
		want.Add(want, big.NewInt(int64(shift)))
		if got := appendPower(nil, []byte(sign+digits), shift); string(got) != "e"+want.String() {
			t.Fatalf("appendPower(%s%s, %d) = %s, want e%s", sign, digits, shift, got, want)
		}
	})
}

func TestTypesDiffer(t *testing.T) {
	all := []string{`1`, `"1"`, `true`, `"true"`, `null`, `"null"`, `false`, `0`, `""`, `[]`, `{}`, `[null]`, `[[]]`, `[{}]`, `{"a":null}`, `{"a":1}`, `{"":null}`, `{"a":{}}`,
		`[1,2]`, `[2,1]`, `[12]`, `["a","b"]`, `["ab"]`, `["asb"]`, `["a","b","c"]`, `["a\u00ffb"]`, `["b","a"]`, `[1,[2]]`, `[[1],2]`, `[[1,2]]`, `{"a":1,"b":2}`, `{"a":2,"b":1}`, `{"a":1,"b":1}`, `{"ab":1}`, `{"a":"b"}`}
	for i, a := range all {
		for j, b := range all {
			if got := Equal([]byte(a), []byte(b)); got != (i == j) {
				t.Errorf("Equal(%s, %s) = %v, want %v", a, b, got, i == j)
			}
			checkPair(t, []byte(a), []byte(b), changes(t, []byte(a), []byte(b)))
		}
	}
}

func TestChangesOfRecord(t *testing.T) {
	for _, tt := range []struct{ name, from, to, want string }{
		{"one field", `{"id":1042,"name":"Acme"}`, `{"name":"Acme Ltd","id":1042}`, `/name: "Acme" → "Acme Ltd"`},
		{"digits are kept", `{"rate":12.50}`, `{"rate":12.750}`, `/rate: 12.50 → 12.750`},
		{"null is not absent", `{"a":null}`, `{"b":null}`, `/a: null → ; /b:  → null`},
		{"another type", `{"a":{"x":1}}`, `{"a":[1]}`, `/a: {"x":1} → [1]`},
		{"old order, then new", `{"z":1,"y":2,"a":3}`, `{"n":0,"a":4,"m":0,"z":5}`, `/z: 1 → 5; /y: 2 → ; /a: 3 → 4; /n:  → 0; /m:  → 0`},
		{"array grows at its end", `{"t":[1]}`, `{"t":[2,3,4]}`, `/t/0: 1 → 2; /t/1:  → 3; /t/2:  → 4`},
		{"array shrinks from its end", `{"t":[1,2,3]}`, `{"t":[9]}`, `/t/0: 1 → 9; /t/2: 3 → ; /t/1: 2 → `},
		{"nested", `{"User":{"id":1,"n":"a"},"l":[{"x":[1]}]}`, `{"User":{"n":"b","id":1.0},"l":[{"x":[2]}]}`, `/User/n: "a" → "b"; /l/0/x/0: 1 → 2`},
		{"escaped and empty names", `{"a/b":1,"m~n":2,"":3}`, `{"a/b":2,"m~n":3,"":4}`, `/a~1b: 1 → 2; /m~0n: 2 → 3; /: 3 → 4`},
		{"escaped spelling", `{"\u0041":"\u00e9","b":"\/"}`, `{"b":"/","A":"é"}`, ``},
		{"root", `{"a":1}`, `[1]`, `: {"a":1} → [1]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, c := range changes(t, []byte(tt.from), []byte(tt.to)) {
				got = append(got, fmt.Sprintf("%s: %s → %s", c.Path, c.From, c.To))
			}
			if got := strings.Join(got, "; "); got != tt.want {
				t.Errorf("Changes(%s, %s)\n got %s\nwant %s", tt.from, tt.to, got, tt.want)
			}
		})
	}
}

func TestChangesShareNoMemory(t *testing.T) {
	from, to := []byte(`{"a":"old"}`), []byte(`{"a":"new"}`)
	c := changes(t, from, to)
	clear(from)
	clear(to)
	if len(c) != 1 || string(c[0].From) != `"old"` || string(c[0].To) != `"new"` {
		t.Errorf("changes after overwriting the versions = %v", c)
	}
}

func TestApplyRefusesWhatDoesNotFit(t *testing.T) {
	for _, tt := range []struct {
		name, path, from, to string
		want                 error
	}{
		{"another old value", "/a", "2", "3", errOldValue},
		{"removing another value", "/a", "2", "", errOldValue},
		{"absent member", "/x", "1", "2", errAbsent},
		{"present member", "/a", "", "2", errPresent},
		{"no parent", "/x/y", "", "2", errNoParent},
		{"parent is a scalar", "/a/y", "", "2", errNoParent},
		{"not at the end", "/t/3", "", "2", errNotAtEnd},
		{"removing from the middle", "/t/0", "1", "", errNotAtEnd},
		{"index with a zero in front", "/t/00", "1", "2", errAbsent},
		{"index with a sign", "/t/+1", "2", "2", errAbsent},
		{"nothing", "/a", "", "", errNoChange},
		{"adding the whole", "", "", "1", errNotOrigin},
		{"removing the whole", "", `{"a":1,"t":[1,2]}`, "", errNotOrigin},
		{"cut value", "/a", "1", `{"x`, io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := events.Change{Path: tt.path}
			if tt.from != "" {
				c.From = []byte(tt.from)
			}
			if tt.to != "" {
				c.To = []byte(tt.to)
			}
			if got, err := Apply([]byte(`{"a":1,"t":[1,2]}`), []events.Change{c}); !errors.Is(err, tt.want) {
				t.Errorf("Apply(%+v) = %s, %v; want error %q", c, got, err, tt.want)
			}
		})
	}
	inside := []events.Change{{Path: "/a/b/x", From: []byte("1"), To: []byte("2")}, {Path: "/a", From: []byte(`{"b":{"x":1}}`)}}
	if got, err := Apply([]byte(`{"a":{"b":{"x":1}}}`), inside); !errors.Is(err, errOldValue) {
		t.Errorf("Apply(%v) = %s, %v; want error %q: the first change made another value of it", inside, got, err, errOldValue)
	}
	if got, err := Apply([]byte(`{}`), []events.Change{{Path: "a", To: []byte("1")}}); err == nil {
		t.Errorf(`Apply of path "a" = %s, want an error`, got)
	}
}

func TestIsURL(t *testing.T) {
	for s, want := range map[string]bool{
		"http://h": true, "https://h": true, "HtTpS://H/p?q": true, " \t\n\u00a0https://h": true, "\ufeffhttps://h": true, "\x00https://h": true,
		`https:\/\/h`: true, `http:\\h`: true, "https:///h": true, "http://h/a b": true, "http://h/%zz?sig=1": true, "http://[::1": true, "http://:80": true,
		"": false, "h": false, "http": false, "https": false, "http:": false, "https:": false, "http://": false, "https://": false, "https:///": false,
		"http://?q": false, "https://#f": false, "http:/h": false, "http:h": false, "https;//host": false, "httpx://host": false,
		"ftp://h": false, "see https://h": false, "//h/path": false, "/http://h": false, "mailto:a@h.example": false, "   ": false,
	} {
		if got := isURL([]byte(s)); got != want {
			t.Errorf("isURL(%q) = %v, want %v", s, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	for _, tt := range []struct {
		name, raw, want string
		ignore          []string
		urls            bool
	}{
		{"bytes stay", "{ \"b\" : 1.50 ,\n\"a\":\"\\u0041\\/\" }", `{"b":1.50,"a":"\u0041\/"}`, nil, false},
		{"member", `{"a":1,"b":2,"c":3}`, `{"a":1,"c":3}`, []string{"/b"}, false},
		{"first, last and all", `{"a":{"x":1,"y":2},"b":{"x":1}}`, `{"a":{"y":2},"b":{}}`, []string{"/a/x", "/b/x"}, false},
		{"any member", `{"a":{"t":1,"n":2},"b":{"t":1},"t":3}`, `{"a":{"n":2},"b":{},"t":3}`, []string{"/*/t"}, false},
		{"any and named together", `{"a":{"t":1,"n":2,"o":3},"b":{"n":2}}`, `{"a":{"o":3},"b":{"n":2}}`, []string{"/*/t", "/a/n"}, false},
		{"any element", `{"l":[{"t":1,"n":2},{"t":3}]}`, `{"l":[{"n":2},{}]}`, []string{"/l/*/t"}, false},
		{"elements by index as sent", `{"l":[0,1,2,3]}`, `{"l":[1,3]}`, []string{"/l/0", "/l/2"}, false},
		{"no such index", `{"l":[0,1]}`, `{"l":[0,1]}`, []string{"/l/-", "/l/01", "/l/2"}, false},
		{"escaped name", `{"a\u002fb":1,"m~n":2,"":3}`, `{}`, []string{"/a~1b", "/m~0n", "/"}, false},
		{"inside what is no container", `{"a":1}`, `{"a":1}`, []string{"/a/b"}, false},
		{"URLs", `{"id":7,"url":"https:\/\/f.example\/x?sig=1","n":["http://x","y",["HTTPS://z"]],"k":{"u":" http://x"}}`, `{"id":7,"n":["y",[]],"k":{}}`, nil, true},
		{"escaped URL", `{"u":"\u0068ttps://f.example"}`, `{}`, nil, true},
		{"URL as a name", `{"https://f.example":{"a":1},"b":2}`, `{"b":2}`, nil, true},
		{"URL alone", `"https://f.example"`, `null`, nil, true},
		{"URLs that count", `{"u":"https://f.example"}`, `{"u":"https://f.example"}`, nil, false},
		{"duplicates stay", `{"a":1,"a":2}`, `{"a":1,"a":2}`, nil, false},
		{"duplicates go one by one", `{"a":"x","a":"https://f.example"}`, `{"a":"x"}`, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rules(t, tt.urls, tt.ignore...)
			got := clean(t, r, []byte(tt.raw))
			if string(got) != tt.want {
				t.Errorf("Clean(%s)\n got %s\nwant %s", tt.raw, got, tt.want)
			}
			if scan(t, r, []byte(tt.raw)) != scan(t, new(Rules), []byte(tt.want)) {
				t.Errorf("Scan(%s) and Scan(%s) differ", tt.raw, tt.want)
			}
		})
	}
}

func TestCleanReturnsRawOrACopy(t *testing.T) {
	r := rules(t, true, "/c")
	raw := []byte(`{"a":[1,{"b":"x"}]}`)
	if got := clean(t, r, raw); &got[0] != &raw[0] {
		t.Error("Clean copied a record that has nothing to remove")
	}
	first := clean(t, r, []byte(`{"a":1,"c":2}`))
	for range 100 { // the memory Clean works in comes round again
		clean(t, r, []byte(`{"z":9,"c":2}`))
	}
	if string(first) != `{"a":1}` {
		t.Errorf("a cleaned record became %s when others were cleaned", first)
	}
}

func TestNewRulesNamesTheBadPointer(t *testing.T) {
	for _, bad := range []string{"", "a", "a/b", "/a~", "/a~2", "/~x/b", "*", "/a\xff"} {
		if _, err := NewRules([]string{"/fine", bad}, false); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", bad)) {
			t.Errorf("NewRules(%q): error %v, want one that names it", bad, err)
		}
	}
}

func TestScanPicksUpMembers(t *testing.T) {
	raw := []byte(`{"n":{"id":1}, "updated_at" :` + "\n\t" + `"2026-11-20" ,"id": 1.50 ,"User":{ "id" : [2] } ,"i\u0064":7,"l":[1] }`)
	names := []string{"id", "updated_at", "User", "l", "absent", "id"}
	values := [][]byte{nil, nil, nil, nil, []byte("left over"), nil}
	want := []string{"7", `"2026-11-20"`, `{ "id" : [2] }`, "[1]", "", "7"}
	if _, err := rules(t, true, "/User", "/updated_at").Scan(raw, names, values); err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		if string(v) != want[i] || (v == nil) != (want[i] == "") {
			t.Errorf("%s = %q, want %q", names[i], v, want[i])
		}
	}
	if extended := append(values[1], "!!"...); strings.Contains(string(raw), "!!") {
		t.Errorf("appending to a value, %s, overwrote the record", extended)
	}
}

// TestFingerprintIsStable fails when stored fingerprints lose their meaning: then
// FingerprintVersion has to change with the values here.
func TestFingerprintIsStable(t *testing.T) {
	got := map[string]string{}
	for _, raw := range []string{`{}`, `[]`, `null`, record800} {
		got[raw] = fmt.Sprintf("%d:%x", FingerprintVersion, scan(t, new(Rules), []byte(raw)))
	}
	for raw, want := range map[string]string{
		`{}`:      "1:2af776d7329dd517c60878c47e6577c0",
		`[]`:      "1:c93cdcb45944bd55ccab0b28617f1f56",
		`null`:    "1:5daa266b92dcf0fe017397ff2676b47e",
		record800: "1:b0d6233c19de41986f64d61ed9b7befb",
	} {
		if got[raw] != want {
			t.Errorf("fingerprint of %.20s = %q, want %q", raw, got[raw], want)
		}
	}
}

func TestNotJSON(t *testing.T) {
	deep := strings.Repeat("[", 20000)
	for _, raw := range []string{"", " ", "{", "{}}", "{} {}", `{"a"}`, `{"a":1,}`, `[1,]`, `[1 2]`, `{1:2}`, `{]`, `[}`, "nul", "01", "1.", "+1", `"a`, "\"\x01\"", `"\x"`, "<html>", deep, strings.Repeat(`{"a":`, 20000), deep + strings.Repeat("]", 20000)} {
		if _, err := new(Rules).Scan([]byte(raw), nil, nil); err == nil {
			t.Errorf("Scan(%.20q): no error", raw)
		}
		if _, err := new(Rules).Clean([]byte(raw)); err == nil {
			t.Errorf("Clean(%.20q): no error", raw)
		}
		_, oldErr := Changes([]byte(raw), []byte("{}"))
		_, newErr := Changes([]byte("{}"), []byte(raw))
		if oldErr == nil || newErr == nil || Equal([]byte(raw), []byte(raw)) {
			t.Errorf("Changes with %.20q: errors %v and %v, want both", raw, oldErr, newErr)
		}
	}
}

func TestErrorsHoldNoContent(t *testing.T) {
	raw := []byte(`{"secret-name":{"k":"secret-value" "next":1}}`)
	_, scanErr := new(Rules).Scan(raw, nil, nil)
	_, cleanErr := new(Rules).Clean(raw)
	_, changesErr := Changes(raw, raw)
	for _, err := range []error{scanErr, cleanErr, changesErr} {
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "byte 35") {
			t.Errorf("error %v, want one that says byte 35 and nothing of the record", err)
		}
	}
}

func TestRulesServeManyAtOnce(t *testing.T) {
	r := rules(t, true, "/*/x", "/updated_at")
	raws := []string{record800, `{"a":{"x":1,"y":"https://h.example"}}`, `[1,`, `{"b":[1,2,{"a":1,"a":2}]}`}
	want := make([]Fingerprint, len(raws))
	for i, raw := range raws {
		want[i], _ = r.Scan([]byte(raw), nil, nil)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 200 {
				i := (g + n) % len(raws)
				if got, _ := r.Scan([]byte(raws[i]), nil, nil); got != want[i] {
					t.Errorf("Scan(%.20s) = %x, want %x", raws[i], got, want[i])
				}
				if _, err := r.Clean([]byte(raws[i])); (err != nil) != (i == 2) {
					t.Errorf("Clean(%.20s): %v", raws[i], err)
				}
			}
		})
	}
	wg.Wait()
}

// TestLargeObjects crosses the size from which objects are handled with a map.
func TestLargeObjects(t *testing.T) {
	for _, n := range []int{maxSmall - 1, maxSmall, maxSmall + 1, 1000} {
		var members []string
		for i := range n {
			members = append(members, fmt.Sprintf(`"k%d":%d`, i, i))
		}
		from := []byte("{" + strings.Join(members, ",") + "}")
		slices.Reverse(members)
		reversed := []byte("{" + strings.Join(members, ",") + "}")
		twice := []byte("{" + `"k3":"old",` + strings.Join(members, ",") + "}")
		other := []byte("{" + strings.Join(append(members[1:], `"k3":"new"`, `"new":1`), ",") + "}")
		if !Equal(from, reversed) || !Equal(from, twice) || scan(t, new(Rules), from) != scan(t, new(Rules), twice) {
			t.Errorf("%d members: order or overridden members count", n)
		}
		c := changes(t, from, other)
		if len(c) != 3 {
			t.Errorf("%d members: %d changes, want 3", n, len(c))
		}
		checkPair(t, from, other, c)
	}
}
