package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"time"
)

type exportFlags struct {
	format, since, account string
	deleted                bool
}

func exportCommand() command {
	return command{
		name:    "export",
		args:    "<collection> [--format jsonl|csv] [--since 24h] [--deleted] [--account acme]",
		summary: "print the records of a collection, as last seen",
		detail: `Prints what the running notifier holds of a collection, without a request to
Trackops. Records that change meanwhile may come in either version.

jsonl is one line a record, exactly as Trackops sent it (less ignored fields):
{"id","revision","created_at","updated_at","observed_at","deleted_at","record"}.

csv (RFC 4180, UTF-8) has id, revision, created, updated, observed and deleted,
then a column for each top-level field of the records; objects and arrays are
compact JSON, null and absent are empty. A text that a spreadsheet would take
for a formula, because it begins with = + - @, a tab or a line break, gets an
apostrophe in front; numbers stay as they are.`,
		flags: func(set *flag.FlagSet) any {
			f := &exportFlags{}
			set.StringVar(&f.format, "format", "jsonl", "jsonl or csv")
			set.StringVar(&f.since, "since", "", "only records first seen in their present version since this age (90m, 24h, 7d) or time (2026-11-23T09:30:00Z)")
			set.BoolVar(&f.deleted, "deleted", false, "with records that were deleted, in their last version")
			set.StringVar(&f.account, "account", "", "the account's `subdomain`, if several are watched")
			return f
		},
		nargs: [2]int{1, 1},
		run: func(ctx context.Context, p program, flags any, args []string) error {
			return p.export(ctx, *flags.(*exportFlags), args[0])
		},
	}
}

func (p program) export(ctx context.Context, f exportFlags, collection string) error {
	if f.format != "jsonl" && f.format != "csv" {
		return misuse(fmt.Sprintf("--format: %q is neither jsonl nor csv", f.format))
	}
	since, err := readSince(f.since, time.Now())
	if err != nil {
		return err
	}
	c, err := p.control()
	if err != nil {
		return err
	}
	x := exporter{
		control: c,
		sel:     selection{account: f.account, collection: collection, since: since, deleted: f.deleted},
		out:     bufio.NewWriterSize(p.stdout, 64<<10),
		notes:   p.stderr,
		meter:   p.newMeter(),
	}
	if f.format == "csv" {
		err = x.csv(ctx)
	} else {
		err = x.jsonl(ctx)
	}
	x.meter.clear()
	if flushErr := x.out.Flush(); err == nil {
		err = flushErr
	}
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted after %d records: the export is not complete", x.written)
	}
	if err != nil {
		return fmt.Errorf("export %s: %w", collection, err)
	}
	if x.unfinished {
		fmt.Fprintf(p.stderr, "the first reading of %s is not complete, so records may be missing: see trackops-notifier status\n", collection)
	}
	return nil
}

// An exporter copies a collection from the running notifier.
type exporter struct {
	control    control
	sel        selection
	out        *bufio.Writer
	notes      io.Writer
	meter      *meter
	written    int
	unfinished bool // the notifier has not read the whole collection yet
}

func (x *exporter) jsonl(ctx context.Context) error {
	return x.each(ctx, func(line []byte) error {
		_, err := x.out.Write(line)
		x.written++
		x.meter.show("%d records", x.written)
		return err
	})
}

// csv reads the records twice: a table's columns have to be known before its
// first row.
func (x *exporter) csv(ctx context.Context) error {
	columns := newColumns()
	total := 0
	err := x.each(ctx, func(line []byte) error {
		total++
		x.meter.show("finding the columns, %d records", total)
		return columns.add(line)
	})
	if err != nil {
		return err
	}
	if err := writeRow(x.out, columns.header()); err != nil {
		return err
	}
	late := 0
	err = x.each(ctx, func(line []byte) error {
		row, complete, err := columns.row(line)
		if err != nil {
			return err
		}
		if !complete {
			late++
		}
		x.written++
		x.meter.show("%d of %d records", x.written, total)
		return writeRow(x.out, row)
	})
	if err == nil && late > 0 {
		x.meter.clear()
		fmt.Fprintf(x.notes, "%d records got new fields while they were exported, which have no column: run it again\n", late)
	}
	return err
}

// each calls fn with each line of the notifier's answer, with its line break.
func (x *exporter) each(ctx context.Context, fn func(line []byte) error) error {
	resp, err := x.control.get(ctx, "/records", x.sel.query())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	x.unfinished = resp.Header.Get(exportUnfinished) != ""
	lines := bufio.NewReaderSize(resp.Body, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break
		}
		if err != nil {
			return fmt.Errorf("the notifier's answer was cut off: %w", err)
		}
		if err := fn(line); err != nil {
			return err
		}
	}
	if quoted := resp.Trailer.Get(exportError); quoted != "" {
		reason, err := strconv.Unquote(quoted)
		if err != nil {
			reason = quoted
		}
		return errors.New(reason)
	}
	return nil
}

// decodeLine reads a line and the top-level fields of its record, in their order.
func decodeLine(line []byte) (e exported, fields []field, err error) {
	if err := json.Unmarshal(line, &e); err != nil {
		return e, nil, fmt.Errorf("read a record: %w", err)
	}
	fields, err = topLevel(e.Record)
	if err != nil {
		return e, nil, fmt.Errorf("read record %q: %w", e.ID, err)
	}
	return e, fields, nil
}

// A field is a member of a record.
type field struct {
	name  string
	value json.RawMessage
}

// topLevel returns the members of an object; none of null.
func topLevel(object json.RawMessage) ([]field, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, err
	}
	var fields []field
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		f := field{name: name.(string)}
		if err := d.Decode(&f.value); err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	return fields, nil
}
