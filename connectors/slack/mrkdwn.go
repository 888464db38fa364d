package slack

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

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

// marked is a text with marks that Slack must not search for names and addresses
// to turn into mentions and links (verbatim).
func marked(mrkdwn string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, mrkdwn, false, true)
}

// unmarked is a text that Slack shows as it is. It still reads entities, so it
// is escaped too, and no names of emoji.
func unmarked(text string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, text, false, false)
}

// moment is a time that every reader sees in their own zone.
func moment(t time.Time) string {
	return fmt.Sprintf("<!date^%d^{date_short_pretty} {time}|%s>", t.Unix(), t.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// maxAddress bounds the address of a link, which counts like text.
const maxAddress = 500

// link is a link with an escaped label, or the label alone if there is no address.
func link(address, label string) string {
	if address = safeAddress(address); address == "" {
		return label
	}
	return "<" + address + "|" + label + ">"
}

// safeAddress is an address as it stands in a link, and "" for one that Slack would
// not take for one.
func safeAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(u.Host, "<>|") || !utf8.ValidString(address) {
		return ""
	}
	if safe := inAddress.Replace(u.String()); utf8.RuneCountInString(safe) <= maxAddress {
		return safe
	}
	return ""
}

// inAddress writes the characters that would end a link's address.
var inAddress = strings.NewReplacer("&", "&amp;", "<", "%3C", ">", "%3E", "|", "%7C", " ", "%20")

// firstLines returns as many of the lines as fit into limit characters, and says
// how many are missing. Marks never span lines, so none is cut. One line that is
// longer by itself loses its end, before a mark.
func firstLines(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	const room = 40 // for the note
	lines := strings.Split(text, "\n")
	used, kept := 0, 0
	for _, line := range lines {
		n := utf8.RuneCountInString(line) + 1
		if used+n > limit-room {
			break
		}
		used, kept = used+n, kept+1
	}
	if kept == 0 {
		return cutBefore(lines[0], limit-1) + "…"
	}
	return strings.Join(lines[:kept], "\n") + "\n_… and " + plural(len(lines)-kept, "more line") + "_"
}

// cutBefore returns the first limit characters of one line, less an entity or a
// mark that is not whole.
func cutBefore(line string, limit int) string {
	runes := []rune(line)
	head := string(runes[:min(limit, len(runes))])
	if open := strings.LastIndexByte(head, '<'); open > strings.LastIndexByte(head, '>') {
		head = head[:open]
	}
	if open := strings.LastIndexByte(head, '&'); open > strings.LastIndexByte(head, ';') {
		head = head[:open]
	}
	return head
}

// plural is "1 more line" or "1,234 more lines".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return connectors.Count(n) + " " + what + "s"
}
