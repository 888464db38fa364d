// Package floors holds the test that keeps the shape of the program: which
// package may import which.
package floors

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/trackops-notifier/trackops-notifier"

// floors lists every package. A package imports only floors below its own;
// packages of one floor never import each other. A name that ends in "/*" stands
// for the packages below a folder.
var floors = []struct {
	pkg   string
	floor int
	also  []string // imports of its own floor that are part of what it is
}{
	{pkg: "events", floor: 0},
	{pkg: "internal/fault", floor: 0},
	{pkg: "docs/verify", floor: 0}, // an example to copy: it needs nothing of ours
	{pkg: "trackops", floor: 1},
	{pkg: "trackops/trackopstest", floor: 1, also: []string{"trackops"}}, // the fake beside the client it fakes
	{pkg: "diff", floor: 1},
	{pkg: "state", floor: 1},
	{pkg: "bus", floor: 1},
	{pkg: "connectors", floor: 1},
	{pkg: "connectors/connectortest", floor: 1, also: []string{"connectors"}}, // the suite beside the contract it checks
	{pkg: "poller", floor: 2},
	{pkg: "connectors/*", floor: 2},
	{pkg: "cmd/*", floor: 3},
}

// owners lists what only one package may import, and why.
var owners = []struct{ imported, owner, reason string }{
	{"go.etcd.io/bbolt", "state", "only state knows how records are kept"},
	{"github.com/nats-io/", "bus", "only bus knows how events travel"},
}

func TestFloors(t *testing.T) {
	for _, f := range sources(t) {
		at, ok := find(f.pkg)
		if !ok {
			t.Errorf("package %s is on no floor: add it to the table", f.pkg)
			continue
		}
		for _, imported := range f.imports {
			if problem := forbidden(at, f.pkg, imported); problem != "" {
				t.Errorf("%s imports %s: %s", f.path, imported, problem)
			}
		}
	}
}

// TestEnvironment keeps the environment out of everything but the commands:
// what a package needs is passed to it.
func TestEnvironment(t *testing.T) {
	for _, f := range sources(t) {
		if strings.HasPrefix(f.pkg, "cmd/") {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "os" && strings.HasSuffix(strings.ToLower(s.Sel.Name), "env") ||
				ok && x.Name == "os" && s.Sel.Name == "Environ" {
				t.Errorf("%s reads the environment with os.%s; only cmd does", f.path, s.Sel.Name)
			}
			return true
		})
	}
}

func forbidden(at int, pkg, imported string) string {
	for _, o := range owners {
		if strings.HasPrefix(imported, o.imported) && pkg != o.owner {
			return o.reason
		}
	}
	inner, ours := strings.CutPrefix(imported, module+"/")
	if !ours {
		if floors[at].floor == 0 && strings.Contains(strings.Split(imported, "/")[0], ".") {
			return "floor 0 stands on the standard library alone"
		}
		return ""
	}
	below, ok := find(inner)
	if !ok {
		return "that package is on no floor"
	}
	if floors[below].floor < floors[at].floor {
		return ""
	}
	for _, own := range floors[at].also {
		if own == inner {
			return ""
		}
	}
	return "floor " + strconv.Itoa(floors[at].floor) + " stands on the floors below it only"
}

func find(pkg string) (int, bool) {
	for i, f := range floors {
		if f.pkg == pkg {
			return i, true
		}
	}
	for i, f := range floors {
		if folder, ok := strings.CutSuffix(f.pkg, "/*"); ok && path.Dir(pkg) == folder {
			return i, true
		}
	}
	return 0, false
}

type source struct {
	path, pkg string
	imports   []string
	syntax    *ast.File
}

// sources parses every Go file of the program that is not a test.
func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []source
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); file != root && (strings.HasPrefix(name, ".") || name == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), file, text, 0)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		s := source{path: filepath.ToSlash(file), pkg: filepath.ToSlash(rel), syntax: syntax}
		for _, i := range syntax.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, name)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no sources found")
	}
	return all
}
