package bus

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/trackops-notifier/trackops-notifier/events"
)

const crashDir = "BUS_TEST_CRASH_DIR"

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := consumeUntilKilled(dir); err != nil {
			fmt.Println("error", err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// consumeUntilKilled settles two of three events as a connector does, prints what
// it did, and leaves the third. It publishes as it goes, so that there are
// always events that were never delivered.
func consumeUntilKilled(dir string) error {
	ctx := context.Background()
	s, err := Start(ServerConfig{Dir: filepath.Join(dir, "nats")})
	if err != nil {
		return err
	}
	b, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	if err := b.Ensure(ctx, StreamConfig{}); err != nil {
		return err
	}
	f, err := b.Attach(ctx, "slack", []string{"trackops.>"})
	if err != nil {
		return err
	}
	settled := map[string]bool{}
	if err := f.History(ctx, func(note []byte) error { settled[string(note)] = true; return nil }); err != nil {
		return err
	}
	last, _, err := b.LastOf(ctx, "acme")
	if err != nil {
		return err
	}
	b.Resume("acme", last)
	for n := last + 1; ; n++ {
		if _, err := b.Publish(ctx, crashEvent(n)); err != nil {
			return err
		}
		if n%2 == 0 {
			continue // twice as many come as go
		}
		ev, err := f.Next(ctx)
		if err != nil {
			return err
		}
		note := strconv.FormatUint(ev.Sequence, 10)
		fmt.Println("got", note)
		if ev.Sequence%3 == 0 && !settled[note] {
			continue
		}
		if !settled[note] {
			if err := f.Note(ctx, []byte(note)); err != nil {
				return err
			}
			fmt.Println("noted", note)
		}
		if err := f.Settle(ctx, ev); err != nil {
			return err
		}
	}
}

func crashEvent(n uint64) events.Encoded {
	return events.Encoded{
		ID: fmt.Sprintf("acme_clients_1_%d_k7q2", n), Account: "acme",
		Subject: "trackops.acme.clients.updated", Body: fmt.Appendf(nil, `{"n":%d}`, n),
	}
}

func TestKilledConsumer(t *testing.T) {
	dir := t.TempDir()
	noted := map[uint64]bool{}
	for round := range 5 {
		last := uint64(0)
		for _, line := range runAndKill(t, dir, 150+37*round) {
			what, number, _ := strings.Cut(line, " ")
			n, err := strconv.ParseUint(number, 10, 64)
			if err != nil {
				t.Fatalf("the consumer says %q", line)
			}
			switch what {
			case "noted":
				noted[n] = true
			case "got":
				// Contiguous from the oldest that is not settled: nothing is
				// missing, and nothing overtakes.
				if last != 0 && n != last+1 {
					t.Fatalf("round %d: %d came after %d", round, n, last)
				}
				if last == 0 && n > firstMissing(noted) {
					t.Fatalf("round %d: began at %d, but %d is not settled", round, n, firstMissing(noted))
				}
				last = n
			}
		}
	}
	if len(noted) < 100 {
		t.Errorf("only %d events were settled: the test shows nothing", len(noted))
	}

	r := &rig{cfg: ServerConfig{Dir: filepath.Join(dir, "nats")}}
	r.start(t)
	t.Cleanup(r.shut)
	f := r.attach(t, "slack")
	inLedger := map[string]bool{}
	if err := f.History(t.Context(), func(note []byte) error { inLedger[string(note)] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	first := next(t, f)
	if want := firstMissing(noted); first.Sequence > want {
		t.Errorf("began at %d, but %d is not settled", first.Sequence, want)
	}
	for n := range noted {
		if n >= first.Sequence && !inLedger[strconv.FormatUint(n, 10)] {
			t.Errorf("the ledger forgot %d, which comes again", n)
		}
	}
}

func firstMissing(noted map[uint64]bool) uint64 {
	n := uint64(1)
	for noted[n] {
		n++
	}
	return n
}

// runAndKill runs the consumer, kills it after so many lines, and returns them.
func runAndKill(t *testing.T, dir string, lines int) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		said = append(said, scanner.Text())
		if len(said) == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(said) < lines {
		t.Fatalf("the consumer ended by itself: %v, %q", err, said[max(0, len(said)-1):])
	}
	return said
}
