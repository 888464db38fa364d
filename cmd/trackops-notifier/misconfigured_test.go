package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// TestMisconfiguredRuns: what the program itself, not only its reader of the
// environment, does with mistakes: it says all of them, and ends at once with 2.
func TestMisconfiguredRuns(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(secretMark), 0o600); err != nil {
		t.Fatal(err)
	}
	hook := "CONNECTOR_CRM_TYPE=webhook"
	for name, test := range map[string]struct {
		environ []string
		says    []string // variables and what they accept
	}{
		"nothing set":            {nil, []string{"TRACKOPS_API_SUBDOMAIN: not set", "TRACKOPS_API_USERNAME: not set", "TRACKOPS_API_TOKEN: not set", "TRACKOPS_API_TOKEN_FILE"}},
		"several mistakes":       {base("TRACKOPS_API_RATE=2", "POLL_COLLECTIONS=kases", "LOG_LEVEL=loud"), []string{"TRACKOPS_API_RATE", "at most 1", "POLL_COLLECTIONS", "nearest is cases", "LOG_LEVEL", "debug"}},
		"misspelt":               {base("TRACKOPS_API_RAET=1"), []string{"TRACKOPS_API_RAET", "accepted: TRACKOPS_API_RATE"}},
		"plain http":             {base("TRACKOPS_API_URL=http://proxy.example.com/" + secretMark), []string{"TRACKOPS_API_URL", "an https address"}},
		"kind nobody knows":      {base("CONNECTOR_CRM_TYPE=pager"), []string{"CONNECTOR_CRM_TYPE", "console, email, slack, webhook"}},
		"address of no endpoint": {base(hook, "CONNECTOR_CRM_URL=ftp://x.example.com/"+secretMark), []string{"CONNECTOR_CRM_URL"}},
		"signing secret":         {base(hook, "CONNECTOR_CRM_URL=https://x.example.com/", "CONNECTOR_CRM_SECRET=whsec_"+secretMark), []string{"CONNECTOR_CRM_SECRET", "24 to 64 random bytes"}},
		"a template of no collection": {base("CONNECTOR_OPS_TYPE=console", "CONNECTOR_OPS_TEMPLATE={{define \"kases.created\"}}new{{end}}{{define \"case_updates\"}}{{template \"row\"}}{{end}}{{define \"row\"}}{{end}}{{define \"system\"}}{{end}}{{define \"*.deleted\"}}{{end}}{{define \"digest\"}}{{end}}"),
			[]string{"CONNECTOR_OPS_TEMPLATE: ", `define "kases.created": there is no collection "kases"`}},
		"events of no collection":     {base(hook, "CONNECTOR_CRM_URL=https://x.example.com/", "CONNECTOR_CRM_EVENTS=kases.*"), []string{"CONNECTOR_CRM_EVENTS"}},
		"expression":                  {base(hook, "CONNECTOR_CRM_URL=https://x.example.com/", "CONNECTOR_CRM_FILTER=acton == 'created'"), []string{"CONNECTOR_CRM_FILTER", "acton"}},
		"mail without an address":     {base("CONNECTOR_CRM_TYPE=email", "CONNECTOR_CRM_SMTP_HOST=mail.example.com", "CONNECTOR_CRM_FROM=nobody", "CONNECTOR_CRM_TO=,"), []string{"CONNECTOR_CRM_FROM", "CONNECTOR_CRM_TO"}},
		"slack without anything":      {base("CONNECTOR_CRM_TYPE=slack"), []string{"CONNECTOR_CRM_WEBHOOK_URL", "CHANNEL"}},
		"retry in words":              {base(hook, "CONNECTOR_CRM_URL=https://x.example.com/", "CONNECTOR_CRM_RETRY=soon"), []string{"CONNECTOR_CRM_RETRY", "5s,5m"}},
		"data folder below a file":    {base("DATA_DIR=" + file + "/data"), []string{"DATA_DIR", "a folder"}},
		"secret's file is missing":    {base("TRACKOPS_API_TOKEN=", "TRACKOPS_API_TOKEN_FILE="+file+".none"), []string{"TRACKOPS_API_TOKEN_FILE", "a readable file"}},
		"NATS open to other machines": {base("NATS_LISTEN=0.0.0.0:4222"), []string{"NATS_LISTEN", "NATS_TOKEN"}},
		"templates": {base("CONNECTOR_CRM_TYPE=slack", "CONNECTOR_CRM_WEBHOOK_URL=https://x.example.com/"+secretMark, "CONNECTOR_CRM_TEMPLATE={{.Title", "CONNECTOR_OPS_TYPE=console", "CONNECTOR_OPS_TEMPLATE_FILE="+file+".none",
			"CONNECTOR_API_TYPE=webhook", "CONNECTOR_API_URL=https://x.example.com/", "CONNECTOR_API_BODY_TEMPLATE={{nope}}", "CONNECTOR_API_TEMPLATE=x"),
			[]string{"CONNECTOR_CRM_TEMPLATE: ", "unclosed action", "CONNECTOR_OPS_TEMPLATE_FILE: cannot be read", "CONNECTOR_API_BODY_TEMPLATE: ", "accepted: CONNECTOR_API_BODY_TEMPLATE"}},
		"every mistake of what is told when": {base(hook, "CONNECTOR_CRM_URL=https://x.example.com/", "CONNECTOR_CRM_FIELDS=name", "CONNECTOR_CRM_OMIT=ssn", "CONNECTOR_CRM_DIGEST=often", "CONNECTOR_CRM_QUIET_HOURS=night",
			"CONNECTOR_CRM_TIMEZONE=Berlin", "CONNECTOR_CRM_URGENT=x(", "CONNECTOR_CRM_FALLBACK=nobody", "CONNECTOR_CRM_FALLBACK_AFTER=soon", "CONNECTOR_CRM_CATCHUP=some"),
			[]string{"CONNECTOR_CRM_FIELDS: ", "CONNECTOR_CRM_OMIT: ", "CONNECTOR_CRM_DIGEST: ", "CONNECTOR_CRM_QUIET_HOURS: ", "CONNECTOR_CRM_TIMEZONE: ", "CONNECTOR_CRM_URGENT: ", "CONNECTOR_CRM_FALLBACK: ", "CONNECTOR_CRM_FALLBACK_AFTER: ", "CONNECTOR_CRM_CATCHUP: "}},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs syncBuffer
			err := run(t.Context(), []string{"run"}, test.environ, &out, &errs)
			if exitCode(err) != exitMisuse {
				t.Fatalf("run = %v (exit %d), want exit %d", err, exitCode(err), exitMisuse)
			}
			text := err.Error() + errs.String()
			for _, want := range test.says {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in:\n%s", want, text)
				}
			}
			for _, never := range []string{secretMark, "goroutine ", ".go:"} {
				if strings.Contains(text, never) {
					t.Errorf("%q in:\n%s", never, text)
				}
			}
			if out.String() != "" {
				t.Errorf("stdout: %s", out.String())
			}
		})
	}
}

// TestDataDirCannotBeMade: the folder passes as a name, and the system refuses it.
func TestDataDirCannotBeMade(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{})
	r.env["DATA_DIR"] = "/dev/null/data"
	for _, command := range []string{"run", "check"} {
		out, _, err := r.command(command)
		if exitCode(err) == exitDone || !strings.Contains(out+err.Error(), "DATA_DIR") {
			t.Errorf("%s = %v, want an error that names DATA_DIR", command, err)
		}
	}
	r.env["DATA_DIR"] = "/proc/data"
	out, _, err := r.command("run")
	if exitCode(err) != exitMisuse || !strings.Contains(err.Error(), "DATA_DIR") || !strings.Contains(err.Error(), "folder") {
		t.Errorf("run in /proc = %v (exit %d) %s, want a misuse that names DATA_DIR", err, exitCode(err), out)
	}
	r.env["DATA_DIR"] = "/sys" // is there, and nobody makes files in it
	out, _, err = r.command("run")
	if exitCode(err) != exitMisuse || !strings.Contains(err.Error(), "DATA_DIR: create state file: open /sys/state.db") || !strings.Contains(err.Error(), "can write to") {
		t.Errorf("run in /sys = %v (exit %d) %s, want a misuse that names DATA_DIR", err, exitCode(err), out)
	}
}
