package connectortest

import (
	"strings"
	"testing"
	"unicode"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// acts reports whether a terminal would do something instead of showing r.
func acts(r rune) bool {
	return unicode.IsControl(r) && !strings.ContainsRune("\r\n\t", r) || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// preview checks what a [connectors.Previewer] shows: text without a secret, for
// everything that can be delivered, and nothing is sent.
func (s Suite) preview(t *testing.T) {
	ss := s.start(t)
	p, ok := ss.Connector.(connectors.Previewer)
	if !ok {
		t.Logf("%s cannot show what it would send", s.Kind.Name)
		return
	}
	for _, sample := range append(Samples(), Hostile()...) {
		text, err := p.Preview(connectors.Delivery{ID: sample.Event.ID, Events: []events.Event{sample.Event}, Attempt: 1})
		ss.checkError(t, err)
		ss.checkText(t, "a preview", text)
		switch {
		case err != nil && !fault.IsPermanent(err):
			t.Errorf("%s: Preview = %v, want text or a permanent error", sample.Name, err)
		case err == nil && (text == "" || text != strings.ToValidUTF8(text, "") || strings.ContainsFunc(text, acts)):
			t.Errorf("%s: Preview = %.100q, want text that does nothing to a terminal", sample.Name, text)
		}
	}
	if n := len(ss.accepted()); n > 0 {
		t.Errorf("Preview sent %d messages", n)
	}
}
