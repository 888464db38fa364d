package connectors

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker/nature"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// fullEvent has every field.
func fullEvent() events.Event {
	ev := filterEvent()
	before, after := ev.Data.ObservedAt.Add(-30e9), ev.Data.ObservedAt
	ev.Data.NotBefore, ev.Data.NotAfter = &before, &after
	ev.Data.Truncated, ev.Data.Message = true, "a sentence"
	ev.Data.Detail = map[string]any{"connector": "ops", "n": 2.0}
	return ev
}

// What an expression is checked against is what it sees.
func TestFilterTypesAreTheEvents(t *testing.T) {
	f := &Filter{record: true, changes: true}
	for _, ev := range []events.Event{fullEvent(), {}} {
		checkFields(t, "data", dataTypes().Nature(), f.environment(ev)["data"])
	}
	full := f.environment(fullEvent())["data"].(map[string]any)
	if got := slices.Sorted(maps.Keys(full)); !slices.Equal(got, filterFields()) {
		t.Errorf("an event has %v, the types are of %v", got, filterFields())
	}
	change := full["changes"].([]any)[0].(map[string]any)
	for _, of := range []struct {
		event reflect.Type
		data  map[string]any
	}{{reflect.TypeFor[events.Data](), full}, {reflect.TypeFor[events.Change](), change}} {
		var names []string
		for field := range of.event.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			names = append(names, name)
		}
		slices.Sort(names)
		if got := slices.Sorted(maps.Keys(of.data)); !slices.Equal(got, names) {
			t.Errorf("a filter sees %v of %s, its JSON has %v", got, of.event, names)
		}
	}
}

// checkFields compares a value with its type. What is nil is missing.
func checkFields(t *testing.T, name string, want nature.Nature, value any) {
	if want.Type == nil || value == nil {
		return
	}
	if got := reflect.TypeOf(value); got != want.Type {
		t.Errorf("%s is checked as %s and is %s", name, want.Type, got)
	}
	switch value := value.(type) {
	case map[string]any:
		for key, field := range value {
			of, known := want.Fields[key]
			if !known {
				t.Errorf("%s.%s is not known", name, key)
			}
			checkFields(t, name+"."+key, of, field)
		}
	case []any:
		for _, one := range value {
			checkFields(t, name+"[]", *want.Ref, one)
		}
	}
}

func TestFilterMistakesOfType(t *testing.T) {
	for expression, want := range map[string]string{
		`data.action == 5`: "invalid operation: == (mismatched types string and int) (1:13)",
		`data.action == "x" and data.revision == "a"`: "mismatched types int and string) (1:38)",
		`5 != data["id"]`:                               "mismatched types int and string) (1:3)",
		`data.id in [1, 2]`:                             "cannot use string as type int in array (1:9)",
		`data?.collection > 1`:                          "mismatched types string and int) (1:18)",
		`data.revision contains "1"`:                    "mismatched types int and string) (1:15)",
		`data.revision matches "1"`:                     "mismatched types int and string) (1:15)",
		`data.truncated == "true"`:                      "mismatched types bool and string) (1:16)",
		`data.message.text == "x"`:                      "type string has no field text (1:14)",
		`data.id and true`:                              "mismatched types string and bool) (1:9)",
		`not data.message`:                              "mismatched type string) (1:1)",
		`data.id ? true : false`:                        "non-bool expression (type string) used as condition (1:6)",
		`data.observed_at > "2026-01-01"`:               "mismatched types time.Time and string) (1:18)",
		`data.not_after == 5`:                           "mismatched types time.Time and int) (1:16)",
		`data.observed_at - data.not_before > 60`:       "mismatched types time.Duration and int) (1:36)",
		`not (now() - data.not_before)`:                 "mismatched type time.Duration) (1:1)",
		`lower(data.revision) == "x"`:                   "cannot use int as argument (type string) to call lower",
		`len(data.revision) == 1`:                       "invalid argument for len (type int) (1:1)",
		`"/status" in data.changes`:                     "cannot use string as type map[string]interface {} in array (1:11)",
		`data.changes.path == "/status"`:                "array elements can only be selected using an integer (got string) (1:14)",
		`any(data.changes, .pth == "/status")`:          "unknown field pth (1:20)",
		`data.changes[0].too == 1`:                      "unknown field too (1:17)",
		`any(data.changes, .path == 1)`:                 "mismatched types string and int) (1:25)",
		`any(data.changes, # == "/status")`:             "(1:21)",
		`any(data.changes, .path)`:                      "predicate should return boolean (got string)",
		`data.changes | filter(.to == 1) | any(.x > 1)`: "unknown field x (1:40)",
		`any(data.id, # == "7")`:                        "takes only array (got string) (1:10)",
		"data.action == \"updated\" and\n\tdata.id < 7": "mismatched types string and int) (2:10)",
		`data.revision`:                                 "expected bool, but got int (1:6)",
		`data.observed_at`:                              "expected bool, but got time.Time (1:6)",
		`true ? data.id : "x"`:                          "expected bool, but got string (1:",
		` "abc"`:                                        "expected bool, but got string (1:2)",
		`nil`:                                           "expected bool, but got nil (1:1)",
		`len(changed)`:                                  "expected bool, but got int (1:1)",
		`data.revision + 1`:                             "expected bool, but got int (1:15)",
	} {
		_, err := CompileFilter(expression)
		if err == nil {
			t.Errorf("CompileFilter(%s) = nil, want %q in its error", expression, want)
			continue
		}
		if line, picture, _ := strings.Cut(err.Error(), "\n"); !strings.Contains(line, want) || !strings.Contains(picture, "^") {
			t.Errorf("CompileFilter(%s) = %v, want %q in its first line and the place below", expression, err, want)
		}
	}
}

// What an event lacks has a type too, compares with nil, and is never a mistake of the event.
func TestFilterOfWhatAnEventMayLack(t *testing.T) {
	for expression, want := range map[string][2]bool{ // of an event with every field, of one with none
		`data.not_before == nil`:                                     {false, true},
		`nil != data.not_after`:                                      {true, false},
		`data.not_before < data.observed_at`:                         {true, false},
		`not (data.not_before < data.observed_at)`:                   {false, true},
		`data.observed_at - data.not_before == duration("30s")`:      {true, false},
		`-(data.observed_at - data.not_before) < duration("0s")`:     {true, false},
		`duration(data.not_after - data.not_before) > duration("0")`: {true, false},
		`duration(-(data.not_after - data.not_before) + -(data.not_after - data.not_before)) < duration("0")`: {true, false},
		`date(data.not_before) < now()`:                             {true, false},
		`(data.not_before ?? data.observed_at) <= data.observed_at`: {true, true},
		`(data.not_before ?? "never") == "never"`:                   {false, true},
		`data.truncated`: {true, false},
		`data.truncated == true or data.truncated == nil`:               {true, false},
		`data.message == "" or data.message == nil`:                     {false, true},
		`data.message startsWith "a "`:                                  {true, false},
		`data.detail == nil`:                                            {false, true},
		`data.detail.connector == "ops" and data.detail?.n > 1`:         {true, false},
		`data.detail["connector"] in ["ops"]`:                           {true, false},
		`data.record == nil`:                                            {false, true},
		`data.record["created_at"] startsWith "2026"`:                   {true, false},
		`data.record > 5 or data.record.amount > 5`:                     {true, false},
		`len(data.changes) == 2`:                                        {true, false},
		`data.changes == nil`:                                           {false, false},
		`data.changes[1].path == "/address/city"`:                       {true, false},
		`data.changes[1]?.path == nil`:                                  {false, true},
		`data.changes[1].from.a.b == nil and data.changes[0].to != nil`: {true, false},
		`any(data.changes, .to == "closed" and .path in changed)`:       {true, false},
		`any(data.changes, .from > 5 or .to == "Oslo")`:                 {true, false},
		`any(data.changes ?? [], .path contains "stat")`:                {true, false},
		`any([data.account, data.record.name], # == "acme")`:            {true, false},
		`any([data.not_before, data.not_after], # < now())`:             {true, false},
		`data.id in ["7", nil] and data.revision in [1, 3.0]`:           {true, false},
		`data.revision % 2 == 1 and data.revision / 2 > 1.4`:            {true, false},
		`data.revision > 2.5 and -data.revision < 0`:                    {true, false},
		`float(data.id) > 6 and lower(data.action) == "updated"`:        {true, false},
		`data.id == data.record.id or data.account in data.record.tags`: {false, false},
		`data[data.record.status] == nil and "id" in data`:              {true, true},
		`data.record ? true : data.id`:                                  {false, false},
	} {
		f, err := CompileFilter(expression)
		if err != nil {
			t.Errorf("CompileFilter(%s) = %v", expression, err)
			continue
		}
		if got := [2]bool{f.Match(fullEvent()), f.Match(events.Event{})}; got != want {
			t.Errorf("%s = %v, want %v", expression, got, want)
		}
	}
}

// An operation that is refused for the types of data's fields is one that computes
// the same of every event: nothing is refused that could have been of use.
func TestFilterRefusesWhatNoEventDecides(t *testing.T) {
	other := filterEvent()
	other.Data.ID, other.Data.Account, other.Data.Revision, other.Data.Action = "12", "x", 9, events.Created
	other.Data.Changes = []events.Change{{Path: "/a", To: json.RawMessage(`1`)}}
	other.Data.Record = json.RawMessage(`{"amount":"many"}`)
	seen := []events.Event{fullEvent(), filterEvent(), other}

	leaf := rapid.SampledFrom([]string{`data.account`, `data.id`, `data.revision`, `data.observed_at`, `data.not_before`, `data.truncated`,
		`data.message`, `data.changes`, `data.changes[0]`, `data.changes[0].path`, `data.record`, `data.record.amount`, `data.detail`,
		`changed`, `5`, `-1.5`, `"7"`, `true`, `duration("1h")`, `date("2026-11-23")`, `["7"]`, `[1, 9]`})
	operand := rapid.Custom(func(r *rapid.T) string {
		form := rapid.SampledFrom(append(operations(), "A", "A", "A")).Draw(r, "form")
		return operation(form, leaf.Draw(r, "A"), leaf.Draw(r, "B"))
	}).Filter(func(expression string) bool { return typeError(expression) == nil })
	refusals := 0
	rapid.Check(t, func(r *rapid.T) {
		a, b := operand.Draw(r, "a"), operand.Draw(r, "b")
		for _, form := range operations() {
			whole := operation(form, a, b)
			refused := typeError(whole)
			if refused == nil {
				continue
			}
			if _, err := expr.Compile(whole, filterOptions()...); err != nil {
				continue // the literals are enough to see the mistake
			}
			refusals++
			if values := valuesOf(r, whole, seen); len(values) > 1 {
				r.Fatalf("%s is %v of one event, %v of another, and refused: %v", whole, values[0], values[1], refused)
			}
		}
	})
	if refusals == 0 {
		t.Error("nothing was refused")
	}
}

// operations are the forms of an expression of one or two operands.
func operations() []string {
	return []string{"-A", "not A", "len(A)", "lower(A)", "float(A)", "date(A)", "duration(A)", "A.path", "A[0]", "A.x.y", "data[A]",
		"A == B", "A != B", "A < B", "A >= B", "A + B", "A - B", "A * B", "A / B", "A % B", "A ** B", "A in B", "A contains B",
		`A matches "7"`, "A startsWith B", "A ?? B", "A ? 1 : 2", "any(A, true)", "count(A, # == B)", "A[B]"}
}

func operation(form, a, b string) string {
	return strings.NewReplacer("A", "("+a+")", "B", "("+b+")").Replace(form)
}

// typeError checks an expression of any type.
func typeError(expression string) error {
	tree, err := parseFilter("nil == (" + expression + ")")
	if err != nil {
		return err
	}
	return checkTypes(tree)
}

// valuesOf returns the different values that an expression has for the events.
// Those that lack both sides of == are left out: nil is equal to nil, whatever is
// missing.
func valuesOf(t *rapid.T, expression string, seen []events.Event) []any {
	var values []any
	f := &Filter{record: true, changes: true}
	for _, ev := range seen {
		tree, err := parseFilter(expression)
		if err != nil {
			t.Fatal(err)
		}
		parts := []ast.Node{tree.Node}
		if n, ok := tree.Node.(*ast.BinaryNode); ok && (n.Operator == "==" || n.Operator == "!=") {
			parts = []ast.Node{n.Left, n.Right, n}
		}
		out := evaluate(parts, f.environment(ev))
		if len(out) == 0 {
			t.Fatalf("%s cannot be evaluated", expression)
		}
		if len(out) == 3 && out[0] == nil && out[1] == nil {
			continue
		}
		values = append(values, out[len(out)-1])
	}
	return slices.CompactFunc(values, func(a, b any) bool { return cmp.Equal(a, b) })
}
