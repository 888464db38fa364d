package state

import (
	"fmt"
	"iter"
	"time"
)

// A Tail is the end of the stream of events, as [Store.Reconcile] needs it.
type Tail struct {
	First uint64 // sequence of the oldest message in the stream
	Last  uint64 // the last sequence the stream gave out, 0 if none

	// AccountLast is the sequence of the account's last message in the stream, 0
	// if there is none.
	AccountLast uint64

	// Messages are all messages from the sequence that [Store.TailFrom] returned
	// up to Last, in order; those of other accounts too. They are what tells a
	// place that was given out a second time, after the stream lost its end, from
	// one that an operator emptied.
	Messages []Message
}

// A Message is what has to be known of one message of the stream.
type Message struct {
	Sequence uint64
	Account  string // the second token of its subject
	ID       string // the Nats-Msg-Id, "" if it has none
}

// A Result says what [Store.Reconcile] found.
type Result struct {
	// Published counts pending events that were found in the stream: the process
	// ended after the stream took them and before that was noted.
	Published int

	// Requeued counts events that the stream took and lost again. They are
	// pending, in their old place.
	Requeued int

	// Gone counts held events that are no longer in the stream because it let go
	// of them: too old, purged, or deleted. They stay published.
	Gone int

	// Foreign reports messages of the account that this state knows nothing of:
	// it is an old backup, or somebody else writes. The ids it would give from
	// now on may be taken: call [Store.NewEpoch] before the next [Store.Drain].
	Foreign bool

	// Short reports that the stream ends before an event that has left the
	// outbox already: it lost more than the outbox can replace. It is reported
	// once.
	Short bool
}

// TailFrom returns the sequence from which on [Store.Reconcile] needs the
// messages of the stream. 0 means that it needs none of them: nothing waits and
// nothing is held.
func (s *Store) TailFrom(account string) (from uint64, err error) {
	err = s.View(func(tx *Tx) error {
		a := tx.account(account)
		t, err := a.tally()
		if err != nil || t.pending+t.held == 0 {
			return err
		}
		from = t.known() + 1 // what is pending was published, if at all, after that
		c := a.held.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			h, err := decodeTaken(v)
			if err != nil {
				return a.unreadable(err)
			}
			from = min(from, h.sequence)
		}
		return nil
	})
	return from, err
}

// known is the sequence in the stream up to which the account's messages need no
// explanation: they left the outbox, or a new epoch made them harmless.
func (t tally) known() uint64 { return max(t.removed, t.accepted) }

// Reconcile compares an account's outbox with the stream. It is to be called
// before the first [Store.Drain], when the stream's server lost messages, and
// when it refuses an event because its last sequence is another one. It changes
// nothing when both agree, and must not run beside a Drain: it returns an error
// then.
//
// What it does with an event of the outbox:
//
//   - Pending and in the stream: noted as published. The process ended between
//     the two.
//   - Held and in the stream: nothing; if it lies at another sequence, that one
//     is noted.
//   - Held, not in the stream, and its sequence was never given out (it is above
//     Last) or has been given to another message: pending again. The stream lost
//     its end, because it had not been synced, and what was lost has to be
//     published again in the old order. All later events that are not in the
//     stream were lost with it.
//   - Held, not in the stream, and its sequence is below First, or inside and
//     empty: nothing. A message that the stream let go of by age, by a purge or
//     by deletion was there for all to read, and must not come twice.
//
// An event that is in the stream is never made pending.
func (s *Store) Reconcile(account string, tail Tail) (Result, error) {
	if !s.drain.TryLock() {
		return Result{}, fmt.Errorf("reconcile %s: %w", account, errBusy)
	}
	defer s.drain.Unlock()
	var v verdict
	err := s.View(func(tx *Tx) error {
		a := tx.account(account)
		t, err := a.tally()
		if err != nil {
			return err
		}
		v, err = compare(account, a.keptEvents(), a.pendingEvents(), *t, tail)
		v.agreed = v.position == t.position && len(v.note)+len(v.again) == 0 && max(t.removed, t.accepted) <= tail.Last
		return err
	})
	if err == nil && !v.agreed {
		err = s.Update(func(tx *Tx) error { return tx.account(account).apply(v, tail.Last) })
	}
	if err != nil {
		return Result{}, fmt.Errorf("reconcile %s: %w", account, err)
	}
	return v.Result, nil
}

// A place is an event of the outbox and where it was in the stream.
type place struct {
	number   uint64 // in the outbox
	id       string
	sequence uint64 // in the stream, as noted; 0 for a pending one
}

// A verdict is what is to be done, and the account's position after it.
type verdict struct {
	Result
	note     []place  // found in the stream at that sequence
	again    []uint64 // numbers of the lost ones, in order
	position uint64
	agreed   bool
}

// compare decides what Reconcile does. Held and pending are in the order of
// their numbers; pending is read only as far as messages are left to explain.
func compare(account string, held, pending iter.Seq2[place, error], t tally, tail Tail) (verdict, error) {
	x := explain(account, t.known(), tail)
	v := verdict{position: max(x.last, tail.AccountLast)}
	v.Short = tail.Last < t.removed
	lost := false
	for h, err := range held {
		if err != nil {
			return verdict{}, err
		}
		at, found := x.find(h.id)
		switch {
		case found && at == h.sequence:
		case found:
			v.note = append(v.note, place{h.number, h.id, at})
		case lost, h.sequence > tail.Last, x.taken[h.sequence]:
			lost = true
			v.again = append(v.again, h.number)
			v.Requeued++
		default:
			x.upTo = max(x.upTo, h.sequence)
			v.Gone++
		}
	}
	for p, err := range pending {
		if x.left == 0 {
			break
		}
		if err != nil {
			return verdict{}, err
		}
		if at, found := x.find(p.id); found {
			v.note = append(v.note, place{p.number, p.id, at})
			v.Published++
		}
	}
	v.Foreign = x.left > 0 || v.position > x.upTo
	return v, nil
}

// An explanation keeps account of which messages of a tail are events of ours.
type explanation struct {
	taken map[uint64]bool   // sequences that hold a message
	ours  map[string]uint64 // the account's messages: id → sequence
	known uint64            // up to here no explanation is needed
	left  int               // messages above known without one
	upTo  uint64            // the last explained sequence
	last  uint64            // the account's last message in the tail
}

func explain(account string, known uint64, tail Tail) *explanation {
	x := &explanation{
		taken: make(map[uint64]bool, len(tail.Messages)),
		ours:  make(map[string]uint64),
		known: known, upTo: known,
	}
	for _, m := range tail.Messages {
		x.taken[m.Sequence] = true
		if m.Account != account {
			continue
		}
		x.last = max(x.last, m.Sequence)
		if m.Sequence > known {
			x.left++ // an id that comes twice explains one message only
		}
		x.ours[m.ID] = m.Sequence
	}
	return x
}

// find returns where the event with an id lies, and counts its message as
// explained.
func (x *explanation) find(id string) (sequence uint64, found bool) {
	sequence, found = x.ours[id]
	if found && sequence > x.known {
		x.left--
	}
	x.upTo = max(x.upTo, sequence)
	return sequence, found
}

// keptEvents yields the account's held events in order.
func (a *account) keptEvents() iter.Seq2[place, error] {
	return func(yield func(place, error) bool) {
		if a.held == nil {
			return
		}
		c := a.held.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			t, err := decodeTaken(v)
			if err != nil {
				yield(place{}, a.unreadable(err))
				return
			}
			e, err := a.event(k, t.epoch)
			if !yield(place{number(k), e.ID, t.sequence}, err) || err != nil {
				return
			}
		}
	}
}

// pendingEvents yields the account's pending events in order.
func (a *account) pendingEvents() iter.Seq2[place, error] {
	return func(yield func(place, error) bool) {
		if a.pending == nil {
			return
		}
		c := a.pending.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			w, err := decodeWaiting(v)
			if err != nil {
				yield(place{}, a.unreadable(err))
				return
			}
			e, err := a.event(k, w.epoch)
			if !yield(place{number(k), e.ID, 0}, err) || err != nil {
				return
			}
		}
	}
}

// apply carries out a verdict on a stream that ends at last.
func (a *account) apply(v verdict, last uint64) error {
	if err := a.createOutbox(); err != nil {
		return err
	}
	now := time.Now()
	for _, p := range v.note {
		if err := a.found(key(p.number), p.sequence, now); err != nil {
			return err
		}
	}
	for _, n := range v.again {
		if err := a.requeue(key(n)); err != nil {
			return err
		}
	}
	a.table.position = v.position
	// Sequences that the stream lost are given out again, to messages that need
	// an explanation.
	a.table.removed = min(a.table.removed, last)
	a.table.accepted = min(a.table.accepted, last)
	a.stale = true
	return nil
}

// found notes that an event, pending or held, lies in the stream at a sequence.
func (a *account) found(k []byte, sequence uint64, now time.Time) error {
	if v := a.pending.Get(k); v != nil {
		w, err := decodeWaiting(v)
		if err != nil {
			return a.unreadable(err)
		}
		return a.hold(k, taken{sequence, now, w.epoch})
	}
	t, err := decodeTaken(a.held.Get(k))
	if err != nil {
		return a.unreadable(err)
	}
	t.sequence = sequence
	if err := a.held.Put(k, t.encode()); err != nil {
		return fmt.Errorf("note the place of event %d: %w", number(k), err)
	}
	return nil
}

// requeue moves an event from the held back to the pending. It waits since it
// was published: longer than it should.
func (a *account) requeue(k []byte) error {
	t, err := decodeTaken(a.held.Get(k))
	if err != nil {
		return a.unreadable(err)
	}
	err = a.held.Delete(k)
	if err == nil {
		err = a.pending.Put(k, waiting{appended: t.noted, again: true, epoch: t.epoch}.encode())
	}
	if err != nil {
		return fmt.Errorf("publish event %d again: %w", number(k), err)
	}
	a.table.held--
	a.table.pending++
	return nil
}
