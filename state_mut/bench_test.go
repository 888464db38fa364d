package state

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// sample returns a record of some 900 bytes as an agency's case could look: the
// names of its fields are Trackops', the words are drawn at random.
func sample(i int) []byte {
	r := rand.New(rand.NewPCG(uint64(i), 7))
	words := strings.Fields("surveillance claimant vehicle registered interview statement subject observed location report residence insurance adjuster attorney witness activity background check social media canvass photographs video evidence request client updated pending approved assigned mileage court records search Spade Marlowe Holmes Archer Millhone Warshawski Ramotswe Poirot Marple Rebus Wallander")
	text := func(n int) string {
		var s []string
		for range n {
			s = append(s, words[r.IntN(len(words))])
		}
		return strings.Join(s, " ")
	}
	at := func() string {
		return fmt.Sprintf("2026-%02d-%02d %02d:%02d:%02d", 1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60))
	}
	return fmt.Appendf(nil, `{"id":%d,"casefile_id":%d,"client_id":%d,"status":"%s","case_number":"2026-%06d","reference_value_1":"%s","reference_value_2":null,"created_on":"%.10s","due_on":"%.10s","budget_money":"%d.50","budget_hours":"%d","notes":"%s","case_location":"%s","created_at":"%s","updated_at":"%s","deleted_at":null,"Client":{"id":%d,"name":"%s Insurance","account_code":"A%05d","website":"https://www.%s.com"},"PrimaryContact":{"id":%d,"first_name":"%s","last_name":"%s","email":"%s.%d@example.com"},"CaseType":{"id":%d,"name":"%s"},"CaseStatus":{"id":%d,"name":"%s"},"CustomFields":[{"id":%d,"value":"%s"},{"id":%d,"value":"%s"}]}`,
		i, r.IntN(1e6), r.IntN(1e5), text(1), i, strings.ToUpper(text(1)), at(), at(), r.IntN(5000), r.IntN(80), text(14), text(4), at(), at(),
		r.IntN(1e5), text(2), r.IntN(1e5), text(1), r.IntN(1e5), text(1), text(1), text(1), r.IntN(1000),
		r.IntN(9), text(1), r.IntN(9), text(1), r.IntN(99), text(2), r.IntN(99), text(3))
}

func sampleRecord(i int) Record {
	now := time.Unix(1.79e9, 120e6)
	return Record{
		ID: fmt.Sprint(i), Revision: 1, Fingerprint: [16]byte(fmt.Appendf(nil, "%016d", i)),
		Created: time.Unix(1.5e9+int64(i)*60, 0), Updated: now, Observed: now, Document: sample(i),
	}
}

// BenchmarkAnswer stores answers of 100 new records with an event each, every one
// in a transaction of its own that is synced.
func BenchmarkAnswer(b *testing.B) {
	for _, withEvents := range []bool{true, false} {
		b.Run(fmt.Sprintf("events=%v", withEvents), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "state.db")
			s := open(b, path, Options{})
			var answers [][]Record
			var bodies [][]events.Encoded
			for a := range 50 {
				var records []Record
				var evs []events.Encoded
				for i := range 100 {
					rec := sampleRecord(100*a + i)
					e, err := events.Event{Data: events.Data{
						Account: "acme", Collection: "clients", Action: events.Created, ID: rec.ID, Revision: 1,
						ObservedAt: rec.Observed, Record: rec.Document,
					}}.Stamp(s.Epoch()).Encode()
					if err != nil {
						b.Fatal(err)
					}
					records, evs = append(records, rec), append(evs, e)
				}
				answers, bodies = append(answers, records), append(bodies, evs)
			}
			n := 0
			for b.Loop() {
				err := s.Update(func(tx *Tx) error {
					r := tx.Records("acme", "clients")
					for i, rec := range answers[n%len(answers)] {
						rec.ID = fmt.Sprint(100*n + i)
						if err := r.Put(rec); err != nil {
							return err
						}
						if withEvents {
							if err := tx.Append(bodies[n%len(bodies)][i]); err != nil {
								return err
							}
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(100*n)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(used(b, path))/float64(100*n), "B/record")
		})
	}
}

// used is how much of the file is in use: its high-water mark.
func used(b *testing.B, path string) int64 {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	return metaLength(f)
}

// BenchmarkDrain hands events to a stream that costs nothing.
func BenchmarkDrain(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "state.db"), Options{Hold: time.Second})
	for i := 0; i < b.N; i += 1000 {
		appendEvents(b, s, "acme", i, min(1000, b.N-i))
	}
	ctx, cancel := context.WithCancel(b.Context())
	n := 0
	b.ResetTimer()
	err := s.Drain(ctx, func(context.Context, events.Encoded) (uint64, error) {
		if n++; n == b.N {
			cancel()
		}
		return uint64(n), nil
	})
	if !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkMillion builds a state of 1,000,000 records once, and measures what is
// asked of it.
func BenchmarkMillion(b *testing.B) {
	const million = 1_000_000
	path := filepath.Join(b.TempDir(), "state.db")
	s := open(b, path, Options{})
	begin := time.Now()
	for i := 0; i < million; i += 10_000 {
		err := s.Update(func(tx *Tx) error {
			for j := range 10_000 {
				if err := tx.Records("acme", "clients").Put(sampleRecord(i + j)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("built in %v, %d MB, %d B/record", time.Since(begin).Round(time.Second), used(b, path)>>20, used(b, path)/million)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			s, err := Open(path, Options{})
			if err == nil {
				err = s.Close()
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	s = open(b, path, Options{})
	ids := make([]string, 1<<16)
	for i := range ids {
		ids[i] = fmt.Sprint(rand.IntN(million))
	}
	page := make([]string, 1<<16)
	for i := range page {
		page[i] = fmt.Sprint(300_000 + i)
	}
	inTx := func(name string, warm bool, fn func(r *Records, i int)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			view(b, s, func(tx *Tx) {
				r := tx.Records("acme", "clients")
				if warm {
					for i := range ids {
						fn(r, i)
					}
				}
				for i := 0; b.Loop(); i++ {
					fn(r, i)
				}
			})
		})
	}
	metaOf := func(ids []string) func(*Records, int) {
		return func(r *Records, i int) {
			if _, ok := r.Meta(ids[i%len(ids)]); !ok {
				b.Fatal("not found")
			}
		}
	}
	inTx("meta random, pages not yet mapped", false, metaOf(ids))
	inTx("meta random", true, metaOf(ids))
	inTx("meta in order, pages not yet mapped", false, metaOf(page))
	inTx("meta in order", true, metaOf(page))
	inTx("get random", true, func(r *Records, i int) {
		if _, ok, err := r.Get(ids[i%len(ids)]); !ok || err != nil {
			b.Fatal(err)
		}
	})
	inTx("count all", false, func(r *Records, _ int) {
		if n := r.CountUpTo(time.Now().AddDate(100, 0, 0)); n != million {
			b.Fatal(n)
		}
	})
	inTx("len", false, func(r *Records, _ int) { r.Len() })
	b.Run("update 100 random", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			err := s.Update(func(tx *Tx) error {
				for i := range 100 {
					rec := sampleRecord(rand.IntN(million))
					rec.Revision = uint64(i)
					if err := tx.Records("acme", "clients").Put(rec); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	begin = time.Now()
	if err := s.Check(); err != nil {
		b.Fatal(err)
	}
	b.Logf("checked in %v", time.Since(begin).Round(100*time.Millisecond))
}

// BenchmarkCompression is the comparison in pack.go.
func BenchmarkCompression(b *testing.B) {
	var samples [][]byte
	raw := 0
	for i := range 1000 {
		samples = append(samples, sample(100_000+i))
		raw += len(samples[i])
	}
	coder := func(o ...zstd.EOption) *zstd.Encoder {
		e, err := zstd.NewWriter(nil, append(o, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))...)
		if err != nil {
			b.Fatal(err)
		}
		return e
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderDictRaw(1, []byte(dictionary)))
	if err != nil {
		b.Fatal(err)
	}
	plain, primed := coder(), coder(zstd.WithEncoderDictRaw(1, []byte(dictionary)))
	unzstd := func(dst, src []byte) ([]byte, error) { return decoder.DecodeAll(src, dst[:0]) }
	for _, c := range []struct {
		name   string
		encode func(dst, src []byte) []byte
		decode func(dst, src []byte) ([]byte, error)
	}{
		{"s2", s2.Encode, s2.Decode},
		{"s2-dictionary", dict.Encode, dict.Decode},
		{"zstd", func(dst, src []byte) []byte { return plain.EncodeAll(src, dst[:0]) }, unzstd},
		{"zstd-dictionary", func(dst, src []byte) []byte { return primed.EncodeAll(src, dst[:0]) }, unzstd},
	} {
		room := make([]byte, 8192)
		packed := make([][]byte, len(samples))
		size := 0
		for i, s := range samples {
			packed[i] = append([]byte(nil), c.encode(room, s)...)
			size += len(packed[i])
		}
		b.Run(c.name+"/compress", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				c.encode(room, samples[i%len(samples)])
			}
			b.ReportMetric(float64(raw)/float64(len(samples)), "B/raw")
			b.ReportMetric(float64(size)/float64(len(samples)), "B/packed")
		})
		b.Run(c.name+"/decompress", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if _, err := c.decode(room, packed[i%len(packed)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
