package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// ourPrefixes begin variables that nobody else has a use for, so that one we do
// not know is a spelling mistake.
func ourPrefixes() []string {
	return []string{"TRACKOPS_", "POLL_", collectionPrefix, connectorPrefix}
}

// kubernetes is what the names of service links look like, which Kubernetes puts
// into every container: a service "trackops" gives TRACKOPS_PORT_8080_TCP_ADDR.
var kubernetes = regexp.MustCompile(`_(SERVICE_HOST|PORT)$|_SERVICE_PORT|_PORT_[0-9]+_`)

// under lists the variables that are set and begin with prefix, in order.
func (l *loader) under(prefix string) []string {
	var names []string
	for name := range l.env {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// rejectUnknown reports the variables under our prefixes that nothing has read.
func (l *loader) rejectUnknown(kinds []connectors.Kind) {
	hint := newHint(l, kinds)
	for _, prefix := range ourPrefixes() {
		for _, name := range l.under(prefix) {
			if !l.known[name] && !kubernetes.MatchString(name) {
				l.report(name, "not a known variable", hint.accepted(name))
			}
		}
	}
}

// A hint finds what was meant by an unknown variable.
type hint struct {
	known            []string // in order
	collectionFields []string
	connectorFields  []string // of all kinds
	kinds            string
}

func newHint(l *loader, kinds []connectors.Kind) hint {
	return hint{
		known:            slices.Sorted(maps.Keys(l.known)),
		collectionFields: slices.Sorted(maps.Keys(fieldNames(&collectionSettings{}))),
		connectorFields:  slices.Sorted(maps.Keys(kindFields(kinds...))),
		kinds:            kindNames(kinds),
	}
}

// accepted says what an unknown variable was probably meant to be.
func (h hint) accepted(name string) string {
	const longest = 200 // beyond it nothing of ours is near, and the search takes long
	if len(name) > longest {
		return "shorter names"
	}
	if bare, ok := strings.CutSuffix(name, "_FILE"); ok && h.knows(bare) {
		return bare + ", as only a secret can come from a file"
	}
	candidates, owned := h.siblings(name)
	near := nearest(name, candidates)
	or := ""
	if near != "" {
		or = "; or " + near
	}
	if s := h.missing(name, connectorPrefix, "_TYPE", h.connectorFields); s != "" {
		return fmt.Sprintf("%s beside it, to declare the connector (%s)%s", s, h.kinds, or)
	}
	if s := h.missing(name, collectionPrefix, "_PATH", h.collectionFields); s != "" {
		return fmt.Sprintf("%s beside it, to add the collection%s", s, or)
	}
	if !owned {
		near = nearest(name, slices.Concat(candidates,
			h.derive(name, connectorPrefix, "_TYPE", h.connectorFields),
			h.derive(name, collectionPrefix, "_PATH", h.collectionFields)))
	}
	return cmp.Or(near, acceptedName)
}

// siblings returns the known variables of the connector that owns name, or if none
// does, those with the same one of our prefixes: nothing else is meant.
func (h hint) siblings(name string) (names []string, owned bool) {
	prefix := ""
	for _, ours := range ourPrefixes() {
		if strings.HasPrefix(name, ours) {
			prefix = ours
		}
	}
	for _, known := range h.known {
		owner, ok := strings.CutSuffix(known, "TYPE")
		if ok && strings.HasPrefix(owner, connectorPrefix) && strings.HasPrefix(name, owner) && len(owner) > len(prefix) {
			prefix, owned = owner, true
		}
	}
	return slices.DeleteFunc(slices.Clone(h.known), func(known string) bool { return !strings.HasPrefix(known, prefix) }), owned
}

// missing returns the variable that would give name a meaning: name with the
// declaring field in the place of its own. It returns "" if that one is set, or
// if name ends with no field.
func (h hint) missing(name, prefix, declaring string, fields []string) string {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return ""
	}
	shortest := ""
	for _, field := range fields {
		owner, ok := strings.CutSuffix(rest, "_"+field)
		if ok && nameForm.MatchString(owner) && (shortest == "" || len(owner) < len(shortest)) {
			shortest = owner
		}
	}
	if shortest == "" || h.knows(prefix+shortest+declaring) {
		return ""
	}
	return prefix + shortest + declaring
}

// derive returns the variables that a part of name, taken as the name of a
// connector or collection, would have. Those of one that is declared are known.
func (h hint) derive(name, prefix, declaring string, fields []string) []string {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return nil
	}
	var names []string
	for i := range len(rest) {
		if rest[i] != '_' || !nameForm.MatchString(rest[:i]) || h.knows(prefix+rest[:i]+declaring) {
			continue
		}
		for _, field := range fields {
			names = append(names, prefix+rest[:i]+"_"+field)
		}
	}
	return names
}

func (h hint) knows(name string) bool {
	_, found := slices.BinarySearch(h.known, name)
	return found
}

// nearest returns the candidate with the fewest slips of a finger from name, the
// first of several.
func nearest(name string, candidates []string) string {
	best, fewest := "", math.MaxInt
	for _, c := range candidates {
		if d := slips(name, c); d < fewest {
			best, fewest = c, d
		}
	}
	return best
}

// slips is the edit distance with neighbours swapped as one edit (optimal string
// alignment), in bytes.
func slips(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
