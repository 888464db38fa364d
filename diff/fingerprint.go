package diff

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// FingerprintVersion changes when equal records get other fingerprints than
// before. Keep it next to stored fingerprints: those of another version say
// nothing.
const FingerprintVersion = 1

// A Fingerprint stands for a record's content. It depends on nothing else: not on
// the machine, the process or the time. Different records have different
// fingerprints but for an accident of 1 in 2^64 or less; it is not a
// cryptographic hash.
type Fingerprint [16]byte

// Scan returns, in one pass, the fingerprint of the record less what r ignores:
// that of the text [Rules.Clean] makes of it. Records that are the same by the
// law of this package have the same fingerprint.
//
// It also sets values[i] to the value of the top-level member names[i], as it
// is written in raw and whether r ignores it or not, or to nil if there is none.
// The values are parts of raw. values must be as long as names; its content means
// nothing after an error. The error is that raw is not one JSON value.
func (r *Rules) Scan(raw []byte, names []string, values [][]byte) (Fingerprint, error) {
	s, ok := r.scanners.Get().(*scanner)
	if !ok {
		s = new(scanner)
	}
	defer func() {
		s.trim()
		r.scanners.Put(s)
	}()
	s.reset(raw)
	s.urls = r.urls
	s.members = s.members[:0]
	s.enc = append(s.enc[:0], fingerprintSalt...)
	clear(values)

	kept, err := s.value(r.ignore, wanted{names, values})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return Fingerprint{}, describe(err)
	}
	if !kept {
		s.enc = append(s.enc, 'n') // Clean makes null of it
	}
	sum := hash(s.enc)
	var f Fingerprint
	binary.BigEndian.PutUint64(f[:8], sum.hi)
	binary.BigEndian.PutUint64(f[8:], sum.lo)
	return f, nil
}

// fingerprintSalt precedes all that is hashed. It is one word of xxhash long, so
// that the two halves of a sum see the same content in different places.
const fingerprintSalt = "trackops"

// wanted are the top-level members to pick up on the way.
type wanted struct {
	names  []string
	values [][]byte
}

// pick keeps a member's value if it is wanted. rest is what follows the name.
func (w wanted) pick(name, rest []byte) {
	for i, n := range w.names {
		if n == string(name) {
			w.values[i] = bytes.TrimLeft(rest, ": \t\r\n")
		}
	}
}

// A scanner computes a fingerprint. It writes an encoding of the record in which
// same values are the same bytes and none is the beginning of another: a letter
// for the type, then the content, then its end. Arrays are encoded element by
// element; an object as the sum of its members' hashes, which no order changes.
type scanner struct {
	reader
	urls    bool
	enc     []byte   // the encoding, innermost value last
	members []member // of the objects being read, innermost last
	known   nameSet
}

// A member is an object member's name and the hash of its name and value.
type member struct {
	name []byte
	sum  uint128
}

// value encodes the next value, unless it is ignored: then it encodes nothing and
// returns false.
func (s *scanner) value(at *step, want wanted) (kept bool, err error) {
	if at.dropped() {
		_, err := s.next()
		return false, err
	}
	switch s.dec.PeekKind() {
	case '{':
		return true, s.object(at, want)
	case '[':
		return true, s.array(at)
	}
	scalar, err := s.next()
	if err != nil {
		return false, err
	}
	mark := len(s.enc)
	s.enc = appendScalar(s.enc, scalar)
	if s.urls && scalar[0] == '"' && isURL(s.enc[mark+1:len(s.enc)-1]) {
		s.enc = s.enc[:mark]
		return false, nil
	}
	return true, nil
}

func (s *scanner) array(at *step) error {
	if err := s.skipToken(); err != nil {
		return err
	}
	s.enc = append(s.enc, '[')
	for i := 0; s.dec.PeekKind() != ']'; i++ {
		if _, err := s.value(at.element(i), wanted{}); err != nil {
			return err
		}
	}
	s.enc = append(s.enc, ']')
	return s.skipToken()
}

func (s *scanner) object(at *step, want wanted) error {
	if err := s.skipToken(); err != nil {
		return err
	}
	first := len(s.members)
	for s.dec.PeekKind() != '}' {
		if err := s.member(at, want); err != nil {
			return err
		}
	}
	count, sum := s.total(s.members[first:])
	s.members = s.members[:first]
	s.enc = append(s.enc, '{')
	s.enc = binary.BigEndian.AppendUint64(s.enc, count)
	s.enc = binary.BigEndian.AppendUint64(s.enc, sum.hi)
	s.enc = binary.BigEndian.AppendUint64(s.enc, sum.lo)
	return s.skipToken()
}

// member reads one member and remembers its hash, unless it is ignored.
func (s *scanner) member(at *step, want wanted) error {
	quoted, err := s.next()
	if err != nil {
		return err
	}
	name := text(quoted)
	next := at.member(name)
	if s.urls && isURL(name) {
		next = &step{drop: true}
	}
	mark, start := len(s.enc), s.dec.InputOffset()
	s.enc = append(s.enc, fingerprintSalt...)
	s.enc = append(append(s.enc, name...), endOfText)
	kept, err := s.value(next, wanted{})
	if err != nil {
		return err
	}
	end := s.dec.InputOffset()
	want.pick(name, s.raw[start:end:end])
	if kept {
		s.members = append(s.members, member{name, hash(s.enc[mark:])})
	}
	s.enc = s.enc[:mark]
	return nil
}

// total counts and sums up the members that count: of several with one name
// the last.
func (s *scanner) total(members []member) (count uint64, sum uint128) {
	s.known.reset(len(members))
	for i := len(members) - 1; i >= 0; i-- {
		if s.known.add(members[i].name) {
			count++
			sum = sum.plus(members[i].sum)
		}
	}
	return count, sum
}

// trim lets go of memory that one unusually large record took.
func (s *scanner) trim() {
	if cap(s.enc) > maxPooled {
		s.enc = nil
	}
	if cap(s.members) > maxPooled/64 {
		s.members = nil
	}
}

// maxPooled is how many bytes of working memory stay allocated between records.
const maxPooled = 1 << 16

// endOfText ends a string in an encoding; it occurs in no UTF-8.
const endOfText = 0xff

// appendScalar appends the encoding of a string, number, true, false or null.
func appendScalar(dst, scalar []byte) []byte {
	switch scalar[0] {
	case '"':
		return append(appendText(append(dst, 's'), scalar), endOfText)
	case 't', 'f', 'n':
		return append(dst, scalar[0])
	default:
		return append(appendNumber(append(dst, 'd'), scalar), ';')
	}
}

type uint128 struct{ hi, lo uint64 }

// plus adds modulo 2^128. Unlike exclusive or, it does not cancel out when a
// value occurs twice.
func (a uint128) plus(b uint128) uint128 {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi, _ := bits.Add64(a.hi, b.hi, carry)
	return uint128{hi, lo}
}

// hash hashes an encoding that begins with the salt, twice: with and without it.
func hash(salted []byte) uint128 {
	return uint128{xxhash.Sum64(salted), xxhash.Sum64(salted[len(fingerprintSalt):])}
}
