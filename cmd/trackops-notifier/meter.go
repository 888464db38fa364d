package main

import (
	"fmt"
	"io"
	"time"
)

// A meter says how far a command is: in one line that is overwritten on a
// terminal, in a line every ten seconds elsewhere.
type meter struct {
	w        io.Writer
	terminal bool
	last     time.Time
	drawn    bool
}

func (p program) newMeter() *meter {
	return &meter{w: p.stderr, terminal: isTerminal(p.stderr), last: time.Now()}
}

// show is cheap to call often.
func (m *meter) show(format string, args ...any) {
	every := 10 * time.Second
	if m.terminal {
		every = 100 * time.Millisecond
	}
	if time.Since(m.last) < every {
		return
	}
	m.last = time.Now()
	if m.terminal {
		m.drawn = true
		fmt.Fprintf(m.w, "\r\x1b[K"+format, args...)
		return
	}
	fmt.Fprintf(m.w, format+"\n", args...)
}

// clear makes room for what is printed next.
func (m *meter) clear() {
	if m.drawn {
		fmt.Fprint(m.w, "\r\x1b[K")
		m.drawn = false
	}
}
