package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

const (
	batchEvents = 256     // published before it is noted, and so repeated at most
	batchBytes  = 4 << 20 // of bodies in memory
	removeBatch = 1024    // events removed in one transaction, per account
)

// A Publish puts an event into the stream and returns its sequence there, once
// the stream has it. It has to recognise an event that is in the stream already:
// after a crash it is given the same one again.
type Publish = func(ctx context.Context, e events.Encoded) (sequence uint64, err error)

// Drain publishes what is in the outbox and what is appended while it runs, an
// account's events in their order, one at a time, and removes what was held
// long enough. Accounts take turns. It returns when publish fails, with that
// error, or when ctx ends, with its error; everything published until then is
// noted. It is to be called again after a pause. It never holds a transaction
// open while it publishes. A second Drain beside it returns an error.
func (s *Store) Drain(ctx context.Context, publish Publish) error {
	if !s.drain.TryLock() {
		return errBusy
	}
	defer s.drain.Unlock()
	last := "" // the account that was served last
	for {
		batch, err := s.nextBatch(last)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			next, err := s.sweep()
			if err != nil {
				return err
			}
			if err := s.await(ctx, next); err != nil {
				return err
			}
			continue
		}
		if err := s.deliver(ctx, batch, publish); err != nil {
			return err
		}
		last = batch[len(batch)-1].event.Account
	}
}

// await waits for something to be appended, or for d to pass; no d is for ever.
func (s *Store) await(ctx context.Context, d time.Duration) error {
	var due <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.wake:
	case <-due:
	}
	return nil
}

// A letter is an event on its way from the outbox to the stream.
type letter struct {
	number   uint64
	epoch    string
	event    events.Encoded
	sequence uint64 // in the stream, once it is there
}

// nextBatch copies the first pending events, of the accounts after last first.
func (s *Store) nextBatch(last string) ([]letter, error) {
	var batch []letter
	err := s.View(func(tx *Tx) error {
		size := 0
		for _, name := range s.waiting(last) {
			if err := tx.account(name).collect(&batch, &size); err != nil {
				return err
			}
		}
		return nil
	})
	return batch, err
}

// waiting lists the accounts with pending events, those after last first.
func (s *Store) waiting(last string) []string {
	s.known.RLock()
	var names []string
	for name, t := range s.tables {
		if t.pending > 0 {
			names = append(names, name)
		}
	}
	s.known.RUnlock()
	slices.Sort(names)
	at, found := slices.BinarySearch(names, last)
	if found {
		at++
	}
	return append(names[at:], names[:at]...)
}

// collect adds the account's first pending events to a batch until it is full.
func (a *account) collect(batch *[]letter, size *int) error {
	if _, err := a.tally(); err != nil || a.pending == nil {
		return err
	}
	c := a.pending.Cursor()
	for k, v := c.First(); k != nil && len(*batch) < batchEvents && *size < batchBytes; k, v = c.Next() {
		w, err := decodeWaiting(v)
		if err != nil {
			return a.unreadable(err)
		}
		e, err := a.event(k, w.epoch)
		if err != nil {
			return err
		}
		*batch = append(*batch, letter{number: number(k), epoch: w.epoch, event: e})
		*size += len(e.Body)
	}
	return nil
}

// deliver publishes a batch and notes what came through, also when an error or
// the end of ctx cuts it short.
func (s *Store) deliver(ctx context.Context, batch []letter, publish Publish) error {
	done := 0
	var failed error
	for i := range batch {
		if failed = ctx.Err(); failed != nil {
			break
		}
		sequence, err := publish(ctx, batch[i].event)
		if err != nil {
			failed = fmt.Errorf("publish event %s: %w", batch[i].event.ID, err)
			break
		}
		batch[i].sequence = sequence
		done++
	}
	if err := s.note(batch[:done]); err != nil {
		return errors.Join(failed, err)
	}
	return failed
}

// note marks published events as held and removes those that were held long
// enough, in one transaction.
func (s *Store) note(published []letter) error {
	if len(published) == 0 {
		return nil
	}
	now := time.Now()
	return s.Update(func(tx *Tx) error {
		for _, l := range published {
			a := tx.account(l.event.Account)
			if err := a.hold(key(l.number), taken{l.sequence, now, l.epoch}); err != nil {
				return err
			}
			a.table.position = l.sequence
		}
		for _, a := range tx.accounts {
			if err := a.remove(now, s.hold); err != nil {
				return err
			}
		}
		return nil
	})
}

// hold moves an event from the pending to the held.
func (a *account) hold(k []byte, t taken) error {
	if err := a.createOutbox(); err != nil {
		return err
	}
	err := a.pending.Delete(k)
	if err == nil {
		err = a.held.Put(k, t.encode())
	}
	if err != nil {
		return fmt.Errorf("note event %d of %s as published: %w", number(k), a.name, err)
	}
	a.table.pending--
	a.table.held++
	a.stale = true
	return nil
}

// remove removes the first events of the account that were held long enough, at
// most removeBatch of them.
func (a *account) remove(now time.Time, hold time.Duration) error {
	if _, err := a.tally(); err != nil || a.held == nil {
		return err
	}
	var keys [][]byte // a cursor does not survive deleting
	c := a.held.Cursor()
	for k, v := c.First(); k != nil && len(keys) < removeBatch; k, v = c.Next() {
		t, err := decodeTaken(v)
		if err != nil {
			return a.unreadable(err)
		}
		if !isDue(t.noted, now, hold) {
			break
		}
		keys = append(keys, bytes.Clone(k))
		a.table.removed = max(a.table.removed, t.sequence)
	}
	for _, k := range keys {
		if err := errors.Join(a.held.Delete(k), a.entries.Delete(k)); err != nil {
			return fmt.Errorf("remove event %d of %s from the outbox: %w", number(k), a.name, err)
		}
		a.table.held--
		a.stale = true
	}
	return nil
}

// isDue reports whether an event noted as published at a time was held long
// enough. So is one from far in the future: a clock that was set back must not
// make the outbox grow until it catches up.
func isDue(noted, now time.Time, hold time.Duration) bool {
	age := now.Sub(noted)
	return age >= hold || age < -hold
}

// sweep removes all events that were held long enough, and returns how long to
// wait for the next ones; zero if nothing is held. The wait is a quarter of the
// hold longer than it would have to be, so that a trickle of events does not
// cost a transaction each a second time.
func (s *Store) sweep() (time.Duration, error) {
	for {
		now := time.Now()
		first, err := s.firstHeld()
		if err != nil || first.IsZero() {
			return 0, err
		}
		if !isDue(first, now, s.hold) {
			return first.Add(s.hold + s.hold/4).Sub(now), nil
		}
		err = s.Update(func(tx *Tx) error {
			for _, name := range tx.accountNames() {
				if err := tx.account(name).remove(now, s.hold); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
}

// firstHeld returns when the held event that was noted first among the first
// ones of all accounts was noted; zero if nothing is held.
func (s *Store) firstHeld() (first time.Time, err error) {
	err = s.View(func(tx *Tx) error {
		for _, name := range tx.accountNames() {
			a := tx.account(name)
			if _, err := a.tally(); err != nil {
				return err
			}
			if a.held == nil {
				continue
			}
			_, v := a.held.Cursor().First()
			if v == nil {
				continue
			}
			t, err := decodeTaken(v)
			if err != nil {
				return a.unreadable(err)
			}
			if first.IsZero() || t.noted.Before(first) {
				first = t.noted
			}
		}
		return nil
	})
	return first, err
}
