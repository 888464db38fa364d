package state

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// A version's value is
//
//	CRC-32C of the rest of the header   4 bytes
//	layout (1), flags                   1 byte each
//	fingerprint                         16 bytes
//	CRC-32C of the document as stored   4 bytes
//	revision                            uvarint
//	created, updated, observed, deleted seconds as varint, nanoseconds as
//	                                    uvarint, those that the flags name
//	document                            to the end
//
// The sums are there because s2 has none: without them a flipped bit would come
// back as a changed record, and be reported as an event.
const (
	layout    = 1
	fixedPart = 4 + 2 + 16 + 4
)

const (
	hasCreated byte = 1 << iota
	hasUpdated
	hasObserved
	hasDeleted
	isPacked // the document is compressed
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errSum    = errors.New("its checksum does not match")
	errShort  = errors.New("it is cut off")
	errLayout = errors.New("its layout is unknown")
)

// encodeVersion returns r as a value. Scratch is room for compression, returned
// for the next one.
func encodeVersion(r Record, scratch []byte) (value, room []byte) {
	stored, packed, scratch := pack(r.Document, scratch)
	v := make([]byte, fixedPart, fixedPart+64+len(stored))
	v[4] = layout
	copy(v[6:], r.Fingerprint[:])
	binary.LittleEndian.PutUint32(v[22:], crc32.Checksum(stored, castagnoli))
	v = binary.AppendUvarint(v, r.Revision)
	v = appendTime(v, r.Created, hasCreated)
	v = appendTime(v, r.Updated, hasUpdated)
	v = appendTime(v, r.Observed, hasObserved)
	v = appendTime(v, r.Deleted, hasDeleted)
	if packed {
		v[5] |= isPacked
	}
	binary.LittleEndian.PutUint32(v, crc32.Checksum(v[4:], castagnoli))
	return append(v, stored...), scratch
}

// appendTime appends t and sets its flag in the header v, unless t is zero.
func appendTime(v []byte, t time.Time, flag byte) []byte {
	if t.IsZero() {
		return v
	}
	v[5] |= flag
	v = binary.AppendVarint(v, t.Unix())
	return binary.AppendUvarint(v, uint64(t.Nanosecond()))
}

// decodeHeader reads all of a value but its document, which it returns as
// stored, a part of v. It allocates nothing.
func decodeHeader(v []byte) (m Meta, stored []byte, err error) {
	if len(v) < fixedPart {
		return Meta{}, nil, errShort
	}
	if v[4] != layout {
		return Meta{}, nil, errLayout
	}
	flags := v[5]
	m.Fingerprint = [16]byte(v[6:22])
	rest, n := v[fixedPart:], 0
	if m.Revision, n = binary.Uvarint(rest); n <= 0 {
		return Meta{}, nil, errShort
	}
	rest = rest[n:]
	ok := readTime(&rest, flags&hasCreated, &m.Created) &&
		readTime(&rest, flags&hasUpdated, &m.Updated) &&
		readTime(&rest, flags&hasObserved, &m.Observed) &&
		readTime(&rest, flags&hasDeleted, &m.Deleted)
	if !ok {
		return Meta{}, nil, errShort
	}
	if crc32.Checksum(v[4:len(v)-len(rest)], castagnoli) != binary.LittleEndian.Uint32(v) {
		return Meta{}, nil, errSum
	}
	return m, rest, nil
}

// readTime reads a time from the front of rest, if it is there at all.
func readTime(rest *[]byte, present byte, t *time.Time) bool {
	if present == 0 {
		return true
	}
	seconds, n := binary.Varint(*rest)
	if n <= 0 {
		return false
	}
	nanos, k := binary.Uvarint((*rest)[n:])
	if k <= 0 {
		return false
	}
	*t = time.Unix(seconds, int64(nanos)).UTC()
	*rest = (*rest)[n+k:]
	return true
}

// decodeVersion reads a value; the document is a copy.
func decodeVersion(id string, v []byte) (Record, error) {
	m, stored, err := decodeHeader(v)
	if err != nil {
		return Record{}, err
	}
	if crc32.Checksum(stored, castagnoli) != binary.LittleEndian.Uint32(v[22:]) {
		return Record{}, errSum
	}
	document, err := unpack(stored, v[5]&isPacked != 0)
	if err != nil {
		return Record{}, err
	}
	return Record{
		ID: id, Revision: m.Revision, Fingerprint: m.Fingerprint,
		Created: m.Created, Updated: m.Updated, Observed: m.Observed, Deleted: m.Deleted,
		Document: document,
	}, nil
}

// createdKey is a live record's key in the index by creation: records without a
// creation time first, then by time, to the nanosecond.
func createdKey(created time.Time, id string) []byte {
	if created.IsZero() {
		return append([]byte{undated}, id...)
	}
	return append(createdBound(created), id...)
}

// createdBound is the smallest key of the records created at t.
func createdBound(t time.Time) []byte {
	k := make([]byte, 1, datedPart+16)
	k[0] = dated
	k = binary.BigEndian.AppendUint64(k, uint64(t.Unix())^1<<63) // negative ones first
	return binary.BigEndian.AppendUint32(k, uint32(t.Nanosecond()))
}

const (
	undated   byte = 0
	dated     byte = 1
	datedPart      = 1 + 8 + 4
)

// createdID is the record id in a key of the index.
func createdID(k []byte) []byte {
	switch {
	case len(k) > 1 && k[0] == undated:
		return k[1:]
	case len(k) > datedPart && k[0] == dated:
		return k[datedPart:]
	}
	return nil
}
