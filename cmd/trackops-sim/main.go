// Command trackops-sim serves a Trackops account that lives and changes by
// itself, for demonstrations and tests. It never writes anything to disk.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
	"golang.org/x/sync/errgroup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	var misuse *usageError
	switch {
	case errors.As(err, &misuse):
		fmt.Fprintln(os.Stderr, "trackops-sim:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "trackops-sim:", err)
		os.Exit(1)
	}
}

// A usageError is a mistake on the command line.
type usageError struct{ error }

func misuse(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// run is the program: it serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	s, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	account := trackopstest.New(s.options)
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.announce(stdout, listener.Addr().String())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return account.Serve(ctx, listener) })
	group.Go(func() error {
		account.Live(ctx, s.life/60)
		return nil
	})
	return group.Wait()
}

type settings struct {
	listen  string
	life    float64 // mutations a minute
	options trackopstest.Options
}

func parse(args []string, help io.Writer) (settings, error) {
	s := settings{options: trackopstest.Options{Keep: 10_000, RetryAfter: 2 * time.Second}}
	o := &s.options
	flags := flag.NewFlagSet("trackops-sim", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are returned
	flags.Usage = func() {}
	flags.StringVar(&s.listen, "listen", "127.0.0.1:8089", "`address` to serve on; port 0 picks a free one")
	flags.Float64Var(&s.life, "life", 20, "random changes per minute; 0 for none")
	flags.IntVar(&o.Records, "records", 230, "records in each collection at the start")
	flags.Uint64Var(&o.Seed, "seed", 1, "of all that is random: the same seed gives the same records")
	flags.Float64Var(&o.Rate, "rate", 1, "requests per second above which 429 answers; 0 for no limit")
	flags.StringVar(&o.Username, "username", "demo", "that clients must present")
	flags.StringVar(&o.Token, "token", "00000000-demo-demo-demo-000000000000", "that clients must present")
	order := flags.String("sort", "id", "key behind dir=asc and dir=desc: id, created or business")
	format := flags.String("time-format", "sql", "of timestamps: sql, iso, iso-offset, unix or unix-ms")
	collections := flags.String("collections", "", "comma-separated `names` of the activated ones; the others answer 403 (default all)")
	without := flags.String("without", "", "comma-separated `features` the account lacks: count, updated, created, combination")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(help, "Usage: trackops-sim [flags]\n\nServes a Trackops account that lives and changes by itself, until interrupted.\n\n")
			flags.SetOutput(help)
			flags.PrintDefaults()
			return s, err
		}
		return s, misuse("%w; see --help", err)
	}
	if flags.NArg() > 0 {
		return s, misuse("unexpected argument %q; see --help", flags.Arg(0))
	}
	if o.Records < 0 || o.Rate < 0 || s.life < 0 {
		return s, misuse("--records, --rate and --life cannot be negative")
	}
	return s, errors.Join(s.setForm(*order, *format), s.setQuirks(*collections, *without))
}

func (s *settings) setForm(order, format string) error {
	s.options.Sort = trackopstest.Sort(order)
	switch s.options.Sort {
	case trackopstest.ByID, trackopstest.ByCreated, trackopstest.ByBusiness:
	default:
		return misuse("--sort %q; accepted: id, created, business", order)
	}
	formats := map[string]trackops.TimeFormat{
		"sql": trackops.SQL, "iso": trackops.ISO, "iso-offset": trackops.ISOOffset,
		"unix": trackops.Unix, "unix-ms": trackops.UnixMillis,
	}
	var ok bool
	if s.options.TimeFormat, ok = formats[format]; !ok {
		return misuse("--time-format %q; accepted: sql, iso, iso-offset, unix, unix-ms", format)
	}
	return nil
}

func (s *settings) setQuirks(collections, without string) error {
	var common trackopstest.Quirks
	for _, feature := range split(without) {
		switch feature {
		case "count":
			common.NoCount = true
		case "updated":
			common.NoUpdatedFrom = true
		case "created":
			common.NoCreated = true
		case "combination":
			common.NoCombination = true
		default:
			return misuse("--without %q; accepted: count, updated, created, combination", feature)
		}
	}
	s.options.Quirks = map[string]trackopstest.Quirks{"*": common}
	active := split(collections)
	if len(active) == 0 {
		return nil
	}
	for _, name := range active {
		if _, ok := trackops.Lookup(name); !ok {
			return misuse("--collections %q; there is no such collection", name)
		}
		s.options.Quirks[name] = common
	}
	common.Denied = 403
	s.options.Quirks["*"] = common
	return nil
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// announce prints the variables that point the notifier at the account.
func (s *settings) announce(stdout io.Writer, address string) {
	fmt.Fprintf(stdout, `# A simulated Trackops account, seed %d. To watch it, run trackops-notifier with
export TRACKOPS_API_URL=%s
export TRACKOPS_API_SUBDOMAIN=demo
export TRACKOPS_API_USERNAME=%s
export TRACKOPS_API_TOKEN=%s
# Ctrl-C ends it.
`, s.options.Seed, trackopstest.URL(address), quote(s.options.Username), quote(s.options.Token))
}

// quote makes one word of a shell's command line.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
