package state

import (
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// A Tx is one transaction of [Store.Update] or [Store.View]. It belongs to one
// goroutine and ends with the function it was given to. In a View, everything
// that writes returns an error.
type Tx struct {
	bolt     *bolt.Tx
	epoch    string // "" until asked for
	accounts map[string]*account
	appended bool
	err      error  // the first value that could not be read; fails the transaction
	scratch  []byte // for compression
}

func newTx(b *bolt.Tx) *Tx { return &Tx{bolt: b, accounts: make(map[string]*account)} }

// fail notes that the transaction met a value it could not read where the
// method's signature has no place for an error.
func (tx *Tx) fail(err error) {
	if tx.err == nil {
		tx.err = err
	}
}

// finish writes what is kept up during a transaction and written once: the
// counts of collections and the tallies of outboxes.
func (tx *Tx) finish() error {
	for _, a := range tx.accounts {
		for _, r := range a.collections {
			if err := r.flush(); err != nil {
				return err
			}
		}
		if err := a.flush(); err != nil {
			return err
		}
	}
	return tx.err
}

// Epoch returns the epoch as this transaction sees it: ids of events that the
// same transaction appends are made with it.
func (tx *Tx) Epoch() string {
	if tx.epoch == "" {
		tx.epoch = string(tx.bolt.Bucket(metaBucket).Get(epochKey))
	}
	return tx.epoch
}

var (
	accountsBucket    = []byte("accounts")
	collectionsBucket = []byte("collections")
	entriesBucket     = []byte("entries")
	pendingBucket     = []byte("pending")
	heldBucket        = []byte("held")
	versionsBucket    = []byte("versions")
	createdBucket     = []byte("created")

	noteKey   = []byte("note")
	systemKey = []byte("system")
	outboxKey = []byte("outbox")
	cursorKey = []byte("cursor")
	countsKey = []byte("counts")
)

// accountNames lists the accounts in the file, in order.
func (tx *Tx) accountNames() []string {
	return bucketNames(tx.bolt.Bucket(accountsBucket))
}

// bucketNames lists the buckets in b, which may be nil.
func bucketNames(b *bolt.Bucket) []string {
	var names []string
	if b == nil {
		return nil
	}
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if v == nil {
			names = append(names, string(k))
		}
	}
	return names
}

// An account is the part of the file that belongs to one account, with what the
// transaction has read of it.
type account struct {
	tx          *Tx
	name        string
	bucket      *bolt.Bucket // nil: the file knows nothing of the account yet
	table       *tally       // nil until the outbox is touched
	stale       bool         // table differs from the file
	collections map[string]*Records

	entries, pending, held *bolt.Bucket // nil until the outbox is touched
}

func (tx *Tx) account(name string) *account {
	if a := tx.accounts[name]; a != nil {
		return a
	}
	a := &account{tx: tx, name: name, collections: make(map[string]*Records)}
	if all := tx.bolt.Bucket(accountsBucket); all != nil && name != "" {
		a.bucket = all.Bucket([]byte(name))
	}
	tx.accounts[name] = a
	return a
}

// create makes the account's bucket if there is none.
func (a *account) create() error {
	if a.bucket != nil {
		return nil
	}
	all, err := a.tx.bolt.CreateBucketIfNotExists(accountsBucket)
	if err == nil {
		a.bucket, err = all.CreateBucketIfNotExists([]byte(a.name))
	}
	if err != nil {
		return fmt.Errorf("create account %q: %w", a.name, err)
	}
	return nil
}

// collection returns the bucket of a collection, or nil.
func (a *account) collection(name string) *bolt.Bucket {
	if a.bucket == nil {
		return nil
	}
	all := a.bucket.Bucket(collectionsBucket)
	if all == nil || name == "" {
		return nil
	}
	return all.Bucket([]byte(name))
}

// createCollection returns the bucket of a collection, made if there is none.
func (a *account) createCollection(name string) (*bolt.Bucket, error) {
	if err := a.create(); err != nil {
		return nil, err
	}
	all, err := a.bucket.CreateBucketIfNotExists(collectionsBucket)
	if err != nil {
		return nil, fmt.Errorf("create collection %s/%s: %w", a.name, name, err)
	}
	b, err := all.CreateBucketIfNotExists([]byte(name))
	if err != nil {
		return nil, fmt.Errorf("create collection %s/%s: %w", a.name, name, err)
	}
	return b, nil
}

// key is a number as a key, so that keys are in the order of their numbers.
func key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func number(k []byte) uint64 {
	if len(k) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(k)
}
