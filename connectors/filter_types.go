package connectors

import (
	"maps"
	"slices"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
)

// dataTypes are the types of the fields of data, where an event has them: what
// [Filter.Match] shows of an event is of these.
func dataTypes() types.Map {
	moment := types.TypeOf(time.Time{})
	return types.Map{
		"account": types.String, "collection": types.String, "action": types.String, "id": types.String,
		"revision": types.Int, "observed_at": moment, "not_before": moment, "not_after": moment,
		"changes": types.Array(types.Map{"path": types.String, "from": types.Any, "to": types.Any}),
		"record":  types.Any, "truncated": types.Bool, "message": types.String, "detail": types.Any,
	}
}

// filterFields are the fields of data, in the order of the alphabet.
func filterFields() []string { return slices.Sorted(maps.Keys(dataTypes())) }

// checkTypes finds what no event can make sense of: an operator or a function
// with values that it is not for, and a whole that is neither true nor false.
// It may change the tree.
func checkTypes(tree *parser.Tree) error {
	config := conf.New(types.Map{"data": dataTypes(), "changed": types.TypeOf([]string{})})
	config.Visitors = []ast.Visitor{&durations{}}
	if _, err := new(checker.Checker).PatchAndCheck(tree, config); err != nil {
		return err
	}
	whole := tree.Node.Nature()
	if whole.IsBool() || whole.IsUnknown(&config.NtCache) {
		return nil
	}
	got := whole.String()
	if whole.Nil {
		got = "nil"
	}
	mistake := &file.Error{Location: tree.Node.Location(), Message: "expected bool, but got " + got}
	return mistake.Bind(tree.Source)
}

// durations teaches the checker what it refuses and we compute: -d and
// duration(d) of a duration d are durations. It puts d in their place.
type durations struct{ changed bool }

// Visit looks at one node; its parts were visited before.
func (d *durations) Visit(node *ast.Node) {
	var of ast.Node
	switch n := (*node).(type) {
	case *ast.UnaryNode:
		if n.Operator == "-" || n.Operator == "+" {
			of = n.Node
		}
	case *ast.BuiltinNode:
		if n.Name == "duration" && len(n.Arguments) == 1 {
			of = n.Arguments[0]
		}
	}
	if of != nil && of.Nature().IsDuration() {
		*node, d.changed = of, true
	}
}

// Reset begins a walk through the tree.
func (d *durations) Reset() { d.changed = false }

// ShouldRepeat reports whether more of the tree can be known now.
func (d *durations) ShouldRepeat() bool { return d.changed }
