package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// A playbill tells people what a connector would have sent: a line for each
// message as it comes, then the totals.
type playbill struct {
	out        io.Writer
	connector  connectorConfig
	target     connectors.Connector // nil unless whole messages are shown
	limit      int                  // of messages that are shown; 0 is none
	zone       *time.Location
	since, now time.Time
	first      time.Time // when the stream took the first event

	messages int
	days     map[string]int // messages, by date
	minute   time.Time      // of the message before
	inMinute int            // messages
	busiest  time.Time      // minute
	most     int            // messages in it
	delay    time.Duration  // the longest by which the rate held a message up
	delayed  int            // messages held up for more than a second
}

const playbillTime = "2006-01-02 15:04:05 MST"

// perform counts a message, and shows it if it is one of the first.
func (b *playbill) perform(p connectors.Performance) error {
	b.count(p)
	if b.limit > 0 && b.messages > b.limit {
		return nil
	}
	at := p.At.In(b.zone).Format(playbillTime)
	if b.messages == 1 {
		fmt.Fprintf(b.out, "%-*s  EVENTS  MESSAGE\n", len(at), "TIME")
	}
	_, err := fmt.Fprintf(b.out, "%s  %6s  %s%s\n", at, connectors.Count(p.Observed), headline(p.Delivery), b.remark(p))
	if err == nil && b.target != nil {
		err = b.show(p.Delivery)
	}
	return err
}

// headline is a delivery in one line.
func headline(d connectors.Delivery) string {
	messages, err := connectors.NewMessages(d.Events, nil)
	switch {
	case err != nil:
		return "cannot be told: " + connectors.OneLine(err.Error())
	case len(messages) == 1:
		return connectors.Shorten(messages[0].Line(), 120)
	default:
		return connectors.Shorten(connectors.Summary(messages, d.Digest), 120)
	}
}

// remark says what is special about the time of a message.
func (b *playbill) remark(p connectors.Performance) string {
	var remarks []string
	if late := p.At.Sub(p.Due).Round(time.Second); late > 0 {
		remarks = append(remarks, late.String()+" late, by the rate")
	}
	if p.At.After(b.now) {
		remarks = append(remarks, "not yet")
	}
	if len(remarks) == 0 {
		return ""
	}
	return " (" + strings.Join(remarks, "; ") + ")"
}

// show prints the whole message, indented. Whatever a record holds, it does not
// act on a terminal.
func (b *playbill) show(d connectors.Delivery) error {
	text := "This kind of connector cannot show what it sends."
	if previewer, ok := b.target.(connectors.Previewer); ok {
		var err error
		if text, err = previewer.Preview(d); err != nil {
			text = "cannot be rendered: " + err.Error()
		}
	}
	for line := range strings.Lines(strings.TrimRight(connectors.Visible(text), "\n")) {
		if _, err := fmt.Fprintf(b.out, "    %s\n", strings.TrimRight(line, "\n")); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(b.out)
	return err
}

func (b *playbill) count(p connectors.Performance) {
	b.messages++
	b.days[p.At.In(b.zone).Format(time.DateOnly)]++
	if minute := p.At.Truncate(time.Minute); minute.Equal(b.minute) {
		b.inMinute++
	} else {
		b.minute, b.inMinute = minute, 1
	}
	if b.inMinute > b.most {
		b.busiest, b.most = b.minute, b.inMinute
	}
	late := p.At.Sub(p.Due)
	b.delay = max(b.delay, late)
	if late > time.Second {
		b.delayed++
	}
}

// total says what became of all events.
func (b *playbill) total(t connectors.Tally) error {
	var s strings.Builder
	if b.limit > 0 && b.messages > b.limit {
		fmt.Fprintf(&s, "… and %s more; --limit 0 shows all\n", connectors.Count(b.messages-b.limit))
	}
	if b.messages > 0 {
		s.WriteByte('\n')
	}
	fmt.Fprintf(&s, "Connector %s since %s: %s for %s. Nothing was sent.\n", b.connector.Name, b.since.In(b.zone).Format(playbillTime),
		plural(b.messages, "message"), plural(t.Observed, "event"))
	row := func(label string, n int, about string) {
		fmt.Fprintf(&s, "  %-10s %9s  %s\n", label, connectors.Count(n), about)
	}
	row("observed", t.Observed, "events in its events list")
	row("filtered", t.Filtered, "not wanted by its filter, or about itself")
	row("omitted", t.Omitted, "updates of which FIELDS and OMIT leave nothing")
	row("muted", t.Muted, "void at the end of their window")
	if t.Unreadable > 0 {
		row("unreadable", t.Unreadable, "not events")
	}
	row("told", t.Told, "in "+plural(b.messages, "message"))
	if b.connector.Urgent != nil {
		row("urgent", t.Urgent, "of those, before the end of their window")
	}
	b.pace(&s)
	_, err := io.WriteString(b.out, s.String())
	return err
}

// pace says how many messages there are, and when.
func (b *playbill) pace(w io.Writer) {
	if b.messages == 0 {
		return
	}
	from := b.since
	if b.first.After(from) {
		from = b.first
	}
	days := max(1, b.now.Sub(from).Hours()/24)
	most, on := 0, ""
	for day, n := range b.days {
		if n > most || n == most && day < on {
			most, on = n, day
		}
	}
	fmt.Fprintf(w, "A day: %.1f messages on average, %s on %s.\n", float64(b.messages)/days, connectors.Count(most), on)
	fmt.Fprintf(w, "The busiest minute: %s, with %s.\n", b.busiest.In(b.zone).Format("2006-01-02 15:04 MST"), plural(b.most, "message"))
	switch rate := b.connector.Rate; {
	case rate == 0:
		fmt.Fprintln(w, "The rate is not limited.")
	case b.delay < time.Second:
		fmt.Fprintf(w, "The rate of %g a second delays nothing.\n", rate)
	default:
		fmt.Fprintf(w, "The rate of %g a second delays %s, by %s at most.\n", rate, plural(b.delayed, "message"), b.delay.Round(time.Second))
	}
}

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return connectors.Count(n) + " " + noun
}
