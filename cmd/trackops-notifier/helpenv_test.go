package main

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "rewrite the table of variables in README.md")

const readme = "../../README.md"

// README's table of variables is what the structs say. `go test -run README
// ./cmd/trackops-notifier -update` rewrites it.
func TestTableInREADME(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- env:begin -->\n", "<!-- env:end -->"
	content, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, hasBegin := strings.Cut(string(content), begin)
	got, after, hasEnd := strings.Cut(rest, end)
	if !hasBegin || !hasEnd {
		t.Fatalf("README.md lacks %q or %q", begin, end)
	}
	table, err := envTable(kinds())
	if err != nil {
		t.Fatal(err)
	}
	want := "\n" + table + "\n"
	if got == want {
		return
	}
	if !*update {
		t.Fatal("the table in README.md is not what the structs say: run this test with -update")
	}
	if err := os.WriteFile(readme, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEnvHelp(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := writeEnvHelp(&b, fakeKinds()); err != nil {
		t.Fatal(err)
	}
	table, err := envTable(fakeKinds())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"TRACKOPS_API_SUBDOMAIN", "TRACKOPS_API_TOKEN", "TRACKOPS_ACCOUNTS", "TRACKOPS_<KEY>_TOKEN", "POLL_COLLECTIONS",
		"COLLECTION_<NAME>_PATH", "COLLECTION_<NAME>_IGNORE", "DATA_DIR", "NATS_URL", "NATS_OUTBOX_HOLD", "STREAM_MAX_BYTES", "HTTP_LISTEN",
		"LOG_FORMAT", "CONNECTOR_<NAME>_TYPE", "CONNECTOR_<NAME>_RETRY", "CONNECTOR_<NAME>_WEBHOOK_URL", "CONNECTOR_<NAME>_SMTP_PORT", "CONNECTOR_<NAME>_CA_FILE",
	} {
		if n := strings.Count(b.String(), "\n  "+name+" ") + strings.Count(b.String(), "\n  "+name+"\n"); n != 1 {
			t.Errorf("help has %s %d times, want once", name, n)
		}
		if n := strings.Count(table, "\n| `"+name+"` |"); n != 1 {
			t.Errorf("table has %s %d times, want once", name, n)
		}
	}
	for line := range strings.Lines(b.String()) {
		if utf8.RuneCountInString(line) > 81 {
			t.Errorf("line is longer than a terminal: %q", line)
		}
	}
	if want := "By default _RATE is 1, _TIMEOUT 10s and _RETRY 1s,1h."; !strings.Contains(b.String(), want) {
		t.Errorf("help lacks %q", want)
	}
}

// A variable without a word about it helps nobody.
func TestEveryVariableIsDescribed(t *testing.T) {
	t.Parallel()
	sections, err := envSections(kinds())
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]string)
	for _, s := range sections {
		for _, v := range s.vars {
			if v.Desc == "" {
				t.Errorf("%s: %s has no description", s.title, v.Name)
			}
			if other, ok := seen[v.Name]; ok && (other == "Every connector" || !strings.HasPrefix(s.title, "Connectors of")) {
				t.Errorf("%s is in %q and %q", v.Name, other, s.title)
			}
			seen[v.Name] = s.title
		}
	}
}
