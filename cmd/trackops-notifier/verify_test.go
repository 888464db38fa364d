package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/connectors/webhook"
	"github.com/trackops-notifier/trackops-notifier/events"
)

const (
	currentSecret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	previousSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// saved returns a real delivery of our webhook, byte by byte as nc would save it.
func saved(t *testing.T, settings map[string]string, all ...events.Event) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw := make(chan string, 1)
	go func() {
		defer close(raw)
		conn, err := l.Accept()
		if err != nil {
			return // the test has ended
		}
		defer conn.Close()
		var save bytes.Buffer
		req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(conn, &save)))
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			t.Error(err)
		}
		raw <- save.String()
		if _, err := io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
			t.Error(err)
		}
	}()
	settings["URL"] = "http://" + l.Addr().String() + "/hook"
	c, err := connectortest.New(t, webhook.Kind(), settings, connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Deliver(t.Context(), connectors.Delivery{ID: all[0].ID, Events: all, Attempt: 1}); err != nil {
		t.Fatal(err)
	}
	return <-raw
}

// verifyInput runs the command with input on standard input.
func verifyInput(t *testing.T, input string, environ []string, args ...string) (out string, code int, text string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := program{environ: environ, stdin: strings.NewReader(input), stdout: &stdout, stderr: &stderr}
	err := p.execute(t.Context(), verifyCommand(), args)
	if err != nil {
		text = err.Error()
	}
	for _, secret := range []string{currentSecret, previousSecret} {
		if strings.Contains(stdout.String()+stderr.String()+text, strings.TrimPrefix(secret, "whsec_")) {
			t.Errorf("a secret is shown: %s%s%s", &stdout, &stderr, text)
		}
	}
	if strings.ContainsAny(stdout.String(), "\x1b\r") {
		t.Errorf("control characters are shown: %q", &stdout)
	}
	return stdout.String(), exitCode(err), text
}

func sampleEvents() []events.Event {
	var all []events.Event
	for _, s := range connectortest.Samples() {
		all = append(all, s.Event)
	}
	return all
}

func TestVerifyADelivery(t *testing.T) {
	all := sampleEvents()
	both := currentSecret + "," + previousSecret
	for name, c := range map[string]struct {
		settings map[string]string
		events   []events.Event
		args     []string
		says     []string
	}{
		"structured": {map[string]string{"SECRET": both}, all[:1], []string{"--secret", currentSecret},
			[]string{"secret 1 of --secret", all[0].ID, all[0].Type + " " + all[0].ID, " ago)"}},
		"binary":               {map[string]string{"SECRET": both, "FORMAT": "binary"}, all[:1], []string{"--secret", currentSecret}, []string{all[0].Type + " " + all[0].ID}},
		"batch":                {map[string]string{"SECRET": both}, all[:2], []string{"--secret", currentSecret}, []string{all[0].Type + " " + all[0].ID, all[1].Type + " " + all[1].ID}},
		"with the old secret":  {map[string]string{"SECRET": both}, all[:1], []string{"--secret", previousSecret}, []string{"secret 1 of --secret"}},
		"after a rotation":     {map[string]string{"SECRET": previousSecret}, all[:1], []string{"--secret", currentSecret, "--secret", previousSecret}, []string{"secret 2 of --secret"}},
		"secrets with a comma": {map[string]string{"SECRET": previousSecret}, all[:1], []string{"--secret", both}, []string{"secret 2 of --secret"}},
	} {
		out, code, text := verifyInput(t, saved(t, c.settings, c.events...), nil, c.args...)
		if code != exitDone || !strings.HasPrefix(out, "the signature holds\n") {
			t.Errorf("%s: exit %d %s\n%s", name, code, text, out)
		}
		for _, want := range c.says {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", name, want, out)
			}
		}
	}
}

// chunked is request with its body in chunks of at most seven bytes.
func chunked(request string) string {
	head, body, _ := strings.Cut(request, "\r\n\r\n")
	var b strings.Builder
	for _, line := range strings.Split(head, "\r\n") {
		if !strings.HasPrefix(line, "Content-Length") {
			b.WriteString(line + "\r\n")
		}
	}
	b.WriteString("transfer-encoding: chunked\r\n\r\n")
	for len(body) > 0 {
		n := min(7, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.String() + "0\r\n\r\n"
}

// withBody is request with what change makes of its body, and no Content-Length.
func withBody(request string, change func(string) string) string {
	head, body, _ := strings.Cut(request, "\r\n\r\n")
	var lines []string
	for _, line := range strings.Split(head, "\r\n") {
		if !strings.HasPrefix(line, "Content-Length") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + change(body)
}

// without is request without the header with this name.
func without(request, name string) string {
	head, body, _ := strings.Cut(request, "\r\n\r\n")
	var lines []string
	for _, line := range strings.Split(head, "\r\n") {
		if !strings.HasPrefix(strings.ToLower(line), name+":") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

// header is request with another value of a header.
func header(request, name, value string) string {
	return strings.Replace(without(request, name), "\r\n", "\r\n"+name+": "+value+"\r\n", 1)
}

// parsed is what a program makes of JSON that reads and writes it with an indent,
// in the order of the alphabet.
func parsed(t *testing.T, indent string) func(string) string {
	return func(body string) string {
		decoder := json.NewDecoder(strings.NewReader(body))
		decoder.UseNumber()
		var v any
		if err := decoder.Decode(&v); err != nil {
			t.Fatal(err)
		}
		out, err := json.MarshalIndent(v, "", indent)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
}

func spaced(body string) string {
	return strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(body)
}

func TestVerifySavedInManyWays(t *testing.T) {
	e := sampleEvents()[1]
	e.Data.Changes, e.Data.Record = e.Data.Changes[:2], json.RawMessage(`{"id":1042,"name":"Café <Dupont>"}`)
	request := saved(t, map[string]string{"SECRET": currentSecret}, e)
	id, timestamp := e.ID, time.Now().Unix()
	const bad = "the signature does not hold: "
	for name, c := range map[string]struct {
		request string
		code    int
		says    []string
	}{
		"as it came":                 {request, 0, []string{"the signature holds\n"}},
		"line ends of Unix":          {strings.Replace(request, strings.SplitAfter(request, "\r\n\r\n")[0], strings.ReplaceAll(strings.SplitAfter(request, "\r\n\r\n")[0], "\r\n", "\n"), 1), 0, nil},
		"without a request line":     {request[strings.Index(request, "\r\n")+2:], 0, nil},
		"names in capitals":          {strings.ReplaceAll(request, "Webhook-", "WEBHOOK-"), 0, nil},
		"in chunks":                  {chunked(request), 0, nil},
		"no longer in chunks":        {header(request, "transfer-encoding", "chunked"), 0, nil},
		"the file ends in a newline": {request + "\n", 0, nil},
		"without a length":           {withBody(request, func(b string) string { return b }), 0, nil},

		"no signature":        {without(request, "webhook-signature"), 1, []string{bad + "the request has no header webhook-signature"}},
		"nothing of ours":     {"Host: x\n\n{}", 1, []string{bad + "the request has no header webhook-id, webhook-signature, webhook-timestamp"}},
		"signature cut off":   {header(request, "webhook-signature", "v1,g0hM9SsE"), 1, []string{bad + "webhook-signature is malformed"}},
		"of another version":  {header(request, "webhook-signature", "v1a,AAAA"), 1, []string{bad + "webhook-signature holds no signature of version 1"}},
		"time in letters":     {header(request, "webhook-timestamp", "2026-11-23T09:30:00Z"), 1, []string{bad + "webhook-timestamp is not in Unix seconds"}},
		"another id":          {header(request, "webhook-id", id+"x"), 1, []string{bad + "no secret given", "id, timestamp or body were changed"}},
		"another time":        {header(request, "webhook-timestamp", fmt.Sprint(timestamp+60)), 1, []string{bad + "no secret given"}},
		"control characters":  {header(request, "webhook-id", "\x1b[2J"), 1, []string{bad + "no secret given", `\u001b[2J`}},
		"a value changed":     {strings.Replace(request, "Dupont", "Durand", 1), 1, []string{bad + "no secret given", "the secret is another one"}},
		"cut off":             {request[:len(request)-9], 1, []string{bad + "no secret given", "was cut off"}},
		"a newline more":      {withBody(request, func(b string) string { return b + "\n" }), 1, []string{bad, "got a newline at its end", "secret 1 of --secret"}},
		"with spaces":         {withBody(request, spaced), 1, []string{bad, "parsed as JSON and written again", "secret 1 of --secret"}},
		"escaped":             {withBody(request, func(b string) string { return strings.ReplaceAll(b, "é", `\u00e9`) }), 1, []string{bad, "parsed as JSON", "secret 1 of --secret"}},
		"escaped for HTML":    {withBody(request, func(b string) string { return strings.ReplaceAll(b, "<", `\u003c`) }), 1, []string{bad, "parsed as JSON", "secret 1 of --secret"}},
		"sorted and indented": {withBody(request, parsed(t, "  ")), 1, []string{bad, "parsed as JSON", "secret 1 of --secret"}},
		"changed and indented": {withBody(strings.Replace(request, "Dupont", "Durand", 1), parsed(t, "  ")), 1,
			[]string{bad, "white space that the notifier does not write"}},

		"nothing":      {"", 2, []string{"no HTTP request: it ends before an empty line"}},
		"only a head":  {"Host: x\n", 2, []string{"it ends before an empty line"}},
		"only a body":  {`{"specversion":"1.0"}` + "\n\n", 2, []string{"line 1 is no header"}},
		"another text": {"GET / HTTP/1.1\nwhat is this\n\n", 2, []string{"line 2 is no header"}},
	} {
		out, code, text := verifyInput(t, c.request, nil, "--secret", currentSecret)
		if code != c.code {
			t.Errorf("%s: exit %d, want %d: %s\n%s", name, code, c.code, text, out)
		}
		for _, want := range c.says {
			if !strings.Contains(out+text, want) {
				t.Errorf("%s: no %q in\n%s%s", name, want, out, text)
			}
		}
	}
}

// A body of a template may end in a newline, and receivers trim what they save.
func TestVerifyABodyThatLostItsNewline(t *testing.T) {
	key, err := webhook.Keys(currentSecret)
	if err != nil {
		t.Fatal(err)
	}
	stamp := fmt.Sprint(time.Now().Unix())
	for _, c := range []struct{ sent, got, hint string }{
		{"a\n", "a", "lost the newline"}, {"a\r\n", "a", "lost the newline"}, {"a\r\nb", "a\nb", "line ends"}, {"a\nb", "a\r\nb", "line ends"},
	} {
		request := fmt.Sprintf("webhook-id: x\nwebhook-timestamp: %s\nwebhook-signature: v1,%s\n\n%s", stamp,
			base64.StdEncoding.EncodeToString(webhook.Signature(key[0], "x", stamp, []byte(c.sent))), c.got)
		out, code, text := verifyInput(t, request, nil, "--secret", currentSecret)
		if code != exitFailed || !strings.Contains(out, c.hint) {
			t.Errorf("%q that was %q: exit %d %s, want the hint %q in\n%s", c.got, c.sent, code, text, c.hint, out)
		}
	}
}

// The time is told apart from the signature.
func TestVerifyTheTime(t *testing.T) {
	request := saved(t, map[string]string{"SECRET": currentSecret}, sampleEvents()[0])
	at := time.Now()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--now", at.Add(4 * time.Minute).Format(time.RFC3339)}, 0, "the signature holds\n"},
		{[]string{"--now", fmt.Sprint(at.Add(6 * time.Minute).Unix())}, 1, "the signature holds, but the time does not\n"},
		{[]string{"--now", fmt.Sprint(at.Add(-4 * time.Minute).Unix())}, 0, "the signature holds\n"},
		{[]string{"--now", fmt.Sprint(at.Add(-6 * time.Minute).Unix())}, 1, "is one of the clocks wrong?"},
		{[]string{"--now", fmt.Sprint(at.Add(time.Hour).Unix()), "--tolerance", "2h"}, 0, "the signature holds\n"},
		{[]string{"--now", fmt.Sprint(at.Add(10 * time.Second).Unix()), "--tolerance", "0"}, 1, "old, more than 0s"},
		{[]string{"--now", "soon"}, 2, "--now"},
		{[]string{"--tolerance", "-1s"}, 2, "--tolerance"},
	} {
		out, code, text := verifyInput(t, request, nil, append(c.args, "--secret", currentSecret)...)
		if code != c.code || !strings.Contains(out+text, c.says) {
			t.Errorf("%v: exit %d, want %d and %q in\n%s%s", c.args, code, c.code, c.says, out, text)
		}
	}
	old := header(request, "webhook-signature", "v1,"+strings.Repeat("A", 43)+"=")
	if out, code, _ := verifyInput(t, old, nil, "--now", "0", "--secret", currentSecret); code != exitFailed || !strings.Contains(out, "no secret given") || !strings.Contains(out, "clocks") {
		t.Errorf("both wrong: exit %d\n%s", code, out)
	}
}

// A signature does not make up for a time that no clock shows, however far away.
func TestVerifyATimeOutOfReach(t *testing.T) {
	keys, err := webhook.Keys(currentSecret)
	if err != nil {
		t.Fatal(err)
	}
	for timestamp, says := range map[string]string{
		"99999999999":          "from over 290 years ahead",
		"9999999999":           "h",
		"-9999999999":          "over 290 years old",
		"9223372036854775807":  "years",
		"-9223372036854775808": "years",
	} {
		signature := base64.StdEncoding.EncodeToString(webhook.Signature(keys[0], "m", timestamp, []byte("{}")))
		request := "webhook-id: m\nwebhook-timestamp: " + timestamp + "\nwebhook-signature: v1," + signature + "\n\n{}"
		out, code, text := verifyInput(t, request, nil, "--secret", currentSecret)
		if code != exitFailed || !strings.HasPrefix(out, "the signature holds, but the time does not\n") || !strings.Contains(out, says) || strings.Contains(out, "in -") {
			t.Errorf("timestamp %s: exit %d %s, want %d and %q in\n%s", timestamp, code, text, exitFailed, says, out)
		}
	}
}

func TestVerifyFindsTheSecret(t *testing.T) {
	request := saved(t, map[string]string{"SECRET": previousSecret}, sampleEvents()[0])
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	input := write("request", request)
	secrets := write("secrets", currentSecret+"\n"+previousSecret+"\n")
	one := write("one", previousSecret)
	hook := []string{"CONNECTOR_THE_CRM_TYPE=webhook"}
	for name, c := range map[string]struct {
		environ []string
		args    []string
		code    int
		says    string
	}{
		"from a file":                 {nil, []string{"--secret-file", secrets, input}, 0, "secret 2 of --secret-file"},
		"of a connector":              {append(hook, "CONNECTOR_THE_CRM_SECRET="+currentSecret+","+previousSecret), []string{input, "--connector", "the-crm"}, 0, "secret 2 of CONNECTOR_THE_CRM_SECRET"},
		"of a connector, from a file": {append(hook, "CONNECTOR_THE_CRM_SECRET_FILE="+one), []string{"--connector", "the-crm", input}, 0, "secret 1 of CONNECTOR_THE_CRM_SECRET"},
		"everywhere":                  {append(hook, "CONNECTOR_THE_CRM_SECRET="+currentSecret), []string{"--connector", "the-crm", "--secret-file", one, input}, 0, "secret 1 of --secret-file"},
		"standard input":              {nil, []string{"--secret", previousSecret, "-"}, 0, "the signature holds"},
		"another one":                 {nil, []string{"--secret", currentSecret, input}, 1, "no secret given"},

		"none":                          {nil, []string{input}, 2, "a secret is missing"},
		"of no connector":               {nil, []string{"--connector", "the-crm", input}, 2, "CONNECTOR_THE_CRM_TYPE is not set"},
		"of a connector that signs not": {[]string{"CONNECTOR_THE_CRM_TYPE=slack"}, []string{"--connector", "the-crm", input}, 2, "only a webhook signs"},
		"of a connector without":        {hook, []string{"--connector", "the-crm", input}, 2, "CONNECTOR_THE_CRM_SECRET is not set"},
		"of a connector, twice":         {append(hook, "CONNECTOR_THE_CRM_SECRET=x", "CONNECTOR_THE_CRM_SECRET_FILE="+one), []string{"--connector", "the-crm", input}, 2, "one of the two"},
		"a file that is not there":      {nil, []string{"--secret-file", dir + "/none", input}, 2, "--secret-file"},
		"too short":                     {nil, []string{"--secret", "whsec_c2hvcnQ=", input}, 2, "number 1 has 5 bytes"},
		"no request there":              {nil, []string{"--secret", currentSecret, dir + "/none"}, 2, "no such file"},
		"two requests":                  {nil, []string{"--secret", currentSecret, input, input}, 2, "usage"},
	} {
		out, code, text := verifyInput(t, request, c.environ, c.args...)
		if code != c.code || !strings.Contains(out+text, c.says) {
			t.Errorf("%s: exit %d, want %d and %q in\n%s%s", name, code, c.code, c.says, out, text)
		}
	}
}

// Whatever is read, it ends in a verdict, and prints visible text only.
func FuzzVerify(f *testing.F) {
	f.Add("POST / HTTP/1.1\r\nwebhook-id: x\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,AAAA\r\nContent-Length: 2\r\n\r\n{}")
	f.Add("webhook-id: x\r\nContent-Length: -2\r\n\r\n\r{}")
	f.Add("webhook-id: \x1b\ntransfer-encoding: chunked\n\n2\r\n{}\r\n0\r\n\r\n")
	f.Add("webhook-id: x\nwebhook-timestamp: -9223372036854775808\nwebhook-signature: v1," + strings.Repeat("A", 43) + "=\n\n[{\"type\":\"a\",\"id\":\"\\u001b\"}]")
	f.Fuzz(func(t *testing.T, input string) {
		out, code, text := verifyInput(t, input, nil, "--secret", currentSecret)
		if code == exitDone {
			t.Errorf("%q is signed by nobody, and passes:\n%s", input, out)
		}
		if connectors.Visible(out) != out && code == exitFailed {
			t.Errorf("%q prints %q %s", input, out, text)
		}
	})
}
