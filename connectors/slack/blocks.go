package slack

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// Slack's limits, in characters (https://docs.slack.dev/reference/block-kit/blocks).
// The total is not documented: about 13,200 characters are answered with
// msg_blocks_too_long.
const (
	maxBlocks  = 50
	maxHeader  = 150
	maxSection = 3000
	maxFields  = 10
	maxField   = 2000
	maxText    = 4000
	maxTotal   = 13000
)

// What reads well, all below the limits.
const (
	maxLabel   = 80   // of a field's name
	maxValue   = 600  // of one value
	maxChanges = 20   // of one event
	maxPlace   = 400  // the line with time and place
	maxNote    = 2500 // what an operational event says
)

// A message is what Slack is sent: blocks, and the text that notifications and
// screen readers use instead of them. All of it is escaped.
type message struct {
	text   string
	blocks []slack.Block
}

// render puts the events of a delivery into one message.
func render(all []events.Event) (message, error) {
	var p page
	var lines []string
	for i, e := range all {
		m, err := connectors.NewMessage(e)
		if err != nil {
			return message{}, err
		}
		lines = append(lines, m.Icon+" "+m.Headline())
		blocks := eventBlocks(m)
		if i < len(all)-1 {
			blocks = append(blocks, slack.NewDividerBlock())
		}
		if !p.add(blocks, i < len(all)-1) {
			p.note(fmt.Sprintf("_… and %s more events_", connectors.Count(len(all)-i)))
			break
		}
	}
	return message{text: escape(strings.Join(lines, "\n"), maxText), blocks: p.blocks}, nil
}

// A page collects blocks within Slack's limits for a message.
type page struct {
	blocks []slack.Block
	size   int
}

// add appends all the blocks of an event, or none if they do not fit. If more
// events follow, it keeps room for the note that says so.
func (p *page) add(blocks []slack.Block, more bool) bool {
	size, limit, count := p.size, maxTotal, maxBlocks
	if more {
		limit, count = limit-100, count-1
	}
	for _, b := range blocks {
		size += blockSize(b)
	}
	if size > limit || len(p.blocks)+len(blocks) > count {
		return false
	}
	p.blocks, p.size = append(p.blocks, blocks...), size
	return true
}

func (p *page) note(mrkdwn string) {
	p.blocks = append(p.blocks, slack.NewContextBlock("", marked(mrkdwn)))
	p.size += utf8.RuneCountInString(mrkdwn)
}

// eventBlocks is one event: a header, its changes or its main fields, and a line
// with time and place. It stays below maxTotal by itself.
func eventBlocks(m connectors.Message) []slack.Block {
	out := []slack.Block{slack.NewHeaderBlock(slack.NewTextBlockObject(slack.PlainTextType, header(m), false, false))}
	if m.Note != "" {
		out = append(out, section(escape(m.Note, maxNote)))
	}
	out = append(out, changeBlocks(m.Changes)...)
	out = append(out, factBlocks(m.Facts)...)
	when := fmt.Sprintf("<!date^%d^{date_short_pretty} {time}|%s>", m.Event.Time.Unix(), m.Stamp())
	return append(out, slack.NewContextBlock("", marked(when+" · "+escape(m.Place(), maxPlace))))
}

// header is the first line. It is plain text, in which Slack still reads entities.
func header(m connectors.Message) string {
	if m.Event.Data.Collection == events.System {
		return escape(m.Icon+" "+m.Verb, maxHeader)
	}
	return escape(m.Icon+" "+m.Headline(), maxHeader)
}

// changeBlocks are sections of lines, each a field before → after.
func changeBlocks(changes []connectors.Changed) []slack.Block {
	var out []slack.Block
	var text strings.Builder
	used := 0 // in all sections
	flush := func() {
		if text.Len() > 0 {
			out = append(out, section(text.String()))
			text.Reset()
		}
	}
	for i, c := range changes {
		from, to := connectors.Contrast(c.From, c.To, maxValue)
		line := "*" + escape(c.Label, maxLabel) + "*: " + escape(from, maxValue) + " → " + escape(to, maxValue)
		n := utf8.RuneCountInString(line)
		if i == maxChanges || used+n > maxTotal-maxNote-maxPlace-maxHeader-1000 {
			flush()
			left := len(changes) - i
			what := " more changes_"
			if left == 1 {
				what = " more change_"
			}
			return append(out, section("_… and "+connectors.Count(left)+what))
		}
		if utf8.RuneCountInString(text.String())+1+n > maxSection {
			flush()
		}
		if text.Len() > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(line)
		used += n + 1
	}
	flush()
	return out
}

// factBlocks are up to ten fields in two columns.
func factBlocks(facts []connectors.Fact) []slack.Block {
	if len(facts) == 0 {
		return nil
	}
	shown := facts[:min(len(facts), maxFields)]
	var fields []*slack.TextBlockObject
	for _, f := range shown {
		fields = append(fields, marked("*"+escape(f.Label, maxLabel)+"*\n"+escape(f.Value, maxValue)))
	}
	out := []slack.Block{slack.NewSectionBlock(nil, fields, nil)}
	if more := len(facts) - len(shown); more > 0 {
		what := " more fields_"
		if more == 1 {
			what = " more field_"
		}
		out = append(out, slack.NewContextBlock("", marked("_… and "+connectors.Count(more)+what)))
	}
	return out
}

func section(mrkdwn string) slack.Block { return slack.NewSectionBlock(marked(mrkdwn), nil, nil) }

// marked is a text with marks that Slack must not search for names and addresses
// to turn into mentions and links (verbatim).
func marked(mrkdwn string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, mrkdwn, false, true)
}

// escape returns s in at most limit characters for Slack: the three characters
// that begin its marks and mentions are entities, and s is shortened before one,
// never within (https://docs.slack.dev/messaging/formatting-message-text#escaping).
func escape(s string, limit int) string {
	return entities.Replace(connectors.ShortenFunc(connectors.Visible(s), limit, func(r rune) int {
		switch r {
		case '&':
			return len("&amp;")
		case '<', '>':
			return len("&lt;")
		}
		return 1
	}))
}

var entities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// blockSize counts the characters of a block's texts.
func blockSize(b slack.Block) int {
	switch b := b.(type) {
	case *slack.HeaderBlock:
		return utf8.RuneCountInString(b.Text.Text)
	case *slack.SectionBlock:
		n := 0
		if b.Text != nil {
			n = utf8.RuneCountInString(b.Text.Text)
		}
		for _, f := range b.Fields {
			n += utf8.RuneCountInString(f.Text)
		}
		return n
	case *slack.ContextBlock:
		n := 0
		for _, e := range b.ContextElements.Elements {
			if t, ok := e.(*slack.TextBlockObject); ok {
				n += utf8.RuneCountInString(t.Text)
			}
		}
		return n
	}
	return 0
}
