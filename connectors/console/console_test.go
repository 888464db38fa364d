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
	for _, sample := range connectortest.Samples() {
		m, err := connectors.NewMessage(sample.Event)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", sample.Name+".golden")
		got := block(m, false)
		if *update {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
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
