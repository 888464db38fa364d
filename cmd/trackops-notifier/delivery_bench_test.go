package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/webhook"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// asReceiver makes the test binary a webhook endpoint that accepts everything, in
// a process of its own, so that what it costs is not counted.
const asReceiver = "receiver"

func serveReceiver() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", l.Addr())
	return http.Serve(l, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the sender's trouble
	}))
}

// A post office is an embedded server with a stream to deliver from.
type postOffice struct {
	b      *testing.B
	bus    *bus.Bus
	number uint64
}

func openPostOffice(b *testing.B) *postOffice {
	b.Helper()
	server, err := bus.Start(bus.ServerConfig{Dir: b.TempDir(), MaxBytes: 8 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(server.Close)
	client, err := server.Connect(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	if err := client.Ensure(b.Context(), bus.StreamConfig{MaxAge: time.Hour, MaxBytes: 8 << 30}); err != nil {
		b.Fatal(err)
	}
	return &postOffice{b: b, bus: client}
}

// publish puts an event of about 1 kB into the stream.
func (p *postOffice) publish(ctx context.Context, observed time.Time) {
	p.b.Helper()
	p.number++
	e, err := events.Event{Source: events.Source("acme"), Data: events.Data{
		Account: "acme", Collection: "clients", Action: events.Updated, ID: strconv.FormatUint(p.number%5000, 10), Revision: p.number,
		ObservedAt: observed,
		Changes:    []events.Change{{Path: "/name", From: json.RawMessage(`"Acme"`), To: json.RawMessage(`"Acme Ltd"`)}},
		Record:     json.RawMessage(`{"id":1042,"name":"Acme Ltd","notes":"` + strings.Repeat("n", 550) + `"}`),
	}}.Stamp("k7q2").Encode()
	if err != nil {
		p.b.Fatal(err)
	}
	if _, err := p.bus.Publish(ctx, e); err != nil && ctx.Err() == nil {
		p.b.Fatal(err)
	}
}

func (p *postOffice) attach(name string) *bus.Feed {
	p.b.Helper()
	feed, err := p.bus.Attach(p.b.Context(), name, []string{"trackops.acme.clients.*"})
	if err != nil {
		p.b.Fatal(err)
	}
	p.b.Cleanup(feed.Close)
	return feed
}

// deliver runs a connector to an address until the benchmark ends.
func (p *postOffice) deliver(name string, feed *bus.Feed, target connectors.Connector, settled func(n connectors.Note)) *connectors.Engine {
	p.b.Helper()
	engine := connectors.NewEngine(connectors.Config{
		Name: name, Connector: target, Feed: feed, Ledger: feed, Graveyard: feed, History: feed.History, Memory: feed,
		Retry:    webhook.Kind().Retry,
		Logger:   slog.New(slog.DiscardHandler),
		Observer: connectors.Observer{Settled: settled},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	p.b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			p.b.Error(err)
		}
	})
	return engine
}

func hookTo(b *testing.B, address string) connectors.Connector {
	b.Helper()
	cfg, err := loadConfig([]string{
		"TRACKOPS_API_SUBDOMAIN=acme", "TRACKOPS_API_USERNAME=u", "TRACKOPS_API_TOKEN=t", "DATA_DIR=" + b.TempDir(),
		"CONNECTOR_CRM_TYPE=webhook", "CONNECTOR_CRM_URL=" + address + "/hook",
		"CONNECTOR_CRM_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	}, kinds())
	if err != nil {
		b.Fatal(err)
	}
	target, err := cfg.Connectors[0].New(connectors.Env{Stdout: nowhere{}})
	if err != nil {
		b.Fatal(err)
	}
	return target
}

// BenchmarkDelivery works off a backlog of b.N events of 1 kB with signed requests
// to an endpoint on loopback. What it costs is compared with the requests alone,
// made by as many workers of net/http in the same run.
//
//	go test -run '^$' -bench 'Delivery$' -benchtime 20000x ./cmd/trackops-notifier
func BenchmarkDelivery(b *testing.B) {
	address := startSource(b, asReceiver)
	office := openPostOffice(b)
	feed := office.attach("crm")
	for range b.N {
		office.publish(b.Context(), time.Now())
	}
	var settled atomic.Int64
	all := make(chan struct{})
	cpu, bare := processorTime(b), time.Duration(0)
	b.ResetTimer()
	office.deliver("crm", feed, hookTo(b, address), func(n connectors.Note) {
		if n.Outcome != connectors.Delivered {
			b.Errorf("%s: %s", n.EventID, n.Error)
		}
		if settled.Add(1) == int64(b.N) {
			close(all)
		}
	})
	<-all
	b.StopTimer()
	spent := processorTime(b) - cpu
	bare = postAll(b, address, b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(spent.Seconds()*1000/float64(b.N), "cpu-ms/delivery")
	b.ReportMetric(b.Elapsed().Seconds()/bare.Seconds(), "times-bare-requests")
	b.ReportMetric(float64(memory(b, "RssAnon:"))/(1<<20), "anonymous-MB")
	b.ReportMetric(0, "ns/op")
}

// postAll makes n requests of 1 kB with sixteen workers, and says how long it took.
func postAll(b *testing.B, address string, n int) time.Duration {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	body := strings.Repeat("x", 1024)
	jobs, done := make(chan struct{}, n), make(chan error, 16)
	for range n {
		jobs <- struct{}{}
	}
	close(jobs)
	began := time.Now()
	for range 16 {
		go func() {
			for range jobs {
				resp, err := client.Post(address, "application/json", strings.NewReader(body))
				if err != nil {
					done <- err
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			done <- nil
		}()
	}
	for range 16 {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}

// BenchmarkDeliveryLatency publishes fifty events a second and measures from the
// publication to the receipt.
//
//	go test -run '^$' -bench DeliveryLatency -benchtime 1000x ./cmd/trackops-notifier
func BenchmarkDeliveryLatency(b *testing.B) {
	office := openPostOffice(b)
	feed := office.attach("crm")
	received := make(chan time.Duration, b.N)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go http.Serve(l, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		now := time.Now()
		e, decodeErr := events.Decode(body)
		if err != nil || decodeErr != nil {
			b.Error(err, decodeErr)
		}
		received <- now.Sub(e.Data.ObservedAt)
	}))
	b.Cleanup(func() { l.Close() })
	office.deliver("crm", feed, hookTo(b, "http://"+l.Addr().String()), nil)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var all []time.Duration
	b.ResetTimer()
	for range b.N {
		<-tick.C
		office.publish(b.Context(), time.Now())
	}
	for range b.N {
		all = append(all, <-received)
	}
	b.StopTimer()
	slices.Sort(all)
	for _, p := range []int{50, 95, 99} {
		b.ReportMetric(all[min(len(all)*p/100, len(all)-1)].Seconds()*1000, fmt.Sprintf("ms-p%d", p))
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkDeliveryOneDead works off the same backlog for three connectors, one of
// whose endpoints takes no connection, and compares that with all three well.
//
//	go test -run '^$' -bench DeliveryOneDead -benchtime 20000x ./cmd/trackops-notifier
func BenchmarkDeliveryOneDead(b *testing.B) {
	address := startSource(b, asReceiver)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	dead := "http://" + l.Addr().String()
	l.Close()
	var took [2]time.Duration
	for i, third := range []string{address, dead} {
		office := openPostOffice(b)
		endpoints := map[string]string{"one": address, "two": address, "three": third}
		feeds := map[string]*bus.Feed{}
		for name := range endpoints {
			feeds[name] = office.attach(name)
		}
		for range b.N {
			office.publish(b.Context(), time.Now())
		}
		var settled atomic.Int64
		both := make(chan struct{})
		began := time.Now()
		for name, endpoint := range endpoints {
			office.deliver(name, feeds[name], hookTo(b, endpoint), func(connectors.Note) {
				if name != "three" && settled.Add(1) == int64(2*b.N) {
					close(both)
				}
			})
		}
		<-both
		took[i] = time.Since(began)
	}
	b.ReportMetric(took[1].Seconds(), "s-one-dead")
	b.ReportMetric(took[0].Seconds(), "s-all-well")
	b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "ratio")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkDeliveryPending holds b.N events whose endpoint is away, and measures
// what that takes of memory.
//
//	go test -run '^$' -bench DeliveryPending -benchtime 100000x ./cmd/trackops-notifier
func BenchmarkDeliveryPending(b *testing.B) {
	office := openPostOffice(b)
	feed := office.attach("crm")
	for range b.N {
		office.publish(b.Context(), time.Now())
	}
	before := memory(b, "RssAnon:")
	away := connectors.Func(func(context.Context, connectors.Delivery) error { return os.ErrDeadlineExceeded })
	engine := office.deliver("crm", feed, away, nil)
	most := min(b.N, 50_000) // the stream keeps the rest
	for s := engine.Stats(); s.Pending < most; s = engine.Stats() {
		time.Sleep(10 * time.Millisecond)
	}
	pending, outstanding, err := feed.Pending(b.Context())
	if err != nil || int(pending)+outstanding != b.N {
		b.Errorf("%d and %d pending, want %d: %v", pending, outstanding, b.N, err)
	}
	b.ReportMetric(float64(memory(b, "RssAnon:"))/(1<<20), "anonymous-MB")
	b.ReportMetric(float64(memory(b, "RssAnon:")-before)/(1<<20), "MB-more")
	b.ReportMetric(0, "ns/op")
}
