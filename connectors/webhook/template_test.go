package webhook

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// A body of one's own is signed, repeated and escaped like every other: whatever a
// record holds, it is JSON.
func TestConformanceTemplate(t *testing.T) {
	connectortest.Run(t, suite(map[string]string{"BODY_TEMPLATE": `{"text": "{{.Noun}}: {{.Title}}", "record": {{.Record}}, "all": {{len .Messages}}}`}, func(r connectortest.Received) error {
		var body struct {
			Text string
			All  int
		}
		if err := json.Unmarshal(r.Body, &body); err != nil || body.Text == "" || body.All != 1 {
			return fmt.Errorf("body %.300s: %v", r.Body, err)
		}
		if got := r.Header.Get("Content-Type"); got != "application/json" {
			return fmt.Errorf("content type %s", got)
		}
		return nil
	}))
}

func TestTemplate(t *testing.T) {
	created, updated := connectortest.Samples()[0].Event, connectortest.Samples()[1].Event
	file := filepath.Join(t.TempDir(), "body.tmpl")
	if err := os.WriteFile(file, []byte(`{"from": "{{.Connector}}"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		settings map[string]string
		want     string // type, and the body
	}{
		"json":     {map[string]string{"BODY_TEMPLATE": `{"t":"{{.Title}}"}`}, `application/json {"t":"Smith & Sons <Investigations>"}`},
		"text":     {map[string]string{"BODY_TEMPLATE": `{{.Noun}} {{.Verb}}: {{.Title}}`, "CONTENT_TYPE": "text/plain; charset=utf-8"}, "text/plain; charset=utf-8 Client created: Smith & Sons <Investigations>"},
		"own json": {map[string]string{"BODY_TEMPLATE": `{"t":"{{.Title}}"}`, "CONTENT_TYPE": "application/vnd.chat+json"}, `application/vnd.chat+json {"t":"Smith & Sons <Investigations>"}`},
		"a file":   {map[string]string{"BODY_TEMPLATE_FILE": file}, `application/json {"from": "crm"}`},
		"nothing":  {map[string]string{"BODY_TEMPLATE": `{{define "cases"}}{}{{end}}`, "FORMAT": "binary"}, `application/json {"account":"acme",`},
		"a link":   {map[string]string{"BODY_TEMPLATE": `"{{.Link}}"`}, `application/json "https://acme.example/1042"`},
	} {
		remote := connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 204})
		c.settings["URL"], c.settings["SECRET"] = "http://"+remote.Addr()+path, current
		conn, err := connectortest.New(t, Kind(), c.settings, connectors.Env{Name: "crm", Link: func(e events.Event) string { return "https://acme.example/" + e.Data.ID }})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := deliver(t, conn, created); err != nil {
			t.Errorf("%s: Deliver = %v", name, err)
			continue
		}
		r := remote.Received()[0]
		if got := r.Header.Get("Content-Type") + " " + string(r.Body); got != c.want && (name != "nothing" || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: sent %s, want %s", name, got, c.want)
		}
	}
	conn, remote := start(t, map[string]string{"BODY_TEMPLATE": `[{{range $i, $m := .Messages}}{{if $i}},{{end}}"{{$m.Verb}}"{{end}}]`, "SECRET": current})
	if err := deliver(t, conn, created, updated); err != nil || string(remote.Received()[0].Body) != `["created","updated"]` {
		t.Errorf("two events: %v, %+v", err, remote.Received())
	}
}

// A receiver that wants JSON gets it, or nothing: no repetition mends a template.
func TestTemplateThatMakesNoJSON(t *testing.T) {
	conn, remote := start(t, map[string]string{"BODY_TEMPLATE": `{"t": {{if eq .Title "Broken"}}oops{{else}}1{{end}}}`})
	e := connectortest.Samples()[0].Event
	if err := deliver(t, conn, e); err != nil {
		t.Fatal(err)
	}
	e.Data.Record = json.RawMessage(`{"id":1042,"name":"Broken"}`)
	err := deliver(t, conn, e)
	if !fault.IsPermanent(err) || !strings.Contains(err.Error(), "not JSON") || len(remote.Received()) != 1 {
		t.Errorf("Deliver = %v, want a permanent error that says what is wrong, and nothing sent", err)
	}
}

func TestTemplateSettings(t *testing.T) {
	for _, c := range []struct {
		settings map[string]string
		want     []string
	}{
		{map[string]string{"BODY_TEMPLATE": `{{.Title`}, []string{"BODY_TEMPLATE"}},
		{map[string]string{"BODY_TEMPLATE": `{{.NoSuchThing}}`}, []string{"BODY_TEMPLATE"}},
		{map[string]string{"BODY_TEMPLATE": `hello {{.Title}}`}, []string{"BODY_TEMPLATE"}}, // no JSON
		{map[string]string{"BODY_TEMPLATE": `hello {{.Title}}`, "CONTENT_TYPE": "text/plain"}, nil},
		{map[string]string{"BODY_TEMPLATE": `{}`, "BODY_TEMPLATE_FILE": "/does/not/exist"}, []string{"BODY_TEMPLATE"}},
		{map[string]string{"BODY_TEMPLATE_FILE": "/does/not/exist"}, []string{"BODY_TEMPLATE_FILE"}},
		{map[string]string{"CONTENT_TYPE": "text/plain"}, []string{"CONTENT_TYPE"}},
		{map[string]string{"BODY_TEMPLATE": `{}`, "CONTENT_TYPE": "text plain"}, []string{"CONTENT_TYPE"}},
		{map[string]string{"BODY_TEMPLATE": `{}`, "CONTENT_TYPE": "a/b\r\nX: y"}, []string{"CONTENT_TYPE"}},
	} {
		c.settings["URL"] = "https://hooks.example/x"
		_, err := connectortest.New(t, Kind(), c.settings, connectors.Env{})
		var got []string
		for _, wrong := range connectors.SettingErrors(err) {
			got = append(got, wrong.Setting)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || (err == nil) != (c.want == nil) {
			t.Errorf("%v: %v: wrong settings (-want +got):\n%s", c.settings, err, diff)
		}
	}
}
