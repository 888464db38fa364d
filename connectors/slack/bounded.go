package slack

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Slack's limits for texts that only templates make.
const (
	maxField  = 2000
	maxButton = 75
)

// bounded returns a block of a template with its texts within Slack's limits: a
// value is as long as somebody made it, and one that is too long would lose all
// blocks. A block within them stays as it was written.
func bounded(block json.RawMessage) json.RawMessage {
	dec := json.NewDecoder(bytes.NewReader(block))
	dec.UseNumber()
	var content any
	if err := dec.Decode(&content); err != nil || !bound(content, maxSection) {
		return block
	}
	shorter, err := json.Marshal(content)
	if err != nil {
		return block
	}
	return shorter
}

// bound shortens the text objects in content to limit characters, or to what their
// place allows. It reports whether there was one to shorten.
func bound(content any, limit int) bool {
	changed := false
	switch v := content.(type) {
	case []any:
		for _, inner := range v {
			changed = bound(inner, limit) || changed
		}
	case map[string]any:
		switch v["type"] {
		case "header":
			limit = maxHeader
		case "button":
			limit = maxButton
		case "mrkdwn", "plain_text":
			text, ok := v["text"].(string)
			if ok && utf8.RuneCountInString(text) > limit {
				v["text"], changed = cutBefore(text, limit-1)+"…", true
			}
		}
		for key, inner := range v {
			most := limit
			if key == "fields" {
				most = maxField
			}
			changed = bound(inner, most) || changed
		}
	}
	return changed
}
