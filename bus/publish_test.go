package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

func TestPublishWritesWhatTheContractSays(t *testing.T) {
	r := newRig(t)
	want := event(t, "acme", 1, `{"id":1042,"ratio":12.50}`)
	sequence, err := r.Publish(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.stream(t.Context(), Stream)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetMsg(t.Context(), sequence)
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "trackops.acme.clients.updated" || string(m.Data) != string(want.Body) {
		t.Errorf("stored %s %s", m.Subject, m.Data)
	}
	if m.Header.Get("Nats-Msg-Id") != want.ID || m.Header.Get("Content-Type") != "application/cloudevents+json" {
		t.Errorf("headers: %v", m.Header)
	}
}

// windows runs a test inside the server's duplicate window and outside of it.
func windows(t *testing.T, test func(t *testing.T, r *rig, pass func())) {
	t.Run("inside the duplicate window", func(t *testing.T) {
		test(t, newRig(t), func() {})
	})
	t.Run("outside the duplicate window", func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.limits.DuplicateWindow = 100 * time.Millisecond })
		test(t, r, func() { forget(t, r) })
	})
}

// forget waits until the server does not remember the ids of before: it probes
// with a stream of its own that has the same window.
func forget(t *testing.T, r *rig) {
	t.Helper()
	cfg := jetstream.StreamConfig{Name: "PROBE", Subjects: []string{"probe"}, Duplicates: r.limits.DuplicateWindow}
	if _, err := r.js.CreateOrUpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	until(t, "the duplicate window passes", func() bool {
		ack, err := r.js.Publish(t.Context(), "probe", nil, jetstream.WithMsgID("probe"))
		if err != nil {
			t.Fatal(err)
		}
		return ack.Sequence > 1
	})
}

func TestCrashBetweenPublishAndNote(t *testing.T) {
	windows(t, func(t *testing.T, r *rig, pass func()) {
		r.publish(t, "acme", 1, 3)
		r.publish(t, "other", 1, 1)
		pass()
		r.shut()
		r.start(t)
		r.Resume("acme", 2) // the third was stored, and we died before we wrote that down
		got := r.publish(t, "acme", 3, 5)
		if got[0] != 3 {
			t.Errorf("the repeated event got sequence %d, want 3", got[0])
		}
		equal(t, "revisions", r.revisions(t, "acme"), upTo(1, 5))
	})
}

func TestLostAnswer(t *testing.T) {
	windows(t, func(t *testing.T, r *rig, pass func()) {
		r.publish(t, "acme", 1, 2)
		// The server stored it and the answer never came: nothing of ours knows.
		e := event(t, "acme", 3, `{}`)
		m := nats.NewMsg(e.Subject)
		m.Header.Set(headerID, e.ID)
		m.Data = e.Body
		if _, err := r.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		pass()
		if got := r.publish(t, "acme", 3, 4); got[0] != 3 || got[1] != 4 {
			t.Errorf("sequences %v, want 3 and 4", got)
		}
		equal(t, "revisions", r.revisions(t, "acme"), upTo(1, 4))
	})
}

func TestSecondWriter(t *testing.T) {
	r := newRig(t)
	r.publish(t, "acme", 1, 2)
	bus, err := r.server.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	second := &rig{Bus: bus}
	second.Resume("acme", 2)
	second.publish(t, "other", 1, 5) // another account disturbs no one
	second.publish(t, "acme", 7, 7)
	for range 2 {
		if _, err := r.Publish(t.Context(), event(t, "acme", 3, `{}`)); !errors.Is(err, ErrOtherWriter) {
			t.Errorf("Publish = %v, want ErrOtherWriter", err)
		}
	}
	equal(t, "revisions", r.revisions(t, "acme"), []int{1, 2, 7})
}

// The fence is around the whole account: two writers rarely meet on one subject.
func TestSecondWriterOnAnotherSubject(t *testing.T) {
	r := newRig(t)
	r.publish(t, "acme", 1, 2)
	bus, err := r.server.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	bus.Resume("acme", 2)
	foreign := event(t, "acme", 7, `{}`)
	foreign.Subject = "trackops.acme.cases.created"
	if _, err := bus.Publish(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Publish(t.Context(), event(t, "acme", 3, `{}`)); !errors.Is(err, ErrOtherWriter) {
		t.Errorf("Publish = %v, want ErrOtherWriter", err)
	}
	if _, err := bus.Publish(t.Context(), event(t, "acme", 8, `{}`)); err != nil {
		t.Errorf("the account's writer, on another subject: %v", err)
	}
}

// The stream went on with another account's events, past the place where ours
// ended: only the account's own last event shows the loss.
func TestLostEventsBehindAnotherAccount(t *testing.T) {
	r := newRig(t)
	r.publish(t, "acme", 1, 3)
	r.publish(t, "other", 1, 5)
	if err := r.remove(t.Context(), Stream, 3); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.Publish(t.Context(), event(t, "acme", 4, `{}`)); !errors.Is(err, ErrRolledBack) {
			t.Errorf("Publish = %v, want ErrRolledBack", err)
		}
	}
}

// An older event published once more moves nothing, while the server remembers it.
func TestRepetitionOfAnOlderEvent(t *testing.T) {
	r := newRig(t)
	r.publish(t, "acme", 1, 3)
	if got := r.publish(t, "acme", 2, 2); got[0] != 2 {
		t.Errorf("the repeated event got sequence %d, want 2", got[0])
	}
	r.publish(t, "acme", 4, 4)
	equal(t, "revisions", r.revisions(t, "acme"), upTo(1, 4))
}

func TestForgottenResume(t *testing.T) {
	r := newRig(t)
	r.publish(t, "acme", 1, 2)
	r.shut()
	r.start(t)
	if _, err := r.Publish(t.Context(), event(t, "acme", 3, `{}`)); !errors.Is(err, ErrOtherWriter) {
		t.Errorf("Publish = %v, want ErrOtherWriter", err)
	}
}

func TestPurgedStream(t *testing.T) {
	windows(t, func(t *testing.T, r *rig, pass func()) {
		r.publish(t, "acme", 1, 3)
		s, err := r.stream(t.Context(), Stream)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass()
		if got := r.publish(t, "acme", 4, 5); got[0] != 4 || got[1] != 5 {
			t.Errorf("sequences after the purge: %v, want 4 and 5", got)
		}
		equal(t, "revisions", r.revisions(t, "acme"), upTo(4, 5))
	})
}

// An event that is published again after a purge was in the stream: inside the
// window the server says so, outside it stores it again under its id.
func TestRepetitionAfterPurge(t *testing.T) {
	r := newRig(t)
	r.publish(t, "acme", 1, 3)
	s, err := r.stream(t.Context(), Stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.publish(t, "acme", 3, 4); got[0] != 3 || got[1] != 4 {
		t.Errorf("sequences: %v, want 3 and 4", got)
	}
	equal(t, "revisions", r.revisions(t, "acme"), []int{4})
}

// reconcile is what a relay does at start: it compares the events it holds back
// with the stream, and publishes again what is missing, in order.
func (r *rig) reconcile(t *testing.T, account string, held []events.Encoded) {
	t.Helper()
	have := map[string]bool{}
	state, err := r.Tail(t.Context(), account, 0, func(_ uint64, _, id string) error {
		have[id] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Resume(account, state.LastOfAccount)
	for _, e := range held {
		if have[e.ID] {
			continue
		}
		if _, err := r.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFilesRolledBackToTheirLastSync(t *testing.T) {
	windows(t, func(t *testing.T, r *rig, pass func()) {
		var held []events.Encoded
		for n := 1; n <= 8; n++ {
			held = append(held, event(t, "acme", n, `{}`))
		}
		r.publish(t, "acme", 1, 4)
		r.shut()
		synced := filepath.Join(t.TempDir(), "synced")
		if err := os.CopyFS(synced, os.DirFS(r.cfg.Dir)); err != nil {
			t.Fatal(err)
		}
		r.start(t)
		r.Resume("acme", 4)
		r.publish(t, "acme", 5, 8)
		pass()
		r.shut()
		if err := os.RemoveAll(r.cfg.Dir); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(r.cfg.Dir, os.DirFS(synced)); err != nil {
			t.Fatal(err)
		}
		r.start(t)

		r.Resume("acme", 8)
		if _, err := r.Publish(t.Context(), event(t, "acme", 9, `{}`)); !errors.Is(err, ErrRolledBack) {
			t.Fatalf("Publish = %v, want ErrRolledBack", err)
		}
		state, err := r.Tail(t.Context(), "acme", 3, func(uint64, string, string) error { return nil })
		if err != nil || state != (State{First: 1, Last: 4, LastOfAccount: 4}) {
			t.Errorf("Tail = %+v, %v", state, err)
		}
		r.reconcile(t, "acme", held)
		r.publish(t, "acme", 9, 10)
		equal(t, "revisions", r.revisions(t, "acme"), upTo(1, 10))
	})
}

// All of the account is lost: the fence must not take that for a purge.
func TestRolledBackToNothing(t *testing.T) {
	r := newRig(t)
	r.publish(t, "acme", 1, 3)
	r.shut()
	if err := os.RemoveAll(r.cfg.Dir); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	r.Resume("acme", 3)
	if _, err := r.Publish(t.Context(), event(t, "acme", 4, `{}`)); !errors.Is(err, ErrRolledBack) {
		t.Errorf("Publish = %v, want ErrRolledBack", err)
	}
}

func TestFullStreamWaits(t *testing.T) {
	r := newRig(t, func(r *rig) { r.limits.MaxBytes = 20_000 })
	record := `"` + strings.Repeat("x", 3000) + `"`
	published := 0
	var err error
	for err == nil && published < 100 {
		published++
		_, err = r.Publish(t.Context(), event(t, "acme", published, record))
	}
	if !errors.Is(err, ErrFull) || fault.IsPermanent(err) {
		t.Fatalf("Publish = %v, want ErrFull, temporary", err)
	}
	equal(t, "revisions", r.revisions(t, "acme"), upTo(1, published-1)) // none was discarded
	s, err := r.stream(t.Context(), Stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(t.Context(), 1); err != nil { // as expiry does
		t.Fatal(err)
	}
	if _, err := r.Publish(t.Context(), event(t, "acme", published, record)); err != nil {
		t.Fatal(err)
	}
	equal(t, "revisions", r.revisions(t, "acme"), upTo(2, published))
}

func TestPayloadLimit(t *testing.T) {
	mega := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	many := make([]events.Change, 100_000)
	for i := range many {
		many[i] = events.Change{Path: "/a", From: []byte(mega(90))}
	}
	tests := []struct {
		name string
		data events.Data
		want func(events.Data) bool
	}{
		{"a long record", events.Data{Record: []byte(mega(9 << 20)), Changes: []events.Change{{Path: "/name", From: []byte(`"a"`), To: []byte(`"b"`)}}},
			func(d events.Data) bool {
				return d.Record == nil && len(d.Changes) == 1 && string(d.Changes[0].To) == `"b"`
			}},
		{"a long value", events.Data{Record: []byte(mega(5 << 20)), Changes: []events.Change{{Path: "/a", To: []byte(mega(5 << 20))}, {Path: "/b", To: []byte("1")}}},
			func(d events.Data) bool {
				return len(d.Changes) == 2 && d.Changes[0].To == nil && string(d.Changes[1].To) == "1"
			}},
		{"many short values", events.Data{Changes: many}, func(d events.Data) bool { return d.Changes == nil }},
		{"a long message", events.Data{Message: mega(9 << 20)}, func(d events.Data) bool { return d.Message == "" }},
	}
	r := newRig(t)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.data.Account, test.data.Collection, test.data.Action = "acme", "clients", events.Updated
			test.data.ID, test.data.Revision = "7", uint64(i+1)
			e, err := events.Event{Data: test.data}.Stamp("k7q2").Encode()
			if err != nil {
				t.Fatal(err)
			}
			sequence, err := r.Publish(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			body, err := r.read(t.Context(), Stream, sequence)
			if err != nil {
				t.Fatal(err)
			}
			got, err := events.Decode(body)
			if err != nil {
				t.Fatal(err)
			}
			if got.ID != e.ID || !got.Data.Truncated || !test.want(got.Data) {
				t.Errorf("stored %.300s", body)
			}
		})
	}
	r.publish(t, "acme", 90, 91) // nothing is held up
}

func TestWhatCannotBeShortenedIsPermanent(t *testing.T) {
	r := newRig(t)
	for name, body := range map[string]string{
		"not an event": strings.Repeat("x", 9<<20),
		"all envelope": `{"specversion":"1.0","id":"x","subject":"` + strings.Repeat("x", 9<<20) + `","data":{"collection":"clients"}}`,
	} {
		_, err := r.Publish(t.Context(), events.Encoded{ID: "x", Account: "acme", Subject: "trackops.acme.clients.updated", Body: []byte(body)})
		if !fault.IsPermanent(err) {
			t.Errorf("%s: Publish = %v, want a permanent error", name, err)
		}
	}
	r.publish(t, "acme", 1, 1)
}

func TestTail(t *testing.T) {
	r := newRig(t)
	if state, err := r.Tail(t.Context(), "acme", 0, nil); err != nil || state != (State{}) && state != (State{First: 1}) {
		t.Errorf("Tail of nothing = %+v, %v", state, err)
	}
	r.publish(t, "acme", 1, 3)
	r.publish(t, "other", 1, 2)
	r.publish(t, "acme", 4, 5)
	r.publish(t, "other", 3, 3)
	var tail []string
	state, err := r.Tail(t.Context(), "acme", 3, func(sequence uint64, account, _ string) error {
		tail = append(tail, fmt.Sprint(sequence, " ", account))
		return nil
	})
	if err != nil || state != (State{First: 1, Last: 8, LastOfAccount: 7}) {
		t.Errorf("Tail = %+v, %v", state, err)
	}
	if want := []string{"3 acme", "4 other", "5 other", "6 acme", "7 acme", "8 other"}; !slices.Equal(tail, want) {
		t.Errorf("tail = %v, want %v", tail, want)
	}
	stop := errors.New("stop")
	if _, err := r.Tail(t.Context(), "acme", 1, func(uint64, string, string) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Tail = %v, want fn's error", err)
	}
	if sequence, id, err := r.LastOf(t.Context(), "acme"); err != nil || sequence != 7 || revision(t, id) != 5 {
		t.Errorf("LastOf = %d, %s, %v", sequence, id, err)
	}
	if sequence, id, err := r.LastOf(t.Context(), "none"); err != nil || sequence != 0 || id != "" {
		t.Errorf("LastOf = %d, %s, %v", sequence, id, err)
	}
}
