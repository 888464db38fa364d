package connectors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"strconv"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// A worker does the jobs of the scheduler, one at a time and each to its end:
// what it did is on record when the result is out.
type worker struct {
	*Engine
	fetches  context.Context // ends when the engine is stopped
	attempts context.Context // ends later: attempts in flight may finish
	notes    context.Context // ends last: what finished is noted
}

// A result is what a worker did with a job.
type result struct {
	job       job
	abandoned bool // the engine is being stopped: nothing is settled
	replaced  bool // another event has the number now

	outcome Outcome   // what the ledger has now; empty after a fetch
	load    *load     // after a fetch
	past    *progress // after a failed attempt
	pause   time.Time // no attempt of the connector before this

	attempted bool
	err       string // of the attempt
	blow      blow   // what it says of the connector, if it failed

	riders   []landed // of job.riders, in their order; nil: the job has none
	tooLarge bool     // the other side said so
}

func (w *worker) run(jobs <-chan job, results chan<- result) {
	for j := range jobs {
		results <- w.do(j)
	}
}

func (w *worker) do(j job) result {
	switch j.task {
	case fetch:
		return w.fetch(j)
	case giveUp:
		return w.bury(j)
	case passOver:
		return w.settle(j, j.entry.fate.note())
	case divert:
		return w.divert(j)
	case ack:
		return w.acknowledge(result{job: j})
	case writeOff:
		return w.conclude(j, Note{Outcome: Expired})
	default:
		if j.riders != nil {
			return w.carry(j)
		}
		if j.entry.load == nil {
			r := w.fetch(j)
			if r.load == nil {
				return r
			}
			j.entry.load, j.id = r.load, r.load.event.ID
		}
		return w.deliver(j)
	}
}

// note is the outcome of an entry that is not sent.
func (f fate) note() Note {
	switch f {
	case void:
		return Note{Outcome: Muted, Reason: "the fallback told it, and a later event tells more"}
	case omitted:
		return Note{Outcome: Filtered, Reason: "nothing of the change is left"}
	case aged:
		return Note{Outcome: Expired}
	default:
		return Note{Outcome: Filtered}
	}
}

// fetch reads the event of j again. One that is no longer in the stream has
// expired.
func (w *worker) fetch(j job) result {
	content, loss, err := w.load(j.entry, j.lane)
	switch {
	case err != nil:
		return result{job: j, abandoned: true}
	case loss == expired:
		j.id = j.entry.lostID()
		return w.settle(j, Note{Outcome: Expired})
	case loss == replaced:
		return w.replaced(j)
	}
	return result{job: j, load: content}
}

// A loss says why an event cannot be read any more.
type loss int

const (
	expired  loss = iota + 1 // it left the stream
	replaced                 // another one has its number
)

// load reads the event of e again. It fails only when the engine is being stopped.
func (w *worker) load(e entry, l *lane) (*load, loss, error) {
	if e.load != nil {
		return e.load, 0, nil
	}
	var body []byte
	err := w.persist(w.fetches, "read the event again", storeTimeout, func(ctx context.Context) error {
		var err error
		body, err = w.read(ctx, e)
		if errors.Is(err, fs.ErrNotExist) {
			body, err = nil, nil
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	if body == nil {
		return nil, expired, nil
	}
	event, err := events.Decode(body)
	if err != nil || laneKey(event) != l.key {
		return nil, replaced, nil
	}
	event, _ = w.cfg.Mask.Apply(event)
	return &load{body: body, event: event}, 0, nil
}

// read asks for the body of e where it is kept.
func (w *worker) read(ctx context.Context, e entry) ([]byte, error) {
	if keeper, ok := w.cfg.Feed.(ReplayKeeper); ok && e.replay != 0 {
		return keeper.ReadReplay(ctx, e.replay)
	}
	return w.cfg.Feed.Read(ctx, e.sequence)
}

// replaced notes that the event of j is gone and another one has its number,
// for the stream was made anew. That one is not acknowledged: it comes by itself.
func (w *worker) replaced(j job) result {
	j.id = j.entry.lostID()
	r := w.conclude(j, Note{Outcome: Expired})
	r.replaced = true
	return r
}

// lostID names an event that cannot be read any more.
func (e entry) lostID() string {
	if e.past != nil && e.past.id != "" {
		return e.past.id
	}
	return "expired-" + strconv.FormatUint(e.sequence, 10)
}

// deliver makes one attempt and notes its outcome. The note comes before
// anything follows from it: the acknowledgement, the next attempt, the next
// event of the record.
func (w *worker) deliver(j job) result {
	if j.entry.past == nil {
		j.entry.past = &progress{id: j.id}
	}
	past := j.entry.past
	d := Delivery{ID: j.id, Events: []events.Event{j.entry.load.event}, Attempt: past.spent + 1}
	t, err := w.try(d, past)
	if err == nil {
		n := t.note(j.id, j.entry)
		n.Outcome = Delivered
		w.record(j, n, t.took)
		r := w.settle(j, n)
		r.attempted = true
		return r
	}
	if w.attempts.Err() != nil {
		return result{job: j, abandoned: true} // we cut it off: nobody knows what became of it
	}
	return w.failed(j, t, err)
}

// try makes one attempt for an event, or several, with the given progress.
func (w *worker) try(d Delivery, past ...*progress) (try, error) {
	began := time.Now()
	for _, p := range past {
		if p.first.IsZero() {
			p.first = began
		}
	}
	answer, err := w.attempt(&d)
	t := try{
		at: began.UnixNano(), took: time.Since(began), attempt: d.Attempt,
		status: fault.Status(err), answer: clip(answer.Text),
	}
	if t.status == 0 {
		t.status = answer.Status
	}
	if err != nil {
		if t.err = clip(err.Error()); t.err == "" {
			t.err = "unknown error"
		}
	}
	return t, err
}

// failed notes a failed attempt, and buries the event if it was the last.
func (w *worker) failed(j job, t try, err error) result {
	past, ended := j.entry.past, time.Unix(0, t.at).Add(t.took)
	v := w.retry.judge(past, err, j.probe, ended, stretch())
	past.advance(&t, v, ended)
	n := t.note(j.id, j.entry)
	n.Reason = past.reason
	w.record(j, n, t.took)
	if w.note(n) != nil {
		return result{job: j, abandoned: true}
	}
	r := result{job: j, outcome: Failed, past: past}
	if past.reason != "" {
		r = w.bury(j)
	}
	w.blame(&r, t, err, v, ended)
	return r
}

// advance takes in a failed attempt that ended at a time.
func (p *progress) advance(t *try, v verdict, ended time.Time) {
	// Nothing is spent where the connector fails, and not the event.
	t.probe = t.probe || v.reason == "" && v.spent == p.spent && t.status != statusThrottled
	p.spent = v.spent
	p.throttled++
	if t.status != statusThrottled {
		p.throttled = 0
	}
	switch {
	case v.reason != "":
		p.reason = clip(v.reason + ": " + t.err)
	case v.wait > 0 || !t.probe:
		p.next = ended.Add(v.wait)
		t.next = p.next.UnixNano()
	}
	p.remember(*t)
}

// blame says in r what a failed attempt means for the connector.
func (w *worker) blame(r *result, t try, err error, v verdict, ended time.Time) {
	data := r.job.entry.load.event.Data
	r.attempted, r.err = true, t.err
	r.blow = blow{account: data.Account, record: laneKey(r.job.entry.load.event), err: err, text: t.err, probe: r.job.probe}
	if v.pause > 0 {
		r.pause = ended.Add(v.pause)
	}
}

// attempt calls the connector. A panic in it is a failed attempt; its value may
// hold anything, a secret too, so only the runtime's own are told.
func (w *worker) attempt(d *Delivery) (answer Answer, err error) {
	ctx, cancel := context.WithTimeout(w.attempts, w.cfg.Timeout)
	defer cancel()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case runtime.Error:
			err = fmt.Errorf("the connector panicked: %w", r)
		default:
			err = fmt.Errorf("the connector panicked with a %T", r)
		}
	}()
	d.answer = func(a Answer) { answer = a }
	return answer, w.cfg.Connector.Deliver(ctx, *d)
}

// settle notes the outcome of j's event and then acknowledges it.
func (w *worker) settle(j job, n Note) result {
	r := w.conclude(j, n)
	if r.abandoned {
		return r
	}
	return w.acknowledge(r)
}

// conclude notes the outcome of j's event.
func (w *worker) conclude(j job, n Note) result {
	if n.At.IsZero() {
		n.At = time.Now().UTC()
	}
	n.EventID, n.Sequence, n.Replay = j.id, j.entry.sequence, j.entry.replay
	if w.note(n) != nil {
		return result{job: j, abandoned: true}
	}
	if w.cfg.Observer.Settled != nil {
		w.cfg.Observer.Settled(n)
	}
	return result{job: j, outcome: n.Outcome}
}

// note stores n. It fails only when the engine is being stopped.
func (w *worker) note(n Note) error {
	line, err := encodeJSON(n)
	if err != nil {
		return fmt.Errorf("encode the note of %s: %w", n.EventID, err)
	}
	return w.persist(w.notes, "note an outcome", storeTimeout, func(ctx context.Context) error {
		return w.cfg.Ledger.Note(ctx, line)
	})
}

// acknowledge settles r's event in the stream. When that cannot be done before
// the engine stops, it comes again and the ledger says that it is settled.
func (w *worker) acknowledge(r result) result {
	ev := r.job.entry.stored()
	err := w.persist(w.notes, "acknowledge", storeTimeout, func(ctx context.Context) error {
		return w.cfg.Ledger.Settle(ctx, ev)
	})
	if err != nil {
		w.cfg.Logger.Warn("an event is settled but not acknowledged", "error", clip(err.Error()))
	}
	return r
}

// record tells of an attempt: one line, and the observer.
func (w *worker) record(j job, n Note, took time.Duration) {
	if w.cfg.Observer.Attempt != nil {
		w.cfg.Observer.Attempt(n, took)
	}
	level := slog.LevelInfo
	if n.Outcome == Failed {
		level = slog.LevelWarn
	}
	if !w.cfg.Logger.Enabled(w.attempts, level) {
		return
	}
	attrs := append(j.describe(n), slog.Int("attempt", n.Attempt),
		slog.String("outcome", string(n.Outcome)), slog.Int64("duration_ms", n.DurationMS))
	if n.Replay != 0 {
		attrs = append(attrs, slog.Uint64("replay", n.Replay))
	}
	if n.Status != 0 {
		attrs = append(attrs, slog.Int("status", n.Status))
	}
	if n.Outcome == Failed {
		attrs = append(attrs, slog.String("error", n.Error))
	}
	if n.Reason != "" {
		attrs = append(attrs, slog.String("given_up", n.Reason))
	}
	if !n.Next.IsZero() {
		attrs = append(attrs, slog.Time("next_at", n.Next))
	}
	w.cfg.Logger.LogAttrs(w.attempts, level, "delivery attempt", attrs...)
}

// describe says in a log what was sent.
func (j job) describe(n Note) []slog.Attr {
	if len(n.Events) > 0 {
		return []slog.Attr{slog.String("delivery_id", n.EventID), slog.Int("events", len(n.Events))}
	}
	data := j.entry.load.event.Data
	return []slog.Attr{
		slog.String("event_id", n.EventID), slog.String("collection", data.Collection),
		slog.String("action", string(data.Action)),
	}
}
