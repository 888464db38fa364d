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
	Absent   time.Time `json:"absent"`            // when it was first missing
	From     string    `json:"from"`              // where: window, pages, search
	Gone     time.Time `json:"gone,omitzero"`     // when its own address first answered 404 or 410
	Again    time.Time `json:"again,omitzero"`    // when it last did
	Count    string    `json:"count,omitzero"`    // what the count said that agreed
	Canary   string    `json:"-"`                 // what vouched for the source, once it is believed
	Next     time.Time `json:"next,omitzero"`     // not asked before
	Failures int       `json:"failures,omitzero"` // in a row, of its own address to answer either way
	Released bool      `json:"released,omitzero"` // a brake held it back, until an operator's word or for an hour
	Dated    time.Time `json:"created,omitzero"`  // its creation, zero if unknown
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
	c.Unlisted = without(c.Unlisted, id)
}

// shows reports whether lists should show any of the records held.
func (c *cursor) shows(held int) bool {
	missing := len(c.Suspects) + len(c.Unlisted)
	return missing < held && missing < mostSuspect
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
		if !c.Brake.holds(now) {
			c.release()
		}
		c.Brake = nil
	}
	return c.Brake.holds(now)
}

// release notes that what let the brake go is true of all suspects there are.
func (c *cursor) release() {
	c.Suspects = maps.Clone(c.Suspects)
	for id, s := range c.Suspects {
		s.Released = true
		c.Suspects[id] = s
	}
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
	for _, s := range c.Suspects {
		if !s.Gone.IsZero() && now.Sub(c.Canary) >= canaryFor {
			return kindCanary
		}
	}
	return w.uncounted(now)
}

// uncounted returns the count that is due for suspects that are gone, or "".
func (w *watch) uncounted(now time.Time) kind {
	last := w.cursor.Done[kindSettle]
	for _, s := range w.cursor.Suspects {
		if s.Count == "" && s.counts(w.countable(now)) && (s.Gone.After(last) || now.Sub(last) >= time.Minute) {
			return kindSettle
		}
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
	s.Again, s.Failures = now, 0
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
	if c.brakes(held, now) || len(c.Suspects) == 0 {
		return nil
	}
	var doomed []string
	for _, id := range slices.Sorted(maps.Keys(c.Suspects)) {
		if m, ok := records.Meta(id); !ok || !m.Deleted.IsZero() {
			c.Suspects = without(c.Suspects, id)
			continue
		}
		s := c.Suspects[id]
		settled := s.Count != "" || s.Again.Sub(s.Gone) >= secondLook && !s.Gone.IsZero()
		if settled && c.vouched(w, s, now) != "" {
			doomed = append(doomed, id)
		}
	}
	return doomed
}

// vouched returns what tells that the source can be believed about the suspect; ""
// if nothing does. Where no record is left that could be a canary, that is a list
// or count which was answered since: after an operator's word, or an hour.
func (c *cursor) vouched(w *watch, s suspect, now time.Time) string {
	if now.Sub(c.Canary) < canaryFor {
		return "another record was readable at " + stamp(c.Canary)
	}
	if !w.answered.After(s.Again) || now.Sub(w.answered) >= canaryFor {
		return ""
	}
	released := s.Released || now.Sub(s.Gone) >= brakeFor || c.Brake != nil // which holds nothing back any more
	if !released || c.Brake != nil && c.Brake.Why == whyBlind {
		return ""
	}
	return "no other record was left to be read; a question about the whole collection was answered at " + stamp(w.answered)
}

// witnesses describes, for the event, why the deletion is believed.
func (s suspect) witnesses() map[string]any {
	count := s.Count
	if count == "" {
		count = "not available; its own address answered not found again at " + stamp(s.Again)
	}
	return map[string]any{"witnesses": map[string]any{
		"absent":    fmt.Sprintf("from a %s at %s", s.From, stamp(s.Absent)),
		"not_found": stamp(s.Gone),
		"canary":    s.Canary,
		"count":     count,
	}}
}

func stamp(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }
