package connectors

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// A backlog is a bus that costs nothing: n events of 1 kB, over some records.
type backlog struct {
	n, records uint64
	next       uint64
	settled    atomic.Uint64
	done       func()
	again      atomic.Uint64
}

func (b *backlog) body(sequence uint64) []byte {
	ev := events.Event{Data: events.Data{
		Account: "acme", Collection: "clients", Action: events.Updated, ID: fmt.Sprint(sequence % b.records), Revision: sequence,
		Changes: []events.Change{{Path: "/name", From: json.RawMessage(`"a"`), To: json.RawMessage(`"b"`)}},
		Record:  json.RawMessage(`{"name":"b","filler":"` + strings.Repeat("x", 700) + `"}`),
	}}.Stamp("k7q2")
	enc, err := ev.Encode()
	if err != nil {
		panic(err)
	}
	return enc.Body
}

func (b *backlog) Next(ctx context.Context) (events.Stored, error) {
	if b.next == b.n {
		<-ctx.Done()
		return events.Stored{}, ctx.Err()
	}
	b.next++
	return events.Stored{Sequence: b.next, Subject: "trackops.acme.clients.updated", At: time.Now(), Body: b.body(b.next)}, nil
}

func (b *backlog) Read(_ context.Context, sequence uint64) ([]byte, error) {
	b.again.Add(1)
	return b.body(sequence), nil
}

func (b *backlog) Note(context.Context, []byte) error { return nil }

func (b *backlog) Settle(context.Context, events.Stored) error {
	if b.settled.Add(1) == b.n {
		b.done()
	}
	return nil
}

func (b *backlog) Bury(context.Context, events.Stored, string, map[string]string, []byte) error {
	return nil
}

func (b *backlog) history(context.Context, func([]byte) error) error { return nil }

func (b *backlog) config(deliver Func) Config {
	return Config{Name: "bench", Connector: deliver, Feed: b, Ledger: b, Graveyard: b, History: b.history, Concurrency: 64}
}

// BenchmarkEngine measures what the engine itself costs per delivery, encoding
// the events included.
func BenchmarkEngine(b *testing.B) {
	for _, records := range []uint64{20_000, 100} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			b.ReportAllocs()
			ctx, cancel := context.WithCancel(b.Context())
			bus := &backlog{n: uint64(b.N), records: records, done: cancel}
			cfg := bus.config(func(context.Context, Delivery) error { return nil })
			if err := NewEngine(cfg).Run(ctx); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(bus.again.Load())/float64(b.N), "rereads/op")
		})
	}
}

// BenchmarkPending measures the memory of events that wait behind failures: one
// each of many records, and many of one.
func BenchmarkPending(b *testing.B) {
	for _, records := range []uint64{100_000, 1} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			const pending = 100_000
			for b.Loop() {
				ctx, cancel := context.WithCancel(b.Context())
				bus := &backlog{n: pending, records: records}
				cfg := bus.config(func(context.Context, Delivery) error { return status(500) })
				cfg.Retry, cfg.MaxWaiting = []time.Duration{time.Hour, time.Hour}, pending
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				e, done := NewEngine(cfg), make(chan error, 1)
				go func() { done <- e.Run(ctx) }()
				for s := e.Stats(); s.Waiting < pending || s.InFlight > 0; s = e.Stats() {
					<-time.After(time.Millisecond)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/pending, "B/pending")
				cancel()
				<-done
			}
		})
	}
}
