package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/poller"
	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// asSource makes the test binary a source of endless pages, in a process of its
// own, so that what it costs is not counted.
const asSource = "NOTIFIER_TEST_AS_SOURCE"

// BenchmarkPipeline measures a whole page's way: fetch, decode, fingerprint,
// compare, commit, publish, on pages of 100 records of about 800 bytes served
// from loopback. Everything is durable when an iteration, one page, is over:
// records and outbox are synced, events are in the stream.
//
//	go test -run '^$' -bench Pipeline -benchtime 2000x ./cmd/trackops-notifier
func BenchmarkPipeline(b *testing.B) {
	for _, mode := range []string{"new", "unchanged", "changed1percent"} {
		b.Run(mode, func(b *testing.B) { benchPipeline(b, mode) })
	}
}

func benchPipeline(b *testing.B, mode string) {
	source := startSource(b, mode)
	dir := b.TempDir()
	store, err := state.Open(stateFile(dir), state.Options{Hold: embeddedHold})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	server, err := bus.Start(bus.ServerConfig{Dir: natsDir(dir), MaxBytes: 8 << 30})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	nats, err := server.Connect(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer nats.Close()
	if err := nats.Ensure(b.Context(), bus.StreamConfig{MaxAge: time.Hour, MaxBytes: 8 << 30}); err != nil {
		b.Fatal(err)
	}
	client, err := trackops.New(trackops.Config{BaseURL: source, Username: "u", Token: "t", Rate: 1e9, AllowFast: true})
	if err != nil {
		b.Fatal(err)
	}
	var records, events atomic.Int64
	enough := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var want atomic.Int64
	p, err := poller.New(poller.Config{
		Account: "bench", Source: client, Store: store,
		Collections: []trackops.Collection{{Name: "things", Path: "things"}},
		Logger:      slog.New(slog.DiscardHandler),
		Observe: func(p poller.Poll) {
			if p.Err != nil && p.Outcome != "refused" {
				b.Errorf("poll: %v", p.Err)
			}
			for _, n := range p.Events {
				events.Add(int64(n))
			}
			if p.Kind == "baseline" {
				return
			}
			if n := records.Add(int64(p.Records)); want.Load() > 0 && n >= want.Load() {
				select {
				case enough <- struct{}{}:
				default:
				}
			}
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	polled, drained := make(chan error, 1), make(chan error, 1)
	go func() { polled <- p.Run(ctx) }()
	go func() { drained <- store.Drain(ctx, nats.Publish) }()
	for records.Load() == 0 && !b.Failed() { // the baseline
		time.Sleep(time.Millisecond)
	}
	b.ReportAllocs()
	first, firstEvents := records.Load(), events.Load()
	cpu := processorTime(b)
	b.ResetTimer()
	want.Store(first + int64(b.N)*100)
	<-enough
	cancel()
	if err := <-polled; err != nil {
		b.Fatal(err)
	}
	<-drained
	rest, stop := context.WithTimeout(b.Context(), time.Minute)
	defer stop()
	go func() { drained <- store.Drain(rest, nats.Publish) }()
	for pending, _, _ := store.Backlog(""); pending > 0; pending, _, _ = store.Backlog("") {
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	stop()
	<-drained
	n := float64(records.Load() - first)
	b.ReportMetric(n/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64((processorTime(b)-cpu).Microseconds())/n, "cpu-µs/record")
	b.ReportMetric(float64(events.Load()-firstEvents)/n, "events/record")
	b.ReportMetric(float64(memory(b, "RssAnon:"))/(1<<20), "anonymous-MB")
	b.ReportMetric(0, "ns/op")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory returns a line of what the kernel knows of this process's memory, in
// bytes; 0 where there is no such line.
func memory(b *testing.B, name string) int64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0 // not a Linux machine
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb << 10
		}
	}
	return 0
}

// startSource starts the source in another process and returns its address.
func startSource(b *testing.B, mode string) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asSource+"="+mode)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// sourceRecords is how many records the unchanging source has.
const sourceRecords = 100_000

// serveSource serves pages until it is killed. "new": every page but those of
// the baseline holds 100 records that were never shown. Else: a list of
// sourceRecords; "changed1percent" gives one record of each page another version
// whenever it is shown.
func serveSource(mode string) error {
	switch mode {
	case asAccount:
		return serveAccount()
	case asReceiver:
		return serveReceiver()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", l.Addr())
	s := &endlessSource{mode: mode, template: pageTemplate()}
	return http.Serve(l, s)
}

type endlessSource struct {
	mode     string
	template []byte
	lists    int
	next     int
	version  int
}

const (
	idMark      = "100000000"
	versionMark = "200000000"
)

// pageTemplate is a page of 100 records whose ids and versions are nine digits
// in known places.
func pageTemplate() []byte {
	const record = `{"id":` + idMark + `,"name":"Marlowe Investigations Ltd","account_code":"AC-4711","website":"marlowe.example","email_invoice":"billing@marlowe.example","notes":"Prefers reports on Fridays; invoices go to the main office. Conflict check is done before each new case.","has_invoice_reminders":true,"is_active":true,"version":` + versionMark + `,"salesperson_id":17,"case_manager_id":23,"created_at":"2024-05-02 18:11:09","updated_at":"2024-05-03 09:00:00","phone":"+1 555 0100","address_1":"77 Main Street","address_2":"Suite 500","city":"Bay City","state":"CA","zip":"90210","country":"US","credit_limit":"2500.00","balance":"120.50","Salesperson":{"id":17,"name":"Spade, Sam","email":"spade@agency.example"},"CaseManager":{"id":23,"name":"Perine, Effie"},"tags":["vip","insurance","surveillance"]}`
	return []byte("[" + strings.Repeat(record+",", 99) + record + "]")
}

func (s *endlessSource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil || r.URL.Query().Get("mode") == "count" {
		http.Error(w, "no such parameter", http.StatusBadRequest)
		return
	}
	s.lists++
	w.Header().Set("Content-Type", "application/json")
	switch {
	case s.mode == "new" && s.lists <= 2, s.mode != "new" && page > sourceRecords/100:
		_, err = io.WriteString(w, "[]")
	case s.mode == "new":
		_, err = w.Write(s.page(s.next))
		s.next += 100
	default:
		_, err = w.Write(s.page((page - 1) * 100))
	}
	if err != nil {
		return // the reader is gone
	}
}

func (s *endlessSource) page(first int) []byte {
	body := bytes.Clone(s.template)
	size := len(body) / 100
	for i := range 100 {
		at := i*size + bytes.Index(body[i*size:], []byte(`"id":`)) + len(`"id":`)
		copy(body[at:], strconv.Itoa(100_000_000+first+i))
	}
	if s.mode == "changed1percent" {
		s.version++
		at := bytes.Index(body, []byte(versionMark))
		copy(body[at:], strconv.Itoa(200_000_000+s.version))
	}
	return body
}
