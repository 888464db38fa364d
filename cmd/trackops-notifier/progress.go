package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/poller"
)

// progress tells how far the first reading of the account is, until it is
// complete: a bar on a terminal, a log line every ten seconds elsewhere.
func (n *notifier) progress(ctx context.Context) {
	every := 10 * time.Second
	bar := n.bar
	if bar != nil {
		every = 200 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	if !n.baseline().unfinished() {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		b := n.baseline()
		if bar != nil {
			fmt.Fprint(bar, "\r\x1b[K"+b.bar())
		}
		if !b.unfinished() {
			if bar != nil {
				fmt.Fprint(bar, "\r\x1b[K")
			}
			n.log.Info("baseline complete, watching for changes", "collections", b.all, "records", b.held)
			return
		}
		if bar == nil {
			n.log.Info("reading the account for the first time, silently",
				"collections_done", b.done, "collections", b.all, "records", b.held, "reading", b.current)
		}
	}
}

// A baseProgress is how far the baselines of all collections are.
type baseProgress struct {
	done, all, held, expected int
	current                   string
}

func (n *notifier) baseline() baseProgress {
	var b baseProgress
	for _, s := range n.statuses() {
		b.all++
		b.held += s.Held
		b.expected += max(s.Held, s.Expected)
		if s.State == "baseline" {
			if s.Held > 0 || b.current == "" {
				b.current = s.Collection
			}
			continue
		}
		b.done++
	}
	return b
}

func (n *notifier) statuses() []poller.Status {
	var all []poller.Status
	for _, p := range n.pollers {
		all = append(all, p.Status(time.Now())...)
	}
	return all
}

func (b baseProgress) unfinished() bool { return b.done < b.all }

// bar draws the progress in one line.
func (b baseProgress) bar() string {
	const width = 24
	filled := 0
	if b.all > 0 {
		filled = width * b.done / b.all
	}
	return fmt.Sprintf("First reading [%s%s] %d/%d collections, %d records, now %s",
		strings.Repeat("█", filled), strings.Repeat("░", width-filled), b.done, b.all, b.held, b.current)
}

// barOutput returns where a progress bar may be drawn, or nil.
func (p program) barOutput() io.Writer {
	if isTerminal(p.stderr) {
		return p.stderr
	}
	return nil
}
