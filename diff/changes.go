package diff

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// Changes returns what leads from one version of a record to another, as few and
// as deep changes as positions allow, so that [Apply] with them makes to of from.
// It returns none exactly when both are the same by the law of this package. The
// error is that one of them is not one JSON value.
//
// The changes of an object come in the order of from's members, then the
// members that only to has, in its order. Arrays are compared by position:
// elements are added only at the end, and removed from the highest index down. A
// value replaced by one of another type is one change. From and To hold values as
// they are written, and share no memory with from and to.
func Changes(from, to []byte) ([]events.Change, error) {
	var p parser
	a, err := p.parse(from)
	if err != nil {
		return nil, fmt.Errorf("old version: %w", err)
	}
	b, err := p.parse(to)
	if err != nil {
		return nil, fmt.Errorf("new version: %w", err)
	}
	return difference(&a, &b), nil
}

// Equal says whether a and b are the same by the law of this package. What is
// not JSON equals nothing.
func Equal(a, b []byte) bool {
	changes, err := Changes(a, b)
	return err == nil && len(changes) == 0
}

func difference(from, to *node) []events.Change {
	var c comparison
	c.values(from, to)
	return c.changes
}

// A comparison collects the changes between two trees.
type comparison struct {
	path    []byte // JSON Pointer of the values being compared
	changes []events.Change
	token   []byte // the index being looked at
	a, b    []byte // encodings of two scalars
}

func (c *comparison) values(from, to *node) {
	kind := from.kind()
	switch {
	case bytes.Equal(from.raw, to.raw):
		return
	case kind != to.kind():
		c.add(from, to)
	case kind == '{':
		c.objects(from, to)
	case kind == '[':
		c.arrays(from, to)
	case !c.sameScalars(from, to):
		c.add(from, to)
	}
}

func (c *comparison) sameScalars(from, to *node) bool {
	c.a = appendScalar(c.a[:0], from.raw)
	c.b = appendScalar(c.b[:0], to.raw)
	return bytes.Equal(c.a, c.b)
}

func (c *comparison) arrays(from, to *node) {
	common := min(len(from.kids), len(to.kids))
	for i := range common {
		c.at(c.index(i), &from.kids[i], &to.kids[i])
	}
	for i := common; i < len(to.kids); i++ {
		c.at(c.index(i), nil, &to.kids[i])
	}
	for i := len(from.kids) - 1; i >= common; i-- {
		c.at(c.index(i), &from.kids[i], nil)
	}
}

// index returns the token of an array index until the next call.
func (c *comparison) index(i int) []byte {
	c.token = strconv.AppendInt(c.token[:0], int64(i), 10)
	return c.token
}

func (c *comparison) objects(from, to *node) {
	old, recent := newIndex(from.kids), newIndex(to.kids)
	for i := range from.kids {
		kid := &from.kids[i]
		c.at(kid.name, kid, recent.find(kid.name))
	}
	for i := range to.kids {
		kid := &to.kids[i]
		if old.find(kid.name) == nil {
			c.at(kid.name, nil, kid)
		}
	}
}

// at compares two values one level down; nil is an absent one.
func (c *comparison) at(token []byte, from, to *node) {
	outer := len(c.path)
	c.path = appendToken(c.path, token)
	if from != nil && to != nil {
		c.values(from, to)
	} else {
		c.add(from, to)
	}
	c.path = c.path[:outer]
}

func (c *comparison) add(from, to *node) {
	change := events.Change{Path: string(c.path)}
	if from != nil {
		change.From = bytes.Clone(from.raw)
	}
	if to != nil {
		change.To = bytes.Clone(to.raw)
	}
	c.changes = append(c.changes, change)
}

// appendToken appends "/" and a token, escaped as RFC 6901 has it.
func appendToken(path, token []byte) []byte {
	path = append(path, '/')
	for _, c := range token {
		switch c {
		case '~':
			path = append(path, "~0"...)
		case '/':
			path = append(path, "~1"...)
		default:
			path = append(path, c)
		}
	}
	return path
}

// An index finds members by name. It is fastest when it is asked in the order
// the members stand in, as two versions of a record mostly agree on it.
type index struct {
	members []node
	next    int
	large   map[string]int
}

func newIndex(members []node) index {
	x := index{members: members}
	if len(members) > maxSmall {
		x.large = make(map[string]int, len(members))
		for i := range members {
			x.large[string(members[i].name)] = i
		}
	}
	return x
}

// find returns the member, or nil.
func (x *index) find(name []byte) *node {
	if i := x.next; i < len(x.members) && bytes.Equal(x.members[i].name, name) {
		x.next++
		return &x.members[i]
	}
	i := x.search(name)
	if i < 0 {
		return nil
	}
	x.next = i + 1
	return &x.members[i]
}

func (x *index) search(name []byte) int {
	if x.large != nil {
		if i, ok := x.large[string(name)]; ok {
			return i
		}
		return -1
	}
	for i := range x.members {
		if bytes.Equal(x.members[i].name, name) {
			return i
		}
	}
	return -1
}
