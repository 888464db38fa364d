package poller

import (
	"time"
)

// A candidate is a job that could be next.
type candidate struct {
	watch *watch
	kind  kind
	class class   // the highest first
	worth float64 // within a class
	why   string
}

// A class orders jobs before their worth does.
type class int

const (
	classIndex    class = iota // worth is the index of the rule below
	classFloor                 // a sweep or a lookback that has its share to come
	classOpen                  // a question is open: an absence, a count that differs
	classOverdue               // a poll above its maximum age; worth is by how much
	classShare                 // a sweep whose share is overdue
	classBaseline              // the first reading, three requests of four
)

// The prior rates, in events a second, of jobs of which nothing is known yet;
// and the weight of each kind of find.
var priors = map[kind]float64{
	kindIncremental: 1. / 3600,
	kindHead:        1. / 3600,
	kindCount:       1. / (12 * 3600),
	kindSweep:       1. / (12 * 3600),
}

const (
	// What a find is worth beside a new or changed record found by a poll. With
	// these, polls get about nine requests of ten: deletions wait for minutes, so
	// that news does not wait for deletions.
	countWeight = 0.025
	sweepWeight = 0.01
	// rareHead is the prior of a head poll beside polls by updated_at, which find
	// new records too: once a year it may know better.
	rareHead = 1. / (365 * 24 * 3600)

	lookbackEvery = 3 * time.Hour
	headEvery     = time.Hour
	countEvery    = 10 * time.Minute // at least
	leastCount    = 30 * time.Second // between two counts
)

// choose returns the request that is worth most at now, and when it may leave.
// It is the one place that decides: every request of the account, repetitions
// included, passes here.
//
// Polls are chosen by the index λ̂·a·(a+1)/2c: the estimated rate of what the job
// finds, the time since it was last done in units of the gap between requests,
// and its cost in requests. Serving the largest index reaches, within a few per
// cent, the least mean delay that any schedule can have
// (Σ√λ)²/(2RΣλ). Before it come polls above their maximum age, open questions, and
// the share that sweeps are entitled to.
func (p *Poller) choose(now time.Time) (candidate, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var best candidate
	var wait time.Time // until a collection may be asked again, if none may now
	for _, w := range p.watches {
		if w.retryAt.After(now) {
			if wait.IsZero() || w.retryAt.Before(wait) {
				wait = w.retryAt
			}
			continue
		}
		if c := p.best(w, now); best.watch == nil || c.over(best) {
			best = c
		}
	}
	at := later(p.pace.next(), later(p.denied.until, p.outage.until))
	if best.watch == nil {
		return best, later(at, wait)
	}
	return best, at
}

func (c candidate) over(d candidate) bool {
	if c.class != d.class {
		return c.class > d.class
	}
	return c.worth > d.worth
}

// best returns the collection's most valuable job.
func (p *Poller) best(w *watch, now time.Time) candidate {
	if !w.cursor.Live {
		c := candidate{watch: w, kind: kindBaseline, class: classBaseline, why: "first reading"}
		if p.first >= mostFirst && p.anyLive() {
			c.class = -1 // what is live is polled in between
		}
		if w.cursor.Baseline != nil && w.cursor.Baseline.Stage != stageCount {
			c.worth = 1 // one after the other
		}
		return c
	}
	best := p.bestPoll(w, now)
	for _, c := range []candidate{p.openJob(w, now), p.sweepJob(w, now), p.countJob(w, now), p.lookbackJob(w, now)} {
		if c.class == classOpen && p.streak >= mostStreak {
			continue
		}
		if c.watch != nil && c.over(best) {
			best = c
		}
	}
	return best
}

func (p *Poller) anyLive() bool {
	for _, w := range p.watches {
		if w.cursor.Live && w.off == "" {
			return true
		}
	}
	return false
}

// bestPoll returns the better of the two ways to poll.
func (p *Poller) bestPoll(w *watch, now time.Time) candidate {
	if !w.byUpdated(now) {
		return p.poll(w, kindHead, priors[kindHead], now)
	}
	head := p.poll(w, kindHead, rareHead, now)
	if w.cursor.Unstamped {
		head = p.poll(w, kindHead, priors[kindHead], now)
	} else if head.class == classOverdue && now.Sub(w.cursor.Done[kindHead]) < headEvery {
		head.class, head.worth = classIndex, 0
	}
	if c := p.poll(w, kindIncremental, priors[kindIncremental], now); !head.over(c) {
		return c
	}
	return head
}

func (p *Poller) poll(w *watch, k kind, prior float64, now time.Time) candidate {
	age := now.Sub(w.cursor.Done[k])
	limit := p.maxAge() * 9 / 10 // others may be overdue too, and go first
	if age > limit && (!w.walks(k) || now.Sub(w.polled) >= p.round()) {
		return candidate{w, k, classOverdue, float64(age) / float64(limit), "overdue"}
	}
	return candidate{w, k, classIndex, p.index(w.cursor.Rates[k].perSecond(prior), age, 1), "index"}
}

// round is how long one request about each collection takes.
func (p *Poller) round() time.Duration { return time.Duration(len(p.watches)) * p.pace.gap }

// walks reports whether a poll of kind k is under way, of which this would be the
// next question: once a round it is as urgent as a poll that is overdue, so that
// a long walk does not hold up the others.
func (w *watch) walks(k kind) bool {
	return k == kindIncremental && w.incremental != nil && w.incremental.Steps > 0 || k == kindHead && w.head > 0
}

// index is the worth of a job at the present pace: rate in events a second, age
// since it was last done, cost in requests.
func (p *Poller) index(rate float64, age time.Duration, cost float64) float64 {
	unit := max(p.pace.gap, time.Millisecond).Seconds()
	a := age.Seconds() / unit
	return rate * unit * a * (a + 1) / (2 * cost)
}

// openJob returns what an open question needs, if one is open.
func (p *Poller) openJob(w *watch, now time.Time) candidate {
	k := w.openQuestion(now)
	if k == kindCanary && !p.borrow(w, now) {
		k = w.uncounted(now)
	}
	if k != "" {
		return candidate{w, k, classOpen, 2, "absent records"}
	}
	if w.cursor.Bisect != nil && len(w.cursor.Bisect.Spans) > 0 && w.settled(now) {
		return candidate{w, kindBisect, classOpen, 1, "a count differs"}
	}
	if s := w.cursor.Sweep; s != nil && s.Urgent {
		return candidate{w, kindSweep, classOpen, 0, "a count differs"}
	}
	if w.silentTooLong(now) {
		return candidate{w, kindCanary, classOpen, 0, "silence"}
	}
	return candidate{}
}

// borrow finds a witness for a collection that shows none at present: a record of
// another one tells as well whether the source can be believed. After a canary
// that was not there it has to be one that a list showed since.
func (p *Poller) borrow(w *watch, now time.Time) bool {
	fit := func() bool {
		return w.witness.fresh(now) && (w.canaries == 0 || w.witness.seen.After(w.cursor.Done[kindCanary]))
	}
	for _, other := range p.watches {
		if fit() {
			return true
		}
		if other.cursor.Live && other.off == "" && other.witness.collection.Name == other.layout.collection.Name {
			w.witness = other.witness
		}
	}
	return fit()
}

// deserted reports whether no collection can show a record that is there.
func (p *Poller) deserted() bool {
	for _, w := range p.watches {
		if w.off == "" && w.cursor.shows(w.held) {
			return false
		}
	}
	return true
}

// sweepJob returns the next step of the collection's sweep. Each window is a
// stream of its own, whose age is about that of the last complete sweep.
func (p *Poller) sweepJob(w *watch, now time.Time) candidate {
	windows := float64(w.held/windowRows + 1)
	weight := sweepWeight
	if !w.byUpdated(now) {
		if w.whole {
			return candidate{} // its head page shows all of it
		}
		weight = 1 // nothing else shows what changes behind the first page
	}
	age := now.Sub(w.cursor.Swept)
	if s := w.cursor.Sweep; s == nil && now.Sub(w.cursor.SweptTo) < max(time.Duration(windows)*2*p.pace.gap, 20*p.pace.gap) {
		return candidate{} // one is just over
	}
	c := candidate{w, kindSweep, classIndex, weight * p.index(w.cursor.Rates[kindSweep].perSecond(priors[kindSweep])/windows, age, 1), "index"}
	if p.sweepCredit >= 1 {
		c.class = classFloor
		if p.sweepCredit >= behind {
			c.class = classShare
		}
		c.why = "share of sweeps"
	}
	return c
}

// countJob returns a count, where counts tell something.
func (p *Poller) countJob(w *watch, now time.Time) candidate {
	age := now.Sub(w.cursor.Done[kindCount])
	if !w.cursor.takes(askCount, now) || w.held == 0 || age < leastCount || w.cursor.Bisect != nil {
		return candidate{}
	}
	c := candidate{w, kindCount, classIndex, countWeight * p.index(w.cursor.Rates[kindCount].perSecond(priors[kindCount]), age, 1), "index"}
	if limit := max(countEvery, 4*p.maxAge()); age > limit {
		c.class, c.worth, c.why = classFloor, float64(age)/float64(limit), "overdue"
	}
	return c
}

func (p *Poller) lookbackJob(w *watch, now time.Time) candidate {
	if !w.byUpdated(now) || w.lookback == nil && now.Sub(w.cursor.Done[kindLookback]) < lookbackEvery {
		return candidate{}
	}
	return candidate{w, kindLookback, classFloor, 0, "lookback"}
}

// mostStreak is how many open questions in a row may go before a poll: a hundred
// deletions at once are no reason to be deaf for minutes.
const mostStreak = 3

// mostFirst is how many requests in a row first readings may take while other
// collections are live.
const mostFirst = 3

// A sweep that has behind requests of its share to come goes before everything
// that is live, so that the share is kept under any load. What cannot be spent,
// as all sweeps are just over, is kept up to mostCredit.
const (
	behind     = 2
	mostCredit = 3
)

// granted accounts for a request that is about to be spent.
func (p *Poller) granted(c candidate) {
	if p.first++; c.kind != kindBaseline {
		p.first = 0
	}
	if p.streak++; c.class != classOpen {
		p.streak = 0
	}
	p.sweepCredit = min(p.sweepCredit+p.SweepShare, mostCredit)
	if c.kind == kindSweep {
		p.sweepCredit = max(p.sweepCredit-1, -1)
	}
}

// silenceOdds is e^-13.8, one in a million.
const silenceOdds = 13.8

// silentTooLong reports whether the collection has been quiet for so long that
// its usual rate makes that all but impossible: perhaps nothing changed, and
// perhaps we cannot see.
func (w *watch) silentTooLong(now time.Time) bool {
	return w.witness.fresh(now) && !w.heard.IsZero() && w.loud*now.Sub(w.heard).Seconds() > silenceOdds
}
