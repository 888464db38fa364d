package bus

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// cpu is the processor time this process has used: server and client.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(b *testing.B, used time.Duration) {
	b.Helper()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/event")
}

func benchEvents(b *testing.B) []events.Encoded {
	b.Helper()
	all := make([]events.Encoded, b.N)
	record := `{"id":1042,"notes":"` + strings.Repeat("x", 800) + `"}`
	for i := range all {
		all[i] = event(b, "acme", i+1, record)
	}
	return all
}

func BenchmarkPublish(b *testing.B) {
	r := newRig(b)
	all := benchEvents(b)
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu(b)
	for _, e := range all {
		if _, err := r.Publish(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	report(b, cpu(b)-before)
}

func BenchmarkFeed(b *testing.B) {
	r := newRig(b)
	f := r.attach(b, "slack")
	for _, e := range benchEvents(b) {
		if _, err := r.Publish(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu(b)
	for range b.N {
		ev, err := f.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if err := f.Settle(b.Context(), ev); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	report(b, cpu(b)-before)
}

// BenchmarkNote is what a delivery costs beside the delivery.
func BenchmarkNote(b *testing.B) {
	r := newRig(b)
	f := r.attach(b, "slack")
	note := []byte(strings.Repeat("x", 200))
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		if err := f.Note(b.Context(), note); err != nil {
			b.Fatal(err)
		}
	}
	report(b, cpu(b)-before)
}
