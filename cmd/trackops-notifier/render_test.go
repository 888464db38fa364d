package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// renderWith runs render on an environment with more variables.
func renderWith(t *testing.T, input string, extra []string, args ...string) (string, error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := program{environ: base(extra...), stdin: strings.NewReader(input), stdout: &stdout, stderr: &stderr}
	err := p.execute(t.Context(), renderCommand(), args)
	noSecrets(t, stdout.String()+stderr.String(), secretMark)
	return stdout.String(), err
}

// screen declares a console connector.
func screen(settings ...string) []string {
	all := []string{"CONNECTOR_SCREEN_TYPE=console", "TRACKOPS_RECORD_URL=https://{subdomain}.viewcases.com/{collection}/{id}"}
	for _, s := range settings {
		all = append(all, "CONNECTOR_SCREEN_"+s)
	}
	return all
}

func sampleJSON(t *testing.T, e events.Event) string {
	t.Helper()
	enc, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(enc.Body)
}

func TestRenderMadeUpEvents(t *testing.T) {
	t.Parallel()
	out, err := renderWith(t, "", screen("EVENTS=*.*,system.*"), "screen")
	if err != nil {
		t.Fatal(err)
	}
	if n, want := strings.Count(out, "── "), 16*4+len(events.SystemActions()); n != want {
		t.Errorf("%d events are rendered, want %d: each collection and action", n, want)
	}
	for _, want := range []string{"── invoices.updated, record 4003 ──\n💰 Invoice paid  INV-4003", "── case_contacts.deleted", "https://acme.viewcases.com/clients/1003\n", "Made up: dead lettered."} {
		if !strings.Contains(out, want) {
			t.Errorf("render lacks %q:\n%.3000s", want, out)
		}
	}
	if strings.Contains(out, "not sent") || strings.Contains(out, "files.example.com") {
		t.Errorf("render holds back what is wanted, or shows what never is an event's:\n%.3000s", out)
	}
	own := append(screen("EVENTS=notes.updated"), "COLLECTION_NOTES_PATH=notes", "COLLECTION_NOTES_UPDATED=updated_from")
	if out, err = renderWith(t, "", own, "screen"); err != nil || !strings.HasPrefix(out, "✏️ Note status changed  Example, new → open\n") {
		t.Errorf("render of an added collection = %s, %v", out, err)
	}
}

func TestRenderAnEvent(t *testing.T) {
	t.Parallel()
	created, updated := connectortest.Samples()[0].Event, connectortest.Samples()[1].Event
	one, both := sampleJSON(t, created), sampleJSON(t, created)+"\n"+sampleJSON(t, updated)+"\n"
	file := filepath.Join(t.TempDir(), "event.json")
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(one), "", "  "); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, indented.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		settings []string
		input    string
		event    string
		want     string
	}{
		"file":     {[]string{"TEMPLATE={{.Lead}} {{.Link}} {{.Connector}}"}, "", file, "New client https://acme.viewcases.com/clients/1042 screen\n"},
		"input":    {[]string{"TEMPLATE={{.Lead}}"}, both, "-", "── clients.created, record 1042 ──\nNew client\n── clients.updated, record 1042 ──\nClient updated\n"},
		"events":   {[]string{"EVENTS=clients.updated"}, one, "-", "not sent: CONNECTOR_SCREEN_EVENTS is clients.updated\n"},
		"filter":   {[]string{`FILTER=data.record.credit_limit > 20000`}, one, "-", "not sent: CONNECTOR_SCREEN_FILTER is false of it\n  false: data.record.credit_limit > 20000, where data.record.credit_limit = 12500.5\n"},
		"redacted": {[]string{"TEMPLATE={{.Record}}", "FIELDS=/name,/Salesperson/name"}, one, "-", `{"Salesperson":{"name":"Spade, Sam"},"name":"Smith & Sons <Investigations>"}` + "\n"},
		"nothing left": {[]string{"FIELDS=/notes"}, sampleJSON(t, updated), "-",
			"not sent: what it may be given (CONNECTOR_SCREEN_FIELDS, CONNECTOR_SCREEN_OMIT) leaves out everything that changed\n"},
	} {
		got, err := renderWith(t, c.input, screen(c.settings...), "screen", "--event", c.event)
		if err != nil || got != c.want {
			t.Errorf("%s: render = %q, %v, want %q", name, got, err, c.want)
		}
	}
}

func TestRenderMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		input string
		extra []string
		args  []string
		want  string
	}{
		"no connector":  {"", nil, []string{"nobody"}, "there is no connector"},
		"no file":       {"", nil, []string{"screen", "--event", filepath.Join(dir, "none.json")}, "--event"},
		"a folder":      {"", nil, []string{"screen", "--event", dir}, "--event"},
		"nothing":       {"", nil, []string{"screen", "--event", "-"}, "event 1 is no JSON"},
		"no JSON":       {sampleJSON(t, connectortest.Samples()[0].Event) + "\nx", nil, []string{"screen", "--event", "-"}, "event 2 is no JSON"},
		"another event": {`{"specversion":"1.0","id":"x"}`, nil, []string{"screen", "--event", "-"}, "not an event of ours"},
		"bad template":  {"", []string{"CONNECTOR_SCREEN_TEMPLATE=\n{{.Nope}}"}, []string{"screen"}, "CONNECTOR_SCREEN_TEMPLATE: line 2: there is no .Nope"},
	} {
		out, err := renderWith(t, c.input, append(screen(), c.extra...), c.args...)
		if exitCode(err) != exitMisuse || !strings.Contains(err.Error(), c.want) || out != "" {
			t.Errorf("%s: render = %q, %v, want a mistake with %q", name, out, err, c.want)
		}
	}
	if _, err := renderWith(t, "", append(screen(), "NATS_LISTEN="+freeAddress(t)), "screen", "--event", "acme_clients_1_1_k7q2"); exitCode(err) != exitFailed || !strings.Contains(err.Error(), "there is no file") {
		t.Errorf("render of an id without a notifier = %v", err)
	}
	_, err := renderWith(t, sampleJSON(t, connectortest.Samples()[0].Event), screen("TEMPLATE={{if .Record.account_code}}{{if ne .Record.account_code nil}}{{add .Title 1}}{{end}}{{end}}"), "screen", "--event", "-")
	if exitCode(err) != exitFailed || !strings.Contains(err.Error(), "only whole numbers can be added") {
		t.Errorf("render of what the template cannot render = %v", err)
	}
}

// What cannot be rendered keeps nothing else from being shown.
func TestRenderSomeOfSeveral(t *testing.T) {
	t.Parallel()
	all := connectortest.Samples()
	bad := all[0].Event // a client with an account code
	good := all[slices.IndexFunc(all, func(s connectortest.Sample) bool { return s.Name == "case-created" })].Event
	template := "TEMPLATE={{if .Record.account_code}}{{if ne .Record.account_code nil}}{{add .Title 1}}{{end}}{{end}}{{.Lead}}"
	out, err := renderWith(t, sampleJSON(t, bad)+sampleJSON(t, good)+sampleJSON(t, bad), screen(template), "screen", "--event", "-")
	const failed = "── clients.created, record 1042 ──\ncannot be rendered: see the error\n"
	if want := failed + "── cases.created, record " + good.Subject + " ──\nNew case\n" + failed; out != want {
		t.Errorf("render = %q, want %q", out, want)
	}
	if exitCode(err) != exitFailed || strings.Count(err.Error(), "event "+bad.ID+": ") != 2 {
		t.Errorf("render = %v (exit %d), want the error of both that fail", err, exitCode(err))
	}
}

// Every kind shows what it would send.
func TestRenderEveryKind(t *testing.T) {
	t.Parallel()
	extra := []string{
		"CONNECTOR_CHAT_TYPE=slack", "CONNECTOR_CHAT_WEBHOOK_URL=https://hooks.slack.com/services/" + secretMark,
		"CONNECTOR_MAIL_TYPE=email", "CONNECTOR_MAIL_SMTP_HOST=mail.example", "CONNECTOR_MAIL_SMTP_PASSWORD=" + secretMark, "CONNECTOR_MAIL_SMTP_USERNAME=u", "CONNECTOR_MAIL_FROM=a@b.example", "CONNECTOR_MAIL_TO=c@d.example",
		"CONNECTOR_HOOK_TYPE=webhook", "CONNECTOR_HOOK_URL=https://hook.example/" + secretMark, "CONNECTOR_HOOK_BEARER_TOKEN=" + secretMark,
		"CONNECTOR_SCREEN_TYPE=console",
	}
	for _, name := range []string{"chat", "mail", "hook", "screen"} {
		got, err := renderWith(t, sampleJSON(t, connectortest.Samples()[0].Event), extra, name, "--event", "-")
		if err != nil || !strings.Contains(got, "Smith") {
			t.Errorf("render %s = %s, %v, want the event", name, got, err)
		}
	}
}

func TestRenderAnEventOfTheStream(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 1}})
	hook := newReceiver(t, func(int) int { return http.StatusOK })
	r.connect("HOOK", hook.URL)
	r.env["CONNECTOR_SCREEN_TYPE"], r.env["CONNECTOR_SCREEN_TEMPLATE"] = "console", "{{.Headline}}"
	r.start()
	r.awaitReady(15 * time.Second)
	id, err := r.account.Create("clients", map[string]any{"name": "Acme Ltd"})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the new client arrives", 10*time.Second, func() bool { return find(hook.events(), id, events.Created) != nil })
	out, _, err := r.command("render", "screen", "--event", find(hook.events(), id, events.Created).ID)
	if err != nil || out != "New client: Acme Ltd\n" {
		t.Errorf("render = %q, %v", out, err)
	}
	if _, _, err := r.command("render", "screen", "--event", "acme_clients_0_1_none"); err == nil || !strings.Contains(err.Error(), "there is no event") {
		t.Errorf("render of no event = %v", err)
	}
}
