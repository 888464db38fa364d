package poller

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A suspect is a living record that an answer should have shown and did not. An
// absence is no deletion: paging, a filter, a permission, a maintenance page or
// the wrong tenant look the same. Four witnesses have to agree before it is
// believed, each against another lie: the absence, the record's own address
// (404), a record that is certainly there (200), and the count.
type suspect struct {
	Absent time.Time `json:"absent"`           // when it was first missing
	From   string    `json:"from"`             // where: window, pages, search
	Gone   time.Time `json:"gone,omitzero"`    // when its own address first answered 404 or 410
	Again  time.Time `json:"again,omitzero"`   // when it last did
	Count  string    `json:"count,omitzero"`   // what the count said that agreed
	Next   time.Time `json:"next,omitzero"`    // not asked before
	Dated  time.Time `json:"created,omitzero"` // its creation, zero if unknown
}

// A brake holds deletions back: too many at once are more likely the source's
// mistake than the account's.
type brake struct {
	Since     time.Time `json:"since"`
	Confirmed bool      `json:"confirmed,omitzero"` // an operator believes it
	Told      bool      `json:"told,omitzero"`      // source_suspicious was published
	Why       string    `json:"why"`
}

const (
	// More than brakeRows absences that are also more than a brakeShare of the
	// collection are not believed for brakeFor.
	brakeRows  = 20
	brakeShare = 0.2
	brakeFor   = time.Hour

	canaryFor   = 5 * time.Minute  // how long a canary vouches for the source
	secondLook  = 10 * time.Minute // between two 404s, where no count can agree
	unlistedFor = 24 * time.Hour   // how long a record that is there but not listed is no news
	mostSuspect = 5000             // examined at a time; the sweep brings the others again
)

// suspect begins to examine the absence of a record.
func (c *cursor) suspect(id, from string, now time.Time) {
	if _, known := c.Suspects[id]; known || len(c.Suspects) >= mostSuspect || now.Before(c.Unlisted[id]) {
		return
	}
	c.Suspects = with(c.Suspects, id, suspect{Absent: now, From: from})
}

// listed clears records of suspicion that an answer shows. One that was missing
// from lists and is back can go missing again.
func (c *cursor) listed(a answer) {
	if len(c.Suspects)+len(c.Unlisted) == 0 || a.job.request.ID != "" {
		return
	}
	for _, r := range a.rows {
		c.Suspects = without(c.Suspects, r.key.ID)
		c.Unlisted = without(c.Unlisted, r.key.ID)
	}
}

// brakes reports whether deletions are held back, and puts the brake on or off.
func (c *cursor) brakes(held int, now time.Time) bool {
	absent := tooMany(len(c.Suspects)+len(c.Unlisted), held)
	counted := tooMany(c.Missing, held)
	switch {
	case c.Brake == nil && absent:
		c.Brake = &brake{Since: now, Why: whyAbsent}
	case c.Brake == nil && counted:
		c.Brake = &brake{Since: now, Why: whyCounted}
	case c.Brake != nil && c.Brake.Why != whyBlind && !absent && !counted:
		c.Brake = nil
	}
	return c.Brake.holds(now)
}

// tooMany reports whether n of the records held cannot be missing at once.
func tooMany(n, held int) bool {
	return n > brakeRows && float64(n) > brakeShare*float64(held)
}

// holds reports whether deletions are held back at now; b may be nil.
func (b *brake) holds(now time.Time) bool {
	return b != nil && !b.Confirmed && now.Sub(b.Since) < brakeFor
}

const (
	whyAbsent  = "too many records are absent at once"
	whyCounted = "the count fell by too much at once"
	whyBlind   = "records that are listed cannot be read by themselves"
)

// doubtful returns the suspect to ask about next, or "" if there is none now. A
// count can vouch for those created up to until; zero: for none.
func (c *cursor) doubtful(until, now time.Time) string {
	ids := slices.Sorted(maps.Keys(c.Suspects))
	for _, id := range ids {
		if s := c.Suspects[id]; s.Gone.IsZero() && !now.Before(s.Next) {
			return id
		}
	}
	for _, id := range ids { // a second look, where no count has agreed
		s := c.Suspects[id]
		if s.Gone.IsZero() || s.Count != "" || now.Before(s.Next) || now.Sub(s.Gone) < secondLook || s.Again.Sub(s.Gone) >= secondLook {
			continue
		}
		if !s.counts(until) || now.Sub(s.Gone) >= brakeFor {
			return id
		}
	}
	return ""
}

// openQuestion returns the job that a suspicion waits for, or "".
func (w *watch) openQuestion(now time.Time) kind {
	c := &w.cursor
	switch b := c.Brake; {
	case b != nil && b.Why == whyBlind:
		if now.Sub(c.Done[kindCanary]) >= time.Minute {
			return kindCanary // until one is there
		}
		return ""
	case len(c.Suspects) == 0, b.holds(now):
		return ""
	}
	if c.doubtful(w.countable(now), now) != "" {
		return kindVerify
	}
	gone, uncounted, fresh := 0, 0, false
	for _, s := range c.Suspects {
		if !s.Gone.IsZero() {
			gone++
			if s.Count == "" && s.counts(w.countable(now)) {
				uncounted++
				fresh = fresh || s.Gone.After(c.Done[kindSettle])
			}
		}
	}
	switch {
	case gone > 0 && now.Sub(c.Canary) >= canaryFor:
		return kindCanary
	case uncounted > 0 && (fresh || now.Sub(c.Done[kindSettle]) >= time.Minute):
		return kindSettle
	}
	return ""
}

// countable is the moment up to which a count can vouch for deletions; zero if
// there is none.
func (w *watch) countable(now time.Time) time.Time {
	if !w.settled(now) {
		return time.Time{}
	}
	return w.settledAt(now)
}

// singleRequest asks for one record by its own address.
func (w *watch) singleRequest(k kind, records *state.Records, now time.Time) (trackops.Request, error) {
	q := w.request(now)
	if k == kindCanary {
		w.verify, q.ID, q.Collection = w.witness.id, w.witness.path, w.witness.collection
		return q, nil
	}
	w.verify = w.cursor.doubtful(w.countable(now), now)
	r, ok, err := records.Get(w.verify)
	if err != nil {
		return q, err
	}
	q.ID = w.verify
	if ok {
		if _, err := w.layout.rules.Scan(r.Document, w.layout.fields, w.layout.values); err == nil {
			if key, err := w.layout.collection.Key(w.layout.values); err == nil {
				q.ID = key.Path
			}
		}
	}
	return q, nil
}

// afterSingle takes in the answer about one record.
func (w *watch) afterSingle(p *progress, a answer, records *state.Records, now time.Time) {
	if a.job.kind == kindCanary {
		p.cursor.Done = with(p.cursor.Done, kindCanary, now)
		if !a.gone {
			p.cursor.Canary = now
		}
		return
	}
	s, known := p.cursor.Suspects[w.verify]
	if !known {
		return
	}
	if !a.gone {
		// It is there, and not listed: archived, perhaps, or behind a filter.
		p.cursor.Suspects = without(p.cursor.Suspects, w.verify)
		p.cursor.Unlisted = with(prune(p.cursor.Unlisted, now), w.verify, now.Add(unlistedFor))
		return
	}
	if s.Gone.IsZero() {
		s.Gone = now
		if m, ok := records.Meta(w.verify); ok {
			s.Dated = m.Created
		}
	}
	s.Again = now
	p.cursor.Suspects = with(p.cursor.Suspects, w.verify, s)
}

// prune drops what has expired.
func prune(m map[string]time.Time, now time.Time) map[string]time.Time {
	m = maps.Clone(m)
	maps.DeleteFunc(m, func(_ string, until time.Time) bool { return !now.Before(until) })
	return m
}

// agree lets a settled count vouch for the suspects: as many records are missing
// from it as were found gone.
func (c *cursor) agree(until time.Time, missing int, counted string) {
	gone := 0
	for _, s := range c.Suspects {
		if s.counts(until) {
			gone++
		}
	}
	if gone == 0 || missing < gone {
		return
	}
	c.Suspects = maps.Clone(c.Suspects)
	for id, s := range c.Suspects {
		if s.counts(until) {
			s.Count = counted
			c.Suspects[id] = s
		}
	}
}

// goneSince returns how many suspects are gone, if one of them was found to be
// since; else 0.
func (c *cursor) goneSince(since time.Time) int {
	gone, fresh := 0, false
	for _, s := range c.Suspects {
		if !s.Gone.IsZero() {
			gone++
			fresh = fresh || s.Gone.After(since)
		}
	}
	if !fresh {
		return 0
	}
	return gone
}

// counts reports whether the suspect was gone and within a count up to until.
func (s suspect) counts(until time.Time) bool {
	return !s.Gone.IsZero() && !s.Dated.IsZero() && !s.Dated.After(until)
}

// judge returns the suspects whose deletion all witnesses agree on, and drops
// them.
func (c *cursor) judge(w *watch, records *state.Records, held int, now time.Time) []string {
	if c.brakes(held, now) || len(c.Suspects) == 0 || now.Sub(c.Canary) >= canaryFor {
		return nil
	}
	var doomed []string
	for _, id := range slices.Sorted(maps.Keys(c.Suspects)) {
		if m, ok := records.Meta(id); !ok || !m.Deleted.IsZero() {
			c.Suspects = without(c.Suspects, id)
			continue
		}
		if s := c.Suspects[id]; s.Count != "" || s.Again.Sub(s.Gone) >= secondLook && !s.Gone.IsZero() {
			doomed = append(doomed, id)
		}
	}
	return doomed
}

// witnesses describes, for the event, why the deletion is believed.
func (s suspect) witnesses(canary time.Time) map[string]any {
	stamp := func(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }
	count := s.Count
	if count == "" {
		count = "not available; its own address answered not found again at " + stamp(s.Again)
	}
	return map[string]any{"witnesses": map[string]any{
		"absent":    fmt.Sprintf("from a %s at %s", s.From, stamp(s.Absent)),
		"not_found": stamp(s.Gone),
		"canary":    "another record was readable at " + stamp(canary),
		"count":     count,
	}}
}
