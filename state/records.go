package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A Record is the latest version seen of one of Trackops' records. Times are
// kept to the nanosecond and come back in UTC; a zero time is an unknown one.
type Record struct {
	ID          string // 1 to 4096 bytes
	Revision    uint64
	Fingerprint [16]byte
	Created     time.Time // as the record says
	Updated     time.Time // as the record says
	Observed    time.Time // when this version was first seen
	Deleted     time.Time // zero: the record lives
	Document    []byte    // an empty one reads back as nil
}

// Meta is a [Record] without its document.
type Meta struct {
	ID          string
	Revision    uint64
	Fingerprint [16]byte
	Created     time.Time
	Updated     time.Time
	Observed    time.Time
	Deleted     time.Time
}

const maxID = 4096

// Records is one collection of an account, in one transaction. A record that
// was deleted stays in it as a tombstone.
//
// A stored record that cannot be read fails the whole transaction with an error
// that names it, also where a method below returns no error: the transaction's
// function goes on as if the record were not there, and nothing of it is kept.
type Records struct {
	account *account
	name    string
	bucket  *bolt.Bucket // nil: nothing is stored yet

	versions *bolt.Bucket
	created  *bolt.Bucket // the index of live records
	at       *bolt.Cursor // in versions; kept, as a new one costs an allocation

	live, tombstones int
	stale            bool   // the counts differ from the file
	key              []byte // scratch for keys that are only looked up
}

// Records returns the records of a collection, empty if nothing was stored.
// The same value comes back for the whole of the transaction.
func (tx *Tx) Records(account, collection string) *Records {
	a := tx.account(account)
	if r := a.collections[collection]; r != nil {
		return r
	}
	r := &Records{account: a, name: collection}
	r.attach(a.collection(collection))
	a.collections[collection] = r
	return r
}

// attach takes up a collection's bucket; a bucket with a cursor alone holds no
// records yet.
func (r *Records) attach(b *bolt.Bucket) {
	if b == nil {
		return
	}
	versions, created := b.Bucket(versionsBucket), b.Bucket(createdBucket)
	if versions == nil && created == nil {
		return
	}
	counts := b.Get(countsKey)
	if versions == nil || created == nil || len(counts) != 16 {
		r.account.tx.fail(fmt.Errorf("records of %s/%s: the index or the counts are missing", r.account.name, r.name))
		return
	}
	r.live = int(number(counts[:8]))
	r.tombstones = int(number(counts[8:]))
	r.use(b, versions, created)
}

func (r *Records) use(b, versions, created *bolt.Bucket) {
	r.bucket, r.versions, r.created = b, versions, created
	r.at = versions.Cursor()
	// Ids mostly grow, so pages are filled from the left and left behind: half
	// full, by default.
	versions.FillPercent, created.FillPercent = 0.8, 0.8
}

// create makes the collection's buckets if there are none.
func (r *Records) create() error {
	if r.bucket != nil {
		return nil
	}
	b, err := r.account.createCollection(r.name)
	if err != nil {
		return err
	}
	versions, err := b.CreateBucketIfNotExists(versionsBucket)
	if err != nil {
		return fmt.Errorf("create collection %s/%s: %w", r.account.name, r.name, err)
	}
	created, err := b.CreateBucketIfNotExists(createdBucket)
	if err != nil {
		return fmt.Errorf("create collection %s/%s: %w", r.account.name, r.name, err)
	}
	r.use(b, versions, created)
	r.stale = true
	return nil
}

// flush writes the counts if they changed.
func (r *Records) flush() error {
	if !r.stale {
		return nil
	}
	v := binary.BigEndian.AppendUint64(key(uint64(r.live)), uint64(r.tombstones))
	if err := r.bucket.Put(countsKey, v); err != nil {
		return fmt.Errorf("count records of %s/%s: %w", r.account.name, r.name, err)
	}
	r.stale = false
	return nil
}

// Len returns how many records live and how many are known to be deleted. It
// looks at kept counts, not at the records.
func (r *Records) Len() (live, tombstones int) { return r.live, r.tombstones }

// lookup returns the stored value of a record, which lives as long as the
// transaction, or nil.
func (r *Records) lookup(id string) []byte {
	if r.versions == nil || id == "" || len(id) > maxID {
		return nil
	}
	r.key = append(r.key[:0], id...)
	k, v := r.at.Seek(r.key)
	if !bytes.Equal(k, r.key) {
		return nil
	}
	return v
}

// Meta returns what is known of a record, without reading its document; ok is
// false if there is no such record. It allocates nothing.
func (r *Records) Meta(id string) (m Meta, ok bool) {
	v := r.lookup(id)
	if v == nil {
		return Meta{}, false
	}
	m, _, err := decodeHeader(v)
	if err != nil {
		r.account.tx.fail(r.unreadable(id, err))
		return Meta{}, false
	}
	m.ID = id
	return m, true
}

// Get returns a record with its document, which is the caller's; ok is false if
// there is no such record.
func (r *Records) Get(id string) (rec Record, ok bool, err error) {
	v := r.lookup(id)
	if v == nil {
		return Record{}, false, nil
	}
	rec, err = decodeVersion(id, v)
	if err != nil {
		return Record{}, false, r.unreadable(id, err)
	}
	return rec, true, nil
}

func (r *Records) unreadable(id string, err error) error {
	return fmt.Errorf("read record %q of %s/%s: %w: the state file is %w, restore a backup of it",
		id, r.account.name, r.name, err, ErrCorrupt)
}

// Put stores a record in the place of the version before, and keeps index and
// counts in step. The document may be reused after it returns.
func (r *Records) Put(rec Record) error {
	if rec.ID == "" || len(rec.ID) > maxID {
		return fmt.Errorf("store record of %s/%s: an id of %d bytes, 1 to %d are accepted", r.account.name, r.name, len(rec.ID), maxID)
	}
	if err := r.create(); err != nil {
		return err
	}
	if err := r.reindex(rec); err != nil {
		return err
	}
	var value []byte
	tx := r.account.tx
	value, tx.scratch = encodeVersion(rec, tx.scratch)
	if err := r.versions.Put([]byte(rec.ID), value); err != nil {
		return fmt.Errorf("store record %q of %s/%s: %w", rec.ID, r.account.name, r.name, err)
	}
	return nil
}

// reindex changes index and counts from what is stored of a record to rec.
func (r *Records) reindex(rec Record) error {
	var before, after []byte // keys in the index, nil for none
	if v := r.lookup(rec.ID); v != nil {
		m, _, err := decodeHeader(v)
		if err != nil {
			return r.unreadable(rec.ID, err)
		}
		r.stale = true
		if m.Deleted.IsZero() {
			r.live--
			before = createdKey(m.Created, rec.ID)
		} else {
			r.tombstones--
		}
	}
	r.stale = true
	if rec.Deleted.IsZero() {
		r.live++
		after = createdKey(rec.Created, rec.ID)
	} else {
		r.tombstones++
	}
	if bytes.Equal(before, after) {
		return nil
	}
	var err error
	if before != nil {
		err = r.created.Delete(before)
	}
	if after != nil && err == nil {
		err = r.created.Put(after, []byte{1}) // bbolt reads nil back as nil only before the commit
	}
	if err != nil {
		return fmt.Errorf("index record %q of %s/%s: %w", rec.ID, r.account.name, r.name, err)
	}
	return nil
}

// Range calls fn for the live records created from one time to another, both
// inclusive, in the order of their creation, until fn returns false. A zero
// bound is none. Records without a creation time are not among them, see
// [Records.Undated]. Fn must not store records of this collection.
func (r *Records) Range(from, to time.Time, fn func(Meta) bool) {
	r.scan(createdFrom(from), createdTo(to), func(id []byte) bool {
		m, ok := r.Meta(string(id))
		return !ok || fn(m)
	})
}

// Undated calls fn for the live records without a creation time, in the order of
// their ids, until fn returns false.
func (r *Records) Undated(fn func(Meta) bool) {
	r.scan([]byte{undated}, []byte{dated}, func(id []byte) bool {
		m, ok := r.Meta(string(id))
		return !ok || fn(m)
	})
}

// CountCreated returns how many live records [Records.Range] would find. It
// walks the keys of the index: about 20 ms for a million.
func (r *Records) CountCreated(from, to time.Time) int {
	n := 0
	r.scan(createdFrom(from), createdTo(to), func([]byte) bool { n++; return true })
	return n
}

// CountUpTo returns how many live records were created at t or before; those
// without a creation time do not count.
func (r *Records) CountUpTo(t time.Time) int { return r.CountCreated(time.Time{}, t) }

// scan calls fn with the ids of the index' keys from one to before another.
func (r *Records) scan(from, before []byte, fn func(id []byte) bool) {
	if r.created == nil {
		return
	}
	c := r.created.Cursor()
	for k, _ := c.Seek(from); k != nil && bytes.Compare(k, before) < 0; k, _ = c.Next() {
		id := createdID(k)
		if id == nil {
			r.account.tx.fail(fmt.Errorf("index of %s/%s: a key of %d bytes: the state file is %w", r.account.name, r.name, len(k), ErrCorrupt))
			return
		}
		if !fn(id) {
			return
		}
	}
}

func createdFrom(t time.Time) []byte {
	if t.IsZero() {
		return []byte{dated}
	}
	return createdBound(t)
}

func createdTo(t time.Time) []byte {
	if t.IsZero() {
		return []byte{dated + 1}
	}
	return createdBound(t.Add(1)) // the next nanosecond, so that t itself is in
}

// All calls fn for every record, tombstones too, in the order of their ids as
// bytes, and returns the first error. For more than a few thousand use
// [Records.From], which lets transactions be short.
func (r *Records) All(fn func(Record) error) error { return r.each("", fn) }

// errEnough ends each early.
var errEnough = errors.New("enough")

// From returns up to limit records, tombstones too, whose ids come after the
// given one, in the order of their ids as bytes. Begin with ""; the id of the
// last one is where to go on, also in a later transaction.
func (r *Records) From(after string, limit int) ([]Record, error) {
	var page []Record
	err := r.each(after, func(rec Record) error {
		if len(page) >= limit {
			return errEnough
		}
		page = append(page, rec)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return page, nil
}

func (r *Records) each(after string, fn func(Record) error) error {
	if r.versions == nil {
		return nil
	}
	c := r.versions.Cursor()
	k, v := c.Seek([]byte(after))
	if after != "" && string(k) == after {
		k, v = c.Next()
	}
	for ; k != nil; k, v = c.Next() {
		rec, err := decodeVersion(string(k), v)
		if err != nil {
			return r.unreadable(string(k), err)
		}
		if err := fn(rec); err != nil {
			return err
		}
	}
	return nil
}
