package poller

import (
	"bytes"
	"time"

	"github.com/trackops-notifier/trackops-notifier/state"
)

// afterBaseline takes in an answer of the first, silent reading: count, read the
// first page twice, find out whether the server clamps its pages, read the rest,
// count again.
func (w *watch) afterBaseline(p *progress, a answer, held int, records *state.Records, now time.Time) {
	b := *w.cursor.Baseline
	p.cursor.Baseline = &b
	if b.Started.IsZero() {
		if b.Started = a.serverTime(); b.Started.IsZero() {
			b.Started = now
		}
	}
	switch b.Stage {
	case stageCount:
		b.Count = a.page.Count
		b.startReading(w.windows(now))
	case stageRead:
		w.afterBaselinePage(p, &b, a, held, now)
	case stageTwice:
		p.cursor.Volatile = w.volatile(a.rows)
		w.first = nil
		w.enter(p, &b, b.Then, a, held, now)
	case stageClamp:
		if len(a.rows) == 0 && b.Count < 0 && !b.Doubt {
			b.Doubt = true
			return
		}
		b.Doubt = false
		if len(a.rows) > 0 {
			p.cursor.Capacity = b.Clamp
			b.startReading(w.windows(now))
			return
		}
		w.enter(p, &b, stageVerify, a, held, now)
	case stageVerify:
		have := held
		if w.settled(now) {
			have = records.CountCreated(time.Time{}, b.began())
		}
		w.afterVerify(p, &b, a, have, now)
	}
}

// began is the end of the second in which the baseline began: by the server's
// clock, nothing that was created later can have been there.
func (b *baseline) began() time.Time { return b.Started.Truncate(resolution).Add(resolution - 1) }

func (b *baseline) startReading(windows bool) {
	b.Stage = stageRead
	b.Reading = reading{Pages: !windows, Newest: b.Reading.Newest, Started: b.Started}
}

// enter goes on with a stage. Verifying is over at once where as many records
// are held as were counted, or where counts are refused.
func (w *watch) enter(p *progress, b *baseline, s stage, a answer, held int, now time.Time) {
	if s == stageVerify && (b.Count < 0 || held >= b.Count) {
		s = stageLive
	}
	if s == stageLive {
		w.goLive(p, b, a, now)
		return
	}
	b.Stage = s
}

func (w *watch) afterBaselinePage(p *progress, b *baseline, a answer, held int, now time.Time) {
	if len(a.rows) == 0 && b.Count < 0 && !b.Doubt {
		b.Doubt = true // an empty answer that nothing confirms is asked for twice
		return
	}
	b.Doubt = false
	q := a.job.request
	first := q.Page == 1 && q.CreatedFrom.IsZero() && q.CreatedTo.IsZero()
	left := -1
	if b.Count >= 0 {
		left = max(0, b.Count-held)
	}
	b.Reading = w.continued(&b.Reading, a, now, left)
	next := stageRead
	if b.Reading.Done {
		next = stageVerify
	}
	if first {
		for _, r := range a.rows {
			b.Newest = later(b.Newest, r.key.Created)
		}
		if n := len(a.rows); n > 0 && n < w.cursor.Capacity && (b.Count < 0 || b.Count > n) {
			next, b.Clamp = stageClamp, n
		}
		if len(a.rows) > 0 && b.Recount == 0 && b.Then == "" {
			w.first = keep(a.rows)
			b.Then, next = next, stageTwice
		}
	}
	w.enter(p, b, next, a, held, now)
}

// keep copies rows out of the buffer that they share.
func keep(rows []row) []row {
	kept := make([]row, len(rows))
	for i, r := range rows {
		r.raw = bytes.Clone(r.raw)
		kept[i] = r
	}
	return kept
}

// afterVerify compares a second count with what is held. Fewer held than counted
// means that the reading missed records (some without a creation time, perhaps):
// the list is walked by pages, twice at most. What is still missing then is left
// to the sweeps.
func (w *watch) afterVerify(p *progress, b *baseline, a answer, held int, now time.Time) {
	const walks = 2
	b.Recount++
	if held >= a.page.Count || b.Recount > walks {
		w.goLive(p, b, a, now)
		return
	}
	b.Count = a.page.Count
	b.startReading(false)
}

// goLive ends the silence. The first watermark must not be later than the
// server's clock when the baseline began, by the clock that stamps updated_at:
// the newest stamp seen less the time the baseline took is certainly earlier.
func (w *watch) goLive(p *progress, b *baseline, a answer, now time.Time) {
	mark := b.Started.Add(-lookbackSpan) // nothing is stamped: a day's rows cost nothing
	if newest := b.Reading.Newest; !newest.IsZero() {
		mark = newest
		if end := a.page.Date; end.After(b.Started) {
			mark = newest.Add(-end.Sub(b.Started))
		}
		if mark.After(b.Started) {
			mark = b.Started
		}
	}
	p.cursor.Live, p.cursor.Baseline, p.cursor.Watermark = true, nil, mark
	p.cursor.Swept, p.cursor.SweptTo = b.Started, now
	for _, k := range []kind{kindHead, kindIncremental, kindLookback, kindCount, kindSweep} {
		p.cursor.done(k, 0, now)
	}
	p.polled = true
}

// silent reports whether an unknown record is part of the baseline rather than
// news, when so many others are held. All that the first page shows is part of
// it. Behind that only a record that was created after the baseline began is news,
// by the server's clock and by the newest record of the first page, so that two
// clocks which disagree cause no flood. Pages upwards begin with the oldest: there
// only what comes behind as many records as were counted is news.
func (c *cursor) silent(created time.Time, held int) bool {
	b := c.Baseline
	if c.Live || b == nil {
		return false
	}
	if b.Newest.IsZero() || b.Reading.Pages && held < b.Count {
		return true
	}
	return !created.After(b.began()) || !created.After(b.Newest)
}
