package slack

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// A ward is what an engine delivers from, in memory: all its events at once.
type ward struct {
	mu      sync.Mutex
	stream  []events.Stored
	next    int
	settled int
	dead    int
}

func newWard(t *testing.T, all []events.Event) *ward {
	w := &ward{}
	for i, e := range all {
		enc, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		w.stream = append(w.stream, events.Stored{Sequence: uint64(i + 1), Subject: enc.Subject, At: time.Now(), Body: enc.Body})
	}
	return w
}

func (w *ward) Next(ctx context.Context) (events.Stored, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next < len(w.stream) {
		w.next++
		return w.stream[w.next-1], nil
	}
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	return events.Stored{}, ctx.Err()
}

func (w *ward) Read(_ context.Context, sequence uint64) ([]byte, error) {
	return w.stream[sequence-1].Body, nil
}

func (w *ward) Note(context.Context, []byte) error { return nil }

func (w *ward) Settle(context.Context, events.Stored) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settled++
	return nil
}

func (w *ward) Bury(context.Context, events.Stored, string, map[string]string, []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead++
	return nil
}

func (w *ward) done() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.settled == len(w.stream)
}

// Five hundred events at once reach a channel that takes one message a second
// within a minute: in order, each named, without one answer of 429.
func TestABurstOfFiveHundredEvents(t *testing.T) {
	for name, s := range map[string]*settings{
		"webhook": {WebhookURL: "https://hooks.example" + hookPath},
		"web api": {BotToken: token, Channel: "C1", Thread: "record"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeSlack()
				w, took := f.takes(t, s, clients(500, 20, "x"), func(int) time.Duration { return 40 * time.Millisecond })
				if !w.done() || took > time.Minute || w.dead != 0 {
					t.Errorf("%d of 500 settled, %d dead, after %v; want all within a minute", w.settled, w.dead, took)
				}
				if len(f.refused) != 0 {
					t.Errorf("Slack refused: %v", f.refused)
				}
				if told := f.told(); !slices.Equal(told, upTo(500)) {
					t.Errorf("told clients %v, want all in order, each once", told)
				}
			})
		})
	}
}

// A message that takes long on its way is not overtaken.
func TestASlowMessageIsNotOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSlack()
		f.patient = true
		f.takes(t, &settings{WebhookURL: "https://hooks.example/x"}, clients(200, 20, "x"), func(request int) time.Duration {
			return time.Duration(request%3) * 2 * time.Second
		})
		if told := f.told(); !slices.Equal(told, upTo(200)) {
			t.Errorf("told clients %v, want all in order, each once", told)
		}
	})
}

// takes lets an engine deliver all, each request after a delay on its way, and
// returns how long that took.
func (f *fakeSlack) takes(t *testing.T, s *settings, all []events.Event, delay func(request int) time.Duration) (*ward, time.Duration) {
	t.Helper()
	w := newWard(t, all)
	client := &http.Client{Transport: &onItsWay{to: f, delay: delay}}
	c, err := s.connector(client, connectors.Env{Link: recordLink, Memory: &notebook{notes: map[string]string{}}})
	if err != nil {
		t.Fatal(err)
	}
	k := Kind()
	engine := connectors.NewEngine(connectors.Config{
		Name: "alerts", Connector: c, Feed: w, Ledger: w, Graveyard: w,
		History: func(context.Context, func([]byte) error) error { return nil },
		Retry:   k.Retry, Rate: k.Rate, Burst: k.Burst, Timeout: k.Timeout, Concurrency: k.Concurrency,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- engine.Run(ctx) }()
	for !w.done() && time.Since(began) < time.Hour {
		time.Sleep(100 * time.Millisecond)
	}
	took := time.Since(began)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return w, took
}

// told are the clients that the messages name, in the order they arrived.
func (f *fakeSlack) told() []int {
	var all []int
	for _, m := range f.messages() {
		all = append(all, named(m.raw)...)
	}
	return all
}

// onItsWay lets requests and answers take their time.
type onItsWay struct {
	to    *fakeSlack
	delay func(request int) time.Duration
	count atomic.Int64
}

func (o *onItsWay) RoundTrip(req *http.Request) (*http.Response, error) {
	time.Sleep(o.delay(int(o.count.Add(1))))
	resp, err := o.to.RoundTrip(req)
	time.Sleep(160 * time.Millisecond)
	return resp, err
}
