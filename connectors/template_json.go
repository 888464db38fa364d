package connectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A place is where in a JSON text a template stands.
type place int

const (
	outside place = iota // of quotes: a value goes here
	inside               // of quotes
	escaped              // behind a backslash
	hex4                 // 4 hexadecimal digits are to come, after these 3, 2 and 1
	hex3
	hex2
	hex1
)

// after returns the place behind text. Only the media of JSON have places.
func (p place) after(m Medium, text []byte) place {
	if m != JSON && m != MrkdwnJSON {
		return outside
	}
	for _, c := range text {
		switch {
		case p == outside && c == '"':
			p = inside
		case p == outside:
		case p == inside && c == '"':
			p = outside
		case p == inside && c == '\\':
			p = escaped
		case p == inside:
		case p == escaped && c == 'u':
			p = hex4
		case p == escaped || p == hex1:
			p = inside
		default:
			p++
		}
	}
	return p
}

// A notJSON error is a rendered text that is not JSON.
type notJSON struct {
	text string // as rendered: it may hold values
	at   int    // byte
	err  error
}

func (n *notJSON) Error() string {
	return fmt.Sprintf("the result is not JSON: byte %d of %d", n.at, len(n.text))
}

// validate checks what has to be JSON. An empty text is none, and says nothing.
func (t *Template) validate(text string) error {
	if t.medium != JSON && t.medium != MrkdwnJSON || strings.TrimSpace(text) == "" {
		return nil
	}
	var any json.RawMessage
	err := json.Unmarshal([]byte(text), &any)
	if err == nil {
		return nil
	}
	var syntax *json.SyntaxError
	n := &notJSON{text: text, at: len(text), err: err}
	if errors.As(err, &syntax) {
		n.at = int(syntax.Offset)
	}
	return n
}

// joinJSON makes one list of several texts. Those that are lists themselves, as
// Slack's blocks are, are put one behind the other.
func joinJSON(all []string) string {
	lists := true
	for i, s := range all {
		all[i] = strings.TrimSpace(s)
		lists = lists && strings.HasPrefix(all[i], "[")
	}
	var parts []string
	for _, s := range all {
		if lists {
			s = strings.TrimSpace(s[1 : len(s)-1])
		}
		if s != "" {
			parts = append(parts, s)
		}
	}
	return "[" + strings.Join(parts, ",") + "]"
}
