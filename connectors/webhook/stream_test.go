package webhook

import (
	"context"
	"encoding/json"
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// A stream is all that an engine needs around it, in memory.
type stream struct {
	events chan events.Stored

	mu    sync.Mutex
	all   []events.Stored
	notes []connectors.Note
	dead  []string // ids
}

func newStream() *stream { return &stream{events: make(chan events.Stored, 100)} }

func (s *stream) publish(t *testing.T, all ...events.Event) {
	t.Helper()
	for _, e := range all {
		enc, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		stored := events.Stored{Sequence: uint64(len(s.all) + 1), Subject: enc.Subject, At: time.Now(), Body: enc.Body}
		s.all = append(s.all, stored)
		s.mu.Unlock()
		s.events <- stored
	}
}

func (s *stream) Next(ctx context.Context) (events.Stored, error) {
	select {
	case e := <-s.events:
		return e, nil
	case <-ctx.Done():
		return events.Stored{}, ctx.Err()
	}
}

func (s *stream) Read(_ context.Context, sequence uint64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sequence == 0 || sequence > uint64(len(s.all)) {
		return nil, fs.ErrNotExist
	}
	return s.all[sequence-1].Body, nil
}

func (s *stream) Note(_ context.Context, line []byte) error {
	var n connectors.Note
	if err := json.Unmarshal(line, &n); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, n)
	return nil
}

func (s *stream) Settle(context.Context, events.Stored) error { return nil }

func (s *stream) Bury(_ context.Context, _ events.Stored, id string, _ map[string]string, _ []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = append(s.dead, id)
	return nil
}

func (s *stream) history(context.Context, func([]byte) error) error { return nil }

// outcomes returns what the ledger says of the events with id, in order.
func (s *stream) outcomes(id string) []connectors.Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []connectors.Outcome
	for _, n := range s.notes {
		if n.EventID == id {
			all = append(all, n.Outcome)
		}
	}
	return all
}

// engine starts an engine for c, which ends with the test.
func (s *stream) engine(t *testing.T, c connectors.Connector, retry ...time.Duration) *connectors.Engine {
	t.Helper()
	e := connectors.NewEngine(connectors.Config{
		Name: "hook", Connector: c, Feed: s, Ledger: s, Graveyard: s, History: s.history,
		Retry: retry, Timeout: 700 * time.Millisecond,
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return e
}

// until waits for ok.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
