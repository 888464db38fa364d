// Command trackops-notifier watches Trackops accounts and tells other systems
// what changed. It wires the packages of this module together; it decides
// nothing about records, events or deliveries itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // the image has no time zones of its own
)

// The exit codes of the program.
const (
	exitDone   = 0
	exitFailed = 1
	exitMisuse = 2 // misused or misconfigured
)

func main() {
	err := run(untilSignal(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, errReported) {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(exitCode(err))
}

// untilSignal returns a context that ends at the first SIGTERM or interrupt. By
// then a second one already has its default action: it ends the process at once.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals)
		cancel()
	}()
	return ctx
}

// run is the program. Data goes to stdout; logs, progress and errors to stderr.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	p := program{environ: environ, stdin: os.Stdin, stdout: stdout, stderr: stderr}
	if len(args) == 0 {
		p.usage(stderr)
		return misuse("a command is missing")
	}
	name := args[0]
	switch name {
	case "help", "-h", "-help", "--help":
		return p.help(args[1:])
	case "--version", "-version":
		name = "version"
	}
	for _, c := range commands() {
		if c.name == name {
			return p.execute(ctx, c, args[1:])
		}
	}
	return misuse(fmt.Sprintf("there is no command %q%s; trackops-notifier help lists them", name, suggestion(name)))
}

// A program is one run: what it was given by the outside.
type program struct {
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// misuse is an error of whoever called the program.
type misuse string

func (m misuse) Error() string { return string(m) }

// errReported ends the program with a failure that was printed already.
var errReported = errors.New("reported")

func exitCode(err error) int {
	var m misuse
	var c configErrors
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &m), errors.As(err, &c):
		return exitMisuse
	default:
		return exitFailed
	}
}
