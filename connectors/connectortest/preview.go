package connectortest

import (
	"testing"
	"unicode/utf8"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

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
		case err == nil && (text == "" || !utf8.ValidString(text)):
			t.Errorf("%s: Preview = %.100q, want text", sample.Name, text)
		}
	}
	if n := len(ss.accepted()); n > 0 {
		t.Errorf("Preview sent %d messages", n)
	}
}
