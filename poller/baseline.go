package poller

import (
	"time"
)

// afterBaseline takes in an answer of the first, silent reading: count, read,
// perhaps find out whether the server clamps its pages, count again.
func (w *watch) afterBaseline(p *progress, a answer, held int, now time.Time) {
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
	case stageClamp:
		if len(a.rows) > 0 {
			p.cursor.Capacity = b.Clamp
			b.startReading(w.windows(now))
			return
		}
		w.verifyBaseline(p, &b, held, a)
	case stageVerify:
		w.afterVerify(p, &b, a, held)
	}
}

func (b *baseline) startReading(windows bool) {
	b.Stage = stageRead
	b.Reading = reading{Pages: !windows, Newest: b.Reading.Newest, Started: b.Started}
}

func (w *watch) afterBaselinePage(p *progress, b *baseline, a answer, held int, now time.Time) {
	first := a.job.request.Page == 1 && a.job.request.CreatedFrom.IsZero() && a.job.request.CreatedTo.IsZero()
	left := -1
	if b.Count >= 0 {
		left = max(0, b.Count-held)
	}
	b.Reading = w.continuedLeft(&b.Reading, a, now, left)
	if first {
		for _, r := range a.rows {
			b.Newest = later(b.Newest, r.key.Created)
		}
		if n := len(a.rows); n > 0 && n < w.cursor.Capacity && (b.Count < 0 || b.Count > n) {
			b.Stage, b.Clamp = stageClamp, n
			return
		}
	}
	if b.Reading.Done {
		w.verifyBaseline(p, b, held, a)
	}
}

// verifyBaseline ends the reading: at once where as many records are held as
// were counted, or where counts are refused, else after another count.
func (w *watch) verifyBaseline(p *progress, b *baseline, held int, a answer) {
	if b.Count < 0 || held >= b.Count {
		w.goLive(p, b, a)
		return
	}
	b.Stage = stageVerify
}

// afterVerify compares a second count with what is held. Fewer held than counted
// means that the reading missed records (some without a creation time, perhaps):
// the list is walked by pages, twice at most. What is still missing then is left
// to the sweeps.
func (w *watch) afterVerify(p *progress, b *baseline, a answer, held int) {
	const walks = 2
	b.Recount++
	if held >= a.page.Count || b.Recount > walks {
		w.goLive(p, b, a)
		return
	}
	b.Count = a.page.Count
	b.startReading(false)
}

// goLive ends the silence. The first watermark must not be later than the
// server's clock when the baseline began, by the clock that stamps updated_at:
// the newest stamp seen less the time the baseline took is certainly earlier.
func (w *watch) goLive(p *progress, b *baseline, a answer) {
	mark := b.Started.Add(-24 * time.Hour) // nothing is stamped: a day's rows cost nothing
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
	p.completed = true
}

// silent reports whether an unknown record is part of the baseline rather than
// news. During the baseline only a record that was created after it began is
// news, by the server's clock and by the newest record of its first page, so
// that two clocks which disagree cause no flood.
func (c *cursor) silent(created time.Time) bool {
	b := c.Baseline
	if c.Live || b == nil {
		return false
	}
	if b.Started.IsZero() {
		return true // the first answer
	}
	return !created.After(b.Started) || !created.After(b.Newest)
}
