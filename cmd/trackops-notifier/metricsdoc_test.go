package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

const metricsDoc = "../../docs/metrics.md"

// The table of docs/metrics.md is what a running notifier shows, and every
// metric that a document names exists. `go test -run TestMetricsInDocs
// ./cmd/trackops-notifier -update` rewrites the table.
func TestMetricsInDocs(t *testing.T) {
	t.Parallel()
	all, registry := everyMetric(t)
	checkNames(t, all)
	table, names := metricTable(t, all)
	if described := describedNames(registry); !slices.Equal(names, described) {
		t.Fatalf("values of\n%q, but the registry describes\n%q", names, described)
	}
	checkTable(t, table)
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(docs, readme) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range strangers(string(content), names) {
			t.Errorf("%s names %s, which does not exist", filepath.Base(path), name)
		}
	}
}

// metricTable returns the table and the names in it, sorted.
func metricTable(t *testing.T, all prometheus.Gatherer) (table string, names []string) {
	t.Helper()
	families, err := all.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n")
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), namespace+"_") {
			continue
		}
		names = append(names, f.GetName())
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, code(l.GetName()))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code(f.GetName()), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), cell(f.GetHelp()))
	}
	return b.String(), names
}

var descName = regexp.MustCompile(`fqName: "(` + namespace + `_\w+)"`)

// describedNames are the metrics that the registry may show, sorted.
func describedNames(r *prometheus.Registry) []string {
	out := make(chan *prometheus.Desc)
	go func() {
		defer close(out)
		r.Describe(out)
	}()
	var names []string
	for d := range out {
		if part := descName.FindStringSubmatch(d.String()); part != nil {
			names = append(names, part[1])
		}
	}
	slices.Sort(names)
	return names
}

func checkTable(t *testing.T, table string) {
	t.Helper()
	const begin, end = "<!-- metrics:begin -->\n", "<!-- metrics:end -->"
	content, err := os.ReadFile(metricsDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, hasBegin := strings.Cut(string(content), begin)
	got, after, hasEnd := strings.Cut(rest, end)
	if !hasBegin || !hasEnd {
		t.Fatalf("metrics.md lacks %q or %q", begin, end)
	}
	want := "\n" + table + "\n"
	if got == want {
		return
	}
	if !*update {
		t.Fatal("the table in docs/metrics.md is not what the program shows: run this test with -update")
	}
	if err := os.WriteFile(metricsDoc, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

var metricName = regexp.MustCompile(namespace + `_[a-z_]*[a-z]`)

// strangers returns the metrics that text names and that are not among names.
func strangers(text string, names []string) []string {
	var unknown []string
	for _, name := range metricName.FindAllString(text, -1) {
		base := name
		for _, part := range []string{"_bucket", "_sum", "_count"} { // of a histogram
			base = strings.TrimSuffix(base, part)
		}
		if !slices.Contains(names, name) && !slices.Contains(names, base) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func TestStrangersAreFound(t *testing.T) {
	t.Parallel()
	const text = "names begin with trackops_notifier_: rate(trackops_notifier_took_seconds_bucket[5m]), trackops_notifier_took_second and trackops_notifier_gone"
	got := strangers(text, []string{"trackops_notifier_took_seconds"})
	if want := []string{"trackops_notifier_took_second", "trackops_notifier_gone"}; !slices.Equal(got, want) {
		t.Errorf("strangers = %q, want %q", got, want)
	}
}
