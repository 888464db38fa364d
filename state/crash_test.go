package state

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// writerFolder makes the test binary the process that is killed.
const writerFolder = "STATE_TEST_WRITER_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerFolder); dir != "" {
		fmt.Fprintln(os.Stderr, write(dir, os.Stdout))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// answerSize is how many records one answer changes.
const answerSize = 10

// streamFile is a stream in a file: a line "sequence id" for each message. Like
// the page cache, and unlike a stream that syncs lazily, it survives a kill.
type streamFile struct {
	f    *os.File
	tail Tail
	seen map[string]bool
}

func openStream(dir string) (*streamFile, error) {
	f, err := os.OpenFile(filepath.Join(dir, "stream"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	s := &streamFile{f: f, seen: map[string]bool{}}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		m := Message{Account: "acme"}
		if _, err := fmt.Sscan(lines.Text(), &m.Sequence, &m.ID); err != nil {
			return nil, err
		}
		s.add(m)
	}
	return s, lines.Err()
}

func (s *streamFile) add(m Message) {
	s.tail.First, s.tail.Last, s.tail.AccountLast = 1, m.Sequence, m.Sequence
	s.tail.Messages = append(s.tail.Messages, m)
	s.seen[m.ID] = true
}

func (s *streamFile) publish(_ context.Context, e events.Encoded) (uint64, error) {
	if s.seen[e.ID] {
		return 0, fmt.Errorf("%s is in the stream already", e.ID)
	}
	m := Message{s.tail.Last + 1, "acme", e.ID}
	if _, err := fmt.Fprintln(s.f, m.Sequence, m.ID); err != nil {
		return 0, err
	}
	s.add(m)
	return m.Sequence, nil
}

// startAt opens and reconciles a store as the program does.
func startAt(dir string, stream *streamFile) (*Store, error) {
	s, err := Open(filepath.Join(dir, "state.db"), Options{Hold: 50 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	r, err := s.Reconcile("acme", stream.tail)
	if err == nil && (r.Foreign || r.Requeued > 0) {
		err = fmt.Errorf("reconcile = %+v", r)
	}
	return s, err
}

// write stores answers and drains the outbox until it is killed, and writes a
// byte for each published event.
func write(dir string, progress io.Writer) error {
	stream, err := openStream(dir)
	if err != nil {
		return err
	}
	s, err := startAt(dir, stream)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() {
		failed <- s.Drain(context.Background(), func(ctx context.Context, e events.Encoded) (uint64, error) {
			n, err := stream.publish(ctx, e)
			if err == nil {
				_, err = progress.Write([]byte("."))
			}
			return n, err
		})
	}()
	for {
		if err := s.Update(answer); err != nil {
			return err
		}
		select {
		case err := <-failed:
			return err
		default:
		}
	}
}

// answer changes all records once, and appends an event for each change.
func answer(tx *Tx) error {
	r := tx.Records("acme", "clients")
	var revision uint64
	for i := range answerSize {
		rec, _, err := r.Get(fmt.Sprint(i))
		if err != nil {
			return err
		}
		rec.ID = fmt.Sprint(i)
		rec.Revision++
		revision = rec.Revision
		rec.Document = []byte(strings.Repeat(fmt.Sprint(revision), 100))
		if err := errors.Join(r.Put(rec), tx.Append(event("acme", i, int(revision), tx.Epoch()))); err != nil {
			return err
		}
	}
	return tx.SetCursor("acme", "clients", []byte(fmt.Sprint(revision)))
}

// TestKilledProcessLosesNothing kills a writer at random points. Afterwards the
// state knows whole answers only, and the stream holds each of their events
// once, in order.
func TestKilledProcessLosesNothing(t *testing.T) {
	dir := t.TempDir()
	for round := range 12 {
		killWriter(t, dir, 1+rand.IntN(120), round)
	}
	stream, err := openStream(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := startAt(dir, stream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, s) })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if pending, _, _ := s.Backlog(""); pending > 0 {
		err = s.Drain(ctx, func(ctx context.Context, e events.Encoded) (uint64, error) {
			if pending--; pending == 0 {
				cancel()
			}
			return stream.publish(ctx, e)
		})
		if ctx.Err() == nil {
			t.Fatal(err)
		}
	}
	compareWithStream(t, s, stream)
}

// killWriter starts a writer and kills it after it has published n events.
func killWriter(t *testing.T, dir string, n, round int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerFolder+"="+dir)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadFull(out, make([]byte, n))
	if kill := cmd.Process.Kill(); kill != nil {
		t.Error(kill)
	}
	_ = cmd.Wait() // it was killed, and says so
	if err != nil {
		t.Fatalf("round %d: the writer ended by itself: %v %s", round, err, said.String())
	}
}

func compareWithStream(t *testing.T, s *Store, stream *streamFile) {
	t.Helper()
	var revision uint64
	view(t, s, func(tx *Tx) {
		if _, err := fmt.Sscan(string(tx.Cursor("acme", "clients")), &revision); err != nil {
			t.Fatal(err)
		}
		for i := range answerSize {
			if m, _ := tx.Records("acme", "clients").Meta(fmt.Sprint(i)); m.Revision != revision {
				t.Errorf("record %d has revision %d, the cursor says %d: half an answer", i, m.Revision, revision)
			}
		}
	})
	var want []string
	for r := 1; r <= int(revision); r++ {
		for i := range answerSize {
			want = append(want, event("acme", i, r, s.Epoch()).ID)
		}
	}
	if len(stream.tail.Messages) != len(want) {
		t.Fatalf("the stream holds %d messages, the state has made %d", len(stream.tail.Messages), len(want))
	}
	for i, m := range stream.tail.Messages {
		if m.ID != want[i] {
			t.Fatalf("message %d is %s, want %s", i, m.ID, want[i])
		}
	}
	t.Logf("%d events after 12 kills", len(want))
}
