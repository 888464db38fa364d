package connectors

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// landed is what became of one event of a delivery that carried several.
type landed struct {
	outcome  Outcome
	past     *progress // after a failed attempt
	reason   string    // of the outcome, perhaps
	replaced bool      // another event has the number now
	solo     bool      // from now on it is sent by itself
}

// A carriage is a delivery of several events under way.
type carriage struct {
	job     job
	ids     []string // of the riders
	landed  []landed
	present []int // the riders that are sent
	spent   int   // most attempts of one of them
}

// carry makes one attempt at a delivery of several events, and notes its outcome
// for all of them in one line: a crash finds all settled, or none.
func (w *worker) carry(j job) result {
	c, abandoned := w.embark(j)
	if abandoned {
		return result{job: j, abandoned: true}
	}
	if len(c.present) == 0 {
		return w.land(c, Note{Outcome: Expired, At: time.Now().UTC()})
	}
	d := c.delivery(w.cfg)
	if len(d.Events) == 0 {
		return w.land(c, Note{EventID: d.ID, Outcome: Muted, At: time.Now().UTC()})
	}
	var past []*progress
	for _, i := range c.present {
		past = append(past, c.job.riders[i].entry.past)
	}
	t, err := w.try(d, past...)
	n := t.note(d.ID, j.entry)
	if err == nil {
		n.Outcome = Delivered
		if d.Digest != nil {
			n.Outcome = Digested
		}
		r := w.land(c, n)
		r.attempted = true
		return r
	}
	if w.attempts.Err() != nil {
		return result{job: j, abandoned: true} // we cut it off: nobody knows what became of it
	}
	return w.crash(c, d, t, err)
}

// embark reads the riders that have to be read again.
func (w *worker) embark(j job) (c *carriage, abandoned bool) {
	c = &carriage{job: j, ids: make([]string, len(j.riders)), landed: make([]landed, len(j.riders))}
	c.job.riders = slices.Clone(j.riders)
	for i := range c.job.riders {
		r := &c.job.riders[i]
		content, loss, err := w.load(r.entry, r.lane)
		if err != nil {
			return c, true
		}
		if content == nil {
			c.ids[i] = r.entry.lostID()
			c.landed[i] = landed{outcome: Expired, replaced: loss == replaced}
			continue
		}
		r.entry.load, c.ids[i] = content, content.event.ID
		if r.entry.fate != wanted {
			n := r.entry.fate.note()
			c.landed[i] = landed{outcome: n.Outcome, reason: n.Reason}
			continue
		}
		if r.entry.past == nil {
			r.entry.past = &progress{id: c.ids[i]}
		}
		c.spent = max(c.spent, r.entry.past.spent)
		c.present = append(c.present, i)
	}
	if len(c.present) > 0 {
		c.job.entry = c.job.riders[c.present[0]].entry
	}
	return c, false
}

// delivery is what is sent. Without events nothing is to be told.
func (c *carriage) delivery(cfg Config) Delivery {
	var all []events.Event
	var ids []string
	for _, i := range c.present {
		all = append(all, c.job.riders[i].entry.load.event)
		ids = append(ids, c.ids[i])
	}
	d := Delivery{ID: deliveryID(ids), Events: all, Attempt: c.spent + 1}
	if w := c.job.window; w != nil {
		d.Digest = w.digest(ids, cfg.Calendar)
		var leftOut []string
		d.Events, leftOut = cfg.Differ.Digest(all)
		for _, i := range c.present {
			if slices.Contains(leftOut, c.ids[i]) {
				c.landed[i] = landed{outcome: Muted, reason: "nothing differs at the end of the window"}
			}
		}
	}
	return d
}

// deliveryID names a delivery of several events: the same ones have the same name,
// so a receiver knows a repetition, and a delivery of others is never taken for one.
func deliveryID(ids []string) string { return "several_" + hashOf(ids) }

func hashOf(ids []string) string {
	h := sha256.New()
	for _, id := range ids {
		h.Write([]byte(id + "\n")) // never fails
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// land notes what settled the riders, and acknowledges them.
func (w *worker) land(c *carriage, n Note) result {
	n.Events = make([]Member, len(c.ids))
	for i, r := range c.job.riders {
		if c.landed[i].outcome == "" {
			c.landed[i].outcome = n.Outcome
		}
		n.Events[i] = Member{
			EventID: c.ids[i], Sequence: r.entry.sequence, Replay: r.entry.replay,
			Outcome: c.landed[i].outcome, Reason: c.landed[i].reason,
		}
		if past := r.entry.past; past != nil {
			n.Events[i].Attempt = past.spent + 1
		}
	}
	if n.Attempt > 0 {
		w.record(c.job, n, time.Duration(n.DurationMS)*time.Millisecond)
	}
	if w.note(n) != nil {
		return result{job: c.job, abandoned: true}
	}
	r := result{job: c.job, outcome: n.Outcome, riders: c.landed}
	for i, one := range n.Events {
		if w.cfg.Observer.Settled != nil {
			w.cfg.Observer.Settled(n.single(one))
		}
		if !c.landed[i].replaced {
			w.acknowledge(result{job: job{entry: c.job.riders[i].entry}})
		}
	}
	return r
}

// crash notes that the delivery failed, and what follows for each rider. Where
// one of them may have spoiled it for the others, each is sent by itself from now
// on; of a digest that was too large, fewer are sent at a time. Such an attempt is
// not counted.
func (w *worker) crash(c *carriage, d Delivery, t try, err error) result {
	ended := time.Unix(0, t.at).Add(t.took)
	status := fault.Status(err)
	several := len(c.present) > 1
	split := several && (fault.IsPermanent(err) || d.Digest == nil && isAlive(status) && status != statusThrottled)
	tooLarge := several && !split && status == http.StatusRequestEntityTooLarge
	n := t.note(d.ID, c.job.entry)
	r := result{job: c.job, outcome: Failed, tooLarge: tooLarge}
	factor := stretch() // the same for all, so that they stay together
	var v verdict
	for _, i := range c.present {
		past := c.job.riders[i].entry.past
		own := t
		own.attempt = past.spent + 1
		if split || tooLarge {
			v = verdict{spent: past.spent}
			own.probe = true
		} else {
			v = w.retry.judge(past, err, c.job.probe, ended, factor)
		}
		past.advance(&own, v, ended)
		n.Probe = n.Probe || own.probe
		c.landed[i] = landed{outcome: Failed, past: past, solo: split}
		n.Events = append(n.Events, Member{
			EventID: c.ids[i], Sequence: c.job.riders[i].entry.sequence, Replay: c.job.riders[i].entry.replay,
			Attempt: own.attempt, Outcome: Failed, Next: past.next, Reason: past.reason,
		})
	}
	w.record(c.job, n, t.took)
	if w.note(n) != nil {
		return result{job: c.job, abandoned: true}
	}
	if split || tooLarge {
		err = fault.Permanent(err) // it says nothing of the connector
	}
	w.blame(&r, t, err, v, ended)
	return w.leaveBehind(c, r)
}

// leaveBehind settles those that were not sent, and gives r its riders.
func (w *worker) leaveBehind(c *carriage, r result) result {
	for i, one := range c.landed {
		if one.outcome == Failed {
			continue
		}
		left := job{entry: c.job.riders[i].entry, id: c.ids[i]}
		settled := w.conclude(left, Note{Outcome: one.outcome, Reason: one.reason})
		if !settled.abandoned && !one.replaced {
			settled = w.acknowledge(settled)
		}
		if settled.abandoned {
			return result{job: c.job, abandoned: true}
		}
	}
	r.riders = c.landed
	return r
}
