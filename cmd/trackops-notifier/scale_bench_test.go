package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/poller"
	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// asAccount, as the mode of asSource, serves a simulated account that lives.
const asAccount = "account"

func serveAccount() error {
	account := trackopstest.New(trackopstest.Options{Seed: 1, Records: 80, Keep: 1000})
	go account.Live(context.Background(), 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s%s\n", l.Addr(), trackopstest.BasePath)
	return http.Serve(l, account.Handler())
}

// BenchmarkAccounts measures what accounts cost that are polled at one request a
// second each, in one process with one state file: an iteration is a second.
//
//	go test -run '^$' -bench Accounts -benchtime 30x ./cmd/trackops-notifier
func BenchmarkAccounts(b *testing.B) {
	for _, n := range []int{1, 10, 50, 200} {
		b.Run(strconv.Itoa(n), func(b *testing.B) { benchAccounts(b, n) })
	}
}

func benchAccounts(b *testing.B, n int) {
	source := startSource(b, asAccount)
	store, err := state.Open(stateFile(b.TempDir()), state.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	var requests, refused atomic.Int64
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var group errgroup.Group
	for i := range n {
		client, err := trackops.New(trackops.Config{BaseURL: source, Username: "u", Token: "t", Rate: 1})
		if err != nil {
			b.Fatal(err)
		}
		p, err := poller.New(poller.Config{
			Account: fmt.Sprint("account-", i), Source: client, Store: store, Rate: 1,
			Collections: trackops.Collections(), Logger: slog.New(slog.DiscardHandler),
			Observe: func(p poller.Poll) {
				requests.Add(1)
				if p.Err != nil {
					refused.Add(1)
				}
			},
		})
		if err != nil {
			b.Fatal(err)
		}
		group.Go(func() error { return p.Run(ctx) })
	}
	group.Go(func() error {
		err := store.Drain(ctx, func(context.Context, events.Encoded) (uint64, error) { return 1, nil })
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	time.Sleep(5 * time.Second)
	first, cpu, start := requests.Load(), processorTime(b), time.Now()
	b.ResetTimer()
	for b.Loop() {
		time.Sleep(time.Second)
	}
	b.StopTimer()
	took := time.Since(start).Seconds()
	b.ReportMetric(float64(requests.Load()-first)/took/float64(n), "requests/s/account")
	b.ReportMetric(100*(processorTime(b)-cpu).Seconds()/took, "cpu-%")
	b.ReportMetric(float64(memory(b, "RssAnon:"))/(1<<20), "anonymous-MB")
	b.ReportMetric(float64(refused.Load()), "errors")
	b.ReportMetric(0, "ns/op")
	cancel()
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkMillion measures a state of 1,000,000 records: how large it is, how
// long it takes to open, and the memory that is not the mapped file while its
// collection is polled.
//
//	go test -run '^$' -bench Million -benchtime 2000x ./cmd/trackops-notifier
func BenchmarkMillion(b *testing.B) {
	const records = 1_000_000
	source := startSource(b, "unchanged")
	file := stateFile(b.TempDir())
	built := time.Now()
	fillState(b, file, records)
	b.Logf("%d records written in %s", records, time.Since(built).Round(time.Second))
	opened := time.Now()
	store, err := state.Open(file, state.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	opening := time.Since(opened)
	client, err := trackops.New(trackops.Config{BaseURL: source, Username: "u", Token: "t", Rate: 1e9, AllowFast: true})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	polls := make(chan struct{})
	p, err := poller.New(poller.Config{
		Account: "bench", Source: client, Store: store,
		Collections: []trackops.Collection{{Name: "things", Path: "things"}},
		Logger:      slog.New(slog.DiscardHandler),
		Observe: func(poller.Poll) {
			select {
			case polls <- struct{}{}:
			case <-ctx.Done():
			}
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	b.ResetTimer()
	for b.Loop() {
		<-polls
	}
	b.StopTimer()
	info, err := os.Stat(file)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(memory(b, "RssAnon:"))/(1<<20), "anonymous-MB")
	b.ReportMetric(float64(info.Size())/(1<<20), "file-MB")
	b.ReportMetric(float64(info.Size())/records, "B/record")
	b.ReportMetric(float64(opening.Microseconds())/1000, "open-ms")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// fillState writes records as the endless source shows them, and a cursor that
// says that they are the baseline.
func fillState(b *testing.B, file string, records int) {
	b.Helper()
	store, err := state.Open(file, state.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	const batch = 10_000
	document := string(pageTemplate())
	document = document[1:strings.Index(document, "},{\"id\"")] + "}"
	cursor, err := json.Marshal(map[string]any{"live": true, "capacity": 100})
	if err != nil {
		b.Fatal(err)
	}
	for first := 0; first < records; first += batch {
		err := store.Update(func(tx *state.Tx) error {
			r := tx.Records("bench", "things")
			for i := first; i < first+batch; i++ {
				id := strconv.Itoa(100_000_000 + i)
				err := r.Put(state.Record{ID: id, Revision: 1, Observed: time.Now(), Created: time.Unix(1.7e9+int64(i), 0),
					Document: []byte(strings.Replace(document, idMark, id, 1))})
				if err != nil {
					return err
				}
			}
			return tx.SetCursor("bench", "things", cursor)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
