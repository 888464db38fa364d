package state

import (
	"bytes"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Check reads the whole file and reports everything that is wrong in it: every
// record's checksum, the index and the counts against the records, the outbox
// against its tallies, and then bbolt's own structure. Writers wait meanwhile; a
// million records take some seconds.
func (s *Store) Check() error {
	s.write.Lock()
	defer s.write.Unlock()
	return guard(s.path, everything, func() error {
		return s.View(func(tx *Tx) error {
			if err := s.checkAll(tx); err != nil {
				return corrupt(s.path, err)
			}
			// Last, because it works in another goroutine, where a fault of the
			// mapped memory would end the process; by now every page was read.
			var all []error
			for err := range tx.bolt.Check() {
				all = append(all, err)
			}
			if len(all) > 0 {
				return corrupt(s.path, errors.Join(all...))
			}
			return nil
		})
	})
}

func (s *Store) checkAll(tx *Tx) error {
	var all []error
	for _, name := range tx.accountNames() {
		a := tx.account(name)
		for _, collection := range a.collectionNames() {
			all = append(all, tx.Records(name, collection).check())
		}
		all = append(all, a.checkOutbox(), s.checkCopy(a))
	}
	return errors.Join(append(all, tx.err)...)
}

// probe looks at both ends of every bucket: enough to find a file whose pages
// are not what they should be, without reading all of it.
func (tx *Tx) probe() error {
	for _, name := range tx.accountNames() {
		a := tx.account(name)
		if _, err := a.tally(); err != nil {
			return err
		}
		for _, b := range []*bolt.Bucket{a.entries, a.pending, a.held} {
			probeEnds(b)
		}
		for _, collection := range a.collectionNames() {
			r := tx.Records(name, collection)
			for _, id := range probeEnds(r.versions) {
				if _, _, err := r.Get(string(id)); err != nil {
					return err
				}
			}
			probeEnds(r.created)
		}
	}
	return tx.err
}

// probeEnds reads the first and the last value of a bucket, which may be nil,
// and returns their keys.
func probeEnds(b *bolt.Bucket) (ends [][]byte) {
	if b == nil {
		return nil
	}
	c := b.Cursor()
	for _, end := range []func() (k, v []byte){c.First, c.Last} {
		if k, v := end(); k != nil {
			ends = append(ends, bytes.Clone(k))
			_ = bytes.Clone(v) // so that a page which is not there shows now
		}
	}
	return ends
}

// collectionNames lists the account's collections, in order.
func (a *account) collectionNames() []string {
	if a.bucket == nil {
		return nil
	}
	return bucketNames(a.bucket.Bucket(collectionsBucket))
}

// check compares index and counts with the records.
func (r *Records) check() error {
	var all []error
	live, tombstones := 0, 0
	err := r.All(func(rec Record) error {
		if !rec.Deleted.IsZero() {
			tombstones++
			return nil
		}
		live++
		if r.created.Get(createdKey(rec.Created, rec.ID)) == nil {
			all = append(all, fmt.Errorf("record %q of %s/%s is not in the index", rec.ID, r.account.name, r.name))
		}
		return nil
	})
	all = append(all, err)
	if live != r.live || tombstones != r.tombstones {
		all = append(all, fmt.Errorf("%s/%s holds %d live records and %d tombstones, its counts say %d and %d",
			r.account.name, r.name, live, tombstones, r.live, r.tombstones))
	}
	if n := countKeys(r.created); n != live {
		all = append(all, fmt.Errorf("the index of %s/%s holds %d keys for %d live records", r.account.name, r.name, n, live))
	}
	return errors.Join(all...)
}

func countKeys(b *bolt.Bucket) int {
	n := 0
	if b == nil {
		return 0
	}
	c := b.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		n++
	}
	return n
}

// checkOutbox checks that every event can be read and is either pending or held,
// and that the tally counts them.
func (a *account) checkOutbox() error {
	t, err := a.tally()
	if err != nil || a.entries == nil {
		return err
	}
	var all []error
	pending, held := 0, 0
	for p, err := range a.pendingEvents() {
		all = append(all, err)
		pending++
		if a.held.Get(key(p.number)) != nil {
			all = append(all, fmt.Errorf("event %d of %s is both pending and held", p.number, a.name))
		}
	}
	for _, err := range a.keptEvents() {
		all = append(all, err)
		held++
	}
	if n := countKeys(a.entries); n != pending+held {
		all = append(all, fmt.Errorf("the outbox of %s has %d events, %d pending and %d held", a.name, n, pending, held))
	}
	if pending != t.pending || held != t.held {
		all = append(all, fmt.Errorf("the outbox of %s has %d pending and %d held, its tally says %d and %d",
			a.name, pending, held, t.pending, t.held))
	}
	return errors.Join(all...)
}

// checkCopy compares the tally in memory with the file's.
func (s *Store) checkCopy(a *account) error {
	s.known.RLock()
	defer s.known.RUnlock()
	if t, err := a.tally(); err != nil || *t != s.tables[a.name] {
		return errors.Join(err, fmt.Errorf("the tally of %s in memory differs from the file's", a.name))
	}
	return nil
}
