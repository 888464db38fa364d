package slack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// render makes the message of a delivery. A template that says nothing leaves it to
// the default. Its error is permanent: the next attempt would make the same.
func (c *connector) render(d connectors.Delivery) (message, error) {
	messages, err := connectors.NewMessages(d.Events, c.link)
	if err != nil {
		return message{}, err
	}
	var m message
	if d.Digest == nil && len(messages) == 1 {
		m = eventPage(messages[0]).message()
	} else {
		m = listMessage(d, messages)
	}
	if c.textTemplate == nil && c.blocksTemplate == nil {
		return m, nil
	}
	data, err := connectors.NewTemplateData(d, c.name, c.link)
	if err != nil {
		return message{}, err
	}
	return c.fill(data, m)
}

// fill renders the template, if it says anything; blocks have the text of m.
func (c *connector) fill(data connectors.TemplateData, m message) (message, error) {
	if c.textTemplate != nil {
		text, err := c.textTemplate.Render(data)
		if text = strings.TrimSpace(text); err != nil || text == "" {
			return m, err
		}
		return message{text: firstLines(text, maxText)}, nil
	}
	raw, err := c.blocksTemplate.Render(data)
	if err != nil || strings.TrimSpace(raw) == "" {
		return m, err
	}
	blocks, err := parseBlocks(raw)
	if len(blocks) > 0 {
		m.blocks = blocks
	}
	return m, fault.Permanent(err)
}

// A rawBlock is a block as a template made it: of any type, also of one that our
// library does not know.
type rawBlock struct {
	kind string
	json.RawMessage
}

func (b rawBlock) BlockType() slack.MessageBlockType { return slack.MessageBlockType(b.kind) }
func (b rawBlock) ID() string                        { return "" }

// parseBlocks reads what a template made of blocks. Texts are shortened to Slack's
// limits, and more blocks than it takes are left out; a line at the end says how
// many.
func parseBlocks(raw string) ([]slack.Block, error) {
	var all []json.RawMessage
	if err := json.Unmarshal([]byte(raw), &all); err != nil {
		return nil, errors.New("render the template: not a JSON array of blocks")
	}
	var blocks []slack.Block
	size := 0
	for i, one := range all {
		var head struct{ Type string }
		if err := json.Unmarshal(one, &head); err != nil || head.Type == "" {
			return nil, fmt.Errorf("render the template: element %d is not a block: an object with a type", i+1)
		}
		one = bounded(one)
		size += blockCost + textSize(one)
		if more := len(all) - i; len(blocks) == maxBlocks-1 && more > 1 || size > maxTotal-2*blockCost && i > 0 {
			var p page
			p.context("_… and " + plural(more, "more block") + "_")
			return append(blocks, p.blocks...), nil
		}
		blocks = append(blocks, rawBlock{head.Type, one})
	}
	return blocks, nil
}

// textSize counts the characters of all texts in a block.
func textSize(block json.RawMessage) int {
	n := 0
	dec := json.NewDecoder(bytes.NewReader(block))
	for {
		token, err := dec.Token()
		if err != nil {
			return n // the end: it is JSON
		}
		if s, ok := token.(string); ok {
			n += utf8.RuneCountInString(s)
		}
	}
}
