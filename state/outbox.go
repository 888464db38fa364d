package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// The outbox of an account is three buckets by the number of the event, so that
// the order of the numbers is the order of publication:
//
//	entries  the event, written once and removed once
//	pending  for each event that waits for the stream: when it was appended,
//	         whether it has been in the stream before, its epoch
//	held     for each event that the stream took: its sequence there, when that
//	         was noted, its epoch
//
// An event's epoch is kept beside it and not in it, so that a new epoch costs a
// few bytes for each waiting event, not the event.

// A tally is what is known of an outbox without walking it.
type tally struct {
	position uint64 // the last event's sequence in the stream, as far as noted
	removed  uint64 // highest sequence in the stream of events removed from the outbox
	accepted uint64 // sequence in the stream up to which a new epoch made foreign messages harmless
	pending  int
	held     int
	oldest   time.Time // when the first of the pending was appended; zero: none
}

func (t tally) encode() []byte {
	v := key(t.position)
	v = binary.BigEndian.AppendUint64(v, t.removed)
	v = binary.BigEndian.AppendUint64(v, t.accepted)
	v = binary.BigEndian.AppendUint64(v, uint64(t.pending))
	v = binary.BigEndian.AppendUint64(v, uint64(t.held))
	return appendNanos(v, t.oldest)
}

func decodeTally(v []byte) (tally, error) {
	if len(v) != 6*8 {
		return tally{}, errShort
	}
	return tally{
		position: number(v[:8]),
		removed:  number(v[8:16]),
		accepted: number(v[16:24]),
		pending:  int(number(v[24:32])),
		held:     int(number(v[32:40])),
		oldest:   nanos(v[40:]),
	}, nil
}

// appendNanos appends a time of ours, which is never before 1970; zero is zero.
func appendNanos(v []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(v, make([]byte, 8)...)
	}
	return binary.BigEndian.AppendUint64(v, uint64(t.UnixNano()))
}

func nanos(v []byte) time.Time {
	n := number(v)
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(n)).UTC()
}

// tally opens the account's outbox and returns its tally, which the caller may
// change if it sets a.stale. Without an outbox it is zero.
func (a *account) tally() (*tally, error) {
	if a.table != nil {
		return a.table, nil
	}
	var t tally
	if a.bucket != nil {
		a.useOutbox()
		v := a.bucket.Get(outboxKey)
		if v != nil || a.entries != nil {
			var err error
			if t, err = decodeTally(v); err != nil {
				return nil, a.unreadable(err)
			}
			if a.entries == nil || a.pending == nil || a.held == nil {
				return nil, a.unreadable(errors.New("a part of it is missing"))
			}
		}
	}
	a.table = &t
	return a.table, nil
}

func (a *account) unreadable(err error) error {
	return fmt.Errorf("read outbox of %s: %w: the state file is %w, restore a backup of it", a.name, err, ErrCorrupt)
}

func (a *account) useOutbox() {
	a.entries = a.bucket.Bucket(entriesBucket)
	a.pending = a.bucket.Bucket(pendingBucket)
	a.held = a.bucket.Bucket(heldBucket)
	for _, b := range []*bolt.Bucket{a.entries, a.pending, a.held} {
		if b != nil {
			b.FillPercent = 0.95 // keys are added at the end alone
		}
	}
}

// createOutbox makes the buckets of the account's outbox if there are none.
func (a *account) createOutbox() error {
	if err := a.create(); err != nil {
		return err
	}
	if _, err := a.tally(); err != nil {
		return err
	}
	if a.entries != nil {
		return nil
	}
	for _, name := range [][]byte{entriesBucket, pendingBucket, heldBucket} {
		if _, err := a.bucket.CreateBucketIfNotExists(name); err != nil {
			return fmt.Errorf("create outbox of %s: %w", a.name, err)
		}
	}
	a.useOutbox()
	return nil
}

// flush writes the tally if it changed.
func (a *account) flush() error {
	if !a.stale {
		return nil
	}
	a.table.oldest = time.Time{}
	if _, v := a.pending.Cursor().First(); v != nil {
		w, err := decodeWaiting(v)
		if err != nil {
			return a.unreadable(err)
		}
		a.table.oldest = w.appended
	}
	if err := a.bucket.Put(outboxKey, a.table.encode()); err != nil {
		return fmt.Errorf("count outbox of %s: %w", a.name, err)
	}
	a.stale = false
	return nil
}

// Append adds an event to the end of its account's outbox. Its id has to end in
// the epoch that [Tx.Epoch] returns, and to be the value of "id" in its body.
// The body may be reused after it returns.
func (tx *Tx) Append(e events.Encoded) error {
	if e.Account == "" || e.Subject == "" {
		return fmt.Errorf("append event %s: it has no account or no subject", e.ID)
	}
	a := tx.account(e.Account)
	if err := a.createOutbox(); err != nil {
		return err
	}
	var value []byte
	var err error
	value, tx.scratch, err = encodeEntry(e, tx.Epoch(), tx.scratch)
	if err != nil {
		return fmt.Errorf("append event %s: %w", e.ID, err)
	}
	n, err := a.entries.NextSequence()
	if err == nil {
		err = a.entries.Put(key(n), value)
	}
	if err == nil {
		err = a.pending.Put(key(n), waiting{appended: time.Now(), epoch: tx.Epoch()}.encode())
	}
	if err != nil {
		return fmt.Errorf("append event %s: %w", e.ID, err)
	}
	a.table.pending++
	a.stale, tx.appended = true, true
	return nil
}

// waiting is the value of a pending event.
type waiting struct {
	appended time.Time
	again    bool // it was in the stream, and the stream lost it
	epoch    string
}

func (w waiting) encode() []byte {
	v := appendNanos(make([]byte, 0, 8+1+len(w.epoch)), w.appended)
	if w.again {
		v = append(v, 1)
	} else {
		v = append(v, 0)
	}
	return append(v, w.epoch...)
}

func decodeWaiting(v []byte) (waiting, error) {
	if len(v) < 8+1 {
		return waiting{}, errShort
	}
	return waiting{appended: nanos(v[:8]), again: v[8] == 1, epoch: string(v[9:])}, nil
}

// taken is the value of a held event.
type taken struct {
	sequence uint64 // in the stream
	noted    time.Time
	epoch    string
}

func (t taken) encode() []byte {
	v := binary.BigEndian.AppendUint64(make([]byte, 0, 16+len(t.epoch)), t.sequence)
	return append(appendNanos(v, t.noted), t.epoch...)
}

func decodeTaken(v []byte) (taken, error) {
	if len(v) < 16 {
		return taken{}, errShort
	}
	return taken{sequence: number(v[:8]), noted: nanos(v[8:16]), epoch: string(v[16:])}, nil
}

// An event's value is a CRC-32C of the rest (4 bytes), the layout, a byte that is
// 1 if what follows is compressed, and then: where the id begins in the body, the
// id's length without the epoch, the subject's length (uvarints), the subject, and
// the body without the epoch of its id.
const entryPart = 4 + 2

func encodeEntry(e events.Encoded, epoch string, scratch []byte) (value, room []byte, err error) {
	id, ok := strings.CutSuffix(e.ID, epoch)
	if !ok || !strings.HasSuffix(id, "_") {
		return nil, scratch, fmt.Errorf("its id is not of the epoch %s", epoch)
	}
	at := bytes.Index(e.Body, []byte(`"id":"`+e.ID+`"`))
	if at < 0 {
		return nil, scratch, errors.New("its body does not hold its id")
	}
	at += len(`"id":"`)
	plain := make([]byte, 0, 16+len(e.Subject)+len(e.Body))
	plain = binary.AppendUvarint(plain, uint64(at))
	plain = binary.AppendUvarint(plain, uint64(len(id)))
	plain = binary.AppendUvarint(plain, uint64(len(e.Subject)))
	plain = append(plain, e.Subject...)
	plain = append(plain, e.Body[:at+len(id)]...)
	plain = append(plain, e.Body[at+len(e.ID):]...)

	stored, packed, scratch := pack(plain, scratch)
	v := make([]byte, entryPart, entryPart+len(stored))
	v[4] = layout
	if packed {
		v[5] = 1
	}
	v = append(v, stored...)
	binary.LittleEndian.PutUint32(v, crc32.Checksum(v[4:], castagnoli))
	return v, scratch, nil
}

// decodeEntry returns the event with the given epoch in its id. It is a copy.
func decodeEntry(account string, v []byte, epoch string) (events.Encoded, error) {
	if len(v) < entryPart {
		return events.Encoded{}, errShort
	}
	if crc32.Checksum(v[4:], castagnoli) != binary.LittleEndian.Uint32(v) {
		return events.Encoded{}, errSum
	}
	if v[4] != layout {
		return events.Encoded{}, errLayout
	}
	plain, err := unpack(v[entryPart:], v[5] == 1)
	if err != nil {
		return events.Encoded{}, err
	}
	var numbers [3]int
	for i := range numbers {
		u, n := binary.Uvarint(plain)
		if n <= 0 || u > uint64(len(plain)) {
			return events.Encoded{}, errShort
		}
		numbers[i], plain = int(u), plain[n:]
	}
	at, id, subject := numbers[0], numbers[1], numbers[2]
	if subject+at+id > len(plain) {
		return events.Encoded{}, errShort
	}
	rest := plain[subject:]
	body := make([]byte, 0, len(rest)+len(epoch))
	body = append(body, rest[:at+id]...)
	body = append(body, epoch...)
	body = append(body, rest[at+id:]...)
	return events.Encoded{
		ID:      string(body[at : at+id+len(epoch)]),
		Account: account,
		Subject: string(plain[:subject]),
		Body:    body,
	}, nil
}

// event reads an event of the outbox by its number.
func (a *account) event(k []byte, epoch string) (events.Encoded, error) {
	e, err := decodeEntry(a.name, a.entries.Get(k), epoch)
	if err != nil {
		return events.Encoded{}, fmt.Errorf("read event %d of %s in the outbox: %w: the state file is %w, restore a backup of it",
			number(k), a.name, err, ErrCorrupt)
	}
	return e, nil
}

// Position returns the sequence in the stream of the account's last event that
// was noted as published, after [Store.Reconcile] the sequence of the account's
// last message there; 0 if there is none.
func (s *Store) Position(account string) uint64 {
	s.known.RLock()
	defer s.known.RUnlock()
	return s.tables[account].position
}

// Backlog returns how many of the account's events wait for the stream, how many
// are held although the stream took them, and since when the first one waits
// (zero if none does). An account of "" is all of them. It reads kept counts.
func (s *Store) Backlog(account string) (pending, held int, oldest time.Time) {
	s.known.RLock()
	defer s.known.RUnlock()
	for name, t := range s.tables {
		if account != "" && account != name {
			continue
		}
		pending += t.pending
		held += t.held
		if !t.oldest.IsZero() && (oldest.IsZero() || t.oldest.Before(oldest)) {
			oldest = t.oldest
		}
	}
	return pending, held, oldest
}

// errBusy is the answer to what must not run beside a drain.
var errBusy = errors.New("the outbox is being drained")
