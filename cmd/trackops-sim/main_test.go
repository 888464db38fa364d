package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestServesUntilInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"--listen", "127.0.0.1:0", "--records", "3", "--life", "600", "--token", "it's"}, in)
		in.Close()
	}()
	env := map[string]string{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if assignment, ok := strings.CutPrefix(lines.Text(), "export "); ok {
			name, value, _ := strings.Cut(assignment, "=")
			env[name] = value
		}
		if strings.HasPrefix(lines.Text(), "# Ctrl-C") {
			break
		}
	}
	if env["TRACKOPS_API_TOKEN"] != `'it'\''s'` || env["TRACKOPS_API_SUBDOMAIN"] == "" {
		t.Errorf("printed %v", env)
	}
	req, err := http.NewRequest(http.MethodGet, env["TRACKOPS_API_URL"]+"/clients", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("demo/token", "it's")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != 200 || !bytes.HasPrefix(body, []byte(`[{"id":`)) {
		t.Errorf("status %d, %s, %v", resp.StatusCode, body, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run = %v, want nil after an interrupt", err)
	}
}

func TestMisuse(t *testing.T) {
	for _, args := range [][]string{
		{"--bogus"}, {"extra"}, {"--sort", "name"}, {"--time-format", "x"}, {"--without", "x"}, {"--collections", "x"},
		{"--records", "-1"}, {"--rate", "x"},
	} {
		var misuse *usageError
		if err := run(t.Context(), args, io.Discard); !errors.As(err, &misuse) {
			t.Errorf("run %v = %v, want a usage error", args, err)
		}
	}
	if err := run(t.Context(), []string{"--listen", "nowhere:0:0"}, io.Discard); err == nil {
		t.Error("run with a bad address succeeded")
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"listen", "records", "collections", "seed", "life", "rate", "sort", "time-format", "without", "username", "token"} {
		if !strings.Contains(out.String(), "-"+flag) {
			t.Errorf("help lacks --%s", flag)
		}
	}
}

func TestActivatedCollectionsAndFeatures(t *testing.T) {
	s, err := parse([]string{"--collections", "clients,staff", "--without", "count,updated,created,combination"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	q := s.options.Quirks
	if q["clients"].Denied != 0 || q["*"].Denied != 403 || !q["staff"].NoCount || !q["staff"].NoUpdatedFrom || !q["clients"].NoCreated || !q["clients"].NoCombination {
		t.Errorf("quirks %+v", q)
	}
}
