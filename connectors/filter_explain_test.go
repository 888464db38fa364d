package connectors

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func explainFilter(t testing.TB, expression string) []Condition {
	t.Helper()
	f, err := CompileFilter(expression)
	if err != nil {
		t.Fatal(err)
	}
	return f.Explain(filterEvent())
}

// conditionLines writes conditions as text: the truth, the condition, the values.
func conditionLines(all []Condition) []string {
	var lines []string
	for _, c := range all {
		line := "- " + c.Text
		if c.True {
			line = "+ " + c.Text
		}
		for _, v := range c.Values {
			line += " | " + v.Name + " = " + v.Value
		}
		lines = append(lines, line)
	}
	return lines
}

func TestFilterExplain(t *testing.T) {
	const changed = `changed = ["/status","/address/city"]`
	for _, c := range []struct {
		expression string
		want       []string
	}{
		{`data.action == "updated" and data.record.amount > 2000`, []string{
			`+ data.action == "updated" | data.action = "updated"`,
			`- data.record.amount > 2000 | data.record.amount = 1500.5`}},
		{`"/status" in changed && not ("/name" in changed)`, []string{
			`+ "/status" in changed | ` + changed,
			`- "/name" in changed | ` + changed}},
		{`data.record.name not contains "Inc" or !data.record.active`, []string{
			`- data.record.name contains "Inc" | data.record.name = " Acme "`,
			`+ data.record.active | data.record.active = true`}},
		{`data.record.active ? data.record.amount > 1 : (data.id == "7" or false)`, []string{
			`+ data.record.active | data.record.active = true`,
			`+ data.record.amount > 1 | data.record.amount = 1500.5`,
			`+ data.id == "7" | data.id = "7"`,
			`- false`}},
		{`1 < data.record.amount < 9`, []string{
			`+ 1 < data.record.amount | data.record.amount = 1500.5`,
			`- data.record.amount < 9 | data.record.amount = 1500.5`}},
		{`any(data.changes, .path == "/status" and .to == "open") or len(data.record.contacts[0].name) == 3`, []string{
			`- any(data.changes, .path == "/status" and .to == "open") | data.changes = [{"from":"open","path":"/status","to":"closed"},{"from":null,"path":"/address/city","to":"Oslo"}]`,
			`+ len(data.record.contacts[0].name) == 3 | data.record.contacts[0].name = "Ann"`}},
		{`any(data.record.tags, # == data.record.none)`, []string{
			`- any(data.record.tags, # == data.record.none) | data.record.tags = ["a","b"] | data.record.none = null`}},
		{`data?.record?.a?.b > 1 or data["record"]["id"] == 9007199254740993`, []string{
			`- data?.record?.a?.b > 1 | data?.record?.a?.b = null`,
			`+ data.record.id == 9007199254740993 | data.record.id = 9007199254740993`}},
		{`data.record[data.record.status] == nil and changed[0] startsWith "/"`, []string{
			`+ data.record[data.record.status] == nil | data.record = {"active":true,"address":{"city":"Oslo"},"amount":1500.5,"contacts":[{"age":30,"name":"Ann"},{"name… | data.record.status = "closed"`,
			`+ changed[0] startsWith "/" | changed[0] = "/status"`}},
		{`(data.record.missing ?? data.record.amount) > 3 or data.record.amount * data.record.amount < 0`, []string{
			`+ (data.record.missing ?? data.record.amount) > 3 | data.record.missing = null | data.record.amount = 1500.5`,
			`- data.record.amount * data.record.amount < 0 | data.record.amount = 1500.5`}},
		{`data.record.name | lower() | trim() == "acme" and data.observed_at < now()`, []string{
			`+ trim(lower(data.record.name)) == "acme" | data.record.name = " Acme "`,
			`- data.observed_at < now() | data.observed_at = "2026-11-23T09:30:04Z"`}},
		{`data.record.name`, []string{`- data.record.name | data.record.name = " Acme "`}},
		{`true`, []string{`+ true`}},
	} {
		got := conditionLines(explainFilter(t, c.expression))
		if strings.Contains(c.expression, "now()") { // true or false: the clock decides
			got[1] = "-" + got[1][1:]
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s explains\n%s\nwant\n%s", c.expression, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestFilterExplainShortensInCharacters(t *testing.T) {
	f, err := CompileFilter(`data.record.long == "" or data.record.huge > 1`)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]int{97: 99, 98: 100, 99: 100} {
		ev := filterEvent()
		ev.Data.Record = json.RawMessage(`{"long":"` + strings.Repeat("ø", n) + `","huge":1e999}`)
		all := f.Explain(ev)
		if got := utf8.RuneCountInString(all[0].Values[0].Value); got != want {
			t.Errorf("a text of %d characters is shown with %d, want %d", n, got, want)
		}
		if got := conditionLines(all)[1]; got != `+ data.record.huge > 1 | data.record.huge = +Inf` {
			t.Errorf("an infinite number: %s", got)
		}
	}
}

// The conditions, joined as the filter joins them, are what the filter says.
func TestFilterExplainAgreesWithMatch(t *testing.T) {
	leaf := rapid.SampledFrom([]string{
		`data.record.amount > 1000`, `data.record.missing > 1`, `"/status" in changed`, `data.record.name`, `data.action == "created"`,
		`any(data.record.tags, # == "a" and not (# == "b"))`, `(data.record.missing ?? 5) > 3`, `data.record.active`,
	})
	type formula struct {
		text  string
		value func(next func() bool) bool
	}
	var draw func(t *rapid.T, depth int) formula
	draw = func(t *rapid.T, depth int) formula {
		kind := 0
		if depth > 0 {
			kind = rapid.IntRange(0, 4).Draw(t, "kind")
		}
		if kind == 0 {
			return formula{leaf.Draw(t, "leaf"), func(next func() bool) bool { return next() }}
		}
		a := draw(t, depth-1)
		if kind == 1 {
			return formula{"not (" + a.text + ")", func(next func() bool) bool { return !a.value(next) }}
		}
		b := draw(t, depth-1)
		switch kind {
		case 2:
			return formula{"(" + a.text + ") and (" + b.text + ")", func(next func() bool) bool {
				x, y := a.value(next), b.value(next)
				return x && y
			}}
		case 3:
			return formula{"(" + a.text + ") || (" + b.text + ")", func(next func() bool) bool {
				x, y := a.value(next), b.value(next)
				return x || y
			}}
		}
		c := draw(t, depth-1)
		return formula{"(" + a.text + ") ? (" + b.text + ") : (" + c.text + ")", func(next func() bool) bool {
			x, y, z := a.value(next), b.value(next), c.value(next)
			return x && y || !x && z
		}}
	}
	rapid.Check(t, func(r *rapid.T) {
		want := draw(r, 3)
		f, err := CompileFilter(want.text)
		if err != nil {
			return // too long, or of a type that ?: does not take
		}
		all := f.Explain(filterEvent())
		value := want.value(func() bool {
			if len(all) == 0 {
				r.Fatalf("%s has fewer conditions than it should", want.text)
			}
			first := all[0]
			all = all[1:]
			return first.True
		})
		if len(all) > 0 || value != f.Match(filterEvent()) {
			r.Fatalf("%s: the conditions say %v, the filter %v; left over: %v", want.text, value, !value, all)
		}
	})
}

// FuzzFilterExplain checks that whatever compiles can be explained.
func FuzzFilterExplain(f *testing.F) {
	f.Add(`data.action == "updated" and not (data.record.amount > 1000) or "/x" in changed`, `{"amount":1}`)
	f.Add(`any(data.changes, .path == "/a") ? data.record["a"][0]?.b == 1 : (nil ?? true)`, `{"a":[{"b":1}]}`)
	f.Fuzz(func(t *testing.T, expression, record string) {
		if len(record) > 2000 {
			return
		}
		filter, err := CompileFilter(expression)
		if err != nil {
			return
		}
		ev := filterEvent()
		ev.Data.Record = json.RawMessage(record)
		if len(filter.Explain(ev)) == 0 {
			t.Errorf("%q has no conditions", expression)
		}
		tree, err := parseFilter(expression)
		if err != nil {
			t.Fatal(err)
		}
		parts := conditions(tree.Node)
		if out := evaluate(parts, filter.environment(ev)); len(out) != len(parts) {
			t.Errorf("%q of %q: %d of %d conditions can be evaluated", expression, record, len(out), len(parts))
		}
	})
}
