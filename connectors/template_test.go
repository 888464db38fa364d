package connectors_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// hostileRecord is a record whose every form of value tries to break out.
const hostileRecord = `{"id":9007199254740993,"name":"<!channel> & \"Sons\"","amount":12.50,"text_amount":"1250.5","zero":0,"zeros":"0","flag":false,"none":null,
	"notes":"a\r\nb\u001b[2J\u202e","Client":{"id":1,"name":"Acme"},"User":null,"items":[{"n":1},{"n":2}],"created_at":"2026-11-23 09:30:00","due_on":"2026-12-18","{{.}}":"odd"}`

func dataOf(t *testing.T, record string, changes ...events.Change) connectors.TemplateData {
	t.Helper()
	e := events.Event{Time: time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC), Data: events.Data{
		Account: "acme", Collection: "clients", Action: events.Updated, ID: "7", Revision: 2, Record: json.RawMessage(record), Changes: changes,
	}}
	link := func(e events.Event) string { return "https://acme.example/?id=" + e.Data.ID + "&a=<b>" }
	d, err := connectors.NewTemplateData(connectors.Delivery{Events: []events.Event{e.Stamp("k7q2")}}, "sales", link)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func hostileData(t *testing.T) connectors.TemplateData {
	t.Helper()
	return dataOf(t, hostileRecord,
		events.Change{Path: "/status", From: json.RawMessage(`"open"`), To: json.RawMessage(`"<closed>"`)},
		events.Change{Path: "/Client/name", From: json.RawMessage(`null`), To: json.RawMessage(`"Acme"`)})
}

func compile(t *testing.T, text string, m connectors.Medium) *connectors.Template {
	t.Helper()
	tmpl, err := connectors.CompileTemplate(text, m)
	if err != nil {
		t.Fatalf("CompileTemplate(%q, %d) = %v", text, m, err)
	}
	return tmpl
}

func TestTemplateValues(t *testing.T) {
	d := hostileData(t)
	for text, want := range map[string]string{
		`{{.Record.id}} {{.Record.amount}} {{.Data.record.amount}}`:                                                                              `9007199254740993 12.50 12.50`,
		`[{{.Record.nope}}{{.Record.nope.deeper}}{{.Record.User.name}}]`:                                                                         `[]`,
		`[{{.Record.name.first}}{{.Record.none}}{{.Digest}}{{.Digest.From}}]`:                                                                    `[]`,
		`{{.Record.Client.name}} {{index .Record "{{.}}"}} {{get .Record "Client" "id"}} {{index .Record.items 1 "n"}}{{index .Record.items 9}}`: `Acme odd 1 2`,
		`{{.Record.notes}}`:            `a` + "\n" + `b\u001b[2J\u202e`,
		`{{.Record.Client}}`:           `{"id":1,"name":"Acme"}`,
		`{{.Headline}} {{.Connector}}`: `Client status changed: <!channel> & "Sons", open → <closed> sales`,
		`{{range .Record.items}}{{.n}},{{end}}{{range .Record.name}}x{{end}}{{range .Record.zero}}x{{else}}none{{end}}`:                                                                                        `1,2,none`,
		`{{range $i, $c := .Changes}}{{add $i 1}} {{$c.Label}} {{end}}{{len .Changes}}`:                                                                                                                        `1 Status 2 Client 2`,
		`{{with .Change "/status"}}{{.From}}{{end}}{{with .Change "/Client"}}{{.To}}{{end}}{{with .Change "/stat"}}x{{end}}`:                                                                                   `openAcme`,
		`{{range .Changes}}{{with $.Change "/status"}}{{.Path}}{{end}}{{end}}`:                                                                                                                                 `/status/status`,
		`{{if .Record.zero}}a{{end}}{{if .Record.flag}}b{{end}}{{if .Record.zeros}}c{{end}}{{if not .Record.none}}d{{end}}{{if .Record.amount}}e{{end}}`:                                                       `cde`,
		`{{or .Record.zero .Record.none "x"}}{{if and .Record.amount .Record.zero}}y{{end}}`:                                                                                                                   `x`,
		`{{if gt .Record.amount 12}}a{{end}}{{if lt .Record.text_amount 1251}}b{{end}}{{if eq .Record.text_amount 1250.50}}c{{end}}{{if lt .Record.name 1}}d{{end}}`:                                           `abc`,
		`{{if eq .Event.Data.Action "created" "updated"}}a{{end}}{{if ne .Record.nope "x"}}b{{end}}{{if eq .Record.nope .Record.none}}c{{end}}{{if ge .Record.nope 0}}d{{end}}`:                                `abc`,
		`{{.Event.Time.Format "15:04"}} {{.Event.Time | date "2 Jan" }} {{.Record.created_at | date "15:04" "Europe/Berlin"}} {{date "2 Jan" "America/New_York" .Record.due_on}} {{date "2006" .Record.name}}`: `09:30 23 Nov 10:30 18 Dec <!channel> & "Sons"`,
		`{{.Record.name | upper | truncate 5}} {{title "don't stop"}} {{trim "  a "}}b {{replace "a" "bb" "banana"}} {{"x" | default "y"}}{{.Record.none | default "z"}}`:                                      `<!CH… Don't Stop ab bbbnbbnbb xz`,
		`{{join ", " (split "-" "a-b")}} {{join "," .Record.nope}}{{contains "hann" .Record.name}} {{hasPrefix "<" .Record.name}} {{"a" | hasSuffix "b"}}`:                                                     `a, b true true false`,
		`{{money .Record.amount}} {{money "$" .Record.text_amount}} {{money "€" "-1234567.891"}} {{money "x"}} {{number 1234567}}`:                                                                             `12.50 $1,250.50 -€1,234,567.891 x 1,234,567`,
		`{{printf "%05d|%-6s|%.1f|%q|%s|%%|%x" 7 "a" .Record.text_amount "b\"" .Record.none 255}} {{printf "%d" "many"}}`:                                                                                      `00007|a     |1250.5|"b\""||%|ff many`,
		`{{len "日本"}} {{slice "日本語" 1 2}} {{slice "ab" 5}}{{range first 1 .Changes}}{{.Label}}{{end}} {{len .Record.nope}} {{slice .Record.items 1}}`:                                                          `2 本 Status 0 [{"n":2}]`,
		`{{plural 1 "change" "changes"}} {{plural (len .Changes) "change" "changes"}} {{print 1 "a" .Record.none}}{{urlencode "a b&c"}} {{oneline .Record.notes}}`:                                             `change changes 1aa+b%26c a b\u001b[2J\u202e`,
		`{{link .Link "see it"}} {{link "javascript://x.example/%0aalert(1)" "no"}} {{link .Link .Link}} {{bold "b"}}{{italic "i"}}{{code "c"}} {{url "x y"}}`:                                                 `see it (https://acme.example/?id=7&a=%3Cb%3E) no https://acme.example/?id=7&a=<b> (https://acme.example/?id=7&a=%3Cb%3E) bic `,
		`{{json .Record.items}} {{.Stamp}}{{/* gone */}}{{- ""}}`:                                                                                                                                              `[{"n":1},{"n":2}] 2026-11-23 09:30:00 UTC`,
		`{{define "row"}}<{{.Label}}>{{end}}{{range .Changes}}{{template "row" .}}{{break}}{{end}}`:                                                                                                            `<Status>`,
		`{{$n := 0}}{{range .Changes}}{{$n = add $n 2}}{{end}}{{$n}} {{.Event.Data.Revision}} {{.Event.NATSSubject}}`:                                                                                          `4 2 trackops.acme.clients.updated`,
	} {
		got, err := compile(t, text, connectors.Plain).Render(d)
		if err != nil || got != want {
			t.Errorf("%s\n  = %q, %v\nwant %q", text, got, err, want)
		}
	}
}

func TestTemplateEscapesByMedium(t *testing.T) {
	d := hostileData(t)
	for _, c := range []struct {
		medium     connectors.Medium
		text, want string
	}{
		{connectors.Mrkdwn, `*{{.Title}}* <{{.Link}}|x>`, `*&lt;!channel&gt; &amp; "Sons"* <https://acme.example/?id=7&amp;a=&lt;b&gt;|x>`},
		{connectors.Mrkdwn, `{{link .Link .Title}} {{bold "*a*b"}} {{italic "_"}}{{code "a` + "\\u0060" + `b<"}} {{upper (bold "x<")}}`,
			"<https://acme.example/?id=7&amp;a=%3Cb%3E|&lt;!channel&gt; &amp; \"Sons\"> *ab* `ab&lt;` *X&amp;LT;*"},
		{connectors.Mrkdwn, `{{link "https://x.example/|<b>" "a\nb|c"}} {{link "" "<x>"}}`, `<https://x.example/%7C%3Cb%3E|a b|c> &lt;x&gt;`},
		{connectors.HTML, `<a href="{{.Link}}" title='{{.Title}}'>{{.Title}}</a>`,
			`<a href="https://acme.example/?id=7&amp;a=%3cb%3e" title='&lt;!channel&gt; &amp; &#34;Sons&#34;'>&lt;!channel&gt; &amp; &#34;Sons&#34;</a>`},
		{connectors.HTML, `{{bold .Title}} {{link .Link "<x>"}} {{link "javascript:alert(1)" "no"}}{{.Record.User.name}}`,
			`<b>&lt;!channel&gt; &amp; &#34;Sons&#34;</b> <a href="https://acme.example/?id=7&amp;a=%3Cb%3E">&lt;x&gt;</a> no`},
		{connectors.JSON, `{"text": "{{.Title}}: {{.Record.amount}}", "amount": {{.Record.amount}}, "none": {{.Record.nope}}, "r": {{.Record.Client}}, "s": {{.Title}}}`,
			`{"text": "<!channel> & \"Sons\": 12.50", "amount": 12.50, "none": null, "r": {"id":1,"name":"Acme"}, "s": "<!channel> & \"Sons\""}`},
		{connectors.JSON, `{"a": "\"{{.Record.notes}}\u00e9{{bold "b"}}\\", "b": [{{range $i, $c := .Changes}}{{if $i}},{{end}}"{{.Path}}"{{end}}], "c": {{bold "x"}}}`,
			`{"a": "\"a\r\nb\u001b[2J` + "\u202e" + `\u00e9b\\", "b": ["/status","/Client/name"], "c": "x"}`},
		{connectors.MrkdwnJSON, `[{"text": "*{{.Title}}* {{link .Link "x"}}", "url": "{{url .Link}}", "r": {{.Record.name}}, "m": {{json .Changes}}, "c": {{.Record.Client}}}]`,
			`[{"text": "*&lt;!channel&gt; &amp; \"Sons\"* <https://acme.example/?id=7&amp;a=%3Cb%3E|x>", "url": "https://acme.example/?id=7&a=%3Cb%3E", "r": "&lt;!channel&gt; &amp; \"Sons\"", "m": [{"Label":"Status","From":"open","To":"&lt;closed&gt;","Path":"/status"},{"Label":"Client","From":"(null)","To":"Acme","Path":"/Client/name"}], "c": {"id":1,"name":"Acme"}}]`},
	} {
		got, err := compile(t, c.text, c.medium).Render(d)
		if err != nil || got != c.want {
			t.Errorf("medium %d: %s\n  = %s, %v\nwant %s", c.medium, c.text, got, err, c.want)
		}
	}
}

func TestTemplateMistakes(t *testing.T) {
	for _, c := range []struct {
		medium     connectors.Medium
		text, want string
	}{
		{connectors.Plain, "a\n{{.Title", "line 2: unclosed action"},
		{connectors.Plain, "a\n{{nope .Title}}", `line 2: function "nope" not defined`},
		{connectors.Plain, "\n\n{{.Titel}}", "line 3: there is no .Titel (tried with clients.created)"},
		{connectors.Plain, "{{.Event.Data.Record.name}}", "line 1: a list has no .name"},
		{connectors.Plain, "{{.Changes.Label}}", "line 1: a list has no .Label; range goes through it"},
		{connectors.Plain, "{{.Change}}", "line 1: Change needs an argument"},
		{connectors.Plain, "\n{{call .Title}}", `line 2: there is no function "call" here`},
		{connectors.Plain, "\n{{if (html .Title)}}{{end}}", `line 2: there is no function "html" here`},
		{connectors.Plain, "{{upper 1 2}}", "line 1: wrong number of args for upper: want 1 got 2"},
		{connectors.Plain, "\n{{range 1000000000}}{{end}}", "the template does too much"},
		{connectors.Plain, `{{$s := "ab"}}{{range 40}}{{$s = print $s $s}}{{end}}`, "the template does too much"},
		{connectors.Plain, `{{$s := "aaaaaaaaaaaaaaaa"}}{{range 8}}{{$s = replace "a" $s $s}}{{end}}`, "the template does too much"},
		{connectors.Plain, `{{range 20000}}{{"` + strings.Repeat("x", 100) + `"}}{{end}}`, "longer than 1,048,576 bytes"},
		{connectors.Plain, `{{printf "%201d" 1}}`, "pads to 200"},
		{connectors.Plain, `{{printf "%999999999999999999999d" 1}}`, "pads to 200"},
		{connectors.Plain, `{{printf "%.201f" 1}}`, "pads to 200"},
		{connectors.Plain, doubling(24), "the template does too much"},
		{connectors.Plain, `{{printf "%*d" 9 1}}`, "printf knows the verbs"},
		{connectors.Plain, `{{printf "%d"}}`, "fewer values than verbs"},
		{connectors.Plain, `{{printf "x" 1}}`, "more values than verbs"},
		{connectors.Plain, `{{date "2" "Nowhere/City" .Event.Time}}`, `there is no time zone "Nowhere/City"`},
		{connectors.Plain, "\n{{template \"x\"}}", `line 2: there is no template "x"`},
		{connectors.Plain, "{{define \"a\"}}{{template \"b\"}}{{end}}{{define \"b\"}}\n{{template \"a\"}}{{end}}{{template \"a\"}}", `line 2: template "a" is used within itself`},
		{connectors.Plain, `{{define "clients.crated"}}{{end}}`, `there is no action "crated"`},
		{connectors.Plain, `{{define "clients.created"}}{{.Nope}}{{end}}`, `define "clients.created": line 1: there is no .Nope`},
		{connectors.Plain, strings.Repeat("x", 300_000), "longer than 262,144 bytes"},
		{connectors.HTML, "<a href='{{.Title}}", "ends in a non-text context"},
		{connectors.HTML, "\n<script>{{if .Link}}'{{end}}{{.Title}}</script>", "line 2: {{if}} branches end in different contexts (tried with"},
		{connectors.JSON, `{"a": {{.Title}}`, "the result is not JSON: unexpected end of JSON input"},
		{connectors.JSON, `{"a": "{{.Title}}}`, "ends within quotes"},
		{connectors.JSON, "\n" + `{"a": "{{if .Link}}"{{end}}}`, "line 2: one branch ends within quotes and the other does not"},
		{connectors.JSON, "\n" + `["{{range .Changes}}{{.Label}}","{{end}}"]{{range .Changes}}"{{end}}`, "line 2: the loop"},
		{connectors.JSON, `{"a": "\{{.Title}}"}`, "line 1: a value directly behind a backslash"},
		{connectors.JSON, `{"a": "\u00{{.Title}}"}`, "line 1: a value directly behind a backslash"},
		{connectors.JSON, `{{define "x"}}{{.}}{{end}}[{{template "x" 1}}, "{{template "x" 1}}"]`, `template "x" is used within quotes and outside of them`},
		{connectors.JSON, `[{{range .Changes}}"{{if .Label}}{{break}}{{end}}"{{end}}]`, "line 1: it leaves the loop within quotes"},
		{connectors.JSON, `{"list": [{{range .Changes}}"{{.Label}}"{{end}}]}`, "the result is not JSON: invalid character '\"' after array element"},
	} {
		_, err := connectors.CompileTemplate(c.text, c.medium)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("medium %d: CompileTemplate(%.200q) = %v, want an error with %q", c.medium, c.text, err, c.want)
		}
	}
}

// doubling returns a template that uses the last of depth templates, each of which
// uses the one before twice; none prints anything.
func doubling(depth int) string {
	text := `{{define "t0"}}{{end}}`
	for i := range depth {
		text += fmt.Sprintf(`{{define "t%d"}}{{template "t%d"}}{{template "t%d"}}{{end}}`, i+1, i, i)
	}
	return text + fmt.Sprintf(`{{template "t%d"}}`, depth)
}

func TestTemplateForEachEvent(t *testing.T) {
	tmpl := compile(t, `{{define "row"}}row{{end}}main {{.Lead}}
		{{- define "clients.created"}}created {{template "row" .}}{{end}}
		{{- define "clients"}}clients{{end}}
		{{- define "*.deleted"}}gone{{end}}
		{{- define "system.connector_failing"}}ops{{end}}`, connectors.Plain)
	for _, sample := range connectortest.Samples() {
		want := "main " + message(t, sample.Event).Lead
		switch d := sample.Event.Data; {
		case d.Collection == "clients" && d.Action == events.Created:
			want = "created row"
		case d.Collection == "clients":
			want = "clients"
		case d.Action == events.Deleted:
			want = "gone"
		case d.Collection == events.System:
			want = "ops"
		}
		if got := render(t, tmpl, sample.Event); got != want {
			t.Errorf("%s = %q, want %q", sample.Name, got, want)
		}
	}
	only := compile(t, `{{define "cases"}}"case"{{end}}`, connectors.JSON)
	if got := render(t, only, connectortest.Samples()[0].Event); got != "" {
		t.Errorf("without a text for the event = %q, want nothing", got)
	}
}

func TestTemplateOfSeveralEvents(t *testing.T) {
	one, two := connectortest.Samples()[0].Event, connectortest.Samples()[1].Event
	digest := &connectors.Digest{From: one.Time, To: one.Time.Add(15 * time.Minute), IDs: []string{"a", "b", "c"}}
	const several, window = "2 changes in acme, 09:30 UTC", "2 changes in acme, 09:30 to 09:45 UTC"
	for _, c := range []struct {
		medium       connectors.Medium
		text         string
		burst, batch string
	}{
		{connectors.Plain, `{{.Lead}}`, several + "\n\nNew client\n\nClient updated", window + "\n\nNew client\n\nClient updated"},
		{connectors.HTML, `{{.Lead}}`, "<p>" + several + "</p>\nNew client\n<hr>\nClient updated", "<p>" + window + "</p>\nNew client\n<hr>\nClient updated"},
		{connectors.JSON, `{"a":"{{.Lead}}"}`, `[{"a":"New client"},{"a":"Client updated"}]`, `[{"a":"New client"},{"a":"Client updated"}]`},
		{connectors.MrkdwnJSON, ` [{"a":"{{.Lead}}"}] `, `[{"a":"New client"},{"a":"Client updated"}]`, `[{"a":"New client"},{"a":"Client updated"}]`},
		{connectors.Plain, `{{range .Messages}}{{.Verb}} {{end}}{{with .Digest}}{{len .IDs}}{{end}}`, "created updated ", "created updated 3"},
		{connectors.Plain, `{{.Lead}}{{define "digest"}}{{.Summary}}{{end}}`, several, window},
		{connectors.Plain, `{{define "*.created"}}{{.Lead}}{{end}}`, several + "\n\nNew client", window + "\n\nNew client"},
		{connectors.Plain, `{{define "cases"}}x{{end}}`, "", ""},
	} {
		tmpl := compile(t, c.text, c.medium)
		for _, d := range []connectors.Delivery{{Events: []events.Event{one, two}}, {Events: []events.Event{one, two}, Digest: digest}} {
			data, err := connectors.NewTemplateData(d, "x", nil)
			if err != nil {
				t.Fatal(err)
			}
			want := c.burst
			if d.Digest != nil {
				want = c.batch
			}
			if got, err := tmpl.Render(data); err != nil || got != want {
				t.Errorf("%s, digest %v = %q, %v, want %q", c.text, d.Digest != nil, got, err, want)
			}
		}
	}
}

// What a template cannot do with one event is permanent, says where, and shows no
// value.
func TestRenderErrors(t *testing.T) {
	secret := strings.Repeat("s3cret", 10_000)
	record, err := json.Marshal(map[string]any{"name": secret, "list": make([]int, 50_000)})
	if err != nil {
		t.Fatal(err)
	}
	d := dataOf(t, string(record))
	for text, want := range map[string]string{
		`{{range .Record.list}}{{$.Record.name}}{{end}}`:                      "longer than",
		`{{range .Record.list}}{{range $.Record.list}}{{end}}{{end}}`:         "does too much",
		"\n{{if hasPrefix \"s3\" .Record.name}}{{add .Record.name 1}}{{end}}": "line 2: only whole numbers",
	} {
		_, err := compile(t, text, connectors.Plain).Render(d)
		if !fault.IsPermanent(err) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("Render of %s = %.300v, want a permanent error with %q and no value", text, err, want)
		}
	}
	tmpl := compile(t, `{"a": {{if eq .Record.name "`+secret[:12]+`"}}{{.Record.name}},{{end}}1}`, connectors.JSON)
	if _, err := tmpl.Render(dataOf(t, `{"name":"`+secret[:12]+`"}`)); !fault.IsPermanent(err) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("Render of what is not JSON = %v, want a permanent error without a value", err)
	}
}

func TestTemplateIsSafeForConcurrentUse(t *testing.T) {
	tmpl := compile(t, `{{range 1000}}{{end}}{{.Lead}}`, connectors.HTML)
	d := hostileData(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if got, err := tmpl.Render(d); err != nil || got != "Client status changed" {
					t.Errorf("Render = %q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

func message(t *testing.T, e events.Event) connectors.Message {
	t.Helper()
	m, err := connectors.NewMessage(e)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func render(t *testing.T, tmpl *connectors.Template, e events.Event) string {
	t.Helper()
	d, err := connectors.NewTemplateData(connectors.Delivery{Events: []events.Event{e}}, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tmpl.Render(d)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
