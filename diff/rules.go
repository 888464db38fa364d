// Package diff compares two versions of a record: by fingerprint, and member by
// member. It never fetches, stores or publishes anything.
//
// # The law of sameness
//
// Two JSON texts are the same when they differ only in the order of object
// members, in white space between tokens, in how a string's characters are
// escaped ("\u0041" is "A") or in how a number is spelled (1.0 is 1, 1e2 is 100,
// -0 is 0). Numbers are compared as exact decimals of any length. 1, "1" and true
// differ, null differs from an absent member, and the order of array elements
// counts.
//
// Where the grammar of JSON leaves a choice, all of the package reads as
// encoding/json does: of members with the same name in one object the last one
// counts, and a byte that is not UTF-8 or half of a surrogate pair reads as U+FFFD.
// Values nested deeper than 10,000 levels are refused.
package diff

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Rules say which parts of a record do not count: they are neither compared nor
// kept. The zero Rules let everything count. Rules do not change and are safe
// for concurrent use; they must not be copied.
type Rules struct {
	ignore   *step // nil: nothing is ignored
	urls     bool  // absolute http(s) URLs are volatile
	scanners sync.Pool
	cleaners sync.Pool
}

// NewRules returns rules that ignore the members and array elements which the
// JSON Pointers (RFC 6901) in ignore name. A token "*" stands for any member
// name and any index, so a member that is itself called "*" cannot be named
// alone. Indexes count the elements as Trackops sent them.
//
// With volatileURLs every string at any depth that is an absolute http or https
// URL is ignored, too: a member whose value or name it is, or an array element.
// A string is taken for one when it begins with http:// or https://, in any
// case, after any white space and control characters, with any mixture of two or
// more slashes and backslashes, and something follows: on the safe side, since
// such a URL can be a key to the file behind it.
//
// The error names the pointer that is not one. The empty pointer is refused: it
// names the whole record.
func NewRules(ignore []string, volatileURLs bool) (*Rules, error) {
	patterns := make([][]string, 0, len(ignore))
	for _, pointer := range ignore {
		tokens, err := parsePointer(pointer)
		if err != nil {
			return nil, fmt.Errorf("ignore %q: %w", pointer, err)
		}
		if len(tokens) == 0 {
			return nil, fmt.Errorf("ignore %q: the empty pointer names the whole record", pointer)
		}
		patterns = append(patterns, tokens)
	}
	return &Rules{ignore: newStep(patterns), urls: volatileURLs}, nil
}

// parsePointer returns the unescaped tokens of a JSON Pointer.
func parsePointer(pointer string) ([]string, error) {
	p := jsontext.Pointer(pointer)
	if !p.IsValid() {
		return nil, errors.New(`not a JSON Pointer (RFC 6901), such as /name or /contacts/*/email: it begins with "/", and "~" is written "~0", "/" in a name "~1"`)
	}
	return slices.Collect(p.Tokens()), nil
}

// A step is where a walk through a record stands in the ignored pointers. The
// nil step is a place below which nothing is ignored.
type step struct {
	drop  bool // a pointer ends here
	named []branch
	other *step // where a name or index leads that is not in named
}

// A branch is where one name or index leads. There are few at a step: looking
// through them is faster than a map.
type branch struct {
	token string
	next  *step
}

// newStep builds the step where the given rests of pointers are still open. A
// pointer with "*" is followed from every named branch as well, so that a walk
// stands in one place only.
func newStep(open [][]string) *step {
	if len(open) == 0 {
		return nil
	}
	if slices.ContainsFunc(open, func(p []string) bool { return len(p) == 0 }) {
		return &step{drop: true} // what lies below goes with it
	}
	s := new(step)
	for _, p := range open {
		if p[0] != "*" && !s.branches(p[0]) {
			s.named = append(s.named, branch{p[0], newStep(follow(open, p[0]))})
		}
	}
	s.other = newStep(follow(open, "*"))
	return s
}

// follow returns what is left of the pointers that the token leads into.
func follow(open [][]string, token string) (rests [][]string) {
	for _, p := range open {
		if p[0] == token || p[0] == "*" {
			rests = append(rests, p[1:])
		}
	}
	return rests
}

func (s *step) branches(token string) bool {
	return slices.ContainsFunc(s.named, func(b branch) bool { return b.token == token })
}

func (s *step) dropped() bool { return s != nil && s.drop }

// member returns the step below s for an object member.
func (s *step) member(name []byte) *step {
	if s == nil {
		return nil
	}
	for i := range s.named {
		if s.named[i].token == string(name) {
			return s.named[i].next
		}
	}
	return s.other
}

// element returns the step below s for an array element.
func (s *step) element(index int) *step {
	if s == nil {
		return nil
	}
	if len(s.named) == 0 {
		return s.other
	}
	var digits [20]byte
	return s.member(strconv.AppendInt(digits[:0], int64(index), 10))
}
