package connectors

import (
	"fmt"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// A Condition is a part of a filter that is true or false by itself.
type Condition struct {
	Text   string        `json:"text"` // as the compiler spells it
	True   bool          `json:"true"`
	Values []FilterValue `json:"values,omitempty"` // what it looks at, in the order of the text
}

// A FilterValue is what an event has where a filter looks.
type FilterValue struct {
	Name  string `json:"name"`  // as in the filter: data.record.amount
	Value string `json:"value"` // as JSON, at most 100 characters; null if it is missing
}

const maxFilterValue = 100 // characters

// Explain returns the conditions of the expression, in the order of the text: the
// parts that it joins with and, or, not and ?:. Each has its own truth for ev,
// whether or not it decided. The whole of an any, all and the like is one.
func (f *Filter) Explain(ev events.Event) []Condition {
	tree, err := parseFilter(f.source)
	if err != nil {
		return nil // CompileFilter refused it
	}
	env := f.environment(ev)
	parts := conditions(tree.Node)
	all := make([]Condition, len(parts))
	for i, part := range parts {
		all[i] = Condition{Text: part.String(), Values: lookedAt(part, env)}
	}
	for i, out := range evaluate(parts, env) {
		all[i].True, _ = out.(bool)
	}
	return all
}

// conditions splits an expression.
func conditions(node ast.Node) []ast.Node {
	var parts []ast.Node
	split := func(nodes ...ast.Node) []ast.Node {
		for _, n := range nodes {
			parts = append(parts, conditions(n)...)
		}
		return parts
	}
	switch n := node.(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&", "or", "||":
			return split(n.Left, n.Right)
		}
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			return split(n.Node)
		}
	case *ast.ConditionalNode:
		return split(n.Cond, n.Exp1, n.Exp2)
	}
	return []ast.Node{node}
}

// evaluate returns what the parts, which it changes, are in env; nothing after a
// fault of the expression's machine.
func evaluate(parts []ast.Node, env map[string]any) []any {
	list := &ast.ArrayNode{}
	for _, part := range parts {
		ast.Walk(&part, safeOperators{})
		list.Nodes = append(list.Nodes, part)
	}
	// The list takes the place of an expression that is nothing else.
	options := append(filterOptions(), expr.Patch(&substitute{list}))
	program, err := expr.Compile("nil", append(options, safeFunctions()...)...)
	if err != nil {
		return nil
	}
	out, err := expr.Run(program, env)
	if err != nil {
		return nil
	}
	all, _ := out.([]any)
	return all
}

// A substitute takes the place of the first node that it visits.
type substitute struct{ node ast.Node }

// Visit replaces one node.
func (s *substitute) Visit(node *ast.Node) {
	if s.node != nil {
		*node, s.node = s.node, nil
	}
}

// lookedAt returns the values that a condition looks at, each once.
func lookedAt(condition ast.Node, env map[string]any) []FilterValue {
	l := &looks{env: env, inner: map[ast.Node]bool{}}
	ast.Walk(&condition, l)
	var all []FilterValue
	seen := map[string]bool{}
	for _, n := range l.found {
		if name := n.String(); !l.inner[n] && !seen[name] {
			seen[name] = true
			value, _ := resolve(n, env)
			all = append(all, FilterValue{Name: name, Value: filterValue(value)})
		}
	}
	return all
}

// looks collects the nodes that name a value of the event.
type looks struct {
	env   map[string]any
	found []ast.Node
	inner map[ast.Node]bool // the beginning of a longer one
}

// Visit takes in one node; its parts were visited before.
func (l *looks) Visit(node *ast.Node) {
	n := *node
	if _, ok := resolve(n, l.env); !ok {
		return
	}
	l.found = append(l.found, n)
	if m, ok := n.(*ast.MemberNode); ok {
		l.inner[m.Node] = true
	}
}

// resolve returns the value that a node names by a way from data or changed that
// is written out; ok is false for another node.
func resolve(node ast.Node, env map[string]any) (value any, ok bool) {
	switch n := node.(type) {
	case *ast.IdentifierNode:
		value, ok = env[n.Value]
		return value, ok
	case *ast.ChainNode:
		return resolve(n.Node, env)
	case *ast.MemberNode:
		of, ok := resolve(n.Node, env)
		if !ok {
			return nil, false
		}
		switch key := n.Property.(type) {
		case *ast.StringNode:
			return member(of, key.Value), true
		case *ast.IntegerNode:
			return member(of, key.Value), true
		}
	}
	return nil, false
}

func filterValue(v any) string {
	text, err := encodeJSON(v)
	if err != nil {
		text = fmt.Append(nil, v) // an infinite number
	}
	runes := []rune(string(text))
	if len(runes) > maxFilterValue {
		return string(runes[:maxFilterValue-1]) + "…"
	}
	return string(text)
}
