package main

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"time"

	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A verdict is what became of a question, in a word or two: "yes", "ignored",
// "status 400".
type verdict string

const (
	honoured verdict = "yes"
	ignored  verdict = "ignored"
	unclear  verdict = "unclear" // there are no records to tell by
)

func newVerdict(err error) verdict {
	if err == nil {
		return honoured
	}
	return verdict(answerClass(err))
}

// Filters are tried with times that no record can have: from tomorrow on, or up
// to before the vendor existed. Whoever honours them answers with nothing.
func tomorrow() time.Time { return time.Now().Add(36 * time.Hour) }

func longAgo() time.Time { return time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC) }

// list reads the newest records of a collection and learns from them.
func (b *probe) list(ctx context.Context, c trackops.Collection) error {
	r := trackops.Request{Collection: c, Page: 1}
	page, v, err := b.try(ctx, r)
	if err != nil {
		return err
	}
	info := b.report.collection(c)
	info.List = v
	if v == "status 400" && len(c.Query) > 0 {
		r.Bare = true
		if page, info.Bare, err = b.try(ctx, r); err != nil {
			return err
		}
		v = info.Bare
	}
	if v != honoured {
		return nil
	}
	b.samples[c.Name] = page
	info.learn(c, page.Records)
	if b.format == "" && len(info.TimeFormats) > 0 {
		b.format = commonest(info.TimeFormats)
	}
	return nil
}

// features tries what the poller would like to ask of a collection.
func (b *probe) features(ctx context.Context, c trackops.Collection) error {
	info, sample := b.report.collection(c), b.samples[c.Name]
	base := trackops.Request{Collection: c, PerPage: 1, Page: 1, Format: b.format, Bare: info.Bare == honoured}
	count := base
	count.Count = true
	page, v, err := b.try(ctx, count)
	if err != nil {
		return err
	}
	if info.Count = v; v == honoured {
		info.Records = &page.Count
	}
	has := len(sample.Records) > 0
	if c.UpdatedFrom {
		r := base
		r.UpdatedFrom = tomorrow()
		if info.UpdatedFrom, err = b.filtered(ctx, r, has); err != nil {
			return err
		}
	}
	if c.CreatedTo != "" {
		r := base
		r.CreatedTo = longAgo()
		if info.CreatedTo, err = b.filtered(ctx, r, has); err != nil {
			return err
		}
	}
	if key, err := firstKey(c, sample.Records); err == nil && has {
		single := base
		single.ID = key.Path
		if _, info.Single, err = b.try(ctx, single); err != nil {
			return err
		}
	}
	if c.VolatileURLs && has {
		again, v, err := b.try(ctx, trackops.Request{Collection: c, Page: 1, Bare: base.Bare})
		if err != nil {
			return err
		}
		if v == honoured {
			info.ChangesItself = changedFields(c, sample.Records, again.Records)
		}
	}
	return nil
}

// filtered asks a question whose answer has no records if its filters work.
func (b *probe) filtered(ctx context.Context, r trackops.Request, hasRecords bool) (verdict, error) {
	page, v, err := b.try(ctx, r)
	switch {
	case err != nil || v != honoured:
		return v, err
	case len(page.Records) > 0 || page.Count > 0:
		return ignored, nil
	case !hasRecords:
		return unclear, nil
	}
	return honoured, nil
}

// found asks a question whose answer has records if its filters work.
func (b *probe) found(ctx context.Context, r trackops.Request) (verdict, error) {
	page, v, err := b.try(ctx, r)
	if err == nil && v == honoured && len(page.Records) == 0 && page.Count == 0 {
		v = "finds nothing"
	}
	return v, err
}

// general asks what is likely to hold for all collections of one that has
// records.
func (b *probe) general(ctx context.Context, c trackops.Collection) error {
	b.report.Subject = c.Name
	info := b.report.collection(c)
	base := trackops.Request{Collection: c, Page: 1, PerPage: 1, Format: b.format, Bare: info.Bare == honoured}
	for _, ask := range []func(context.Context, trackops.Request) error{
		b.errorsOf, b.paging, b.order, b.combinations, b.timeFormats,
	} {
		if err := ask(ctx, base); err != nil {
			return err
		}
	}
	return nil
}

// errorsOf provokes two mistakes.
func (b *probe) errorsOf(ctx context.Context, base trackops.Request) error {
	unknown := base
	unknown.Collection.Query = url.Values{}
	if !base.Bare {
		maps.Copy(unknown.Collection.Query, base.Collection.Query)
	}
	unknown.Collection.Query.Set("no_such_parameter", "1")
	unknown.Bare = false
	wrong := base
	wrong.ID = "2147483646"
	for _, q := range []struct {
		request trackops.Request
		into    *errorAnswer
	}{{unknown, &b.report.UnknownParameter}, {wrong, &b.report.WrongID}} {
		page, answer, err := b.retry(ctx, q.request)
		if err != nil {
			return err
		}
		*q.into = newErrorAnswer(answer, len(page.Records))
	}
	return nil
}

// paging asks for a page of one, one above the limit, and one past the end.
func (b *probe) paging(ctx context.Context, base trackops.Request) error {
	g := &b.report.Paging
	for _, q := range []struct {
		page, perPage int
		verdict       *verdict
		rows          **int
	}{
		{1, 1, &g.One, &g.OneRows},
		{1, 2 * trackops.MaxPerPage, &g.Above, &g.AboveRows},
		{1_000_000, trackops.MaxPerPage, &g.PastEnd, nil},
	} {
		r := base
		r.Page, r.PerPage = q.page, q.perPage
		page, v, err := b.try(ctx, r)
		if err != nil {
			return err
		}
		*q.verdict = v
		switch n := len(page.Records); {
		case v != honoured:
		case q.rows != nil:
			*q.rows = &n
		case page.Records == nil:
			*q.verdict = "404 or null"
		case n == 0:
			*q.verdict = "an empty list"
		default:
			*q.verdict = "records"
		}
	}
	return nil
}

// order compares the oldest records with the newest.
func (b *probe) order(ctx context.Context, base trackops.Request) error {
	r := base
	r.Asc, r.PerPage = true, trackops.MaxPerPage
	page, v, err := b.try(ctx, r)
	if err != nil {
		return err
	}
	b.report.Ascending = v
	if v == honoured {
		b.report.AscendingKeys = sortedFields(page.Records, false)
	}
	return nil
}

// combinations tries filters together and with counts. Each is paired with one
// that every record passes, so that an empty answer shows that neither was lost.
func (b *probe) combinations(ctx context.Context, base trackops.Request) error {
	g := &b.report.Filters
	both, other, counted, window, inclusive := base, base, base, base, base
	both.UpdatedFrom, both.CreatedFrom = tomorrow(), longAgo()
	other.UpdatedFrom, other.CreatedTo = longAgo(), longAgo()
	counted.Count, counted.UpdatedFrom = true, tomorrow()
	window.Count, window.CreatedTo = true, longAgo()
	for _, q := range []struct {
		request trackops.Request
		verdict *verdict
	}{
		{both, &g.UpdatedBesideCreated}, {other, &g.CreatedBesideUpdated}, {counted, &g.CountUpdated}, {window, &g.CountCreated},
	} {
		v, err := b.filtered(ctx, q.request, true)
		if err != nil {
			return err
		}
		*q.verdict = v
	}
	newest := newestUpdate(base.Collection, b.samples[base.Collection.Name].Records)
	if newest.IsZero() {
		return nil
	}
	inclusive.UpdatedFrom = newest
	v, err := b.found(ctx, inclusive)
	g.Inclusive = v
	return err
}

// timeFormats tries each form of a time in updated_from: one that excludes all
// records and one that excludes none.
func (b *probe) timeFormats(ctx context.Context, base trackops.Request) error {
	for _, f := range trackops.TimeFormats() {
		r := base
		r.Format, r.UpdatedFrom = f, tomorrow()
		v, err := b.filtered(ctx, r, true)
		if err != nil {
			return err
		}
		if v == honoured {
			r.UpdatedFrom = longAgo()
			if v, err = b.found(ctx, r); err != nil {
				return err
			}
		}
		b.report.FormatsTaken = append(b.report.FormatsTaken, formatTaken{formatName(f), v})
	}
	return nil
}

// firstKey returns the key of the first record.
func firstKey(c trackops.Collection, records []json.RawMessage) (trackops.Key, error) {
	if len(records) == 0 {
		return trackops.Key{}, nil
	}
	return keyOf(c, records[0])
}

// keyOf reads what the client knows about a record.
func keyOf(c trackops.Collection, record json.RawMessage) (trackops.Key, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(record, &members); err != nil {
		return trackops.Key{}, err
	}
	var values [][]byte
	for _, name := range c.Fields() {
		values = append(values, members[name])
	}
	return c.Key(values)
}

func newestUpdate(c trackops.Collection, records []json.RawMessage) time.Time {
	var newest time.Time
	for _, record := range records {
		if key, err := keyOf(c, record); err == nil && key.Updated.After(newest) {
			newest = key.Updated
		}
	}
	return newest
}
