package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
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
	filter  *Filter         // of the connector
	mask    *Mask           // of the connector
	memory  map[string]string
	health  []Health  // as it was told
	turned  time.Time // when the state of the connector last changed: what waited may be early

	inFlight map[ident]bool // accepted when a process died, and not noted
	n        map[int]int    // of the records that change
}

// An ask is an attempt as the receiver saw it.
type ask struct {
	ident
	attempt  int
	several  int // events of the delivery
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
		calls: map[uint64]int{}, now: map[uint64]bool{}, strict: true, memory: map[string]string{},
		inFlight: map[ident]bool{}, n: map[int]int{},
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

// change adds an update of a record from one state to another.
func (w *world) change(record, from, to string) uint64 {
	sequence := w.publish(record, to)
	w.mu.Lock()
	defer w.mu.Unlock()
	stored := &w.stream[sequence-1]
	ev, err := events.Decode(stored.Body)
	if err != nil {
		panic(err)
	}
	ev.Data.Changes = []events.Change{{From: json.RawMessage("{" + from + "}"), To: json.RawMessage("{" + to + "}")}}
	enc, err := ev.Encode()
	if err != nil {
		panic(err)
	}
	stored.Body = enc.Body
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

// leftOut reports whether the connector is never to be sent the event.
func (w *world) leftOut(sequence uint64) bool {
	ev, err := events.Decode(w.stream[sequence-1].Body)
	if err != nil {
		return false
	}
	_, left := w.mask.Apply(ev)
	return !left || !w.filter.wants(ev)
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
	stats  func() Stats            // of the engine; nil: nobody watches it
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
	ev.Replay, ev.At = number, time.Now()
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
	l.audit()
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
			for _, later := range l.queue {
				if later.Replay == 0 {
					ev.Behind++
				}
			}
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

// Oldest is the first event that did not leave the stream: whole ends of it leave.
func (l *life) Oldest(context.Context) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := uint64(1)
	for l.aged[oldest] {
		oldest++
	}
	return oldest, nil
}

func (l *life) Note(_ context.Context, raw []byte) error {
	var n Note
	if err := json.Unmarshal(raw, &n); err != nil {
		return err
	}
	return l.do("note", func() error {
		for _, one := range n.each() {
			id := ident{one.Sequence, one.Replay}
			if was, ok := l.settled[id]; ok && one.Outcome != Diverted {
				l.breach("%d was settled as %s and then noted as %s", one.Sequence, was, one.Outcome)
			}
			if one.Outcome.settles() {
				l.settled[id] = one.Outcome
			}
			l.notes = append(l.notes, one)
		}
		return nil
	})
}

// each returns the note as one for each event.
func (n Note) each() []Note {
	if len(n.Events) == 0 {
		return []Note{n}
	}
	var all []Note
	for _, m := range n.Events {
		all = append(all, n.single(m))
	}
	return all
}

func (l *life) Remember(_ context.Context, key, value string) error {
	return l.do("remember", func() error {
		l.memory[key] = value
		return nil
	})
}

func (l *life) Recall(_ context.Context, key string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.memory[key], nil
}

// turn hears how the connector does.
func (l *life) turn(h Health) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.health = append(l.health, h)
	l.turned = time.Now()
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

// sequences are those of the events that d stands for.
func (w *world) sequences(d Delivery) []uint64 {
	if d.Digest == nil {
		var all []uint64
		for _, ev := range d.Events {
			all = append(all, ev.Data.Revision)
		}
		return all
	}
	var all []uint64
	for _, id := range d.Digest.IDs {
		sequence, err := strconv.ParseUint(strings.Split(id, "_")[3], 10, 64)
		if err != nil {
			panic(err)
		}
		all = append(all, sequence)
	}
	return all
}

// Deliver is the receiver.
func (l *life) Deliver(ctx context.Context, d Delivery) error {
	l.mu.Lock()
	sequences := l.sequences(d)
	l.mu.Unlock()
	a, err := l.attempt(d, sequences)
	if err != nil {
		return err
	}
	defer func() {
		l.mu.Lock()
		for _, sequence := range sequences {
			delete(l.now, sequence)
		}
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
		for _, sequence := range sequences {
			for i := range slices.Backward(l.asked) {
				if l.asked[i].sequence == sequence {
					l.accept(i)
					break
				}
			}
		}
		return nil
	})
}

// accept checks that what the receiver accepts is told for the first time, or was in
// flight when a process died.
func (l *life) accept(i int) {
	for _, earlier := range l.asked[:i] {
		if id := l.asked[i].ident; earlier.accepted && earlier.ident == id && !l.inFlight[id] {
			l.breach("%d was told twice", id.sequence)
		}
	}
	l.asked[i].accepted = true
}

// attempt checks an attempt against the ledger: nothing settled, nothing before
// its time, nothing in front of an older event of the record.
func (l *life) attempt(d Delivery, sequences []uint64) (a answer, err error) {
	return a, l.do("attempt", func() error {
		now := time.Now()
		ids := make([]ident, len(sequences))
		for i, sequence := range sequences {
			ids[i] = l.current(sequence)
		}
		if l.strict {
			l.check(d, ids, now)
		}
		if d.Digest != nil {
			l.checkNet(d, ids)
		}
		for i, id := range ids {
			l.now[id.sequence] = true
			l.calls[id.sequence]++
			l.asked = append(l.asked, ask{ident: id, attempt: d.Attempt, several: len(ids), at: now})
			if i == 0 {
				a = l.reply(l.calls[id.sequence], d, id.sequence)
			}
		}
		l.peak = max(l.peak, len(l.now))
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

func (l *life) check(d Delivery, ids []ident, now time.Time) {
	most := 0
	for i, id := range ids {
		want := 1
		for _, n := range l.notesOf(id) {
			if n.Next.After(now) && !l.mayBeEarly(n) {
				l.breach("%d was sent %s too early", id.sequence, n.Next.Sub(now))
			}
			if n.Outcome == Failed && n.Status != http.StatusTooManyRequests && !n.Probe {
				want++
			}
		}
		most = max(most, want)
		if l.now[id.sequence] {
			l.breach("%d was sent while it was in flight", id.sequence)
		}
		for other := range l.now {
			if l.record(other) == l.record(id.sequence) {
				l.breach("%d was sent while %d of the same record was in flight", id.sequence, other)
			}
		}
		l.checkOlder(id, ids, d.Digest != nil)
		if i > 0 && ids[i-1].sequence > id.sequence {
			l.breach("%d comes after %d in one delivery", id.sequence, ids[i-1].sequence)
		}
	}
	if d.Attempt != most {
		l.breach("attempt %d of %v is numbered %d", most, ids, d.Attempt)
	}
}

// mayBeEarly says that the next attempt after n need not wait for its time: it is a
// probe, or the connector is well again since.
func (l *life) mayBeEarly(n Note) bool {
	if l.stats == nil {
		return !n.At.After(l.turned)
	}
	s := l.stats()
	return s.State == Open || !n.At.After(l.turned) || n.At.Before(s.Health.Since)
}

// checkNet checks that a digest tells what its events come to, of records that only
// change.
func (l *life) checkNet(d Delivery, ids []ident) {
	net := map[string]string{}
	for _, ev := range d.Events {
		for _, c := range ev.Data.Changes {
			net[ev.Data.ID] = string(c.From) + string(c.To)
		}
	}
	first, last, told := map[string]string{}, map[string]string{}, map[string]int{}
	for _, id := range ids {
		ev := must(events.Decode(l.stream[id.sequence-1].Body))
		told[ev.Data.ID]++
		for _, c := range ev.Data.Changes {
			if first[ev.Data.ID] == "" {
				first[ev.Data.ID] = string(c.From)
			}
			last[ev.Data.ID] = string(c.To)
		}
	}
	for _, ev := range d.Events {
		if slices.Contains(d.Digest.IDs, ev.ID) != (told[ev.Data.ID] == 1) {
			l.breach("the digest of %v has an event %s, which tells %d of the stream", ids, ev.ID, told[ev.Data.ID])
		}
	}
	for record, from := range first {
		want := from + last[record]
		if from == last[record] {
			want = ""
		}
		if net[record] != want {
			l.breach("the digest of %v tells %q of %s, want %q", ids, net[record], record, want)
		}
	}
}

// checkOlder checks that what came before in the record is settled, or on its way
// in the same delivery; of a digest what is left out is a silent part.
func (l *life) checkOlder(id ident, together []ident, digest bool) {
	for older := uint64(1); older < id.sequence && id.replay == 0; older++ {
		_, settled := l.settled[ident{sequence: older}]
		if digest && l.leftOut(older) {
			continue
		}
		if !settled && l.record(older) == l.record(id.sequence) && !l.aged[older] && !slices.Contains(together, ident{sequence: older}) {
			l.breach("%d was sent before %d of the same record was settled", id.sequence, older)
		}
	}
}

// config is an engine's on the life l.
func (l *life) config() Config {
	return Config{Name: "hook", Connector: l, Feed: l, Ledger: l, Graveyard: l, History: l.history, Memory: l,
		Observer: Observer{Health: l.turn}, Differ: wholeRecords, Filter: l.filter, Mask: l.mask}
}

// wholeRecords is a Differ that knows records only as a whole.
var wholeRecords = Differ{
	Apply: func(doc []byte, changes []events.Change) ([]byte, error) {
		for _, c := range changes {
			doc = c.To
		}
		return doc, nil
	},
	Changes: func(from, to []byte) ([]events.Change, error) {
		if string(from) == string(to) {
			return nil, nil
		}
		return []events.Change{{From: from, To: to}}, nil
	},
}
