package connectors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// A Mask leaves out of events what a connector must not be given. It concerns
// the record and its changes; the record's id is a part of every event. A nil
// Mask leaves out nothing. A Mask may be used concurrently; it must not be copied.
type Mask struct {
	root    *maskStep
	maskers sync.Pool
}

// CompileMask returns the mask that keeps only what fields name, everything if
// there are none, and then leaves out what omit names. Both are JSON Pointers
// (RFC 6901) into the record, where a token "*" stands for every member and
// element, and name whatever lies below, too.
//
// The error is the joined [SettingError]s of the settings FIELDS and OMIT, one
// for each pointer that is none.
func CompileMask(fields, omit []string) (*Mask, error) {
	keep, keepErr := parsePointers("FIELDS", fields)
	drop, dropErr := parsePointers("OMIT", omit)
	if err := errors.Join(keepErr, dropErr); err != nil {
		return nil, err
	}
	return &Mask{root: newMaskStep(keep, len(keep) == 0, drop)}, nil
}

func parsePointers(setting string, pointers []string) ([][]string, error) {
	var all [][]string
	var errs []error
	for _, pointer := range pointers {
		tokens, ok := parsePointer(pointer)
		if !ok {
			errs = append(errs, &SettingError{
				Setting:  setting,
				Problem:  fmt.Sprintf("%q is not a JSON Pointer", pointer),
				Accepted: `pointers into the record that begin with "/", as /name, /address/city or /contacts/*/email; a "~" in a name is written ~0, a "/" is written ~1`,
			})
			continue
		}
		all = append(all, tokens)
	}
	return all, errors.Join(errs...)
}

// parsePointer returns the unescaped tokens of a JSON Pointer.
func parsePointer(pointer string) (tokens []string, ok bool) {
	p := jsontext.Pointer(pointer)
	if !p.IsValid() {
		return nil, false
	}
	return slices.Collect(p.Tokens()), true
}

// Apply returns ev less what the mask leaves out; ev itself is not changed. In
// an array an element that is left out becomes null, so that the others keep
// their places. Of a change above a path that is left out both sides are masked,
// and the change is left out, too, when they do not differ any more. What cannot
// be read is left out. System events pass as they are.
//
// ok is false for an update all of whose changes are left out, or all but its new
// updated_at: there is nothing to tell. Applying a mask to what it returned changes nothing.
func (m *Mask) Apply(ev events.Event) (masked events.Event, ok bool) {
	if m == nil || m.root.verdict == keepAll || ev.Data.Collection == events.System {
		return ev, true
	}
	k, pooled := m.maskers.Get().(*masker)
	if !pooled {
		k = new(masker)
	}
	defer m.maskers.Put(k)
	before := len(ev.Data.Changes)
	ev.Data.Record = k.mask(ev.Data.Record, m.root)
	ev.Data.Changes = k.changes(ev.Data, m.root)
	left := len(ev.Data.Changes)
	return ev, ev.Data.Action != events.Updated || left == before || left > 0 && !isStamp(ev.Data.Changes)
}

// changes returns what the mask leaves of the changes of d, in a new slice.
func (k *masker) changes(d events.Data, root *maskStep) []events.Change {
	var left []events.Change
	for _, c := range d.Changes {
		at := root.descend(c.Path)
		if at.verdict == leaveOut {
			continue
		}
		if at.verdict == lookInside {
			c.From, c.To = k.mask(c.From, at), k.mask(c.To, at)
			// A truncated event lacks long values: nobody can tell whether these differed.
			if !d.Truncated && same(c.From, c.To) {
				continue
			}
		}
		left = append(left, c)
	}
	return left
}

// same reports whether two values, or their absence, are surely no change.
func same(a, b json.RawMessage) bool {
	return bytes.Equal(canonical(a), canonical(b))
}

// canonical spells a value in one way, apart from its numbers.
func canonical(raw json.RawMessage) []byte {
	v := jsontext.Value(bytes.Clone(raw))
	err := v.Canonicalize(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true),
		jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false))
	if err != nil {
		return raw
	}
	return v
}

// A maskStep is where a walk through a record stands in the pointers of a mask.
type maskStep struct {
	verdict maskVerdict

	// The rest says what is inside, for lookInside.
	scalars bool // a value that has no inside is kept
	named   []maskBranch
	other   *maskStep // where a name or index leads that is not in named
}

// A maskVerdict says what becomes of a value.
type maskVerdict int

const (
	keepAll maskVerdict = iota
	leaveOut
	lookInside
)

// A maskBranch is where one name or index leads. There are few at a step:
// looking through them is faster than a map.
type maskBranch struct {
	token string
	next  *maskStep
}

// newMaskStep builds the step where the given rests of pointers are still open;
// whole means that a pointer of what to keep ended here or above. A pointer with
// "*" is followed from every named branch as well, so that a walk stands in one
// place only.
func newMaskStep(keep [][]string, whole bool, omit [][]string) *maskStep {
	if slices.ContainsFunc(keep, atEnd) {
		whole = true
	}
	switch {
	case slices.ContainsFunc(omit, atEnd), !whole && len(keep) == 0:
		return &maskStep{verdict: leaveOut}
	case whole && len(omit) == 0:
		return &maskStep{verdict: keepAll}
	case whole:
		keep = nil
	}
	s := &maskStep{verdict: lookInside, scalars: whole}
	for _, p := range slices.Concat(keep, omit) {
		if p[0] != "*" && !slices.ContainsFunc(s.named, func(b maskBranch) bool { return b.token == p[0] }) {
			s.named = append(s.named, maskBranch{p[0], newMaskStep(follow(keep, p[0]), whole, follow(omit, p[0]))})
		}
	}
	s.other = newMaskStep(follow(keep, "*"), whole, follow(omit, "*"))
	return s
}

func atEnd(pointer []string) bool { return len(pointer) == 0 }

// follow returns what is left of the pointers that the token leads into.
func follow(open [][]string, token string) (rests [][]string) {
	for _, p := range open {
		if p[0] == token || p[0] == "*" {
			rests = append(rests, p[1:])
		}
	}
	return rests
}

// member returns the step below s for an object member, or for an index as
// digits.
func (s *maskStep) member(name []byte) *maskStep {
	for i := range s.named {
		if s.named[i].token == string(name) {
			return s.named[i].next
		}
	}
	return s.other
}

// element returns the step below s for an array element.
func (s *maskStep) element(index int) *maskStep {
	var digits [20]byte
	return s.member(strconv.AppendInt(digits[:0], int64(index), 10))
}

// descend returns the step that the path of a change leads to.
func (s *maskStep) descend(path string) *maskStep {
	tokens, ok := parsePointer(path)
	if !ok {
		return &maskStep{verdict: leaveOut}
	}
	for _, token := range tokens {
		if s.verdict != lookInside {
			break
		}
		s = s.member([]byte(token))
	}
	return s
}
