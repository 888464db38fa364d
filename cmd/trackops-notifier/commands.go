package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A command is one verb of the program.
type command struct {
	name    string
	args    string // as usage shows them
	summary string
	detail  string                  // for help <command>
	flags   func(*flag.FlagSet) any // declares flags and returns where they land; may be nil
	nargs   [2]int                  // fewest and most arguments
	run     func(ctx context.Context, p program, flags any, args []string) error
}

func commands() []command {
	return []command{
		runCommand(), demoCommand(), checkCommand(), statusCommand(), healthCommand(), testSendCommand(), renderCommand(), backtestCommand(),
		eventsCommand(), deadCommand(), explainCommand(), exportCommand(), confirmCommand(), pauseCommand(), resumeCommand(), probeCommand(), verifyCommand(), versionCommand(),
	}
}

func (p program) execute(ctx context.Context, c command, args []string) error {
	set := flag.NewFlagSet(c.name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	var values any
	if c.flags != nil {
		values = c.flags(set)
	}
	rest, err := parseInterspersed(set, args)
	if errors.Is(err, flag.ErrHelp) {
		p.describe(p.stdout, c, set)
		return nil
	}
	if err != nil {
		return misuse(fmt.Sprintf("%s: %v; see trackops-notifier help %s", c.name, err, c.name))
	}
	if len(rest) < c.nargs[0] || len(rest) > c.nargs[1] {
		return misuse(fmt.Sprintf("usage: trackops-notifier %s; see trackops-notifier help %s", strings.TrimSpace(c.name+" "+c.args), c.name))
	}
	return c.run(ctx, p, values, rest)
}

// parseInterspersed lets flags stand behind arguments too.
func parseInterspersed(set *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for {
		if err := set.Parse(args); err != nil {
			return nil, err
		}
		if set.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, set.Arg(0))
		args = set.Args()[1:]
	}
}

func (p program) help(args []string) error {
	if len(args) == 0 {
		p.usage(p.stdout)
		return nil
	}
	if args[0] == "env" {
		return writeEnvHelp(p.stdout, kinds())
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		set := flag.NewFlagSet(c.name, flag.ContinueOnError)
		if c.flags != nil {
			c.flags(set)
		}
		p.describe(p.stdout, c, set)
		return nil
	}
	return misuse(fmt.Sprintf("there is no help on %q%s", args[0], suggestion(args[0])))
}

func (p program) usage(w io.Writer) {
	fmt.Fprint(w, `Trackops notifier: tells Slack, email, webhooks and NATS subscribers what changes
in a Trackops account.

Usage: trackops-notifier <command> [flags] [arguments]

`)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(t, "  %s\t%s\n", c.short(), c.summary)
	}
	fmt.Fprintf(t, "  help [command]\tthis text, or more about a command\n")
	fmt.Fprintf(t, "  help env\tevery environment variable\n")
	t.Flush()
	fmt.Fprint(w, `
Everything is configured by environment variables. To see it work without an
account: trackops-notifier demo. Exit codes: 0 done, 1 failed, 2 misused or
misconfigured.
`)
}

// short is the command with its arguments, where these are few.
func (c command) short() string {
	const room = 30
	if whole := strings.TrimSpace(c.name + " " + c.args); len(whole) <= room {
		return whole
	}
	return c.name + " …"
}

func (p program) describe(w io.Writer, c command, set *flag.FlagSet) {
	fmt.Fprintf(w, "Usage: trackops-notifier %s\n\n%s\n", strings.TrimSpace(c.name+" "+c.args), c.detail)
	var flags strings.Builder
	set.SetOutput(&flags)
	set.PrintDefaults()
	if flags.Len() > 0 {
		fmt.Fprintf(w, "\nFlags:\n%s", flags.String())
	}
}

// suggestion returns ", did you mean x?" for a command that was mistyped.
func suggestion(name string) string {
	names := []string{"help"}
	for _, c := range commands() {
		names = append(names, c.name)
	}
	if near := nearest(name, names); near != "" {
		return fmt.Sprintf(", did you mean %s?", near)
	}
	return ""
}
