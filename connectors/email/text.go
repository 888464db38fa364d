package email

import (
	"fmt"
	"strings"
)

// text is the view as the text part of a mail shows it.
func (v view) text() string {
	var b strings.Builder
	if v.Several {
		fmt.Fprintf(&b, "%s\n%s\n\n", v.Headline, v.Counts)
	}
	for i, s := range v.Sections {
		if v.Several {
			fmt.Fprintf(&b, "%s\n%d. ", strings.Repeat("-", 60), i+1)
		}
		s.text(&b)
	}
	if v.More != "" {
		fmt.Fprintf(&b, "%s\n\n", v.More)
	}
	b.WriteString("-- \n") // where a signature begins (RFC 3676 §4.3)
	for i, id := range v.IDs {
		if i == 0 {
			b.WriteString(eventsNoun(len(v.IDs)) + ": ")
		} else {
			b.WriteString("  ")
		}
		b.WriteString(id + "\n")
	}
	if v.MoreIDs != "" {
		fmt.Fprintf(&b, "  %s\n", v.MoreIDs)
	}
	return b.String()
}

func (s section) text(b *strings.Builder) {
	fmt.Fprintf(b, "%s\n\n", s.Headline)
	if s.Note != "" {
		fmt.Fprintf(b, "%s\n\n", s.Note)
	}
	for _, c := range s.Changes {
		if short(c.Label, c.From, c.To) {
			fmt.Fprintf(b, "%s: %s → %s\n", c.Label, c.From, c.To)
		} else {
			fmt.Fprintf(b, "%s, before:\n%s\n%s, after:\n%s\n", c.Label, indent(c.From), c.Label, indent(c.To))
		}
	}
	for _, f := range s.Facts {
		if short(f.Label, f.Value) {
			fmt.Fprintf(b, "%s: %s\n", f.Label, f.Value)
		} else {
			fmt.Fprintf(b, "%s:\n%s\n", f.Label, indent(f.Value))
		}
	}
	if s.More != "" {
		fmt.Fprintf(b, "%s\n", s.More)
	}
	if len(s.Changes)+len(s.Facts) > 0 {
		b.WriteByte('\n')
	}
	if s.Link != "" {
		fmt.Fprintf(b, "%s: %s\n", s.Button, s.Link)
	}
	fmt.Fprintf(b, "%s\n%s\n\n", s.When, s.Place)
}

// short reports whether the texts fit on one line.
func short(texts ...string) bool {
	all := strings.Join(texts, "")
	return len(all) <= 200 && !strings.Contains(all, "\n")
}

func indent(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }
