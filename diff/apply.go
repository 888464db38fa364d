package diff

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/trackops-notifier/trackops-notifier/events"
)

var (
	errNoParent  = errors.New("nothing there to change it in")
	errNoChange  = errors.New("neither from nor to")
	errOldValue  = errors.New("the value there is another one")
	errPresent   = errors.New("there is a value already")
	errAbsent    = errors.New("there is no such value")
	errNotAtEnd  = errors.New("elements are added and removed only at the end of an array")
	errNotOrigin = errors.New("a whole record is neither added nor removed")
)

// Apply returns doc after the changes, one after the other, as JSON on one line.
// Members keep their order, and new ones come last. The error is that something
// is not JSON or that a change does not fit: its From is not what is there. It
// names the change by its number from 0, and its path.
func Apply(doc []byte, changes []events.Change) ([]byte, error) {
	var p parser
	root, err := p.parse(doc)
	if err != nil {
		return nil, err
	}
	for i, change := range changes {
		if err := root.apply(&p, change); err != nil {
			return nil, fmt.Errorf("apply change %d, %q: %w", i, change.Path, err)
		}
	}
	return root.render(nil), nil
}

func (n *node) apply(p *parser, change events.Change) error {
	tokens, err := parsePointer(change.Path)
	if err != nil {
		return err
	}
	from, err := p.side(change.From)
	if err != nil {
		return err
	}
	to, err := p.side(change.To)
	if err != nil {
		return err
	}
	switch {
	case from == nil && to == nil:
		return errNoChange
	case len(tokens) > 0:
		return n.descend(tokens, from, to)
	case from == nil || to == nil:
		return errNotOrigin
	default:
		return n.replace(from, to)
	}
}

// side reads a From or To; nil is an absent one.
func (p *parser) side(raw []byte) (*node, error) {
	if raw == nil {
		return nil, nil
	}
	n, err := p.parse(raw)
	return &n, err
}

// descend follows the tokens and changes what the last one names.
func (n *node) descend(tokens []string, from, to *node) error {
	for ; len(tokens) > 1; tokens = tokens[1:] {
		i := n.find(tokens[0])
		if i < 0 {
			return errNoParent
		}
		n.raw = n.raw[:1]
		n = &n.kids[i]
	}
	n.raw = n.raw[:1]
	last := tokens[0]
	i := n.find(last)
	switch {
	case from != nil && i < 0:
		return errAbsent
	case from == nil && i >= 0:
		return errPresent
	case from == nil:
		return n.insert(last, to)
	case to == nil:
		return n.remove(i, from)
	default:
		return n.kids[i].replace(from, to)
	}
}

// find returns the place of the child a token names, or -1.
func (n *node) find(token string) int {
	switch n.kind() {
	case '{':
		return n.child([]byte(token))
	case '[':
		i, err := strconv.Atoi(token)
		if err == nil && i >= 0 && i < len(n.kids) && strconv.Itoa(i) == token {
			return i
		}
	}
	return -1
}

func (n *node) replace(from, to *node) error {
	if len(difference(n, from)) > 0 {
		return errOldValue
	}
	n.raw, n.kids = to.raw, to.kids
	return nil
}

func (n *node) remove(i int, from *node) error {
	if n.kind() == '[' && i != len(n.kids)-1 {
		return errNotAtEnd
	}
	if len(difference(&n.kids[i], from)) > 0 {
		return errOldValue
	}
	n.kids = slices.Delete(n.kids, i, i+1)
	return nil
}

func (n *node) insert(token string, to *node) error {
	switch n.kind() {
	case '[':
		if token != strconv.Itoa(len(n.kids)) {
			return errNotAtEnd
		}
	case '{':
		quoted, err := jsontext.AppendQuote(nil, token)
		if err != nil {
			return err
		}
		to.name, to.quoted = []byte(token), quoted
	default:
		return errNoParent
	}
	n.kids = append(n.kids, *to)
	return nil
}
