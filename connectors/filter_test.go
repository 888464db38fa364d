package connectors

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/expr-lang/expr"

	"github.com/trackops-notifier/trackops-notifier/events"
)

func filterEvent() events.Event {
	seen := time.Date(2026, 11, 23, 9, 30, 4, 0, time.UTC)
	return events.Event{ID: "acme_clients_7_3_k7q2", Data: events.Data{
		Account: "acme", Collection: "clients", Action: events.Updated, ID: "7", Revision: 3, ObservedAt: seen,
		Changes: []events.Change{
			{Path: "/status", From: json.RawMessage(`"open"`), To: json.RawMessage(`"closed"`)},
			{Path: "/address/city", To: json.RawMessage(`"Oslo"`)},
		},
		Record: json.RawMessage(`{"id":9007199254740993,"name":" Acme ","amount":1500.5,"text":"12.50","status":"closed",
			"active":true,"none":null,"tags":["a","b"],"address":{"city":"Oslo"},"created_at":"2026-11-23 08:00:00",
			"contacts":[{"name":"Ann","age":30},{"name":"Bo"}]}`),
	}}
}

func TestFilterMatches(t *testing.T) {
	for expression, want := range map[string]bool{
		`data.action == "updated" and data.record.amount > 1000`:                           true,
		`data.action == "created"`:                                                         false,
		`data.revision == 3 && data.account in ["acme", "x"]`:                              true,
		`"/status" in changed`:                                                             true,
		`"/name" in changed`:                                                               false,
		`any(changed, # startsWith "/address")`:                                            true,
		`any(data.changes, .path == "/status" and .from == "open" and .to == "closed")`:    true,
		`one(data.changes, .from == nil)`:                                                  true,
		`changed[0] == "/status" and changed[-1] == "/address/city" and changed[9] == nil`: true,
		`data.record.id == 9007199254740993`:                                               true,
		`data.record.id > 9007199254740992`:                                                true,
		`data.record.id == 9007199254740992`:                                               false,
		`data.record.active`:                                                               true,
		`data.record.name | trim() | lower() == "acme"`:                                    true,
		`upper(data.record.name) contains "ACME"`:                                          true,
		`len(data.record.contacts) == 2 and count(data.record.contacts, .age > 20) == 1`:   true,
		`len(filter(data.record.tags, # != "a")) == 1`:                                     true,
		`float(data.record.text) * 2 == 25`:                                                true,
		`data.record.status matches "^clo[sx]ed$"`:                                         true,
		`data.record.name not contains "Inc"`:                                              true,
		`data["record"]["amount"] < 2000`:                                                  true,
		`date(data.record.created_at) < data.observed_at`:                                  true,
		`data.observed_at - date(data.record.created_at) > duration("1h")`:                 true,
		`now() - duration("1h") < now()`:                                                   true,
		`data.record.active ? data.record.amount > 1 : false`:                              true,
		`-data.record.amount < 0`:                                                          true,
		`100 < data.record.amount and data.record.amount < 2000`:                           true,
		"data.record.active // the rest is a remark":                                       true,
		`true`: true,

		// What is missing, or of another type, makes its own comparison false.
		`data.record.missing > 1000`:                                false,
		`data.record.missing <= 1000`:                               false,
		`not (data.record.missing > 1000)`:                          true,
		`data.record.missing > 1 or data.record.amount > 1`:         true,
		`data.record.name > 5 or data.record.active`:                true,
		`data.record.amount > "5" or data.record.active`:            true,
		`data.record.a.b.c == nil`:                                  true,
		`data.record.name.first.x == nil`:                           true,
		`data?.record?.a?.b > 1`:                                    false,
		`data.record.missing != "open"`:                             true,
		`data.record.missing contains "x" or data.record.active`:    true,
		`data.record.amount startsWith "1" or data.record.active`:   true,
		`data.record.amount matches "1" or data.record.active`:      true,
		`"x" in data.record.missing or data.record.active`:          true,
		`"x" in data.record.amount or data.record.active`:           true,
		`"city" in data.record.address`:                             true,
		`lower(data.record.missing) == nil`:                         true,
		`len(data.record.missing) == nil and len(5) == nil`:         false, // len(5) is refused below
		`data.record.missing + 1 > 0 or data.record.active`:         true,
		`data.record.amount % 0 == nil`:                             true,
		`3 % data.record.zero == nil`:                               true,
		`any(data.record.missing, # > 1) or data.record.active`:     true,
		`any(data.record.contacts, .age > 20 and .name == "Ann")`:   true,
		`all(data.record.contacts, .age > 20)`:                      false,
		`any(data.record.tags, #)`:                                  false,
		`data.record.name`:                                          false,
		`!data.record.missing`:                                      true,
		`not data.record.name`:                                      true,
		`data.record.missing and true or data.record.active`:        true,
		`(data.record.missing ?? 5) > 3`:                            true,
		`date(data.record.missing) < now() or data.record.active`:   true,
		`duration(data.record.name) > duration("1s")`:               false,
		`data.record.tags < data.record.tags or data.record.active`: true,
		`data.not_before == nil and data.detail.connector == nil`:   true,
		`data.truncated or "/status" in changed`:                    true,
	} {
		f, err := CompileFilter(expression)
		if expression == `len(data.record.missing) == nil and len(5) == nil` {
			if err == nil {
				t.Errorf("CompileFilter(%s) = nil, want a type error", expression)
			}
			continue
		}
		if err != nil {
			t.Errorf("CompileFilter(%s) = %v", expression, err)
			continue
		}
		if got := f.Match(filterEvent()); got != want {
			t.Errorf("%s = %v, want %v", expression, got, want)
		}
	}
}

func TestFilterOfAnEventWithoutRecord(t *testing.T) {
	f, err := CompileFilter(`data.collection == "system" and data.detail.connector == "ops" and not (data.record.x > 1) and data.detail.n > 1`)
	if err != nil {
		t.Fatal(err)
	}
	ev := events.Event{Data: events.Data{Collection: "system", Detail: map[string]any{"connector": "ops", "n": 2.0}}}
	if !f.Match(ev) {
		t.Error("a system event does not match by its detail")
	}
}

func TestFilterMistakes(t *testing.T) {
	for expression, want := range map[string]string{
		``:                                        "unexpected token EOF",
		`data.action = "created"`:                 "(1:13)",
		`acton == "created"`:                      "unknown name acton; there are data and changed (1:1)",
		`data.acton == "created"`:                 "data has no field acton; it has account, action",
		`data.action == "a" and foo(1)`:           "foo is no function here",
		`reduce(data.changes, 1) == 1`:            "reduce is no function here",
		`len(map(data.changes, 1)) == 1`:          "map is no function here",
		`toJSON(data) == ""`:                      "toJSON is no function here",
		`now().Year() == 2026`:                    "this is no function here",
		`$env.data.action == "x"`:                 "unknown name $env",
		`data.revision in 1..5`:                   "there are no ranges here",
		`let x = 1; x == 1`:                       "no slices, variables",
		`data.id[0:1] == "7"`:                     "no slices, variables",
		`data.id == {"a": 1}`:                     "maps",
		`data.id matches data.record.p`:           "must be written out",
		`data.id matches "("`:                     "missing closing )",
		`count(data.changes) == 1`:                "count needs a list and a condition",
		`date("2026-01-01", "2006") == nil`:       "date takes one value",
		`len(changed)`:                            "expected bool, but got int",
		`"x"`:                                     "expected bool, but got string",
		`"a" > 1`:                                 "mismatched types",
		`changed > 5`:                             "mismatched types",
		strings.Repeat("true and ", 200) + "true": "exceeds maximum allowed nodes",
		strings.Repeat(" ", 5000):                 "longer than 4096 bytes",
		`true) or (true`:                          "(1:5)",
		`any(data.changes, any(data.record.a, any(data.record.b, # == 1)))`: "more than 2 deep",
	} {
		_, err := CompileFilter(expression)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CompileFilter(%.60s) = %v, want %q in it", expression, err, want)
		}
	}
}

func TestFilterShowsThePlace(t *testing.T) {
	_, err := CompileFilter(`data.action == "created" and amount > 5`)
	want := "filter: unknown name amount; there are data and changed (1:30)\n" +
		" | data.action == \"created\" and amount > 5\n" +
		" | .............................^"
	if err == nil || err.Error() != want {
		t.Errorf("CompileFilter = %v, want %s", err, want)
	}
}

// What compiles never fails: not on any record, and not by the expression's machine.
func FuzzFilter(f *testing.F) {
	for _, expression := range []string{
		`data.action == "updated" and data.record.amount > 1000`, `any(data.changes, .path == "/a")`,
		`-data.x ** 2 % 3 < now() - duration("1h")`, `data?.record["a"][0] ?? 1 in [1, nil]`,
		`!(data.record.a matches "^a+$") ? changed == nil : "x" | lower() == "x"`,
		`-(data.observed_at - data.not_before ?? data.not_after) == duration(now() - data.observed_at)`,
		`any(data.changes ?? [], .path in changed and .from.a != #) or data[data.id] == data.detail`,
	} {
		f.Add(expression, `{"a":[1,{"b":null}],"amount":1e999}`)
	}
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
		if _, err := expr.Run(filter.program, filter.environment(ev)); err != nil {
			t.Errorf("%q fails on %q: %v", expression, record, err)
		}
	})
}

func BenchmarkFilter(b *testing.B) {
	f, err := CompileFilter(`data.action == "updated" and "/status" in changed and data.record.amount > 1000`)
	if err != nil {
		b.Fatal(err)
	}
	ev := filterEvent()
	b.ReportAllocs()
	for b.Loop() {
		f.Match(ev)
	}
}
