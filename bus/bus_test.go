package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// A rig is an embedded server and our connection to it.
type rig struct {
	*Bus
	server *Server
	cfg    ServerConfig
	limits StreamConfig
}

func newRig(t testing.TB, change ...func(*rig)) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{
		cfg:    ServerConfig{Dir: filepath.Join(dir, "nats"), SecretFile: filepath.Join(dir, "nats.secret")},
		limits: StreamConfig{MaxAge: time.Hour},
	}
	for _, f := range change {
		f(r)
	}
	r.start(t)
	t.Cleanup(r.shut)
	return r
}

func (r *rig) start(t testing.TB) {
	t.Helper()
	var err error
	if r.server, err = Start(r.cfg); err != nil {
		t.Fatal(err)
	}
	if r.Bus, err = r.server.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Ensure(t.Context(), r.limits); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) shut() {
	r.Bus.Close()
	r.server.Close()
}

func listening(r *rig) { r.cfg.Listen = "127.0.0.1:0" }

// event returns the n-th version of a client of the account.
func event(t testing.TB, account string, n int, record string) events.Encoded {
	t.Helper()
	at := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	e := events.Event{Source: "https://" + account + ".viewcases.com/api/v1/clients", Data: events.Data{
		Account: account, Collection: "clients", Action: events.Updated, ID: "1042", Revision: uint64(n),
		ObservedAt: at, Record: json.RawMessage(record),
	}}
	encoded, err := e.Stamp("k7q2").Encode()
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func (r *rig) publish(t testing.TB, account string, from, to int) []uint64 {
	t.Helper()
	var sequences []uint64
	for n := from; n <= to; n++ {
		sequence, err := r.Publish(t.Context(), event(t, account, n, `{"id":1042}`))
		for try := 0; try < 5 && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrDisconnected)); try++ {
			// Its outcome is unknown, as after a reconnection: the same again is safe.
			sequence, err = r.Publish(t.Context(), event(t, account, n, `{"id":1042}`))
		}
		if err != nil {
			t.Fatal(err)
		}
		sequences = append(sequences, sequence)
	}
	return sequences
}

// revisions lists what the stream holds of an account, in order.
func (r *rig) revisions(t testing.TB, account string) []int {
	t.Helper()
	revisions := []int{}
	if _, err := r.Tail(t.Context(), account, 0, func(_ uint64, owner, id string) error {
		if owner != account {
			return nil
		}
		revisions = append(revisions, revision(t, id))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return revisions
}

func revision(t testing.TB, id string) int {
	t.Helper()
	parts := strings.Split(id, "_")
	n, err := strconv.Atoi(parts[len(parts)-2])
	if err != nil {
		t.Fatalf("id %q: %v", id, err)
	}
	return n
}

func upTo(from, to int) []int {
	all := []int{}
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

func equal(t testing.TB, what string, got, want []int) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// until waits for a condition that the other side brings about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

func TestEnsureKeepsWhatAnOperatorMade(t *testing.T) {
	tests := []struct {
		name   string
		config string
		want   string // of the error; "" is none
	}{
		{"wider subjects", `{"name":"TRACKOPS","subjects":["trackops.>","x"],"retention":"limits","storage":"memory","num_replicas":1,"max_age":0,"discard":"old"}`, ""},
		{"other subjects", `{"name":"TRACKOPS","subjects":["trackops.acme.>"],"retention":"limits","storage":"memory","num_replicas":1}`, "does not take trackops.>"},
		{"work queue", `{"name":"TRACKOPS","subjects":["trackops.>"],"retention":"workqueue","storage":"memory","num_replicas":1}`, "retention"},
		{"one per subject", `{"name":"TRACKOPS","subjects":["trackops.>"],"retention":"limits","max_msgs_per_subject":1,"storage":"memory","num_replicas":1}`, "per subject"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Start(ServerConfig{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			b, err := s.Connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if _, err := b.nc.Request("$JS.API.STREAM.CREATE.TRACKOPS", []byte(test.config), time.Second); err != nil {
				t.Fatal(err)
			}
			err = b.Ensure(t.Context(), StreamConfig{MaxAge: time.Hour, MaxBytes: 1 << 20})
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("Ensure = %v, want an error with %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			info, err := b.info(t.Context(), Stream)
			if err != nil {
				t.Fatal(err)
			}
			if info.Config.MaxAge != 0 || len(info.Config.Subjects) != 2 {
				t.Errorf("the operator's stream was changed: %+v", info.Config)
			}
			// No direct gets on such a stream: the slower ones must do.
			r := &rig{Bus: b}
			r.publish(t, "acme", 1, 2)
			equal(t, "revisions", r.revisions(t, "acme"), upTo(1, 2))
		})
	}
}

func TestEnsureBringsOurLimitsUpToDate(t *testing.T) {
	r := newRig(t)
	r.publish(t, "acme", 1, 1)
	for range 2 {
		if err := r.Ensure(t.Context(), StreamConfig{MaxAge: time.Minute, MaxBytes: 200 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := r.info(t.Context(), Stream)
	if err != nil {
		t.Fatal(err)
	}
	c := info.Config
	if c.MaxAge != time.Minute || c.MaxBytes != 200<<20 || c.Duplicates > time.Minute || info.State.Msgs != 1 {
		t.Errorf("after the second Ensure: %+v, %d messages", c, info.State.Msgs)
	}
}

func TestNothingBlocksWithoutAServer(t *testing.T) {
	r := newRig(t)
	f, err := r.Attach(t.Context(), "slack", []string{"trackops.>"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r.server.Close()
	begin := time.Now()
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := r.Publish(short, event(t, "acme", 1, `{}`)); err == nil {
		t.Error("Publish to a stopped server succeeded")
	}
	until(t, "disconnected", func() bool { return !r.Connected() })
	if err := f.Note(t.Context(), []byte("x")); err == nil {
		t.Error("Note to a stopped server succeeded")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := f.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Next = %v, want the context's error", err)
	}
	if _, err := r.Publish(t.Context(), event(t, "acme", 1, `{}`)); !errors.Is(err, ErrDisconnected) {
		t.Errorf("Publish = %v, want ErrDisconnected", err)
	}
	r.Bus.Close()
	f.Close()
	if _, err := f.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Next of a closed feed = %v, want ErrClosed", err)
	}
	if took := time.Since(begin); took > apiTimeout {
		t.Errorf("it took %s", took)
	}
}

func TestCovers(t *testing.T) {
	tests := []struct {
		pattern, sub string
		want         bool
	}{
		{"trackops.>", "trackops.>", true},
		{">", "trackops.>", true},
		{"trackops.*.>", "trackops.>", false},
		{"trackops.*", "trackops.>", false},
		{"trackops-dead.>", "trackops.>", false},
		{"*.>", "trackops.>", true},
		{"a.*", "a.b", true},
		{"a.b", "a.*", false},
		{"a", "a.b", false},
	}
	for _, test := range tests {
		if got := covers(test.pattern, test.sub); got != test.want {
			t.Errorf("covers(%q, %q) = %v, want %v", test.pattern, test.sub, got, test.want)
		}
	}
}

func natsConnect(t testing.TB, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(fmt.Errorf("connect to %s: %w", url, err))
	}
	t.Cleanup(nc.Close)
	return nc
}
