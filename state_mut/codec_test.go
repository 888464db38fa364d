package state

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// noise is a kilobyte that does not compress.
func noise(seed int) []byte {
	b := make([]byte, 1024)
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestDocumentsThatDoNotCompressAreStoredAsTheyAre(t *testing.T) {
	for _, document := range [][]byte{nil, []byte("x"), []byte("0123456789abcdef"), noise(1)} {
		v, _ := encodeVersion(Record{ID: "1", Document: document}, nil)
		rec, err := decodeVersion("1", v)
		if err != nil || string(rec.Document) != string(document) || len(v) > fixedPart+1+len(document) {
			t.Errorf("%d bytes are stored in %d and read back as %d, %v", len(document), len(v), len(rec.Document), err)
		}
	}
}

// TestEveryFlippedBitIsNoticed, in a record as in an event.
func TestEveryFlippedBitIsNoticed(t *testing.T) {
	rec := Record{
		ID: "1", Revision: 300, Created: time.Unix(1e9, 5), Updated: time.Unix(1e9, 0), Observed: time.Now(),
		Document: []byte(strings.Repeat(`{"id":1,"name":"Spade"}`, 5)),
	}
	version, _ := encodeVersion(rec, nil)
	entry, _, err := encodeEntry(event("acme", 1, 1, "abcdef"), "abcdef", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		value  []byte
		decode func([]byte) error
	}{
		"record": {version, func(v []byte) error { _, err := decodeVersion("1", v); return err }},
		"event":  {entry, func(v []byte) error { _, err := decodeEntry("acme", v, "abcdef"); return err }},
	} {
		if err := c.decode(c.value); err != nil {
			t.Errorf("%s as it was: %v", name, err)
		}
		for i := range 8 * len(c.value) {
			c.value[i/8] ^= 1 << (i % 8)
			if c.decode(c.value) == nil {
				t.Errorf("%s: bit %d of byte %d may flip", name, i%8, i/8)
			}
			c.value[i/8] ^= 1 << (i % 8)
		}
		for n := range c.value {
			if c.decode(c.value[:n]) == nil {
				t.Errorf("%s: %d of %d bytes are enough", name, n, len(c.value))
			}
		}
	}
}

func TestAnUnreadableRecordIsNamedAndFailsTheTransaction(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "state.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fill(t, s, "acme", 20)
	tamper(t, s, func(b *bolt.Tx) error {
		versions := newTx(b).Records("acme", "clients").versions
		v := append([]byte(nil), versions.Get([]byte("1010"))...)
		v[10] ^= 1
		return versions.Put([]byte("1010"), v)
	})
	for name, use := range map[string]func(*Tx) error{
		"Meta": func(tx *Tx) error { tx.Records("acme", "clients").Meta("1010"); return nil },
		"Get":  func(tx *Tx) error { _, _, err := tx.Records("acme", "clients").Get("1010"); return err },
		"Put":  func(tx *Tx) error { return tx.Records("acme", "clients").Put(Record{ID: "1010"}) },
		"All":  func(tx *Tx) error { return tx.Records("acme", "clients").All(func(Record) error { return nil }) },
		"Range": func(tx *Tx) error {
			tx.Records("acme", "clients").Range(time.Time{}, time.Time{}, func(Meta) bool { return true })
			return nil
		},
	} {
		for transaction, run := range map[string]func(func(*Tx) error) error{"Update": s.Update, "View": s.View} {
			if name == "Put" && transaction == "View" {
				continue
			}
			err := run(use)
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), `record "1010" of acme/clients`) {
				t.Errorf("%s in %s: %v, want ErrCorrupt and the record's name", name, transaction, err)
			}
		}
	}
	if err := s.Check(); err == nil {
		t.Error("Check does not see it")
	}
}

// seal makes the checksum of a value right, so that the fuzzer gets past it.
func seal(b []byte, from, to int) []byte {
	if len(b) < to || to <= from {
		return b
	}
	v := append([]byte(nil), b...)
	binary.LittleEndian.PutUint32(v, crc32.Checksum(v[from:to], castagnoli))
	return v
}

// FuzzDecode: no value whatsoever makes decoding panic, and what is decoded is
// what was encoded.
func FuzzDecode(f *testing.F) {
	v, _ := encodeVersion(Record{ID: "1", Revision: 3, Created: time.Unix(1, 2), Document: []byte(strings.Repeat("ab", 50))}, nil)
	e, _, err := encodeEntry(event("acme", 1, 1, "abcdef"), "abcdef", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(v)
	f.Add(e)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v := range [][]byte{b, seal(b, 4, fixedPart), seal(b, 4, len(b))} {
			if rec, err := decodeVersion("1", v); err == nil {
				again, _ := encodeVersion(rec, nil)
				if got, err := decodeVersion("1", again); err != nil || !reflect.DeepEqual(got, rec) {
					t.Errorf("%v became %v, %v", rec, got, err)
				}
			}
			if e, err := decodeEntry("acme", v, "abcdef"); err == nil && e.ID == "" {
				t.Errorf("an event without an id: %v", e)
			}
			_, _ = decodeTally(v)
			_, _ = decodeWaiting(v)
			_, _ = decodeTaken(v)
			_ = createdID(v)
		}
		e := events.Encoded{ID: "a_b_c_1_abcdef", Account: "acme", Subject: string(b), Body: append([]byte(`{"id":"a_b_c_1_abcdef","x":"`), b...)}
		v, _, err := encodeEntry(e, "abcdef", nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeEntry("acme", v, "abcdef")
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%v became %v, %v", e, got, err)
		}
	})
}
