package main

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// newLogger returns the program's logger: text for people at a terminal, JSON
// for machines elsewhere, unless LOG_FORMAT says otherwise.
func newLogger(w io.Writer, c config) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" || c.LogFormat == "" && !isTerminal(w) {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// An output is where connectors print.
type output struct {
	io.Writer
	color bool
}

func (o output) Color() bool { return o.color }

// output returns stdout with colour where a person looks at it and has not asked
// for none (https://no-color.org).
func (p program) output() output {
	return output{p.stdout, isTerminal(p.stdout) && p.lookup("NO_COLOR") == "" && p.lookup("TERM") != "dumb"}
}

// lookup returns a variable of the environment, or "".
func (p program) lookup(name string) string {
	for i := len(p.environ) - 1; i >= 0; i-- {
		if len(p.environ[i]) > len(name) && p.environ[i][len(name)] == '=' && p.environ[i][:len(name)] == name {
			return p.environ[i][len(name)+1:]
		}
	}
	return ""
}
