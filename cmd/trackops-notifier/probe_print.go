package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// write prints the report for people.
func (r *probeReport) write(w io.Writer) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "Trackops API probe by trackops-notifier %s, %s, %d requests\n", r.Version, r.At.Format(time.RFC3339), r.Requests)
	fmt.Fprintln(&out, "There is no content of records in it. Read it before you send it.")
	if !r.Complete {
		fmt.Fprintf(&out, "NOT COMPLETE: %s\n", r.Ended)
	}
	r.writeGeneral(&out)
	r.writeCollections(&out)
	for _, c := range r.Collections {
		c.writeShape(&out)
	}
	_, err := w.Write(out.Bytes())
	return err
}

func (r *probeReport) writeGeneral(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	line := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	fmt.Fprintln(t)
	line("Date header", "in %d of %d answers%s", r.Clock.Dated, r.Clock.Answers, r.Clock.skew())
	line("slowest answer", "%.1f s", r.Clock.Slowest)
	for _, class := range sortedKeys(r.Failures) {
		line("failed for a while", "%s, %d times", class, r.Failures[class])
	}
	if len(r.RetryAfter) > 0 {
		line("Retry-After", "%v s", r.RetryAfter)
	}
	if r.Subject == "" {
		return
	}
	fmt.Fprintln(t)
	line("asked of", "%s", r.Subject)
	line("unknown parameter", "%s", r.UnknownParameter)
	line("wrong id", "%s", r.WrongID)
	line("per_page=1", "%s", rows(r.Paging.One, r.Paging.OneRows))
	line("per_page=200", "%s", rows(r.Paging.Above, r.Paging.AboveRows))
	line("page past the end", "%s", orNotAsked(r.Paging.PastEnd))
	line("dir=asc", "%s%s", orNotAsked(r.Ascending), inOrderOf(r.AscendingKeys))
	line("updated_from beside created_from", "%s", orNotAsked(r.Filters.UpdatedBesideCreated))
	line("created_to beside updated_from", "%s", orNotAsked(r.Filters.CreatedBesideUpdated))
	line("count by updated_from", "%s", orNotAsked(r.Filters.CountUpdated))
	line("count by created_to", "%s", orNotAsked(r.Filters.CountCreated))
	line("updated_from inclusive", "%s", orNotAsked(r.Filters.Inclusive))
	for _, f := range r.FormatsTaken {
		line("updated_from as "+f.Format, "%s", f.Taken)
	}
}

func (c clockReport) skew() string {
	switch {
	case c.Ahead == nil:
		return ""
	case max(*c.Ahead, -*c.Ahead) < 1:
		return "; its clock agrees with ours within a second"
	case *c.Ahead < 0:
		return fmt.Sprintf("; its clock is %.1f s behind ours", -*c.Ahead)
	}
	return fmt.Sprintf("; its clock is %.1f s ahead of ours", *c.Ahead)
}

func (e errorAnswer) String() string {
	switch {
	case !e.Asked:
		return "not asked"
	case e.Body == "":
		return fmt.Sprintf("status %d, %d records", e.Status, e.Rows)
	}
	return fmt.Sprintf("status %d, %s", e.Status, e.Body)
}

func rows(v verdict, n *int) string {
	if n == nil {
		return orNotAsked(v)
	}
	return fmt.Sprintf("%d records", *n)
}

func orNotAsked(v verdict) string { return cmp.Or(string(v), "not asked") }

func inOrderOf(keys []string) string {
	if len(keys) == 0 {
		return ""
	}
	return ", in order of " + strings.Join(keys, ", ")
}

func (r *probeReport) writeCollections(w io.Writer) {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "COLLECTION\tLIST\tCOUNT\tRECORDS\tUPDATED_FROM\tCREATED_TO\tSINGLE\tIDENTITY")
	for _, c := range r.Collections {
		records := "-"
		if c.Records != nil {
			records = fmt.Sprint(*c.Records)
		}
		list := string(c.List)
		if c.Bare != "" {
			list += ", without its parameters " + string(c.Bare)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, list, orDash(string(c.Count)), records,
			orDash(string(c.UpdatedFrom)), orDash(string(c.CreatedTo)), orDash(string(c.Single)), orDash(c.Keys))
	}
	t.Flush()
}

func orDash(text string) string { return cmp.Or(text, "-") }

func (c *collectionReport) writeShape(w io.Writer) {
	if c.Shape == nil || c.Shape.Records == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s, newest %d records%s\n", c.Name, c.Shape.Records, inOrderOf(c.OrderKeys))
	fmt.Fprintf(w, "  %s\n", c.Creation)
	if len(c.ChangesItself) > 0 {
		fmt.Fprintf(w, "  differ from reading to reading: %s\n", strings.Join(c.ChangesItself, ", "))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, path := range sortedKeys(c.Shape.Fields) {
		fmt.Fprintf(t, "  %s\t%s\n", path, countsText(c.Shape.Fields[path]))
	}
	t.Flush()
}

// countsText writes "integer 98, null 2".
func countsText(counts map[string]int) string {
	var parts []string
	for _, kind := range sortedKeys(counts) {
		parts = append(parts, fmt.Sprintf("%s %d", kind, counts[kind]))
	}
	return strings.Join(parts, ", ")
}
