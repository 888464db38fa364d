package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// A world is what outlives a process: the stream, the ledger, the dead letters
// and the receiver. It checks every promise at the moment it could be broken.
type world struct {
	mu      sync.Mutex
	stream  []events.Stored       // sequence i+1 at i
	replays []events.Stored       // asked for
	aged    map[uint64]bool       // left the stream
	notes   []Note                // the ledger
	settled map[ident]Outcome     // by the ledger
	acks    []ident               // in order; the last ones may be lost in a crash
	graves  map[string]DeadLetter // by id and replay
	calls   map[uint64]int        // attempts per sequence
	asked   []ask                 // attempts, in order
	reply   func(call int, d Delivery, sequence uint64) answer
	broken  []string        // promises
	now     map[uint64]bool // in flight
	peak    int             // most in flight at a time
	strict  bool            // every attempt is checked against the ledger
}

// An ask is an attempt as the receiver saw it.
type ask struct {
	sequence uint64
	replay   bool
	attempt  int
	at       time.Time
	accepted bool
}

// An answer is what the receiver does.
type answer struct {
	after time.Duration
	err   error
	panic any
}

func newWorld() *world {
	return &world{
		aged: map[uint64]bool{}, settled: map[ident]Outcome{}, graves: map[string]DeadLetter{},
		calls: map[uint64]int{}, now: map[uint64]bool{}, strict: true,
		reply: func(int, Delivery, uint64) answer { return answer{} },
	}
}

func status(code int) error { return &fault.StatusError{Code: code} }

// publish adds an event of a record.
func (w *world) publish(record string, fields string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	sequence := uint64(len(w.stream) + 1)
	ev := events.Event{Data: events.Data{
		Account: "acme", Collection: "clients", Action: events.Updated, ID: record, Revision: sequence,
		ObservedAt: time.Now(), Record: json.RawMessage(`{` + fields + `}`),
	}}.Stamp("k7q2")
	enc, err := ev.Encode()
	if err != nil {
		panic(err)
	}
	w.stream = append(w.stream, events.Stored{Sequence: sequence, Subject: enc.Subject, At: time.Now(), Body: enc.Body})
	return sequence
}

func (w *world) publishRaw(body string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	sequence := uint64(len(w.stream) + 1)
	w.stream = append(w.stream, events.Stored{Sequence: sequence, Subject: "trackops.acme.clients.updated", At: time.Now(), Body: []byte(body)})
	return sequence
}

func (w *world) breach(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

func (w *world) record(sequence uint64) string {
	ev, err := events.Decode(w.stream[sequence-1].Body)
	if err != nil {
		return ""
	}
	return ev.Data.ID
}

// notesOf returns the ledger's lines of one event.
func (w *world) notesOf(id ident) []Note {
	var all []Note
	for _, n := range w.notes {
		if n.Sequence == id.sequence && n.Replay == id.replay {
			all = append(all, n)
		}
	}
	return all
}

// A life is one process's view of the world. Once dead, nothing it does counts.
type life struct {
	*world
	queue  []events.Stored
	more   chan struct{}
	end    context.CancelFunc
	left   int  // calls until it dies; negative for never
	after  bool // it dies after the last call took effect, else before
	dead   chan struct{}
	sent   map[ident]bool
	refuse func(what string) error // of calls to the store
}

func (w *world) newLife(end context.CancelFunc) *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &life{world: w, more: make(chan struct{}, 1), end: end, left: -1, dead: make(chan struct{}), sent: map[ident]bool{}}
	l.refeed()
	return l
}

// refeed makes everything after the ack floor come (again), acknowledged or not,
// and the replays that were not acknowledged.
func (l *life) refeed() {
	floor := uint64(0)
	for slices.Contains(l.acks, ident{sequence: floor + 1}) {
		floor++
	}
	l.queue = nil
	for _, ev := range l.stream[floor:] {
		if !l.aged[ev.Sequence] {
			l.queue = append(l.queue, ev)
		}
	}
	for _, ev := range l.replays {
		if !slices.Contains(l.acks, ident{ev.Sequence, ev.Replay}) {
			l.queue = append(l.queue, ev)
		}
	}
	l.wake()
}

func (l *life) wake() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// feed makes events come that were published after the life began.
func (l *life) feed(sequences ...uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range sequences {
		l.queue = append(l.queue, l.stream[s-1])
	}
	l.wake()
}

// replay makes an event come again because an operator asked.
func (l *life) replay(sequence, number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ev := l.stream[sequence-1]
	ev.Replay = number
	l.replays = append(l.replays, ev)
	l.queue = append(l.queue, ev)
	l.wake()
}

var errDead = errors.New("the process is dead")

// do lets one call take effect, unless the process dies before it.
func (l *life) do(what string, effect func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.dead:
		return errDead
	default:
	}
	if l.left > 0 {
		l.left--
	}
	if l.left == 0 {
		if l.after {
			_ = effect() // nobody lives to see the result
		}
		close(l.dead)
		l.end()
		return errDead
	}
	if l.refuse != nil {
		if err := l.refuse(what); err != nil {
			return err
		}
	}
	return effect()
}

func (l *life) Next(ctx context.Context) (events.Stored, error) {
	for {
		l.mu.Lock()
		if len(l.queue) > 0 {
			ev := l.queue[0]
			l.queue = l.queue[1:]
			l.mu.Unlock()
			return ev, nil
		}
		l.mu.Unlock()
		select {
		case <-l.more:
		case <-ctx.Done():
			return events.Stored{}, ctx.Err()
		}
	}
}

func (l *life) Read(_ context.Context, sequence uint64) (body []byte, err error) {
	return body, l.do("read", func() error {
		if l.aged[sequence] {
			return fmt.Errorf("read %d: %w", sequence, fs.ErrNotExist)
		}
		body = l.stream[sequence-1].Body
		return nil
	})
}

func (l *life) Note(_ context.Context, raw []byte) error {
	var n Note
	if err := json.Unmarshal(raw, &n); err != nil {
		return err
	}
	return l.do("note", func() error {
		id := ident{n.Sequence, n.Replay}
		if was, ok := l.settled[id]; ok {
			l.breach("%d was settled as %s and then noted as %s", n.Sequence, was, n.Outcome)
		}
		if n.Outcome != Failed {
			l.settled[id] = n.Outcome
		}
		l.notes = append(l.notes, n)
		return nil
	})
}

func (l *life) Settle(_ context.Context, ev events.Stored) error {
	return l.do("settle", func() error {
		id := ident{ev.Sequence, ev.Replay}
		if _, ok := l.settled[id]; !ok {
			l.breach("%d was acknowledged before it was noted", ev.Sequence)
		}
		if ev.Subject == "" || ev.At.IsZero() {
			l.breach("%d was acknowledged without subject and time", ev.Sequence)
		}
		l.acks = append(l.acks, id)
		return nil
	})
}

func (l *life) Bury(_ context.Context, ev events.Stored, id string, headers map[string]string, letter []byte) error {
	return l.do("bury", func() error {
		var d DeadLetter
		if err := json.Unmarshal(letter, &d); err != nil {
			return err
		}
		for name, value := range d.headers(id) {
			if headers[name] != value {
				l.breach("header %s of %s = %q, want %q", name, id, headers[name], value)
			}
		}
		l.graves[fmt.Sprint(id, ev.Replay)] = d
		return nil
	})
}

func (l *life) history(_ context.Context, fn func([]byte) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.notes {
		raw, err := encodeJSON(n)
		if err != nil {
			return err
		}
		if err := fn(raw); err != nil {
			return err
		}
	}
	return nil
}

// Deliver is the receiver.
func (l *life) Deliver(ctx context.Context, d Delivery) error {
	sequence := d.Events[0].Data.Revision
	a, err := l.attempt(d, sequence)
	if err != nil {
		return err
	}
	defer func() {
		l.mu.Lock()
		delete(l.now, sequence)
		l.mu.Unlock()
	}()
	if a.after > 0 {
		timer := time.NewTimer(a.after)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-l.dead:
			return errDead
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if a.panic != nil {
		panic(a.panic)
	}
	if a.err != nil {
		return a.err
	}
	return l.do("accept", func() error {
		for i := range slices.Backward(l.asked) {
			if l.asked[i].sequence == sequence {
				l.asked[i].accepted = true
				break
			}
		}
		return nil
	})
}

// attempt checks an attempt against the ledger: nothing settled, nothing before
// its time, nothing in front of an older event of the record.
func (l *life) attempt(d Delivery, sequence uint64) (a answer, err error) {
	return a, l.do("attempt", func() error {
		now := time.Now()
		id := l.current(sequence)
		if l.strict {
			l.check(d, id, now)
		}
		l.now[sequence] = true
		l.peak = max(l.peak, len(l.now))
		l.calls[sequence]++
		l.asked = append(l.asked, ask{sequence: sequence, replay: id.replay != 0, attempt: d.Attempt, at: now})
		a = l.reply(l.calls[sequence], d, sequence)
		return nil
	})
}

// current says which of an event's deliveries this is: the original, or the
// oldest replay that is not settled.
func (l *life) current(sequence uint64) ident {
	id := ident{sequence: sequence}
	if _, ok := l.settled[id]; !ok {
		return id
	}
	for _, ev := range l.replays {
		id.replay = ev.Replay
		if _, ok := l.settled[id]; ev.Sequence == sequence && !ok {
			return id
		}
	}
	l.breach("%d was sent although it was settled and no replay is asked for", sequence)
	return id
}

func (l *life) check(d Delivery, id ident, now time.Time) {
	want := 1
	for _, n := range l.notesOf(id) {
		if n.Next.After(now) {
			l.breach("%d was sent %s too early", id.sequence, n.Next.Sub(now))
		}
		if n.Status != http.StatusTooManyRequests {
			want++
		}
	}
	if d.Attempt != want {
		l.breach("attempt %d of %d is numbered %d", want, id.sequence, d.Attempt)
	}
	if l.now[id.sequence] {
		l.breach("%d was sent while it was in flight", id.sequence)
	}
	for other := range l.now {
		if l.record(other) == l.record(id.sequence) {
			l.breach("%d was sent while %d of the same record was in flight", id.sequence, other)
		}
	}
	for older := uint64(1); older < id.sequence && id.replay == 0; older++ {
		if _, ok := l.settled[ident{sequence: older}]; !ok && l.record(older) == l.record(id.sequence) && !l.aged[older] {
			l.breach("%d was sent before %d of the same record was settled", id.sequence, older)
		}
	}
}

// config is an engine's on the life l.
func (l *life) config() Config {
	return Config{Name: "hook", Connector: l, Feed: l, Ledger: l, Graveyard: l, History: l.history}
}
