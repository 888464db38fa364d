package poller

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A denial is an account that is refused as a whole.
type denial struct {
	refused []*watch // in a row, before it was clear that it is the account
	times   int
	until   time.Time
}

// An outage is a source that does not answer.
type outage struct {
	failures int // in a row, over all collections
	since    time.Time
	told     bool // source_unreachable was published
	until    time.Time
}

const (
	firstRetry   = 2 * time.Second
	slowestRetry = time.Minute
	// Failures of one collection alone are its own; this many in a row, with
	// nothing answered in between, are the account's.
	accountFailures = 3
	// unreachableAfter is how long an outage lasts before it is news.
	unreachableAfter = 30 * time.Second

	firstDenied   = time.Minute
	slowestDenied = time.Hour
	offFor        = 24 * time.Hour
)

// checkFilters refuses an answer that shows records outside of what was asked:
// a filter that is silently ignored would make every poll a flood.
func (w *watch) checkFilters(a answer) error {
	q := a.job.request
	for _, r := range a.rows {
		u, c := r.key.Updated, r.key.Created
		if !q.UpdatedFrom.IsZero() && !u.IsZero() && u.Before(q.UpdatedFrom.Add(-resolution)) {
			return fmt.Errorf("%s: %w %s", w.layout.collection.Name, trackops.ErrIgnored, askUpdated)
		}
		if !q.CreatedFrom.IsZero() && !c.IsZero() && c.Before(q.CreatedFrom.Add(-resolution)) ||
			!q.CreatedTo.IsZero() && c.After(q.CreatedTo.Add(resolution)) {
			return fmt.Errorf("%s: %w %s", w.layout.collection.Name, trackops.ErrIgnored, askWindow)
		}
	}
	return nil
}

// succeeded ends what failures began.
func (p *Poller) succeeded(w *watch) error {
	p.mu.Lock()
	p.pace.answered()
	recovered := p.outage.told || p.denied.times > 0
	p.outage, p.denied = outage{}, denial{}
	w.failures, w.retryAt, w.lastError, w.off = 0, time.Time{}, "", ""
	w.vanished, w.denials = false, 0
	p.mu.Unlock()
	if recovered {
		return p.publish(events.SourceRecovered, p.Account, "Trackops answers again.", nil)
	}
	return nil
}

// failed decides what a failure means and when to ask again. The walk stays
// where it stood. It returns an error only if the state cannot be written.
func (p *Poller) failed(w *watch, j job, err error, poll *Poll) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	poll.Err, poll.Outcome = err, "error"
	w.lastError = err.Error()
	switch {
	case (j.kind == kindVerify || j.kind == kindCanary) && fault.Status(err) != 401 && !trackops.IsThrottled(err):
		w.postpone(j.kind, err, now)
		return p.retryLater(w, err, now)
	case trackops.IsThrottled(err):
		poll.Outcome = "throttled"
		wait, _ := fault.After(err)
		p.pace.throttled(wait, now)
		return nil
	case trackops.IsUnsupported(err) || errors.Is(err, trackops.ErrIgnored):
		if w.refuse(j.request, now) {
			poll.Outcome = "refused"
			return p.Store.Update(func(tx *state.Tx) error {
				return p.saveCursor(tx, w.layout.collection.Name, w.cursor)
			})
		}
	case trackops.IsDenied(err):
		poll.Outcome = "denied"
		return p.deny(w, err, now)
	case trackops.IsNotFound(err):
		poll.Outcome = "denied"
		if w.held > 0 {
			return p.vanished(w, err, now)
		}
		w.switchOff("the API has no such collection (404)", now)
		return nil
	}
	return p.retryLater(w, err, now)
}

// retryLater backs off: the collection, and the whole account when nothing
// answers any more.
func (p *Poller) retryLater(w *watch, err error, now time.Time) error {
	w.failures++
	w.retryAt = now.Add(fault.Backoff(w.failures, firstRetry, slowestRetry))
	if wait, asked := fault.After(err); asked {
		p.outage.until = now.Add(wait)
	}
	if p.outage.failures++; p.outage.failures == 1 {
		p.outage.since = now
	}
	if p.outage.failures < accountFailures {
		return nil
	}
	until := now.Add(fault.Backoff(p.outage.failures-accountFailures+1, firstRetry, slowestRetry))
	p.outage.until = later(p.outage.until, until)
	if p.outage.told || now.Sub(p.outage.since) < unreachableAfter {
		return nil
	}
	p.outage.told = true
	return p.publish(events.SourceUnreachable, p.Account,
		fmt.Sprintf("Trackops has not answered since %s: %v", p.outage.since.UTC().Format(time.RFC3339), err),
		map[string]any{"since": p.outage.since.UTC().Format(time.RFC3339), "error": err.Error()})
}

// deny handles 401 and 403. A collection that is refused alone is not activated,
// and off. It is the account where all are, and where two are in a row that
// answer 401.
func (p *Poller) deny(w *watch, err error, now time.Time) error {
	status := fault.Status(err)
	if p.denied.times == 0 {
		w.switchOff(fmt.Sprintf("the API refuses this collection (%d)", status), now)
		p.denied.refused = append(p.denied.refused, w)
		if (status == 403 || len(p.denied.refused) < 2) && !p.allOff() {
			return p.refused(w, err, now)
		}
	}
	p.denied.times++
	p.denied.until = now.Add(fault.Backoff(p.denied.times, firstDenied, slowestDenied))
	for _, other := range p.denied.refused {
		other.off, other.retryAt = "", p.denied.until
	}
	w.retryAt = p.denied.until.Add(firstRetry) // it may be off besides: another one is asked first
	if p.denied.times > 1 {
		return nil
	}
	return p.publish(events.CredentialsRejected, p.Account,
		"Trackops rejects the credentials: check the user name and the token. Nothing is polled until they are accepted.",
		map[string]any{"status": status})
}

func (p *Poller) allOff() bool {
	for _, w := range p.watches {
		if w.off == "" {
			return false
		}
	}
	return true
}

// refused handles a collection that is refused while others are not. One of which
// records are held was there a moment ago: that is told, and it is asked again
// soon. Any other is simply not activated.
func (p *Poller) refused(w *watch, err error, now time.Time) error {
	if w.held == 0 {
		return nil
	}
	w.denials++
	w.retryAt = now.Add(fault.Backoff(w.denials, firstDenied, slowestDenied))
	if w.denials != 2 {
		return nil // at first it may be the account as a whole
	}
	name := w.layout.collection.Name
	return p.publish(events.SourceSuspicious, name,
		fmt.Sprintf("Trackops refuses the collection %s, of which %d records are held, and answers about others. It is not polled until it is allowed again.", name, w.held),
		map[string]any{"collection": name, "reason": err.Error(), "held": w.held})
}

// vanished handles a collection that was there and answers 404 as a whole. That
// is not believed: nothing is deleted, and it is asked again.
func (p *Poller) vanished(w *watch, err error, now time.Time) error {
	first := !w.vanished
	w.vanished = true
	w.failures++
	w.retryAt = now.Add(fault.Backoff(w.failures, firstDenied, slowestDenied))
	if !first {
		return nil
	}
	name := w.layout.collection.Name
	return p.publish(events.SourceSuspicious, name,
		fmt.Sprintf("Trackops answers that there is no collection %s any more, of which %d records are held. No deletion is reported.", name, w.held),
		map[string]any{"collection": name, "reason": err.Error(), "held": w.held})
}

// postpone leaves a record alone whose own address answers neither way: for some
// seconds, and longer each time, where the source or the network failed.
func (w *watch) postpone(k kind, err error, now time.Time) {
	if k == kindCanary {
		w.witness = witness{}
		w.heard = now
		return
	}
	if s, ok := w.cursor.Suspects[w.verify]; ok {
		s.Failures++
		s.Next = now.Add(secondLook)
		if status := fault.Status(err); status == 0 || status >= http.StatusInternalServerError {
			s.Next = now.Add(fault.Backoff(s.Failures, firstRetry, secondLook))
		}
		w.cursor.Suspects = with(w.cursor.Suspects, w.verify, s)
	}
}

// switchOff leaves a collection alone for a day.
func (w *watch) switchOff(why string, now time.Time) {
	w.off = why
	w.retryAt = now.Add(offFor)
}

// refuse switches off what the API did not understand, and reports whether there
// was anything: the bare list has nothing to switch off. The fixed parameters of
// a collection are suspected first, and the same question is asked without them.
func (w *watch) refuse(q trackops.Request, now time.Time) bool {
	switch {
	case len(q.Collection.Query) > 0 && !q.Bare && q.ID == "" && !w.cursor.QueryTaken:
		w.cursor = w.cursor.refuse(askQuery, now)
		return true
	case q.ID != "":
		return false
	case q.Count && !q.CreatedTo.IsZero():
		w.cursor = w.cursor.refuse(askSettled, now)
	case q.Count:
		w.cursor = w.cursor.refuse(askCount, now)
	case !q.UpdatedFrom.IsZero() && (!q.CreatedFrom.IsZero() || !q.CreatedTo.IsZero()):
		w.cursor = w.cursor.refuse(askBoth, now)
	case !q.CreatedFrom.IsZero() || !q.CreatedTo.IsZero():
		w.cursor = w.cursor.refuse(askWindow, now)
	case !q.UpdatedFrom.IsZero():
		w.cursor = w.cursor.refuse(askUpdated, now)
	default:
		return false
	}
	if q.Bare {
		// It was the question, not the fixed parameters, which were left out to
		// find that out.
		w.cursor = w.cursor.accept(askQuery)
	}
	w.restartWalks(now)
	return true
}

// restartWalks begins the walks under way again with the questions that are left.
func (w *watch) restartWalks(now time.Time) {
	w.incremental, w.lookback = nil, nil
	w.cursor.Sweep, w.cursor.Bisect, w.cursor.Missing = nil, nil, 0
	if w.cursor.Baseline == nil {
		return
	}
	b := *w.cursor.Baseline
	if !w.cursor.takes(askCount, now) {
		b.Count = -1
	}
	if b.Stage == stageVerify && w.cursor.takes(askCount, now) {
		w.cursor.Baseline = &b
		return // the same count, without a bound
	}
	b.startReading(w.windows(now))
	w.cursor.Baseline = &b
}

// publish puts a system event into the outbox.
func (p *Poller) publish(what events.Action, about, message string, detail map[string]any) error {
	return p.Store.Update(func(tx *state.Tx) error { return p.tell(tx, what, about, message, detail) })
}

// tell is publish within a transaction.
func (p *Poller) tell(tx *state.Tx, what events.Action, about, message string, detail map[string]any) error {
	n, err := tx.NextSystem(p.Account)
	if err != nil {
		return err
	}
	return appendEvent(tx, events.NewSystem(p.Account, what, about, n, time.Now(), message, detail))
}

func (p *Poller) saveCursor(tx *state.Tx, collection string, c cursor) error {
	raw, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("write cursor: %w", err)
	}
	return tx.SetCursor(p.Account, collection, raw)
}
