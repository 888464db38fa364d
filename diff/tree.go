package diff

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// A node is a JSON value, and what it is called where it is an object member.
// Its byte slices are parts of the text it was read from.
type node struct {
	name   []byte // decoded; nil where it is no member
	quoted []byte // the name as it is written
	raw    []byte // the value as it is written; its first byte only, if kids were changed
	kids   []node // of an object or array; the names of an object's are distinct
}

// kind returns '{', '[', '"', 't', 'f', 'n' or, for numbers, '0'.
func (n *node) kind() byte {
	if c := n.raw[0]; c != '-' && (c < '0' || c > '9') {
		return c
	}
	return '0'
}

// child returns the place of the object member called name, or -1.
func (n *node) child(name []byte) int {
	return slices.IndexFunc(n.kids, func(kid node) bool { return bytes.Equal(kid.name, name) })
}

// A parser reads one JSON text into a tree.
type parser struct {
	reader
	open  []node // the children of the values being read, innermost last
	known nameSet
}

// parse reads raw, which must be one JSON value.
func (p *parser) parse(raw []byte) (node, error) {
	p.reset(raw)
	p.open = p.open[:0]
	n, err := p.value()
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return node{}, describe(err)
	}
	return n, nil
}

func (p *parser) value() (n node, err error) {
	kind := p.dec.PeekKind()
	if kind != '{' && kind != '[' {
		n.raw, err = p.next()
		return n, err
	}
	if err := p.skipToken(); err != nil {
		return node{}, err
	}
	start, first := p.dec.InputOffset()-1, len(p.open)
	for p.dec.PeekKind() != kind+2 { // ASCII has the closing ones two places on
		kid, err := p.kid(kind)
		if err != nil {
			return node{}, err
		}
		p.open = append(p.open, kid)
	}
	if err := p.skipToken(); err != nil {
		return node{}, err
	}
	end := p.dec.InputOffset()
	kids := p.open[first:]
	if kind == '{' {
		kids = p.lastOfEach(kids)
	}
	n = node{raw: p.raw[start:end:end], kids: slices.Clone(kids)}
	p.open = p.open[:first]
	return n, nil
}

// kid reads an element or a member with its name.
func (p *parser) kid(parent jsontext.Kind) (node, error) {
	if parent == '[' {
		return p.value()
	}
	quoted, err := p.next()
	if err != nil {
		return node{}, err
	}
	kid, err := p.value()
	kid.name, kid.quoted = text(quoted), quoted
	return kid, err
}

// lastOfEach removes the members that a later one of the same name overrides. It
// works in place and keeps the order.
func (p *parser) lastOfEach(members []node) []node {
	p.known.reset(len(members))
	kept := len(members)
	for i := len(members) - 1; i >= 0; i-- {
		if p.known.add(members[i].name) {
			kept--
			members[kept] = members[i]
		}
	}
	return members[kept:]
}

// render appends the tree as JSON on one line.
func (n *node) render(dst []byte) []byte {
	kind := n.kind()
	if kind != '{' && kind != '[' {
		return append(dst, n.raw...)
	}
	dst = append(dst, kind)
	for i := range n.kids {
		kid := &n.kids[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		if kind == '{' {
			dst = append(append(dst, kid.quoted...), ':')
		}
		dst = kid.render(dst)
	}
	return append(dst, kind+2)
}
