package connectors

import (
	"slices"
	"strconv"
	"text/template/parse"
)

// pipe makes the fields of a pipeline tolerant, and refuses what the functions of
// docs/templates.md do not have.
func (r *rewriter) pipe(p *parse.PipeNode) error {
	if p == nil {
		return nil
	}
	for i, c := range p.Cmds {
		alone := len(c.Args) == 1
		if i == 0 && alone {
			if call := r.field(c.Args[0]); call != nil {
				c.Args = call.Args
			}
		}
		for j, arg := range c.Args {
			if err := r.argument(arg); err != nil {
				return err
			}
			if call := r.field(arg); call != nil && j > 0 {
				c.Args[j] = &parse.PipeNode{NodeType: parse.NodePipe, Pos: arg.Position(), Cmds: []*parse.CommandNode{call}}
			}
		}
		tolerateNumbers(c)
	}
	return nil
}

// argument reads what is nested in an argument of a command.
func (r *rewriter) argument(n parse.Node) error {
	switch n := n.(type) {
	case *parse.PipeNode:
		return r.pipe(n)
	case *parse.ChainNode:
		return r.argument(n.Node)
	case *parse.IdentifierNode:
		if r.functions[n.Ident] == nil && n.Ident != "and" && n.Ident != "or" {
			return r.problem(n.Pos, "there is no function %q here", n.Ident)
		}
	}
	return nil
}

// field returns the call that reads the fields n names, or nil if n names none. A
// field that a record lacks is nil there; by itself it would be an error.
func (r *rewriter) field(n parse.Node) *parse.CommandNode {
	var of parse.Node
	var names []string
	switch n := n.(type) {
	case *parse.FieldNode:
		of, names = &parse.DotNode{NodeType: parse.NodeDot, Pos: n.Pos}, n.Ident
	case *parse.VariableNode:
		variable := *n
		variable.Ident = n.Ident[:1]
		of, names = &variable, n.Ident[1:]
	case *parse.ChainNode:
		of, names = n.Node, n.Field
	}
	if len(names) == 0 {
		return nil
	}
	r.several = r.several || slices.Contains(names, "Messages") || slices.Contains(names, "Digest")
	call := command(n.Position(), "get")
	call.Args = append(call.Args, of)
	for _, name := range names {
		call.Args = append(call.Args, &parse.StringNode{NodeType: parse.NodeString, Pos: n.Position(), Quoted: strconv.Quote(name), Text: name})
	}
	return call
}

// tolerateNumbers makes "and" and "or" take a zero of a record as false, as "if"
// does: for text/template it is a text that is not empty.
func tolerateNumbers(c *parse.CommandNode) {
	function, ok := c.Args[0].(*parse.IdentifierNode)
	if !ok || function.Ident != "and" && function.Ident != "or" {
		return
	}
	for i, arg := range c.Args[1:] {
		given := command(arg.Position(), "given")
		given.Args = append(given.Args, arg)
		c.Args[1+i] = &parse.PipeNode{NodeType: parse.NodePipe, Pos: arg.Position(), Cmds: []*parse.CommandNode{given}}
	}
}

// command calls a function without arguments of its own.
func command(pos parse.Pos, name string) *parse.CommandNode {
	return &parse.CommandNode{NodeType: parse.NodeCommand, Pos: pos, Args: []parse.Node{parse.NewIdentifier(name).SetPos(pos)}}
}
