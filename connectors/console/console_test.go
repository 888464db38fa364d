package console

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Suite{
		Kind:     Kind(),
		NoRemote: "it prints on the program's own output",
		Settings: func(string) map[string]string { return nil },
		ID: func(r connectortest.Received) string {
			_, place, _ := strings.Cut(string(r.Body), " UTC · ")
			return place
		},
		Check: func(r connectortest.Received) error { return readable(string(r.Body), false) },
	})
}

// readable returns an error if s holds what acts on a terminal.
func readable(s string, color bool) error {
	if color {
		for _, code := range []string{"0", bold, dim, red, green, yellow, blue, purple} {
			s = strings.ReplaceAll(s, "\x1b["+code+"m", "")
		}
	}
	if !utf8.ValidString(s) || !strings.HasSuffix(s, "\n\n") || strings.Count(s, "\n") > maxLines+5 {
		return fmt.Errorf("block of %d bytes, %d lines is not valid", len(s), strings.Count(s, "\n"))
	}
	for _, r := range s {
		if r != '\n' && unicode.IsControl(r) || r >= '\u202a' && r <= '\u202e' {
			return fmt.Errorf("block holds %U", r)
		}
	}
	return nil
}

func TestGolden(t *testing.T) {
	c := connect(t, &settings{})
	for _, sample := range connectortest.Samples() {
		golden(t, sample.Name, preview(t, c, connectors.Delivery{ID: sample.Event.ID, Events: []events.Event{sample.Event}}))
	}
	golden(t, "digest", preview(t, c, digestOf(connectortest.Samples())))
}

// golden compares got with a file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func connect(t *testing.T, s *settings) connectors.Connector {
	t.Helper()
	link := func(e events.Event) string {
		return "https://acme.viewcases.com/" + e.Data.Collection + "/" + e.Data.ID
	}
	c, err := Kind().New(s, connectors.Env{Name: "screen", Stdout: broken{}, Link: link})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func preview(t *testing.T, c connectors.Connector, d connectors.Delivery) string {
	t.Helper()
	got, err := c.(connectors.Previewer).Preview(d)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// digestOf is a digest of all samples, that stands for one event more.
func digestOf(samples []connectortest.Sample) connectors.Delivery {
	from := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	d := connectors.Delivery{ID: "digest", Digest: &connectors.Digest{From: from, To: from.Add(15 * time.Minute), IDs: []string{"one more"}}}
	for _, sample := range samples {
		d.Events = append(d.Events, sample.Event)
		d.Digest.IDs = append(d.Digest.IDs, sample.Event.ID)
	}
	return d
}

func TestDigestStaysOnTheScreen(t *testing.T) {
	got := preview(t, connect(t, &settings{}), digestOf(connectortest.Hostile()))
	if lines := strings.Count(got, "\n"); lines != maxEvents+4 || !strings.Contains(got, " more records\n") {
		t.Errorf("a digest of %d hostile events has %d lines, want %d and a note on the others", len(connectortest.Hostile()), lines, maxEvents+4)
	}
	for _, l := range strings.Split(got, "\n") {
		if err := readable(l+"\n\n", false); err != nil || utf8.RuneCountInString(l) > maxValue+10 {
			t.Errorf("line %.300q: %v", l, err)
		}
	}
}

func TestTemplate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "console.tmpl")
	if err := os.WriteFile(file, []byte("{{.Lead}} from a file: {{.Record.account_code}} {{.Link}}\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	one := delivery()
	two := connectors.Delivery{ID: "2", Events: []events.Event{one.Events[0], connectortest.Samples()[1].Event}}
	for _, c := range []struct {
		name string
		set  settings
		d    connectors.Delivery
		want string
	}{
		{"text", settings{Template: `{{upper .Title}} for {{.Connector}}`}, one, "SMITH & SONS <INVESTIGATIONS> for screen\n"},
		{"file", settings{TemplateFile: file}, one, "New client from a file: SMI-01 https://acme.viewcases.com/clients/1042\n"},
		{"several", settings{Template: `{{.Lead}}`}, two, "2 changes in acme, 09:30 UTC\n\nNew client\n\nClient updated\n"},
		{"digest", settings{Template: `{{.Lead}}{{define "digest"}}{{.Summary}}!{{end}}`}, digestOf(connectortest.Samples()[:2]), "2 changes in acme, 09:30 to 09:45 UTC!\n"},
	} {
		if got := preview(t, connect(t, &c.set), c.d); got != c.want {
			t.Errorf("%s: printed %q, want %q", c.name, got, c.want)
		}
	}
	if got := preview(t, connect(t, &settings{Template: `{{define "cases"}}x{{end}}`}), one); !strings.HasPrefix(got, "🆕 New client") {
		t.Errorf("without a text for the event printed %q, want the block", got)
	}
}

func TestTemplateMistakes(t *testing.T) {
	for want, s := range map[string]settings{
		"TEMPLATE: line 1: unclosed action":         {Template: "{{.Title"},
		"TEMPLATE: set beside TEMPLATE_FILE":        {Template: "x", TemplateFile: "y"},
		"TEMPLATE_FILE: cannot be read: no such":    {TemplateFile: filepath.Join(t.TempDir(), "none")},
		"TEMPLATE_FILE: line 2: there is no .Titel": {TemplateFile: write(t, "a\n{{.Titel}}")},
		"TEMPLATE_FILE: an empty file":              {TemplateFile: write(t, " \n")},
	} {
		_, err := Kind().New(&s, connectors.Env{})
		if err == nil || !strings.HasPrefix(err.Error(), want) || len(connectors.SettingErrors(err)) != 1 {
			t.Errorf("New(%+v) = %v, want a setting error %q", s, err, want)
		}
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestColouredBlockHoldsOnlyOurSequences(t *testing.T) {
	for _, sample := range connectortest.Hostile() {
		m, err := connectors.NewMessage(sample.Event)
		if err != nil {
			t.Fatalf("%s: %v", sample.Name, err)
		}
		got := block(m, true)
		if !strings.Contains(got, "\x1b[") {
			t.Errorf("%s: no colour", sample.Name)
		}
		if err := readable(got, true); err != nil {
			t.Errorf("%s: %v", sample.Name, err)
		}
	}
}

func TestLongValuesSayWhatIsMissing(t *testing.T) {
	e := connectortest.Hostile()[12].Event // long-created
	m, err := connectors.NewMessage(e)
	if err != nil {
		t.Fatal(err)
	}
	if got := block(m, false); !strings.Contains(got, " more characters") || utf8.RuneCountInString(got) > 1500 {
		t.Errorf("block = %d characters, want a note on what is missing:\n%s", utf8.RuneCountInString(got), got)
	}
}

// A stuck output is one that takes nothing until it is released.
type stuck struct{ release chan struct{} }

func (s stuck) Write(p []byte) (int, error) { <-s.release; return len(p), nil }
func (s stuck) Color() bool                 { return false }

type broken struct{ n int }

func (b broken) Write([]byte) (int, error) {
	if b.n < 0 {
		return 0, os.ErrClosed
	}
	return b.n, nil
}
func (b broken) Color() bool { return false }

func TestDeliverLeavesAnOutputThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := stuck{release: make(chan struct{})}
		c, err := Kind().New(&settings{}, connectors.Env{Stdout: out})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // the second and third wait for their turn
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := c.Deliver(ctx, delivery()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Deliver = %v, want %v", err, context.DeadlineExceeded)
			}
			cancel()
		}
		close(out.release)
		if err := c.Deliver(t.Context(), delivery()); err != nil {
			t.Errorf("Deliver once the output takes again = %v, want nil", err)
		}
	})
}

func TestDeliverReportsAFailedWrite(t *testing.T) {
	for _, out := range []broken{{-1}, {3}} {
		c, err := Kind().New(&settings{}, connectors.Env{Stdout: out})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Deliver(t.Context(), delivery()); err == nil {
			t.Errorf("Deliver to %v = nil, want an error", out)
		}
	}
}

func delivery() connectors.Delivery {
	e := connectortest.Samples()[0].Event
	return connectors.Delivery{ID: e.ID, Events: []events.Event{e}, Attempt: 1}
}
