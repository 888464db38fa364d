package state

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
)

// NewEpoch replaces the epoch and, in the same transaction, gives every event
// that has not been published an id of the new one. An event that the stream had
// and lost keeps its id: somebody may have seen it. Messages that lie in the
// stream up to [Store.Position] are no longer foreign.
//
// The epoch is that of all accounts: call it after [Store.Reconcile] of every one
// of them, or an event of an account not yet compared, which is in the stream
// already, would be renamed and published a second time. It must not run while
// [Store.Drain] does, and returns an error then.
func (s *Store) NewEpoch() (string, error) {
	if !s.drain.TryLock() {
		return "", fmt.Errorf("make a new epoch: %w", errBusy)
	}
	defer s.drain.Unlock()
	var epoch string
	err := s.Update(func(tx *Tx) error {
		epoch = newTag(tx.Epoch())
		tx.epoch = epoch
		for _, name := range tx.accountNames() {
			if err := tx.account(name).rename(epoch); err != nil {
				return err
			}
		}
		return tx.bolt.Bucket(metaBucket).Put(epochKey, []byte(epoch))
	})
	if err != nil {
		return "", fmt.Errorf("make a new epoch: %w", err)
	}
	return epoch, nil
}

// rename gives the account's unpublished events the new epoch.
func (a *account) rename(epoch string) error {
	if _, err := a.tally(); err != nil || a.pending == nil {
		return err
	}
	type change struct{ key, value []byte }
	var changes []change // a cursor does not survive writing
	c := a.pending.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		w, err := decodeWaiting(v)
		if err != nil {
			return a.unreadable(err)
		}
		if w.again {
			continue
		}
		w.epoch = epoch
		changes = append(changes, change{bytes.Clone(k), w.encode()})
	}
	a.table.accepted, a.stale = a.table.position, true
	for _, c := range changes {
		if err := a.pending.Put(c.key, c.value); err != nil {
			return fmt.Errorf("rename event %d of %s: %w", number(c.key), a.name, err)
		}
	}
	return nil
}

// newTag returns six random characters of [a-z2-7], other than the old ones.
func newTag(old string) string {
	for {
		if tag := strings.ToLower(rand.Text()[:6]); tag != old {
			return tag
		}
	}
}
