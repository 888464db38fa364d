package slack

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"
)

// Slack's limits, in characters (https://docs.slack.dev/reference/block-kit/blocks).
const (
	maxBlocks  = 50
	maxHeader  = 150
	maxSection = 3000
	maxFields  = 10
	maxText    = 4000

	// All blocks together are refused (msg_blocks_too_long) above a limit that is
	// not documented: users measured 13,297 characters, and 125 fewer with one
	// more block, however short (https://github.com/slackapi/bolt-js/issues/2509).
	maxTotal  = 13000
	blockCost = 125
)

// A message is what Slack is sent: blocks, and the same as a text, which
// notifications and screen readers use instead, and which is sent alone where the
// blocks are refused. All of it is escaped.
type message struct {
	text   string
	blocks []slack.Block
}

// A block is a header, a section or a line of context, which is all we make
// ourselves.
type block struct {
	Type     string                   `json:"type"`
	Text     *slack.TextBlockObject   `json:"text,omitempty"`
	Fields   []*slack.TextBlockObject `json:"fields,omitempty"`
	Elements []*slack.TextBlockObject `json:"elements,omitempty"`
}

// BlockType and ID make it one of slack-go's blocks.
func (b block) BlockType() slack.MessageBlockType { return slack.MessageBlockType(b.Type) }
func (b block) ID() string                        { return "" }

// A page collects the blocks of a message, and their texts.
type page struct {
	blocks []slack.Block
	lines  []string
	size   int // as the limit for all blocks counts
}

// add appends a block; lines is how it reads. Its texts are within their limits.
func (p *page) add(b block, lines string) {
	p.blocks = append(p.blocks, b)
	p.lines = append(p.lines, lines)
	p.size += blockCost
	for _, t := range slices.Concat([]*slack.TextBlockObject{b.Text}, b.Fields, b.Elements) {
		if t != nil {
			p.size += utf8.RuneCountInString(t.Text)
		}
	}
}

func (p *page) header(text string) {
	text = escape(text, maxHeader)
	p.add(block{Type: "header", Text: unmarked(text)}, "*"+text+"*")
}

func (p *page) section(mrkdwn string) {
	p.add(block{Type: "section", Text: marked(mrkdwn)}, mrkdwn)
}

// fields adds up to maxFields texts in two columns, each a label above a value.
func (p *page) fields(mrkdwn []string) {
	if len(mrkdwn) == 0 {
		return
	}
	b := block{Type: "section"}
	lines := make([]string, len(mrkdwn))
	for i, s := range mrkdwn {
		b.Fields = append(b.Fields, marked(s))
		lines[i] = strings.Replace(s, "\n", ": ", 1)
	}
	p.add(b, strings.Join(lines, "\n"))
}

func (p *page) context(mrkdwn string) {
	p.add(block{Type: "context", Elements: []*slack.TextBlockObject{marked(mrkdwn)}}, mrkdwn)
}

// smallPrint adds a line in which Slack reads no marks.
func (p *page) smallPrint(text string) {
	text = escape(text, maxSection)
	p.add(block{Type: "context", Elements: []*slack.TextBlockObject{unmarked(text)}}, text)
}

// fits reports whether Slack takes that many and that long blocks.
func (p *page) fits() bool { return len(p.blocks) <= maxBlocks && p.size <= maxTotal }

// copy returns a page that grows by itself.
func (p *page) copy() *page {
	return &page{blocks: slices.Clone(p.blocks), lines: slices.Clone(p.lines), size: p.size}
}

func (p *page) message() message {
	return message{text: firstLines(strings.Join(p.lines, "\n"), maxText), blocks: p.blocks}
}
