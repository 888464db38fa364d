package connectors

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// A Filter says which events a connector wants. It is an expression that is true
// or false of an event:
//
//	data.action == "created" and data.record.amount > 1000
//	"/status" in changed and data.record.status != "closed"
//	any(data.changes, .path startsWith "/address" and .to != nil)
//
// It knows two names. data is the event's data as it is sent: account,
// collection, action, id, revision, observed_at, not_before, not_after, changes,
// record, truncated, message and detail; the three times are times, everything
// in the record is as Trackops sent it. changed lists the paths of the changes.
//
// Operators: == != < <= > >=, and or not (&& || !), in, contains, startsWith,
// endsWith, matches (a literal RE2 pattern), + - * / % **, ?:, ??. Functions:
// len, lower, upper, trim, float, now, date, duration, and over lists any, all,
// none, one, filter, count.
//
// A value that is missing is nil, and so is any part of it and whatever is
// computed from it; the same goes for a value of another type than an operator
// or function is for. A comparison other than == and != with nil is false,
// and nil == nil is true. What should be true or false and is neither is false;
// what should be a list and is none is an empty one. So one field that a
// record lacks makes that comparison false and the rest still counts:
// not (data.record.amount > 1000) is true of a record without amount.
//
// What can be known before any event is checked when the filter is compiled: the
// types of data's fields and of a change's path are fixed, so data.id == 7 is a
// mistake, id being a string; so is an expression that is a text or a number.
// Nothing is known of record and detail, nor of a change's from and to.
//
// Whole numbers compare exactly within 64 bits, others as float64. A string is
// never a number: float("12.50") makes it one.
//
// A Filter may be used concurrently.
type Filter struct {
	source  string
	program *vm.Program
	record  bool // the expression looks at the record
	changes bool // and at what changed, from what to what
}

const (
	maxExpression = 4096 // bytes
	maxNodes      = 200
	maxNesting    = 2 // lists within lists
)

// CompileFilter reads an expression. The error says what is wrong, with line and
// column, and shows the place.
func CompileFilter(expression string) (*Filter, error) {
	if len(expression) > maxExpression {
		return nil, fmt.Errorf("filter: longer than %d bytes", maxExpression)
	}
	tree, err := parseFilter(expression)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	rules := &filterRules{}
	ast.Walk(&tree.Node, rules)
	if rules.err != nil {
		return nil, fmt.Errorf("filter: %w", rules.err.Bind(tree.Source))
	}
	if err := checkTypes(tree); err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	// The operators that never fail take the place of the usual ones. The
	// condition makes the result true or false, whatever it was.
	options := append(filterOptions(), expr.Patch(safeOperators{}), expr.MaxNodes(maxNodes+10))
	options = append(options, safeFunctions()...)
	program, err := expr.Compile("("+expression+"\n) ? true : false", options...)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	f := &Filter{source: expression, program: program}
	f.record, f.changes = rules.uses("record"), rules.uses("changes")
	return f, nil
}

func parseFilter(expression string) (*parser.Tree, error) {
	config := conf.CreateNew()
	config.MaxNodes = maxNodes
	return parser.ParseWithConfig(expression, config)
}

// filterOptions say what an expression is compiled for. Nothing is known of data
// here: any part of it can be missing.
func filterOptions() []expr.Option {
	return []expr.Option{
		expr.Env(map[string]any{"data": map[string]any{}, "changed": []string{}}),
		expr.Optimize(false),
	}
}

// Match reports whether the expression is true of ev.
func (f *Filter) Match(ev events.Event) bool {
	out, err := expr.Run(f.program, f.environment(ev))
	if err != nil {
		return false // a fault of the expression's machine, like too much memory
	}
	matched, ok := out.(bool)
	return ok && matched
}

// filterFunctions are the functions of one value, or none; listFunctions take a
// list and a condition.
func filterFunctions() []string {
	return []string{"date", "duration", "float", "len", "lower", "now", "trim", "upper"}
}

func listFunctions() []string { return []string{"all", "any", "count", "filter", "none", "one"} }

// filterRules refuses what a filter has no use for, and what could make one
// cost more than the event is long.
type filterRules struct {
	err    *file.Error
	whole  int // mentions of data
	fields []string
}

// uses reports whether the expression may look at a field of data.
func (r *filterRules) uses(field string) bool {
	return r.whole > len(r.fields) || slices.Contains(r.fields, field)
}

// Visit checks one node.
func (r *filterRules) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		r.name(n)
	case *ast.MemberNode:
		r.member(n)
	case *ast.BuiltinNode:
		r.function(n)
	case *ast.CallNode:
		name := "this"
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			name = callee.Value
		}
		r.refuse(n, "%s is no function here; there are %s", name, functionNames())
	case *ast.BinaryNode:
		if _, literal := n.Right.(*ast.StringNode); n.Operator == "matches" && !literal {
			r.refuse(n, "the pattern of matches must be written out")
		}
		if n.Operator == ".." {
			r.refuse(n, "there are no ranges here: compare with >= and <=")
		}
	case *ast.SliceNode, *ast.VariableDeclaratorNode, *ast.SequenceNode, *ast.MapNode, *ast.BytesNode:
		r.refuse(n, "a filter has no slices, variables, sequences, maps or bytes")
	}
}

func functionNames() string {
	names := append(filterFunctions(), listFunctions()...)
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// refuse keeps the first mistake in the order of the text, of several at one
// place that of the larger part.
func (r *filterRules) refuse(n ast.Node, format string, args ...any) {
	if r.err == nil || n.Location().From <= r.err.From {
		r.err = &file.Error{Location: n.Location(), Message: fmt.Sprintf(format, args...)}
	}
}

func (r *filterRules) name(n *ast.IdentifierNode) {
	switch n.Value {
	case "data":
		r.whole++
	case "changed":
	default:
		r.refuse(n, "unknown name %s; there are data and changed", n.Value)
	}
}

func (r *filterRules) member(n *ast.MemberNode) {
	parent, ok := n.Node.(*ast.IdentifierNode)
	field, literal := n.Property.(*ast.StringNode)
	if !ok || !literal || parent.Value != "data" {
		return
	}
	r.fields = append(r.fields, field.Value)
	if !slices.Contains(filterFields(), field.Value) {
		r.refuse(n.Property, "data has no field %s; it has %s", field.Value, strings.Join(filterFields(), ", "))
	}
}

func (r *filterRules) function(n *ast.BuiltinNode) {
	switch {
	case slices.Contains(listFunctions(), n.Name):
		if len(n.Arguments) != 2 {
			r.refuse(n, "%s needs a list and a condition", n.Name)
		} else if nesting(n) > maxNesting {
			r.refuse(n, "lists within lists more than %d deep", maxNesting)
		}
	case !slices.Contains(filterFunctions(), n.Name):
		r.refuse(n, "%s is no function here; there are %s", n.Name, functionNames())
	case len(n.Arguments) > 1:
		r.refuse(n, "%s takes one value", n.Name)
	}
}

// nesting returns how deep list functions stand in each other's conditions.
func nesting(node ast.Node) int {
	inner := &deepest{}
	ast.Walk(&node, inner)
	return inner.depth
}

type deepest struct{ depth int }

// Visit measures the conditions of one list function.
func (d *deepest) Visit(node *ast.Node) {
	n, ok := (*node).(*ast.BuiltinNode)
	if !ok || len(n.Arguments) != 2 || !slices.Contains(listFunctions(), n.Name) {
		return
	}
	d.depth = max(d.depth, 1+nesting(n.Arguments[1]))
}

// safeOperators puts functions that never fail in place of operators that do.
type safeOperators struct{}

// Visit replaces one node; its parts were visited before.
func (safeOperators) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.MemberNode:
		replace(node, "member", n.Node, n.Property)
	case *ast.ChainNode:
		ast.Patch(node, n.Node)
	case *ast.UnaryNode:
		if n.Operator == "-" || n.Operator == "+" {
			replace(node, "0"+n.Operator, n.Node)
		} else {
			n.Node = truth(n.Node)
		}
	case *ast.BinaryNode:
		patchBinary(node, n)
	case *ast.ConditionalNode:
		n.Cond = truth(n.Cond)
	case *ast.BuiltinNode:
		if !slices.Contains(listFunctions(), n.Name) {
			replace(node, n.Name, n.Arguments...)
			return
		}
		n.Arguments[0] = safeCall("list", n.Arguments[0])
	case *ast.PredicateNode:
		n.Node = truth(n.Node)
	}
}

func patchBinary(node *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "==", "!=", "??":
	case "and", "&&", "or", "||":
		n.Left, n.Right = truth(n.Left), truth(n.Right)
	case "matches":
		if pattern, ok := n.Right.(*ast.StringNode); ok {
			replace(node, "matches", n.Left, &ast.ConstantNode{Value: regexp.MustCompile(pattern.Value)})
		}
	default:
		replace(node, n.Operator, n.Left, n.Right)
	}
}

// truth makes nil and whatever is no bool false.
func truth(n ast.Node) ast.Node { return safeCall("true", n) }

func safeCall(name string, args ...ast.Node) ast.Node {
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: safePrefix + name}, Arguments: args}
}

func replace(node *ast.Node, name string, args ...ast.Node) { ast.Patch(node, safeCall(name, args...)) }

// safePrefix begins the names of our functions: nobody can write it.
const safePrefix = "\x00"
