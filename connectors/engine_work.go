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
	case filterOut:
		return w.settle(j, Note{Outcome: Filtered})
	case ack:
		return w.acknowledge(result{job: j})
	default:
		return w.deliver(j)
	}
}

// fetch reads the event of j again. One that is no longer in the stream has
// expired.
func (w *worker) fetch(j job) result {
	var body []byte
	err := w.persist(w.fetches, "read the event again", storeTimeout, func(ctx context.Context) error {
		var err error
		body, err = w.read(ctx, j.entry)
		if errors.Is(err, fs.ErrNotExist) {
			body, err = nil, nil
		}
		return err
	})
	if err != nil {
		return result{job: j, abandoned: true}
	}
	if body == nil {
		j.id = j.lostID()
		return w.settle(j, Note{Outcome: Expired})
	}
	event, err := events.Decode(body)
	if err != nil || laneKey(event) != j.lane.key {
		return w.replaced(j)
	}
	return result{job: j, load: &load{body: body, event: event}}
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
	j.id = j.lostID()
	r := w.conclude(j, Note{Outcome: Expired})
	r.replaced = true
	return r
}

// lostID names an event that cannot be read any more.
func (j job) lostID() string {
	if j.entry.past != nil {
		return j.entry.past.id
	}
	return "expired-" + strconv.FormatUint(j.entry.sequence, 10)
}

// deliver makes one attempt and notes its outcome. The note comes before
// anything follows from it: the acknowledgement, the next attempt, the next
// event of the record.
func (w *worker) deliver(j job) result {
	if j.entry.past == nil {
		j.entry.past = &progress{id: j.id}
	}
	past := j.entry.past
	began := time.Now()
	if past.first.IsZero() {
		past.first = began
	}
	err := w.attempt(j, past.spent+1)
	ended := time.Now()
	t := try{at: began.UnixNano(), took: ended.Sub(began), attempt: past.spent + 1, status: fault.Status(err)}
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
	t.err = clip(err.Error())
	if t.err == "" {
		t.err = "unknown error"
	}
	return w.failed(j, t, w.retry.judge(past, err, ended), ended)
}

// failed notes a failed attempt, and buries the event if it was the last.
func (w *worker) failed(j job, t try, v verdict, ended time.Time) result {
	past := j.entry.past
	past.spent = v.spent
	past.throttled++
	if t.status != statusThrottled {
		past.throttled = 0
	}
	if v.reason == "" {
		past.next = ended.Add(v.wait)
		t.next = past.next.UnixNano()
	} else {
		past.reason = clip(v.reason + ": " + t.err)
	}
	past.remember(t)
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
	r.attempted, r.err = true, t.err
	if v.pause > 0 {
		r.pause = ended.Add(v.pause)
	}
	return r
}

// attempt calls the connector. A panic in it is a failed attempt; its value may
// hold anything, a secret too, so only the runtime's own are told.
func (w *worker) attempt(j job, number int) (err error) {
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
	return w.cfg.Connector.Deliver(ctx, Delivery{
		ID: j.id, Events: []events.Event{j.entry.load.event}, Attempt: number,
	})
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
	data := j.entry.load.event.Data
	attrs := []slog.Attr{
		slog.String("event_id", n.EventID), slog.String("collection", data.Collection),
		slog.String("action", string(data.Action)), slog.Int("attempt", n.Attempt),
		slog.String("outcome", string(n.Outcome)), slog.Int64("duration_ms", n.DurationMS),
	}
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
