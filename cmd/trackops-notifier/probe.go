package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

type probeFlags struct {
	json    bool
	account string
}

func probeCommand() command {
	return command{
		name:    "probe",
		args:    "[--json] [--account acme]",
		summary: "find out what an account's API really does",
		detail: `Asks an account what the vendor's documents leave open: which filters and counts
each collection takes, how times are written, what errors look like, what decides
the order of lists. It reads only, about six requests a collection, at the pace of
TRACKOPS_API_RATE; through the running notifier if there is one on DATA_DIR, which
then polls half as often meanwhile.

The report has no content of records: names of fields, types, counts and statuses
only, and neither the account's name nor an address. Read it before you send it
to us. Ctrl-C ends early and prints what was learnt so far.`,
		flags: func(set *flag.FlagSet) any {
			f := &probeFlags{}
			set.BoolVar(&f.json, "json", false, "print JSON")
			set.StringVar(&f.account, "account", "", "the account's `subdomain`, if several are configured")
			return f
		},
		run: func(ctx context.Context, p program, flags any, _ []string) error {
			cfg, err := loadConfig(p.environ, kinds())
			if err != nil {
				return err
			}
			return p.probe(ctx, cfg, *flags.(*probeFlags))
		},
	}
}

func (p program) probe(ctx context.Context, cfg config, f probeFlags) error {
	a, err := cfg.account(f.account)
	if err != nil {
		return err
	}
	ask, beside, err := p.asker(ctx, cfg, a)
	if err != nil {
		return err
	}
	pace := time.Duration(float64(time.Second) / cfg.Rate)
	who := "the account"
	if beside {
		ask, pace, who = ask.everySecond(pace), 2*pace, "the running notifier"
	}
	m := p.newMeter()
	b := newProbe(ask, cfg.Collections, func(done, of int, what string) {
		m.show("request %d of about %d: %s", done, of, what)
	})
	fmt.Fprintf(p.stderr, "asking %s about %d questions, which takes %s or so\n", who, b.planned, (time.Duration(b.planned) * pace).Round(time.Second))
	err = b.run(ctx)
	m.clear()
	if b.report.Requests > 0 {
		if printErr := p.printProbe(b.report, f.json); printErr != nil {
			return printErr
		}
	}
	return err
}

func (p program) printProbe(r *probeReport, asJSON bool) error {
	if !asJSON {
		return r.write(p.stdout)
	}
	enc := json.NewEncoder(p.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// everySecond leaves every second request to the notifier that polls meanwhile:
// one that is asked again at once would do nothing else.
func (a asker) everySecond(gap time.Duration) asker {
	return func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
		page, err := a(ctx, r)
		sleep(ctx, gap)
		return page, err
	}
}

// account returns the account of a name; "" is the only one.
func (c config) account(name string) (account, error) {
	var names []string
	for _, a := range c.Accounts {
		if a.Subdomain == name || name == "" && len(c.Accounts) == 1 {
			return a, nil
		}
		names = append(names, a.Subdomain)
	}
	all := strings.Join(names, ", ")
	if name == "" {
		return account{}, misuse("several accounts are configured, so --account is needed: one of " + all)
	}
	return account{}, misuse(fmt.Sprintf("--account: there is no account %q; configured: %s", name, all))
}

// A probe asks an account what its API does.
type probe struct {
	ask         asker
	collections []trackops.Collection
	progress    func(done, of int, what string)
	planned     int // requests, about

	report  *probeReport
	samples map[string]trackops.Page // first pages, by collection
	format  trackops.TimeFormat      // in which the account writes times
}

func newProbe(ask asker, collections []trackops.Collection, progress func(done, of int, what string)) *probe {
	const each, general = 6, 38
	return &probe{
		ask: ask, collections: collections, progress: progress, planned: each*len(collections) + general,
		report:  newProbeReport(),
		samples: make(map[string]trackops.Page),
	}
}

// run asks everything. Its error is that of the account as a whole, or ctx's; the
// report then has what was learnt before.
func (b *probe) run(ctx context.Context) error {
	err := b.askAll(ctx)
	b.report.Complete = err == nil
	switch {
	case ctx.Err() != nil:
		b.report.Ended = "interrupted"
		return errors.New("interrupted: the report is not complete")
	case err != nil:
		b.report.Ended = answerClass(err)
		return fmt.Errorf("probe: %w", err)
	}
	return nil
}

func (b *probe) askAll(ctx context.Context) error {
	for _, c := range b.collections {
		if err := b.list(ctx, c); err != nil {
			return err
		}
	}
	for _, c := range b.collections {
		if _, active := b.samples[c.Name]; !active {
			continue
		}
		if err := b.features(ctx, c); err != nil {
			return err
		}
	}
	if subject, found := b.subject(); found {
		return b.general(ctx, subject)
	}
	return nil
}

// subject is the collection that the general questions are asked about: the
// first with both filters that has the most records on its first page.
func (b *probe) subject() (c trackops.Collection, found bool) {
	most := 0
	for _, candidate := range b.collections {
		n := len(b.samples[candidate.Name].Records)
		if candidate.UpdatedFrom && candidate.CreatedTo != "" && n > most {
			c, found, most = candidate, true, n
		}
	}
	return c, found
}

const (
	probeTries   = 3
	probePause   = 2 * time.Second
	longestProbe = time.Minute // of waiting; more if the account asks for it
)

// try asks, and returns what became of it. Its error is one that ends the probe:
// what an account answers to a question is none.
func (b *probe) try(ctx context.Context, r trackops.Request) (trackops.Page, verdict, error) {
	page, answer, err := b.retry(ctx, r)
	return page, newVerdict(answer), err
}

// retry asks, and asks again where the answer failed by chance. The account's
// answer may be an error, answer; err ends the probe.
func (b *probe) retry(ctx context.Context, r trackops.Request) (page trackops.Page, answer, err error) {
	for n := 1; ; n++ {
		b.report.Requests++
		b.progress(b.report.Requests, max(b.planned, b.report.Requests), r.Collection.Name)
		page, answer = b.ask(ctx, r)
		b.report.Clock.add(page)
		switch {
		case ctx.Err() != nil:
			return page, nil, ctx.Err()
		case errors.Is(answer, errControl):
			return page, nil, answer
		case fault.Status(answer) == http.StatusUnauthorized:
			return page, nil, fmt.Errorf("the credentials are refused: %w", answer)
		case !isPassing(answer):
			return page, answer, nil
		}
		b.report.Failures[answerClass(answer)]++
		wait := fault.Backoff(n, probePause, longestProbe)
		if after, asked := fault.After(answer); asked {
			b.report.RetryAfter = append(b.report.RetryAfter, after.Seconds())
			wait = fault.Jitter(after)
		}
		switch {
		case wait > 2*longestProbe:
			return page, nil, fmt.Errorf("the account asks to wait for %s: %w", wait, answer)
		case n == probeTries && answerClass(answer) == noAnswer:
			return page, nil, answer
		case n == probeTries:
			return page, answer, nil
		case !sleep(ctx, wait):
			return page, nil, ctx.Err()
		}
	}
}

// isPassing reports whether the same request may get another answer.
func isPassing(err error) bool {
	status := fault.Status(err)
	return trackops.IsThrottled(err) || status >= 500 ||
		err != nil && status == 0 && !errors.Is(err, trackops.ErrIgnored) && !errors.Is(err, trackops.ErrUnexpected)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

const noAnswer = "no answer"

// answerClass names what came instead of an answer, with nothing of its text:
// that may repeat a record, or the account's name.
func answerClass(err error) string {
	if status := fault.Status(err); status != 0 {
		return fmt.Sprintf("status %d", status)
	}
	for _, known := range answerErrors() {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return noAnswer
}
