package email

import (
	"strings"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// A view is what the default messages show: texts, each of bounded length.
type view struct {
	Subject  string
	Glance   string // what a list of mails shows behind the subject
	Several  bool   // records
	Headline string // of several
	Counts   string // "5 records: 2 created, 3 updated"
	Tone     string
	Sections []section
	More     string   // about the records left out
	IDs      []string // of every event that the mail stands for
	MoreIDs  string
	Sender   string // the connector
}

// A section is one record.
type section struct {
	Headline          string // "Invoice paid: INV-1042, for Acme Ltd, 1,250.00"
	Lead, Title, Gist string // the headline in its parts
	Tone              string // a colour for what happened
	Note              string
	Changes           []connectors.Changed
	Facts             []connectors.Fact
	More              string // about the lines left out
	Link              string // to the record, or ""
	Button            string // what the link says
	When, Place       string
}

const (
	maxSubject = 200 // characters
	maxLabel   = 120
	maxIDs     = 2000
)

// A detail is how much a mail shows of a record. What is above it is mentioned.
type detail struct{ lines, value int }

var (
	whole = detail{lines: 100, value: 5000} // of the only one
	brief = detail{lines: 12, value: 500}   // of one among several
)

// viewOf makes the view of d, whose data is given. Link may be nil.
func viewOf(d connectors.Delivery, data connectors.TemplateData, link func(events.Event) string) (view, error) {
	records := strands(d.Events)
	v := view{
		Several: len(records) > 1 || d.Digest != nil && len(d.Digest.IDs) > 1,
		Sender:  connectors.Shorten(connectors.OneLine(data.Connector), maxLabel),
	}
	b := budget{left: maxBody}
	v.listIDs(ids(d), &b)
	if err := v.add(records, link, &b); err != nil {
		return view{}, err
	}
	if !v.Several {
		v.Tone, v.Glance = v.Sections[0].Tone, v.Sections[0].glance()
		v.Subject = "[" + d.Events[0].Data.Account + "] " + v.Sections[0].Headline
		if n := records[0].count; n > 1 {
			v.Subject += " (" + connectors.Count(n) + " changes)"
		}
	} else {
		v.Tone, v.Counts = neutral, counts(records)
		v.Headline = connectors.Shorten(connectors.OneLine(data.Summary), maxSubject)
		v.Subject, v.Glance = v.Headline, v.Counts
	}
	v.Subject = headerText(v.Subject)
	return v, nil
}

// add makes a section of each record, as long as there is room.
func (v *view) add(records []strand, link func(events.Event) string, b *budget) error {
	much := whole
	if len(records) > 1 {
		much = brief
	}
	for i, one := range records {
		messages, err := connectors.NewMessages([]events.Event{one.sum}, link)
		if err != nil {
			return err
		}
		s, ok := sectionOf(messages[0], one, much, b)
		if !ok {
			v.More = "… and " + connectors.Count(len(records)-i) + " more records"
			return nil
		}
		v.Sections = append(v.Sections, s)
	}
	return nil
}

// ids are those of every event that d stands for.
func ids(d connectors.Delivery) []string {
	if d.Digest != nil && len(d.Digest.IDs) > 0 {
		return d.Digest.IDs
	}
	out := make([]string, len(d.Events))
	for i, e := range d.Events {
		out[i] = e.ID
	}
	return out
}

func (v *view) listIDs(all []string, b *budget) {
	for i, id := range all {
		id = connectors.Shorten(connectors.OneLine(id), maxSubject)
		if i == maxIDs || !b.take(10, id) {
			v.MoreIDs = "… and " + connectors.Count(len(all)-i) + " more"
			return
		}
		v.IDs = append(v.IDs, id)
	}
}

// counts says how many records went through what.
func counts(records []strand) string {
	order := []string{"created", "updated", "deleted", "restored", "notices"}
	n := make(map[string]int)
	for _, r := range records {
		word := string(r.sum.Data.Action)
		if r.sum.Data.Collection == events.System {
			word = "notices"
		}
		n[word]++
	}
	var parts []string
	for _, word := range order {
		switch {
		case n[word] == 1 && word == "notices":
			parts = append(parts, "1 notice")
		case n[word] > 0:
			parts = append(parts, connectors.Count(n[word])+" "+word)
		}
	}
	return strings.Join(parts, " · ")
}

// sectionOf says what m does, which is the message of a strand's sum. It returns
// false if there is no room for it.
func sectionOf(m connectors.Message, of strand, much detail, b *budget) (section, bool) {
	s := section{
		Headline: connectors.Shorten(m.Headline(), maxSubject),
		Lead:     connectors.Shorten(m.Lead, maxLabel),
		Title:    connectors.Shorten(m.Title, maxSubject),
		Gist:     connectors.Shorten(m.Gist, maxSubject),
		Tone:     tone(m.Event.Data),
		Note:     connectors.Shorten(m.Note, much.value),
		When:     m.Stamp(), Place: connectors.Shorten(m.Place(), maxSubject),
		Button: connectors.Shorten("Open "+strings.ToLower(m.Noun), maxLabel),
	}
	if m.Event.Data.Collection == events.System {
		s.Title, s.Gist = s.Headline, ""
	}
	if s.Note == s.Headline {
		s.Note = ""
	}
	if m.Event.Data.Action == events.Deleted && len(m.Facts) > 0 {
		s.Note = strings.TrimSpace(s.Note + "\nAs it was when last seen:")
	}
	if of.note != "" {
		s.Note = strings.TrimSpace(s.Note + "\n" + of.note)
	}
	if of.count > 1 {
		s.When = connectors.Count(of.count) + " changes, the last at " + s.When
	}
	if isLink(m.Link) {
		s.Link = m.Link
	}
	const markup = 4000 // bytes, without the lines
	if !b.take(markup, s.Headline, s.Lead, s.Title, s.Gist, s.Note, s.When, s.Place, s.Link, s.Link, s.Button) {
		return section{}, false
	}
	s.addLines(m, much, b)
	return s, true
}

// isLink reports whether a mail can link to s: an address on the web, without
// white space and without characters that act.
func isLink(s string) bool {
	web := strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
	return web && s == connectors.OneLine(s) && !strings.Contains(s, " ")
}

// addLines adds changes or facts as long as there is room.
func (s *section) addLines(m connectors.Message, much detail, b *budget) {
	const markup = 1000 // bytes of a line
	for i, c := range m.Changes {
		from, to := connectors.Contrast(c.From, c.To, much.value)
		c.Label, c.From, c.To = connectors.Shorten(c.Label, maxLabel), connectors.Shorten(from, much.value), connectors.Shorten(to, much.value)
		if i == much.lines || !b.take(markup, c.Label, c.From, c.To) {
			s.More = "… and more changes: " + connectors.Count(len(m.Changes)-i)
			return
		}
		s.Changes = append(s.Changes, c)
	}
	for i, f := range m.Facts {
		f.Label, f.Value = connectors.Shorten(f.Label, maxLabel), connectors.Shorten(f.Value, much.value)
		if i == much.lines || !b.take(markup, f.Label, f.Value) {
			s.More = "… and more fields: " + connectors.Count(len(m.Facts)-i)
			return
		}
		s.Facts = append(s.Facts, f)
	}
}

// glance is the first line of what is new.
func (s section) glance() string {
	const limit = 140
	switch {
	case len(s.Changes) > 0:
		return connectors.Shorten(connectors.OneLine(s.Changes[0].Label+": "+s.Changes[0].From+" → "+s.Changes[0].To), limit)
	case len(s.Facts) > 0:
		return connectors.Shorten(connectors.OneLine(s.Facts[0].Label+": "+s.Facts[0].Value), limit)
	}
	return connectors.Shorten(connectors.OneLine(s.Note), limit)
}

// The colours of what happened. They are legible on white, and white on them.
const (
	neutral = "#57606a"
	green   = "#1a7f37"
	blue    = "#0969da"
	red     = "#cf222e"
	purple  = "#8250df"
	amber   = "#9a6700"
)

func tone(d events.Data) string {
	switch {
	case d.Collection == events.System && strings.HasSuffix(string(d.Action), "_recovered"), d.Action == events.Created:
		return green
	case d.Collection == events.System:
		return amber
	case d.Action == events.Updated:
		return blue
	case d.Action == events.Deleted:
		return red
	case d.Action == events.Restored:
		return purple
	}
	return neutral
}
