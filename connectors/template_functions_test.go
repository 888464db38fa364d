package connectors

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// docs/templates.md has every function, and none that there is not.
func TestFunctionsAreDocumented(t *testing.T) {
	raw, err := os.ReadFile("../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(raw), "| function | result |\n| --- | --- |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	documented := []string{"and", "or"}
	for row := range strings.Lines(table) {
		names, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), " | ")
		for i, part := range strings.Split(names, "`") {
			if i%2 == 1 {
				documented = append(documented, strings.Fields(part)[0])
			}
		}
	}
	known := []string{"and", "or"} // of text/template itself
	for name := range (&Template{}).functions() {
		known = append(known, name)
		if !slices.Contains([]string{"show", "showvalue", "given", "each"}, name) && !slices.Contains(documented, name) {
			t.Errorf("the function %s is not documented", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(known, name) {
			t.Errorf("there is no function %s", name)
		}
	}
}
