package connectors_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// safeTemplates hold no character of their own that data could be mistaken for.
func safeTemplates(t testing.TB) map[connectors.Medium]*connectors.Template {
	out := make(map[connectors.Medium]*connectors.Template)
	for medium, text := range map[connectors.Medium]string{
		connectors.Plain:  `{{.Headline}} {{.Summary}} {{.Record.name}} {{.Record}} {{range .Changes}}{{.Label}}: {{.From}} {{.To}}{{end}} {{range .Facts}}{{.Label}} {{.Value}}{{end}} {{bold .Title}} {{.Note}}`,
		connectors.Mrkdwn: `{{.Headline}} {{.Summary}} {{.Record.name}} {{.Record}} {{range .Changes}}{{.Label}}: {{.From}} {{.To}}{{end}} {{range .Facts}}{{.Label}} {{.Value}}{{end}} {{bold .Title}} {{code .Record.notes}} {{json .Data}} {{upper .Title | truncate 20}} {{printf "%q" .Title}}`,
		connectors.HTML:   `<p title="{{.Title}}">{{.Headline}} {{.Record.name}} {{.Record}} {{range .Changes}}{{.Label}}: {{.From}} {{.To}}{{end}} {{bold .Title}} {{json .Data}}</p>`,
		connectors.JSON: `{"t": "{{.Headline}} {{.Record}} {{bold .Title}}", "n": {{.Record.name}}, "d": {{.Data}}, {{range .Changes}}"c": {{.To}}, "{{.Label}}": [{{json .From}}, "{{.Path}}"],{{end}}
			"f": [{{range $i, $f := .Facts}}{{if $i}},{{end}}{"{{.Label}}": {{.Value}}, "m": {{$f}}}{{end}}], "l": "{{link .Record.name .Title}}"}`,
		connectors.MrkdwnJSON: `[{"t": "{{.Headline}} {{.Record}} {{bold .Title}}", "n": {{.Record.name}}, "d": {{.Data}}, "u": "{{url .Record.name}}", "f": {{.Facts}}, "s": {{.Summary}}}]`,
	} {
		tmpl, err := connectors.CompileTemplate(text, medium)
		if err != nil {
			t.Fatal(err)
		}
		out[medium] = tmpl
	}
	return out
}

// checkSafe renders e in every medium and finds what data must not do there.
func checkSafe(t *testing.T, all map[connectors.Medium]*connectors.Template, e events.Event) {
	t.Helper()
	d, err := connectors.NewTemplateData(connectors.Delivery{Events: []events.Event{e}}, "x", nil)
	if err != nil {
		if !fault.IsPermanent(err) {
			t.Errorf("NewTemplateData = %v, want a permanent error", err)
		}
		return
	}
	for medium, tmpl := range all {
		got, err := tmpl.Render(d)
		if err != nil {
			if !fault.IsPermanent(err) || !strings.Contains(err.Error(), "longer than") {
				t.Errorf("medium %d: Render = %.300v", medium, err)
			}
			continue
		}
		shown := got
		if medium == connectors.MrkdwnJSON {
			shown = withoutAddress(t, got)
		}
		plain := strings.NewReplacer("&amp;", "", "&lt;", "", "&gt;", "").Replace(shown)
		switch medium {
		case connectors.Mrkdwn:
			if strings.ContainsAny(plain, "<>&") {
				t.Errorf("data are not escaped for Slack: %.300q", got)
			}
		case connectors.HTML:
			if n := strings.Count(got, "<"); n != 2 && n != 4 { // b stands only around what there is
				t.Errorf("data add %d tags: %.300q", n-4, got)
			}
		case connectors.JSON, connectors.MrkdwnJSON:
			if !json.Valid([]byte(got)) || medium == connectors.MrkdwnJSON && strings.ContainsAny(plain, "<>&") {
				t.Errorf("medium %d: no JSON, or not escaped: %.300q", medium, got)
			}
		}
		for _, r := range got {
			if medium != connectors.JSON && medium != connectors.MrkdwnJSON && (unicode.IsControl(r) && r != '\n' && r != '\t' || r >= '\u202a' && r <= '\u202e') {
				t.Errorf("medium %d lets %U through: %.300q", medium, r, got)
				break
			}
		}
		if !utf8.ValidString(got) {
			t.Errorf("medium %d: not UTF-8: %.300q", medium, got)
		}
	}
}

// withoutAddress takes the value of "u" out of blocks: Slack does not read it as text,
// and an address may have ampersands.
func withoutAddress(t *testing.T, blocks string) string {
	t.Helper()
	var fields []map[string]json.RawMessage
	if err := json.Unmarshal([]byte(blocks), &fields); err != nil || len(fields) != 1 {
		t.Errorf("%.300q are no blocks: %v", blocks, err)
		return blocks
	}
	address := string(fields[0]["u"])
	if strings.ContainsAny(address, "<>") {
		t.Errorf("the address %q can end a link", address)
	}
	return strings.Replace(blocks, `"u": `+address, "", 1)
}

func TestTemplatesOfHostileEvents(t *testing.T) {
	all := safeTemplates(t)
	for _, sample := range append(connectortest.Hostile(), connectortest.Samples()...) {
		t.Run(sample.Name, func(t *testing.T) { checkSafe(t, all, sample.Event) })
	}
}

func FuzzTemplateData(f *testing.F) {
	f.Add("<!channel>", "\r\n", `{"a":"<x>"}`)
	f.Add("\u202e👩🏽‍💻", "\xff\x00", `"\ud800"`)
	f.Add("https://x.example/<b>|\"", "*a*b_`", `1e999`)
	f.Add("https://x.example/?a=1&b=<2>", "a", "1")
	all := safeTemplates(f)
	f.Fuzz(func(t *testing.T, name, key, raw string) {
		record, err := json.Marshal(map[string]any{"name": name, key: name, "notes": key})
		if err != nil {
			t.Fatal(err)
		}
		e := events.Event{Data: events.Data{Account: "acme", Collection: "clients", Action: events.Updated, ID: key, Record: record,
			Changes: []events.Change{{Path: "/" + key, From: record}, {Path: key, To: json.RawMessage(raw)}}}}
		checkSafe(t, all, e)
		e.Data.Action, e.Data.Record = events.Created, json.RawMessage(raw)
		checkSafe(t, all, e)
	})
}

// Whatever a template says, it ends, does not panic, and makes JSON where it has to.
func FuzzTemplateText(f *testing.F) {
	for _, text := range []string{
		`{"a": {{.Title}}, "b": "{{.Record.name}}"}`, `{{range $i, $c := .Changes}}{{if $i}},{{else if 1}}{{break}}{{end}}{{$c.Label | printf "%-5s"}}{{end}}`,
		`{{define "clients.updated"}}[{{.Change "/status"}}]{{end}}{{template "clients.updated" .}}`, `{{with $x := .Record}}{{index $x "name" | json}}{{else}}{{.Digest.From}}{{end}}`,
		`<a href="{{.Link}}" onclick="f({{.Record}})">{{slice .Title 1 2}}</a>`, `{{range 10}}{{range 99999}}{{end}}{{continue}}{{end}}{{(.Record).Client.name}}{{nil}}`,
		`{{block "digest" .Messages}}{{range .}}{{.Line | truncate 9}}{{end}}{{end}}{{- /* x */ -}}{{true}}{{1.5}}{{'x'}}{{"\u003c"}}`,
		`{{.Event.Encode}}{{.Event.Time.Format "2006"}}{{call .Event.Stamp}}{{(.Change "/x").To}}{{and 1 .Title | or 0}}{{not .}}{{len .}}{{.}}{{money 1 2}}`,
	} {
		for medium := range 5 {
			f.Add(text, medium, `"<!channel>\""`)
		}
	}
	f.Fuzz(func(t *testing.T, text string, medium int, value string) {
		m := connectors.Medium(uint(medium) % 5)
		tmpl, err := connectors.CompileTemplate(text, m)
		if err != nil {
			return
		}
		e := events.Event{Data: events.Data{Account: "acme", Collection: "clients", Action: events.Updated, ID: "1",
			Record: json.RawMessage(`{"name":` + value + `}`), Changes: []events.Change{{Path: "/status", To: json.RawMessage(value)}}}}
		d, err := connectors.NewTemplateData(connectors.Delivery{Events: []events.Event{e, e}, Digest: &connectors.Digest{}}, "x", nil)
		if err != nil {
			return
		}
		got, err := tmpl.Render(d)
		switch {
		case err != nil && !fault.IsPermanent(err):
			t.Errorf("Render = %v, want a permanent error", err)
		case err == nil && len(got) > 1<<20:
			t.Errorf("Render = %d bytes", len(got))
		case err == nil && (m == connectors.JSON || m == connectors.MrkdwnJSON) && strings.TrimSpace(got) != "" && !json.Valid([]byte(got)):
			t.Errorf("Render = %q, no JSON", got)
		}
	})
}
