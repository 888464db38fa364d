package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

func operatorExport(t *testing.T, r *rig, total int) {
	out, errs, err := r.command("export", "clients")
	if err != nil || errs != "" || strings.Count(out, "\n") != total {
		t.Fatalf("export = %v, %q, %d lines, want %d", err, errs, strings.Count(out, "\n"), total)
	}
	for line := range strings.Lines(out) {
		var e exported
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		var record struct{ ID json.Number }
		if err := json.Unmarshal(e.Record, &record); err != nil || record.ID.String() != e.ID || e.Revision == 0 || e.Observed.IsZero() || e.Created.IsZero() {
			t.Errorf("line %s, %v", line, err)
		}
	}
	table, _, err := r.command("export", "clients", "--format", "csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil || len(rows) != total+1 || !slices.Contains(rows[0], "record.id") || !slices.Contains(rows[0], "name") {
		t.Errorf("export as csv: %d rows, %v, header %q", len(rows), err, rows[:1])
	}
	if out, _, err := r.command("export", "clients", "--since", "2100-01-01T00:00:00Z"); err != nil || out != "" {
		t.Errorf("export since 2100 = %q, %v", out, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, []string{"export", "clients"}, r.environ(), io.Discard, io.Discard); exitCode(err) != exitFailed || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("an interrupted export = %v", err)
	}
	for _, args := range [][]string{{"nothing"}, {"clients", "--format", "xml"}, {"clients", "--since", "soon"}, {"clients", "--account", "globex"}} {
		if _, _, err := r.command(append([]string{"export"}, args...)...); exitCode(err) != exitMisuse {
			t.Errorf("export %q = %v (exit %d), want %d", args, err, exitCode(err), exitMisuse)
		}
	}
}

// golden lines: every kind of value, fields that come and go, names that collide.
const goldenLines = `{"id":"1","revision":1,"created_at":"2026-01-02T03:04:05Z","observed_at":"2026-01-02T03:04:06.5Z","record":{"id":1,"name":"Acme, \"Ltd\"","sum":-12.50,"big":9007199254740993,"Owner":{"a": [1, 2]},"ok":true,"none":null}}
{"id":"-2","revision":7,"updated_at":"2026-01-02T03:04:05Z","observed_at":"2026-01-02T03:04:06Z","deleted_at":"2026-02-02T03:04:06Z","record":{"name":"=HYPERLINK(\"x\")","deleted":"-1","note":"two\r\nlines","@x":1}}
`

const goldenCSV = "id,revision,created,updated,observed,deleted,record.id,name,sum,big,Owner,ok,none,record.deleted,note,'@x\r\n" +
	"1,1,2026-01-02T03:04:05Z,,2026-01-02T03:04:06.5Z,,1,\"Acme, \"\"Ltd\"\"\",-12.50,9007199254740993,\"{\"\"a\"\":[1,2]}\",true,,,,\r\n" +
	"'-2,7,,2026-01-02T03:04:05Z,2026-01-02T03:04:06Z,2026-02-02T03:04:06Z,,\"'=HYPERLINK(\"\"x\"\")\",,,,,,'-1,\"two\r\nlines\",1\r\n"

func TestCSVGolden(t *testing.T) {
	if got := toCSV(t, goldenLines); got != goldenCSV {
		t.Errorf("got\n%s\nwant\n%s", got, goldenCSV)
	}
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	if err := errors.Join(writeRow(w, []string{"", "a\rb", "a\nb", "a;b", "a\tb", " a", "-1.5", `"`}), w.Flush()); err != nil {
		t.Fatal(err)
	}
	if want := ",\"a\rb\",\"a\nb\",\"a;b\",\"a\tb\",\" a\",-1.5,\"\"\"\"\r\n"; out.String() != want {
		t.Errorf("a row is %q, want %q", &out, want)
	}
}

type fataler interface {
	Helper()
	Fatal(...any)
}

func toCSV(t fataler, lines string) string {
	t.Helper()
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	c := newColumns()
	for line := range strings.Lines(lines) {
		if err := c.add([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeRow(w, c.header()); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(lines) {
		row, complete, err := c.row([]byte(line))
		if err != nil || !complete {
			t.Fatal(err, complete)
		}
		if err := writeRow(w, row); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	return out.String()
}

// checkCell fails the test if a text of a record becomes a formula in a
// spreadsheet, or another text.
func checkCell(t interface {
	fataler
	Errorf(string, ...any)
}, text string) {
	t.Helper()
	raw, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(toCSV(t, fmt.Sprintf(`{"id":"1","revision":1,"record":%s}`, raw)))).ReadAll()
	if err != nil || len(rows) != 2 || len(rows[1]) != 7 {
		t.Errorf("%q: %q, %v", text, rows, err)
		return
	}
	// encoding/csv reads a line break within a cell as \n, whichever it was.
	var sent map[string]string
	if err := json.Unmarshal(raw, &sent); err != nil { // what JSON leaves of bytes that are no UTF-8
		t.Fatal(err)
	}
	got, want := rows[1][6], strings.ReplaceAll(sent["text"], "\r\n", "\n")
	if got != want && got != "'"+want {
		t.Errorf("%q became %q", text, got)
	}
	if got != "" && strings.ContainsAny(got[:1], "=+-@\t\r\n") {
		t.Errorf("%q became %q, a formula", text, got)
	}
}

func TestCSVCellsAreHarmless(t *testing.T) {
	for _, text := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u200b=1", "＝1", "", "'", "a=b", "Größe", `"`, "a;b"} {
		checkCell(t, text)
	}
	for _, text := range []string{" =1", "\u200b=1", "＝1", "\x00-1"} {
		if got := harmless(text); got != "'"+text {
			t.Errorf("harmless(%q) = %q", text, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		checkCell(t, rapid.StringOf(rapid.SampledFrom([]rune("=+-@\t\r\n ,;\"'a1ü\u200b"))).Draw(t, "text"))
	})
}

func FuzzCSV(f *testing.F) {
	f.Add("=1+1")
	f.Add("a\r\n=b,\"")
	f.Fuzz(func(t *testing.T, text string) { checkCell(t, text) })
}

// TestTwoAccounts exports what two accounts hold, one of which deleted a record
// before: the commands need --account, and mix nothing up.
func TestTwoAccounts(t *testing.T) {
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 3}})
	other := trackopstest.New(trackopstest.Options{Sizes: map[string]int{"clients": 5}, IDs: 1000})
	server := httptest.NewServer(other.Handler())
	t.Cleanup(server.Close)
	url := r.env["TRACKOPS_API_URL"]
	maps.DeleteFunc(r.env, func(name, _ string) bool {
		return strings.HasPrefix(name, "TRACKOPS_API_") && name != "TRACKOPS_API_RATE"
	})
	maps.Copy(r.env, map[string]string{
		"TRACKOPS_ACCOUNTS":      "acme,globex",
		"TRACKOPS_ACME_USERNAME": "ann", "TRACKOPS_ACME_TOKEN": "s3cret-token", "TRACKOPS_ACME_URL": url,
		"TRACKOPS_GLOBEX_USERNAME": "bob", "TRACKOPS_GLOBEX_TOKEN": "x", "TRACKOPS_GLOBEX_URL": server.URL + "/api/v1",
	})
	p := r.start()
	r.awaitReady(15 * time.Second)
	for _, command := range []string{"export", "confirm"} {
		if _, _, err := r.command(command, "clients"); exitCode(err) != exitMisuse || !strings.Contains(err.Error(), "acme, globex") {
			t.Errorf("%s without --account = %v, want a misuse that names both", command, err)
		}
	}
	for name, want := range map[string]int{"acme": 3, "globex": 5} {
		out, _, err := r.command("export", "clients", "--account", name)
		if err != nil || strings.Count(out, "\n") != want {
			t.Errorf("export of %s = %v, %d lines, want %d", name, err, strings.Count(out, "\n"), want)
		}
	}
	table, _, err := r.command("status")
	if err != nil || !strings.Contains(table, "Account acme") || !strings.Contains(table, "Account globex") {
		t.Errorf("status = %v\n%s", err, table)
	}
	if _, _, err := r.command("probe"); exitCode(err) != exitMisuse {
		t.Errorf("probe without --account = %v, want a misuse", err)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if _, _, err := r.command("status"); !errors.Is(err, errNotRunning) {
		t.Errorf("status after the end = %v", err)
	}
	if _, err := os.Lstat(controlSocket(r.dir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket after the end: %v", err)
	}
}

// TestCutExport has a notifier fail in the middle of an export.
func TestCutExport(t *testing.T) {
	for name, fail := range map[string]func(http.ResponseWriter){
		"killed":         func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"a broken state": func(w http.ResponseWriter) { w.Header().Set(exportError, headerText("a broken state\nö")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := shortFolder(t)
			l, err := listenControl(dir)
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Trailer", exportError)
				fmt.Fprintln(w, `{"id":"1","revision":1,"record":{}}`)
				w.(http.Flusher).Flush()
				fail(w)
			}), ErrorLog: log.New(io.Discard, "", 0)}
			defer server.Close()
			go server.Serve(l)
			for _, format := range []string{"jsonl", "csv"} {
				err := run(t.Context(), []string{"export", "clients", "--format", format}, []string{"DATA_DIR=" + dir}, io.Discard, io.Discard)
				if exitCode(err) != exitFailed || name != "killed" && !strings.Contains(err.Error(), "a broken state\nö") {
					t.Errorf("export of half a collection as %s = %v", format, err)
				}
			}
		})
	}
}

// TestExportInChunks reads more than a chunk, with deleted records, straight from
// a state.
func TestExportInChunks(t *testing.T) {
	n, at := stateWith(t, 2*exportChunk+1)
	lines := func(sel selection) (all []exported) {
		err := n.streamRecords(t.Context(), sel, func(b []byte) error {
			for line := range bytes.Lines(b) {
				var e exported
				if err := json.Unmarshal(line, &e); err != nil {
					return err
				}
				all = append(all, e)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	sel := selection{account: "acme", collection: "clients", deleted: true}
	all := lines(sel)
	ids := make(map[string]bool)
	gone := 0
	for _, e := range all {
		ids[e.ID] = true
		if !e.Deleted.IsZero() {
			gone++
		}
		if string(e.Record) != `{"id":`+e.ID+`,"x":"<&>"}` {
			t.Errorf("record %s", e.Record)
		}
	}
	if len(all) != 2*exportChunk+1 || len(ids) != len(all) || gone != len(all)/10 {
		t.Errorf("%d lines, %d ids, %d deleted", len(all), len(ids), gone)
	}
	sel.deleted = false
	if got := len(lines(sel)); got != len(all)-gone {
		t.Errorf("%d living ones, want %d", got, len(all)-gone)
	}
	sel.since = at.Add(time.Duration(len(all)-9) * time.Second)
	if got := len(lines(sel)); got != 8 { // of nine, one was deleted
		t.Errorf("%d lines since then, want 8", got)
	}
	if q, err := readSelection(sel.query()); err != nil || q != sel {
		t.Errorf("a selection became %+v, %v, want %+v", q, err, sel)
	}
}

// stateWith returns a notifier that only has a state: of n clients, each seen a
// second after the one before, every tenth of them deleted.
func stateWith(t *testing.T, count int) (n *notifier, first time.Time) {
	t.Helper()
	store, err := state.Open(filepath.Join(t.TempDir(), "state.db"), state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	first = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	err = store.Update(func(tx *state.Tx) error {
		records := tx.Records("acme", "clients")
		for i := range count {
			id := strconv.Itoa(i + 1)
			rec := state.Record{ID: id, Revision: 1, Observed: first.Add(time.Duration(i) * time.Second), Document: []byte(`{"id":` + id + `,"x":"<&>"}`)}
			if i%10 == 9 {
				rec.Deleted = rec.Observed
			}
			if err := records.Put(rec); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return &notifier{store: store}, first
}
