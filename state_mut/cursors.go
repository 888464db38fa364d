package state

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Cursor returns how far the collection has been read: the JSON last given to
// [Tx.SetCursor], or nil. The slice is the caller's.
func (tx *Tx) Cursor(account, collection string) []byte {
	b := tx.account(account).collection(collection)
	if b == nil {
		return nil
	}
	return bytes.Clone(b.Get(cursorKey))
}

// SetCursor stores the collection's cursor. What is in it is the poller's
// affair; it has to be JSON.
func (tx *Tx) SetCursor(account, collection string, cursor []byte) error {
	if !json.Valid(cursor) {
		return fmt.Errorf("store cursor of %s/%s: it is not JSON", account, collection)
	}
	b, err := tx.account(account).createCollection(collection)
	if err != nil {
		return err
	}
	if err := b.Put(cursorKey, bytes.Clone(cursor)); err != nil {
		return fmt.Errorf("store cursor of %s/%s: %w", account, collection, err)
	}
	return nil
}

// AccountNote returns what the poller keeps for the account as a whole: the JSON
// last given to [Tx.SetAccountNote], or nil. The slice is the caller's.
func (tx *Tx) AccountNote(account string) []byte {
	b := tx.account(account).bucket
	if b == nil {
		return nil
	}
	return bytes.Clone(b.Get(noteKey))
}

// SetAccountNote stores the account's note, which has to be JSON.
func (tx *Tx) SetAccountNote(account string, note []byte) error {
	if !json.Valid(note) {
		return fmt.Errorf("store note of %s: it is not JSON", account)
	}
	a := tx.account(account)
	if err := a.create(); err != nil {
		return err
	}
	if err := a.bucket.Put(noteKey, bytes.Clone(note)); err != nil {
		return fmt.Errorf("store note of %s: %w", account, err)
	}
	return nil
}

// NextSystem returns the next number for a system event of the account, from 1.
// A number is given once, if the transaction commits.
func (tx *Tx) NextSystem(account string) (uint64, error) {
	a := tx.account(account)
	if err := a.create(); err != nil {
		return 0, err
	}
	n := number(a.bucket.Get(systemKey)) + 1
	if err := a.bucket.Put(systemKey, key(n)); err != nil {
		return 0, fmt.Errorf("count system events of %s: %w", account, err)
	}
	return n, nil
}
