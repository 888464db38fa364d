package console

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// What fits on a screen beside other events.
const (
	maxTitle = 120
	maxLabel = 40
	maxValue = 200
	maxLink  = 500
	maxLines = 10
)

// Select Graphic Rendition (ECMA-48 §8.3.117).
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
	purple = "35"
)

// A painter colours text, or leaves it.
type painter bool

func (p painter) paint(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// block renders m in lines that all end with a line feed. Nothing of a record can
// move the cursor or colour the screen: all of it went through OneLine.
func block(m connectors.Message, color bool) string {
	p := painter(color)
	var b strings.Builder
	title := m.Title
	if m.Event.Data.Collection == events.System {
		title = m.Note
	}
	gist := ""
	if m.Gist != "" {
		gist = ", " + line(m.Gist, maxTitle)
	}
	fmt.Fprintf(&b, "%s %s  %s%s\n", m.Icon, p.paint(actionColor(m.Event.Data), line(m.Lead, maxTitle)), p.paint(bold, line(title, maxTitle)), gist)
	if title != m.Note && m.Note != "" {
		fmt.Fprintf(&b, "   %s\n", line(m.Note, maxValue))
	}
	if m.Changes != nil {
		changes(&b, p, m.Changes)
	} else {
		facts(&b, p, m.Facts)
	}
	if m.Link != "" {
		fmt.Fprintf(&b, "   %s\n", p.paint(dim, line(m.Link, maxLink)))
	}
	fmt.Fprintf(&b, "   %s\n\n", p.paint(dim, line(m.Stamp()+" · "+m.Place(), maxValue)))
	return b.String()
}

func changes(b *strings.Builder, p painter, all []connectors.Changed) {
	shown := all[:min(len(all), maxLines)]
	width := 0
	for _, c := range shown {
		width = max(width, utf8.RuneCountInString(line(c.Label, maxLabel)))
	}
	for _, c := range shown {
		from, to := connectors.Contrast(c.From, c.To, maxValue)
		fmt.Fprintf(b, "   %s  %s → %s\n", p.paint(dim, pad(line(c.Label, maxLabel), width)),
			p.paint(red, line(from, maxValue)), p.paint(green, line(to, maxValue)))
	}
	more(b, p, len(all)-len(shown), "change")
}

func facts(b *strings.Builder, p painter, all []connectors.Fact) {
	shown := all[:min(len(all), maxLines)]
	width := 0
	for _, f := range shown {
		width = max(width, utf8.RuneCountInString(line(f.Label, maxLabel)))
	}
	for _, f := range shown {
		fmt.Fprintf(b, "   %s  %s\n", p.paint(dim, pad(line(f.Label, maxLabel), width)), line(f.Value, maxValue))
	}
	more(b, p, len(all)-len(shown), "field")
}

func more(b *strings.Builder, p painter, n int, what string) {
	if n > 0 {
		fmt.Fprintf(b, "   %s\n", p.paint(dim, "… and "+connectors.Count(n)+" more "+plural(n, what, what+"s")))
	}
}

// line is s on one line of at most limit characters. A line end within s shows as ↵.
func line(s string, limit int) string {
	parts := strings.Split(connectors.Visible(s), "\n")
	for i := range parts {
		parts[i] = connectors.OneLine(parts[i])
	}
	return connectors.Shorten(strings.Join(parts, " ↵ "), limit)
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

func actionColor(d events.Data) string {
	switch d.Action {
	case events.Created:
		return green
	case events.Updated:
		return yellow
	case events.Deleted:
		return red
	case events.Restored:
		return blue
	}
	return purple
}
