package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// write prints the explanation for people, in at most tableWidth columns.
func (e explanation) write(w io.Writer) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\n", e.ID)
	writeWrapped(&out, fmt.Sprintf("%s.%s, record %s, revision %d", e.Collection, e.Action, e.Record, e.Revision))
	writeWrapped(&out, "observed "+stamp(e.ObservedAt)+e.between())
	writeWrapped(&out, fmt.Sprintf("in the stream since %s, as number %d", stamp(e.StoredAt), e.Sequence))
	if len(e.Connectors) == 0 {
		fmt.Fprintln(&out, "\nNo connector is configured.")
	}
	for _, f := range e.Connectors {
		fmt.Fprintf(&out, "\n%s (%s): %s\n", f.Connector, f.Kind, f.headline())
		for _, line := range f.lines(e.ID) {
			writeWrapped(&out, line)
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

// between says when it happened, as far as the readings before and after tell.
func (e explanation) between() string {
	switch {
	case e.NotBefore != nil && e.NotAfter != nil:
		return fmt.Sprintf(", happened between %s and %s", stamp(*e.NotBefore), stamp(*e.NotAfter))
	case e.NotAfter != nil:
		return ", happened before " + stamp(*e.NotAfter)
	}
	return ""
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// headline says in a few words what became of the event.
func (f fate) headline() string {
	switch f.State {
	case statePending:
		if f.Next != nil && f.Held == "" {
			return "pending, to be tried at " + stamp(*f.Next)
		}
		return "pending"
	case stateUnlisted, stateBefore, stateNew:
		return "not delivered"
	case string(connectors.Digested):
		return "delivered in a digest"
	case string(connectors.Dead):
		return "given up"
	case string(connectors.Filtered):
		return "left out"
	}
	return f.State
}

// lines are the rest: the reasons, what decided, and the attempts.
func (f fate) lines(id string) []string {
	var lines []string
	if f.Reason != "" {
		lines = append(lines, f.Reason)
	}
	switch {
	case f.State == string(connectors.Dead) && f.Letter:
		lines = append(lines, "the letter: trackops-notifier dead show "+id)
	case f.State == string(connectors.Dead):
		lines = append(lines, "its letter is gone: it was replayed, and waits to be tried, or it was dropped")
	case f.Held != "":
		lines = append(lines, "the connector is "+f.Held)
	case f.State == statePending && f.Next == nil:
		lines = append(lines, "it waits for an earlier event of its record, or for the connector: see trackops-notifier status")
	}
	switch filtered := f.State == string(connectors.Filtered); {
	case f.Unwanted != "":
		lines = append(lines, f.Unwanted)
	case filtered:
		lines = append(lines, "by the settings as they are now it would be delivered")
	}
	if !f.Wanted {
		for _, c := range f.Conditions {
			lines = append(lines, conditionLine(c))
		}
	}
	for _, n := range f.Notes {
		lines = append(lines, f.noteLine(n))
	}
	return lines
}

func conditionLine(c connectors.Condition) string {
	line := fmt.Sprintf("%v: %s", c.True, c.Text)
	for i, v := range c.Values {
		word := ","
		if i == 0 {
			word = ", where"
		}
		line += fmt.Sprintf("%s %s = %s", word, v.Name, v.Value)
	}
	return line
}

// noteLine tells a line of the ledger.
func (f fate) noteLine(n connectors.Note) string {
	line := stamp(n.At) + " " + string(n.Outcome)
	if n.Outcome == connectors.Dead {
		return line // the reasons are those of the last attempt
	}
	if n.Attempt > 0 {
		took := time.Duration(n.DurationMS) * time.Millisecond
		line = fmt.Sprintf("%s attempt %d, %s: %s", stamp(n.At), n.Attempt, took, n.Outcome)
	}
	for _, part := range []struct {
		text string
		tell bool
	}{
		{fmt.Sprintf("status %d", n.Status), n.Status != 0},
		{"a probe of a connector that fails", n.Probe},
		{"as the fallback of " + f.FallbackOf, n.Replay != 0 && f.FallbackOf != ""},
		{"a replay", n.Replay != 0 && f.FallbackOf == ""},
		{"to " + n.To, n.To != ""},
		{n.Error, !strings.Contains(n.Reason, n.Error)},
		{n.Reason, n.Reason != ""},
		{fmt.Sprintf("answer %q", n.Answer), n.Answer != ""},
		{"next at " + stamp(n.Next), !n.Next.IsZero()},
	} {
		if part.tell {
			line += ", " + part.text
		}
	}
	return line
}
