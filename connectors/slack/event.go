package slack

import (
	"strings"
	"unicode/utf8"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// What reads well, all below the limits.
const (
	maxLabel   = 80   // of a field's name
	maxValue   = 600  // of one value
	maxChanges = 20   // of one event
	maxPlace   = 400  // the line with time and place
	maxNote    = 2500 // what an operational event says

	// What all changes of one event may take, when everything else is at its limit.
	allChanges = maxTotal - maxNote - maxPlace - maxAddress - maxHeader - 12*blockCost
)

// eventPage is one event: a header, its changes or its main fields, and a line
// with the link, time and place.
func eventPage(m connectors.Message) *page {
	p := &page{}
	p.header(header(m))
	if m.Note != "" {
		p.section(escape(m.Note, maxNote))
	}
	if s := lead(m); s != "" {
		p.context(s)
	}
	p.changes(m.Changes)
	p.facts(m.Facts)
	last := moment(m.Event.Time) + " · " + escape(m.Place(), maxPlace)
	if safeAddress(m.Link) != "" {
		last = link(m.Link, "Open the record") + " · " + last
	}
	p.context(last)
	return p
}

// header is the first line. What an operational event says has room below it.
func header(m connectors.Message) string {
	if m.Event.Data.Collection == events.System {
		return m.Icon + " " + m.Verb
	}
	return m.Icon + " " + m.Headline()
}

// lead says how to read the fields of a record that is gone or back.
func lead(m connectors.Message) string {
	switch {
	case len(m.Facts) == 0:
		return ""
	case m.Event.Data.Action == events.Deleted:
		return "_No longer in Trackops. As it was last seen:_"
	case m.Event.Data.Action == events.Restored:
		return "_Back in Trackops after it was deleted:_"
	}
	return ""
}

// changes adds sections of lines, each a field before → after.
func (p *page) changes(changes []connectors.Changed) {
	var text string
	used := 0 // in all sections
	flush := func() {
		if text != "" {
			p.section(text)
		}
		text = ""
	}
	for i, c := range changes {
		line := changeLine(c, maxValue)
		n := utf8.RuneCountInString(line) + 1
		if i == maxChanges || used+n > allChanges {
			flush()
			p.section("_… and " + plural(len(changes)-i, "more change") + "_")
			return
		}
		if utf8.RuneCountInString(text)+n > maxSection {
			flush()
		}
		if text != "" {
			text += "\n"
		}
		text += line
		used += n
	}
	flush()
}

// changeLine is one change, with each of its values in at most limit characters.
func changeLine(c connectors.Changed, limit int) string {
	from, to := connectors.Contrast(c.From, c.To, limit)
	return "*" + escape(c.Label, maxLabel) + "*: " + escape(from, limit) + " → " + escape(to, limit)
}

// facts adds the first ten fields: short ones in two columns, then long ones in
// sections of their own.
func (p *page) facts(facts []connectors.Fact) {
	const short = 120 // characters that read well in half of the width
	shown := facts[:min(len(facts), maxFields)]
	var fields, sections []string
	for _, f := range shown {
		text := "*" + escape(f.Label, maxLabel) + "*\n" + strings.TrimSpace(escape(f.Value, maxValue))
		if utf8.RuneCountInString(f.Value) > short || strings.Contains(f.Value, "\n") {
			sections = append(sections, text)
		} else {
			fields = append(fields, text)
		}
	}
	p.fields(fields)
	for _, text := range sections {
		p.section(text)
	}
	if more := len(facts) - len(shown); more > 0 {
		p.context("_… and " + plural(more, "more field") + "_")
	}
}
