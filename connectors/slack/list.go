package slack

import (
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

const (
	maxHeadline = 200  // of one event among others
	maxTitles   = 120  // of one event among so many that only headlines fit
	maxItem     = 2800 // one event among others, with its values: below maxSection
	maxIDs      = 1500 // the line of all ids
)

// A detail says how much of each event there is room for.
type detail struct {
	values int // changes or fields
	value  int // characters of each
}

// listMessage is a delivery of several events, or the net changes of a digest: a
// header, a line with time and numbers, and each event in a section of its own.
// Every event is named before any is told at length: as many events as fit are
// listed, with as much detail as there is room for then. What is left out is
// counted.
func listMessage(d connectors.Delivery, messages []connectors.Message) message {
	top := &page{}
	top.header(listIcon(d.Digest) + " " + connectors.Summary(messages, d.Digest))
	top.context(numbers(d, messages))
	lines := top.lines
	for _, m := range messages {
		m.Link = ""
		lines = append(lines, headline(m, maxTitles))
	}
	return message{text: firstLines(strings.Join(lines, "\n"), maxText), blocks: list(top, d, messages).blocks}
}

// list adds the events to the blocks at the top.
func list(top *page, d connectors.Delivery, messages []connectors.Message) *page {
	for _, level := range []detail{{12, 300}, {8, 150}, {4, 100}, {2, 60}} {
		p := top.copy()
		for _, m := range messages {
			p.section(item(m, level))
		}
		p.ids(d)
		if p.fits() {
			return p
		}
	}
	brief := func(n int) *page {
		p := top.copy()
		p.headlines(messages[:n])
		if left := len(messages) - n; left > 0 {
			p.context("_… and " + plural(left, "more "+unit(d.Digest)) + ": `" + lookUp(d) + "`_")
		}
		p.ids(d)
		return p
	}
	tooMany := sort.Search(len(messages)+1, func(n int) bool { return !brief(n).fits() })
	return brief(tooMany - 1)
}

// unit is what is listed, one of it.
func unit(digest *connectors.Digest) string {
	if digest != nil {
		return "record"
	}
	return "event"
}

func listIcon(digest *connectors.Digest) string {
	switch {
	case digest == nil:
		return "📥"
	case digest.Quiet:
		return "🌅"
	}
	return "🗞️"
}

// numbers is the line below the header: from when to when, as every reader's clock
// has it, and how many of what.
func numbers(d connectors.Delivery, messages []connectors.Message) string {
	from, to := window(d)
	when := moment(from)
	if !to.Equal(from) {
		when += " – " + moment(to)
	}
	parts := []string{when}
	count := make(map[events.Action]int)
	for _, m := range messages {
		data := m.Event.Data
		if data.Collection == events.System {
			data.Action = "operational"
		}
		count[data.Action]++
	}
	for _, action := range append(events.Actions(), "operational") {
		if n := count[action]; n > 0 {
			parts = append(parts, connectors.Count(n)+" "+string(action))
		}
	}
	if d.Digest != nil {
		parts = append(parts, "net of "+plural(len(d.Digest.IDs), "event"))
	}
	return strings.Join(parts, " · ")
}

// window is the time that d is about.
func window(d connectors.Delivery) (from, to time.Time) {
	if d.Digest != nil {
		return d.Digest.From, d.Digest.To
	}
	for _, e := range d.Events {
		if from.IsZero() || e.Time.Before(from) {
			from = e.Time
		}
		if e.Time.After(to) {
			to = e.Time
		}
	}
	return from, to
}

// lookUp is the command that lists all events of d, and later ones.
func lookUp(d connectors.Delivery) string {
	from, _ := window(d)
	return "trackops-notifier events --since " + from.UTC().Format(time.RFC3339)
}

// item is one event among others: its headline, and its values: changes in lines,
// the fields of a new or restored record in one.
func item(m connectors.Message, level detail) string {
	text := headline(m, maxHeadline) + " · " + moment(m.Event.Time)
	values, between := values(m, level.value)
	used := utf8.RuneCountInString(text)
	for i, value := range values {
		used += utf8.RuneCountInString(value) + len(between)
		switch {
		case i == level.values || used > maxItem:
			return text + between + "_… and " + plural(len(values)-i, "more value") + "_"
		case i == 0:
			text += "\n" + value
		default:
			text += between + value
		}
	}
	return text
}

// values are the changes of an updated record or the fields of another, and what
// stands between them. A deleted one is named, and gone.
func values(m connectors.Message, limit int) (out []string, between string) {
	for _, c := range m.Changes {
		out = append(out, changeLine(c, limit))
	}
	if len(m.Changes) > 0 || m.Event.Data.Action == events.Deleted {
		return out, "\n"
	}
	for _, f := range m.Facts {
		out = append(out, "*"+escape(f.Label, maxLabel)+"*: "+escape(connectors.OneLine(f.Value), limit))
	}
	return out, " · "
}

// headline is one event in one line, with its link and the record's id.
func headline(m connectors.Message, limit int) string {
	text := m.Icon + " *" + link(m.Link, escape(m.Headline(), limit)) + "*"
	if id := connectors.OneLine(m.Event.Data.ID); m.Event.Data.Collection != events.System && m.Title != "#"+id {
		text += " · #" + escape(id, maxLabel)
	}
	return text
}

// headlines adds one line for each event, many to a section.
func (p *page) headlines(messages []connectors.Message) {
	var lines []string
	used := 0
	for _, m := range messages {
		line := headline(m, maxTitles)
		n := utf8.RuneCountInString(line) + 1
		if used+n > maxSection {
			p.section(strings.Join(lines, "\n"))
			lines, used = nil, 0
		}
		lines, used = append(lines, line), used+n
	}
	if len(lines) > 0 {
		p.section(strings.Join(lines, "\n"))
	}
}

// ids adds the ids of all events of a digest, also of those that cancel out. Those
// of other deliveries are the events themselves.
func (p *page) ids(d connectors.Delivery) {
	if d.Digest == nil || len(d.Digest.IDs) == 0 {
		return
	}
	text, left := "Events:", len(d.Digest.IDs)
	for _, id := range d.Digest.IDs {
		if utf8.RuneCountInString(text)+1+utf8.RuneCountInString(id) > maxIDs {
			break
		}
		text, left = text+" "+id, left-1
	}
	if left > 0 {
		text += " … and " + connectors.Count(left) + " more: " + lookUp(d)
	}
	p.smallPrint(text)
}
