package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// tableWidth is how many columns a status may take.
const tableWidth = 120

// write prints the report for people, in at most tableWidth columns.
func (s statusReport) write(w io.Writer, now time.Time) error {
	var out bytes.Buffer
	ready := "ready"
	if !s.Ready {
		ready = "not ready"
	}
	fmt.Fprintf(&out, "trackops-notifier %s, %s\n", cut(s.Version, 60), ready)
	for _, a := range s.Accounts {
		s.writeAccount(&out, a)
	}
	s.writeBus(&out, now)
	s.writeConnectors(&out, now)
	_, err := w.Write(out.Bytes())
	return err
}

func (s statusReport) writeAccount(w io.Writer, a accountStatus) {
	fmt.Fprintf(w, "\nAccount %s: %.3g requests a second; one more collection would add %s to the mean delay\n\n",
		cut(a.Name, 30), a.RequestsPerSecond, short(a.OneMoreCosts))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%-20s\tSTATE\tRECORDS\tAGE\tNEXT\t/HOUR\tPREDICTED\tMEASURED\tSWEEP\tVERIFIED\tSUSPECTS\t\n", "COLLECTION")
	var notes []string
	for _, c := range s.Collections {
		if c.Account != a.Name {
			continue
		}
		verified := "-"
		if c.Verified != nil {
			verified = c.Verified.UTC().Format("01-02 15:04")
		}
		// The name stands left of the other columns, so it is filled up to align.
		fmt.Fprintf(t, "%-20s\t%s\t%d\t%s\t%s\t%.3g\t%s\t%s\t%.0f%%\t%s\t%d\t\n", cut(c.Name, 20), cut(c.State, 8), c.Records,
			shortOr(c.Age), short(c.Next), c.PerHour, short(c.Predicted), shortOr(c.Measured), 100*c.Sweep, verified, c.Suspects)
		notes = append(notes, c.notes()...)
	}
	t.Flush()
	if len(notes) > 0 {
		fmt.Fprintln(w)
	}
	for _, note := range notes {
		writeWrapped(w, note)
	}
}

// notes says what is unusual about a collection.
func (c collectionStatus) notes() []string {
	var notes []string
	add := func(format string, args ...any) {
		notes = append(notes, c.Name+": "+fmt.Sprintf(format, args...))
	}
	if c.State == "baseline" && c.Expected > 0 {
		add("first reading, %d of %d records", c.Records, c.Expected)
	}
	if c.Overdue {
		add("overdue")
	}
	if c.LastError != "" {
		add("%s", c.LastError)
	}
	if c.Braked != "" {
		add("deletions are held back: %s. If they are real: trackops-notifier confirm %s --account %s", c.Braked, c.Name, c.Account)
	}
	if len(c.Refused) > 0 {
		add("the API does not take: %s", strings.Join(c.Refused, ", "))
	}
	if len(c.IgnoreFields) > 0 {
		add("changes by itself, think of COLLECTION_%s_IGNORE=%s", strings.ToUpper(c.Name), strings.Join(c.IgnoreFields, ","))
	}
	return notes
}

func (s statusReport) writeBus(w io.Writer, now time.Time) {
	kind, link := "at NATS_URL", "connected"
	if s.NATS.Embedded {
		kind = "embedded"
	}
	if !s.NATS.Connected {
		link = "not connected"
	}
	oldest := ""
	if s.Outbox.Oldest != nil {
		oldest = ", the oldest for " + short(now.Sub(*s.Outbox.Oldest).Seconds())
	}
	fmt.Fprintf(w, "\nNATS    %s, %s\nOutbox  %d waiting to be published%s; %d published and kept for a while\n",
		kind, link, s.Outbox.Pending, oldest, s.Outbox.Held)
	if s.NATS.Error != "" {
		writeWrapped(w, s.NATS.Error)
	}
}

func (s statusReport) writeConnectors(w io.Writer, now time.Time) {
	if len(s.Connectors) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CONNECTOR\tKIND\tSTATE\tPENDING\tDEAD")
	for _, c := range s.Connectors {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\n", cut(c.Name, 40), c.Kind, c.State, c.Pending, c.Dead)
	}
	t.Flush()
	for _, c := range s.Connectors {
		for _, note := range c.notes(now) {
			writeWrapped(w, c.Name+": "+note)
		}
	}
}

// notes says what is unusual about a connector, and what to do about it.
func (c connectorReady) notes(now time.Time) []string {
	long, why, probe := "", "", ""
	if c.Since != nil {
		long = " for " + short(now.Sub(*c.Since).Seconds())
	}
	if c.Reason != "" {
		why = ": " + c.Reason
	}
	if c.NextProbe != nil {
		probe = "; the next event is the next probe"
		if wait := c.NextProbe.Sub(now); wait > 0 {
			probe = "; next probe in " + short(wait.Seconds())
		}
	}
	var notes []string
	switch connectors.State(c.State) {
	case connectors.Paused:
		notes = append(notes, "paused; to go on: trackops-notifier resume "+c.Name)
	case connectors.Parked:
		notes = append(notes, "parked"+long+why+"; once that is mended: trackops-notifier resume "+c.Name)
	case connectors.Open:
		notes = append(notes, "only probed, since it fails"+long+why+probe)
	case connectors.Failing:
		if c.Reason != "" { // else the last error says it
			notes = append(notes, "failing"+long+why)
		}
	}
	if c.LastError != "" && c.LastError != c.Reason {
		notes = append(notes, c.LastError)
	}
	return notes
}

// short writes a number of seconds for a narrow column: 0.4s, 9.6s, 42s, 12m, 7h, 12d.
func short(seconds float64) string {
	switch {
	case seconds < 9.95:
		return fmt.Sprintf("%.1fs", max(0, seconds))
	case seconds < 99.5:
		return fmt.Sprintf("%.0fs", seconds)
	case seconds < 99.5*60:
		return fmt.Sprintf("%.0fm", seconds/60)
	case seconds < 47.5*3600:
		return fmt.Sprintf("%.0fh", seconds/3600)
	}
	return fmt.Sprintf("%.0fd", min(seconds/86400, 99999))
}

func shortOr(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	return short(*seconds)
}

// cut shortens a text to some runes.
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

// writeWrapped prints a text in indented lines of at most tableWidth columns.
// Control characters become spaces: it may come from the other side.
func writeWrapped(w io.Writer, text string) {
	const indent = "  "
	line := indent
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		word = cut(word, tableWidth-8)
		if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > tableWidth && strings.TrimSpace(line) != "" {
			fmt.Fprintln(w, line)
			line = indent + "  "
		}
		line += gap(line) + word
	}
	fmt.Fprintln(w, line)
}

// gap is what stands between a line and its next word.
func gap(line string) string {
	if strings.TrimSpace(line) == "" {
		return ""
	}
	return " "
}
