package connectors

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Line is the message in one line of a list: the headline and what changed,
// "Client updated: Acme Ltd (status Open → Closed)". It is not shortened.
func (m Message) Line() string {
	line := m.Headline()
	var changes []string
	for _, c := range m.Changes {
		if c.Path != m.told {
			changes = append(changes, c.Label+" "+c.From+" → "+c.To)
		}
	}
	if len(changes) == 0 {
		return line
	}
	return OneLine(line + " (" + strings.Join(changes, "; ") + ")")
}

// Summary is the headline of a delivery of several events: "12 changes in acme,
// 09:00 to 09:15 UTC". The times are those of the digest's window, in its time
// zone, or else of the first and the last event. Of one event that is no digest
// it is the headline.
func Summary(messages []Message, digest *Digest) string {
	if digest == nil && len(messages) == 1 {
		return messages[0].Headline()
	}
	var accounts []string
	var from, to time.Time
	for _, m := range messages {
		if a := OneLine(m.Event.Data.Account); !slices.Contains(accounts, a) {
			accounts = append(accounts, a)
		}
		at := m.Event.Time.UTC()
		if from.IsZero() || at.Before(from) {
			from = at
		}
		if at.After(to) {
			to = at
		}
	}
	what := "changes"
	if len(messages) == 1 {
		what = "change"
	}
	s := Count(len(messages)) + " " + what
	switch n := len(accounts); {
	case n > 3:
		s += fmt.Sprintf(" in %s and %d other accounts", accounts[0], n-1)
	case n > 0:
		s += " in " + strings.Join(accounts, ", ")
	}
	if digest != nil {
		from, to = digest.From, digest.To
		if digest.Quiet {
			s += " during quiet hours"
		}
	}
	if from.IsZero() {
		return s
	}
	return s + ", " + span(from, to)
}

// span is a window of time: "09:00 to 09:15 UTC", with days where it is longer
// than one.
func span(from, to time.Time) string {
	const clock, day = "15:04", "2 Jan 15:04"
	to = to.In(from.Location())
	layout := clock
	if from.Format(time.DateOnly) != to.Format(time.DateOnly) {
		layout = day
	}
	start, end := from.Format(layout), to.Format(layout)
	if start == end {
		return end + to.Format(" MST")
	}
	if zone := from.Format("MST"); zone != to.Format("MST") {
		start += " " + zone // the clocks were changed in between
	}
	return start + " to " + end + to.Format(" MST")
}
