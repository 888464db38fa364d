package connectors

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// A rewriter goes through the templates of an operator once and makes them safe:
// every value that is printed goes through the escaping of the medium, what a
// record lacks is nothing instead of an error, and each round of a loop costs.
type rewriter struct {
	t         *Template
	trees     map[string]*parse.Tree
	functions map[string]any
	done      map[string]passage // by template
	open      []string           // the templates that are being read: none may be in itself
	several   bool               // what was read mentions .Messages or .Digest

	place place // within the JSON; outside in other media
	loops []place
}

// A passage is where in the JSON a template begins and ends.
type passage struct{ from, to place }

// rewrite prepares the templates of set and finds out which are for events: those
// that are named like it, and those that no other uses.
func (t *Template) rewrite(set *template.Template) error {
	r := &rewriter{t: t, trees: make(map[string]*parse.Tree), functions: t.functions(), done: make(map[string]passage)}
	used := make(map[string]bool)
	for _, one := range set.Templates() {
		if one.Tree != nil && one.Tree.Root != nil {
			r.trees[one.Name()] = one.Tree
			calls(one.Tree.Root, used)
		}
	}
	if err := r.entry(mainText); err != nil {
		return err
	}
	t.several, t.events = r.several, make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(r.trees)) {
		if name == mainText || used[name] && name != digestText && !strings.Contains(name, ".") {
			continue
		}
		if err := checkEventName(name); err != nil {
			return err
		}
		t.events[name] = true
		if err := r.entry(name); err != nil {
			return err
		}
	}
	return nil
}

// calls adds the names of the templates that those below n use.
func calls(n parse.Node, used map[string]bool) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, one := range n.Nodes {
				calls(one, used)
			}
		}
	case *parse.TemplateNode:
		used[n.Name] = true
	case *parse.IfNode:
		calls(n.List, used)
		calls(n.ElseList, used)
	case *parse.WithNode:
		calls(n.List, used)
		calls(n.ElseList, used)
	case *parse.RangeNode:
		calls(n.List, used)
		calls(n.ElseList, used)
	}
}

// checkEventName finds names that no event can have.
func checkEventName(name string) error {
	_, action, found := strings.Cut(name, ".")
	actions := append(events.Actions(), events.SystemActions()...)
	if !found || slices.Contains(actions, events.Action(action)) {
		return nil
	}
	return fmt.Errorf("define %q: there is no action %q; there are %v", name, action, actions)
}

// entry reads a template that Render may begin with.
func (r *rewriter) entry(name string) error {
	r.place = outside
	if err := r.template(name, 0); err != nil {
		return err
	}
	if r.place != outside {
		return fmt.Errorf("define %q: it ends within quotes", name)
	}
	return nil
}

// template reads the one that is called at pos.
func (r *rewriter) template(name string, pos parse.Pos) error {
	if p, ok := r.done[name]; ok {
		if p.from != r.place {
			return r.problem(pos, "template %q is used within quotes and outside of them", name)
		}
		r.place = p.to
		return nil
	}
	tree := r.trees[name]
	if tree == nil {
		return r.problem(pos, "there is no template %q", name)
	}
	if slices.Contains(r.open, name) {
		return r.problem(pos, "template %q is used within itself", name)
	}
	from, loops := r.place, r.loops
	r.open, r.loops = append(r.open, name), nil
	if err := r.list(tree.Root); err != nil {
		return err
	}
	r.open, r.loops = r.open[:len(r.open)-1], loops
	tree.Root.Nodes = slices.Insert(tree.Root.Nodes, 0, step(tree.Root.Pos))
	r.done[name] = passage{from, r.place}
	return nil
}

// step is an empty text: writing it costs, so a loop that prints nothing ends too.
func step(pos parse.Pos) parse.Node {
	return &parse.TextNode{NodeType: parse.NodeText, Pos: pos}
}

func (r *rewriter) list(l *parse.ListNode) error {
	if l == nil {
		return nil
	}
	for _, n := range l.Nodes {
		if err := r.node(n); err != nil {
			return err
		}
	}
	return nil
}

func (r *rewriter) node(n parse.Node) error {
	switch n := n.(type) {
	case *parse.TextNode:
		r.place = r.place.after(r.t.medium, n.Text)
	case *parse.ActionNode:
		return r.action(n)
	case *parse.IfNode:
		return r.branch(&n.BranchNode)
	case *parse.WithNode:
		return r.branch(&n.BranchNode)
	case *parse.RangeNode:
		return r.loop(n)
	case *parse.TemplateNode:
		if err := r.pipe(n.Pipe); err != nil {
			return err
		}
		return r.template(n.Name, n.Pos)
	case *parse.BreakNode:
		return r.leave(n.Pos)
	case *parse.ContinueNode:
		return r.leave(n.Pos)
	}
	return nil
}

// action makes the value that is printed go through the medium's escaping.
func (r *rewriter) action(n *parse.ActionNode) error {
	if err := r.pipe(n.Pipe); err != nil || len(n.Pipe.Decl) > 0 {
		return err
	}
	show := "show"
	if r.t.medium == JSON || r.t.medium == MrkdwnJSON {
		switch r.place {
		case outside:
			show = "showvalue"
		case inside:
		default:
			return r.problem(n.Pos, "a value directly behind a backslash")
		}
	}
	n.Pipe.Cmds = append(n.Pipe.Cmds, command(n.Pos, show))
	return nil
}

// branch reads an if or a with; a zero of a record is false to both.
func (r *rewriter) branch(n *parse.BranchNode) error {
	if err := r.condition(n, "given"); err != nil {
		return err
	}
	before := r.place
	if err := r.list(n.List); err != nil {
		return err
	}
	then := r.place
	r.place = before
	if err := r.list(n.ElseList); err != nil {
		return err
	}
	if r.place != then {
		return r.problem(n.Pos, "one branch ends within quotes and the other does not")
	}
	return nil
}

// condition reads the pipeline of a branch, whose value goes through function.
func (r *rewriter) condition(n *parse.BranchNode, function string) error {
	err := r.pipe(n.Pipe)
	n.Pipe.Cmds = append(n.Pipe.Cmds, command(n.Pos, function))
	return err
}

// loop reads a range. A record's value that has no elements has none to it.
func (r *rewriter) loop(n *parse.RangeNode) error {
	if err := r.condition(&n.BranchNode, "each"); err != nil {
		return err
	}
	start := r.place
	r.loops = append(r.loops, start)
	if err := r.list(n.List); err != nil {
		return err
	}
	r.loops = r.loops[:len(r.loops)-1]
	if r.place != start {
		return r.problem(n.Pos, "the loop begins within quotes or ends within them, and not both")
	}
	if err := r.list(n.ElseList); err != nil {
		return err
	}
	if r.place != start {
		return r.problem(n.Pos, "the else of the loop begins within quotes or ends within them, and not both")
	}
	n.List.Nodes = slices.Insert(n.List.Nodes, 0, step(n.Pos))
	return nil
}

// leave checks a break or continue: the loop goes on as if its body had ended.
func (r *rewriter) leave(pos parse.Pos) error {
	if r.place != r.loops[len(r.loops)-1] {
		return r.problem(pos, "it leaves the loop within quotes")
	}
	return nil
}

// problem is an error at a place of the template's text.
func (r *rewriter) problem(pos parse.Pos, format string, args ...any) error {
	line := 1 + strings.Count(r.t.source[:pos], "\n")
	return fmt.Errorf("line %d: "+format, append([]any{line}, args...)...)
}
