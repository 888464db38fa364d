package connectors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// Visible returns s without any character that acts instead of being read:
// control characters and those that turn the direction of text are spelled
// out (\u001b), invalid UTF-8 becomes U+FFFD, and every kind of line end \n.
// Tabs and line ends stay.
func Visible(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i, r := range s {
		switch {
		case r == '\r' && strings.HasPrefix(s[i+1:], "\n"):
		case r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029':
			b.WriteByte('\n')
		case r == '\t':
			b.WriteByte('\t')
		case unicode.IsControl(r) || turnsDirection(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// turnsDirection reports whether r is an explicit bidirectional control
// (Unicode Standard Annex 9): text after it may look like other text.
func turnsDirection(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// OneLine is [Visible] with each run of white space as one space.
func OneLine(s string) string { return strings.Join(strings.Fields(Visible(s)), " ") }

// Shorten returns s if it has at most limit characters (not bytes), and
// otherwise its beginning and "… 1,234 more characters", limit in all.
func Shorten(s string, limit int) string {
	return ShortenFunc(s, limit, func(rune) int { return 1 })
}

// ShortenFunc is [Shorten] for a medium that writes a character as width(r) others.
// The note itself is counted as one each, and the number in it is of characters
// of s.
func ShortenFunc(s string, limit int, width func(rune) int) string {
	total := 0
	for _, r := range s {
		total += width(r)
	}
	if total <= limit {
		return s
	}
	runes := utf8.RuneCountInString(s)
	room := limit - utf8.RuneCountInString(moreCharacters(runes))
	note := moreCharacters
	if room < 0 {
		room, note = max(0, limit-1), func(int) string { return "…" }
	}
	used, kept := 0, 0
	for i, r := range s {
		if used += width(r); used > room {
			return s[:i] + note(runes-kept)
		}
		kept++
	}
	return s
}

func moreCharacters(n int) string {
	if n == 1 {
		return "… 1 more character"
	}
	return "… " + Count(n) + " more characters"
}

// Count writes n with commas: 1,234.
func Count(n int) string { return grouped(strconv.Itoa(n)) }

// Contrast drops what two versions of a long text have in common at their
// beginning, but for a few words, if either is longer than limit characters:
// else shortening would leave two equal texts.
func Contrast(from, to string, limit int) (string, string) {
	const lead = 30
	if utf8.RuneCountInString(from) <= limit && utf8.RuneCountInString(to) <= limit {
		return from, to
	}
	var starts []int // of the equal characters
	for i, r := range from {
		other, size := utf8.DecodeRuneInString(to[min(i, len(to)):])
		if size == 0 || other != r {
			break
		}
		starts = append(starts, i)
	}
	if len(starts) < 2*lead {
		return from, to
	}
	cut := starts[len(starts)-lead]
	note := "(" + Count(len(starts)-lead) + " equal characters) … "
	return note + from[cut:], note + to[cut:]
}

// valueText is a JSON value as people read it. Numbers keep their digits.
func valueText(raw json.RawMessage) (string, error) {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0:
		return "(not set)", nil
	case string(raw) == "null":
		return "(null)", nil
	case string(raw) == "true":
		return "yes", nil
	case string(raw) == "false":
		return "no", nil
	case string(raw) == `""`:
		return "(empty)", nil
	case raw[0] == '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return "", err
		}
		return Visible(s), nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return "", err
	}
	return Visible(b.String()), nil
}

// pathLabel puts a JSON Pointer into words: "/ExpenseDetails/0/total" is
// "Expense details › 1 › Total". Positions count from 1.
func pathLabel(path string) string {
	if path == "" {
		return "Record"
	}
	var parts []string
	for _, token := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		if n, err := strconv.ParseUint(token, 10, 31); err == nil {
			parts = append(parts, strconv.FormatUint(n+1, 10))
			continue
		}
		parts = append(parts, words(token))
	}
	return strings.Join(parts, " › ")
}

// words turns snake_case and PascalCase into words: "Due on", "Expense details".
// Actions stay in lower case, as they follow a noun.
func words(name string) string {
	if slices.Contains(events.Actions(), events.Action(name)) {
		return name
	}
	if name == "Casefile" {
		return "Case" // as Trackops itself says elsewhere
	}
	var b strings.Builder
	before := ' '
	for _, r := range OneLine(name) {
		switch {
		case r == '_' || r == '-':
			r = ' '
		case unicode.IsUpper(r) && unicode.IsLower(before):
			b.WriteByte(' ')
			b.WriteRune(unicode.ToLower(r))
			before = r
			continue
		}
		b.WriteRune(r)
		before = r
	}
	s := strings.Join(strings.Fields(b.String()), " ")
	if s == "" {
		return "(no name)"
	}
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}

// lowerFirst is s within a sentence.
func lowerFirst(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[size:]
}

// noun is one record of a collection in words.
func noun(collection string) string {
	switch collection {
	case events.System:
		return "System"
	case "staff":
		return "Staff member"
	case "events":
		return "Calendar event"
	case "fields":
		return "Custom field"
	case "expense_slips":
		return "Expense payment slip"
	}
	s := words(strings.ReplaceAll(collection, "/", "_"))
	switch {
	case strings.HasSuffix(s, "ies"):
		return strings.TrimSuffix(s, "ies") + "y"
	case strings.HasSuffix(s, "uses"), strings.HasSuffix(s, "xes"):
		return strings.TrimSuffix(s, "es")
	case strings.HasSuffix(s, "ss"):
		return s
	}
	return strings.TrimSuffix(s, "s")
}

func icon(d events.Data) string {
	switch {
	case d.Collection == events.System && strings.HasSuffix(string(d.Action), "_recovered"):
		return "✅"
	case d.Collection == events.System:
		return "⚠️"
	}
	switch d.Action {
	case events.Created:
		return "🆕"
	case events.Updated:
		return "✏️"
	case events.Deleted:
		return "🗑️"
	case events.Restored:
		return "♻️"
	}
	return "ℹ️"
}
