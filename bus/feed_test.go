package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trackops-notifier/trackops-notifier/events"
)

func (r *rig) attach(t testing.TB, connector string, subjects ...string) *Feed {
	t.Helper()
	if len(subjects) == 0 {
		subjects = []string{"trackops.>"}
	}
	f, err := r.Attach(t.Context(), connector, subjects)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func next(t testing.TB, f *Feed) events.Stored {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	ev, err := f.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// take returns the revisions of the next n events.
func take(t testing.TB, f *Feed, n int) []events.Stored {
	t.Helper()
	var all []events.Stored
	for range n {
		all = append(all, next(t, f))
	}
	return all
}

func revisionsOf(t testing.TB, all []events.Stored) []int {
	t.Helper()
	var revisions []int
	for _, stored := range all {
		e, err := events.Decode(stored.Body)
		if err != nil {
			t.Fatal(err)
		}
		revisions = append(revisions, int(e.Data.Revision))
	}
	return revisions
}

func nothing(t testing.TB, f *Feed) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if ev, err := f.Next(ctx); err == nil {
		t.Errorf("Next = event %d, want nothing", ev.Sequence)
	}
}

func settle(t testing.TB, f *Feed, all ...events.Stored) {
	t.Helper()
	for _, ev := range all {
		if err := f.Settle(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFirstAttachStartsAtNewEvents(t *testing.T) {
	r := newRig(t)
	r.publish(t, "acme", 1, 3)
	f := r.attach(t, "slack")
	nothing(t, f)
	r.publish(t, "acme", 4, 5)
	equal(t, "first events", revisionsOf(t, take(t, f, 2)), upTo(4, 5))
	f.Close()
	equal(t, "after a restart", revisionsOf(t, take(t, r.attach(t, "slack"), 2)), upTo(4, 5))
}

func TestAttachAgainBringsTheUnsettledInOrder(t *testing.T) {
	r := newRig(t)
	f := r.attach(t, "slack")
	r.publish(t, "acme", 1, 10)
	got := take(t, f, 6) // 7 to 10 are never handed out
	settle(t, f, got[0], got[1], got[3])
	settle(t, f, got[1])
	f.Close()

	r.shut()
	r.start(t)
	f = r.attach(t, "slack")
	// 4 was settled above the floor, and comes again: the ledger tells.
	equal(t, "after a restart", revisionsOf(t, take(t, f, 8)), upTo(3, 10))
	nothing(t, f)
	pending, outstanding, err := f.Pending(t.Context())
	if err != nil || pending != 0 || outstanding != 8 {
		t.Errorf("Pending = %d, %d, %v, want 0, 8", pending, outstanding, err)
	}
}

func TestPending(t *testing.T) {
	r := newRig(t)
	f := r.attach(t, "slack")
	r.publish(t, "acme", 1, 700) // more than is sent ahead
	settle(t, f, take(t, f, 10)[:4]...)
	until(t, "the acknowledgements arrive", func() bool {
		pending, outstanding, err := f.Pending(t.Context())
		return err == nil && pending == 690 && outstanding == 6
	})
}

func TestOtherFiltersKeepThePosition(t *testing.T) {
	r := newRig(t)
	f := r.attach(t, "slack", "trackops.*.cases.*")
	r.publish(t, "acme", 1, 2)
	f.Close()
	f = r.attach(t, "slack", "trackops.*.clients.created", "trackops.*.clients.updated")
	equal(t, "with the new filter", revisionsOf(t, take(t, f, 2)), upTo(1, 2))
}

func TestCrashWhileAttaching(t *testing.T) {
	r := newRig(t)
	f := r.attach(t, "slack")
	r.publish(t, "acme", 1, 5)
	settle(t, f, take(t, f, 3)...)
	until(t, "acknowledged", func() bool {
		c, err := r.js.Consumer(t.Context(), Stream, "slack")
		return err == nil && c.CachedInfo().AckFloor.Stream == 3
	})
	f.Close()
	// Attach noted the floor, deleted the consumer, and died.
	if err := f.keepFloor(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if err := r.js.DeleteConsumer(t.Context(), Stream, "slack"); err != nil {
		t.Fatal(err)
	}
	equal(t, "after the crash", revisionsOf(t, take(t, r.attach(t, "slack"), 2)), upTo(4, 5))
}

func TestAForeignConsumerOfTheNameIsNoPosition(t *testing.T) {
	r := newRig(t)
	r.publish(t, "acme", 1, 3)
	if _, err := r.js.CreateConsumer(t.Context(), Stream, jetstream.ConsumerConfig{Durable: "slack", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	nothing(t, r.attach(t, "slack"))
}

func TestPositionFollowsARolledBackStream(t *testing.T) {
	r := newRig(t)
	f := r.attach(t, "slack")
	r.publish(t, "acme", 1, 4)
	f.Close()
	r.shut()
	synced := filepath.Join(t.TempDir(), "synced")
	stream := filepath.Join("jetstream", ourAccount, "streams", Stream, "msgs")
	if err := os.CopyFS(synced, os.DirFS(filepath.Join(r.cfg.Dir, stream))); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	r.Resume("acme", 4)
	f = r.attach(t, "slack")
	r.publish(t, "acme", 5, 8)
	settle(t, f, take(t, f, 8)...)
	until(t, "acknowledged", func() bool {
		c, err := r.js.Consumer(t.Context(), Stream, "slack")
		return err == nil && c.CachedInfo().AckFloor.Stream == 8
	})
	f.Close()
	r.attach(t, "slack").Close() // notes 8, which is soon past the end
	r.shut()
	if err := os.RemoveAll(filepath.Join(r.cfg.Dir, stream)); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(r.cfg.Dir, stream), os.DirFS(synced)); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	f = r.attach(t, "slack") // before anything is published
	r.Resume("acme", 4)
	r.publish(t, "acme", 5, 10)
	equal(t, "after the roll-back", revisionsOf(t, take(t, f, 6)), upTo(5, 10))
}

func TestADeletedConsumerIsMadeAgain(t *testing.T) {
	r := newRig(t)
	f := r.attach(t, "slack")
	r.publish(t, "acme", 1, 5)
	got := take(t, f, 4)
	settle(t, f, got[0], got[2])
	if err := r.js.DeleteConsumer(t.Context(), Stream, "slack"); err != nil {
		t.Fatal(err)
	}
	r.publish(t, "acme", 6, 7)
	equal(t, "afterwards", revisionsOf(t, take(t, f, 3)), upTo(5, 7))
	nothing(t, f)
	settle(t, f, got[1], got[3])
	// What was handed out before is acknowledged on the new consumer, too.
	until(t, "acknowledged", func() bool {
		c, err := r.js.Consumer(t.Context(), Stream, "slack")
		return err == nil && c.CachedInfo().AckFloor.Stream == 4
	})
}

// A lost message shows as a gap: the server would bring it back only when all
// younger ones are through.
func TestAGapStartsANewRound(t *testing.T) {
	r := newRig(t)
	f := r.attach(t, "slack")
	r.publish(t, "acme", 1, 6)
	if got := next(t, f); got.Sequence != 1 {
		t.Fatalf("Next = %d", got.Sequence)
	}
	<-f.events.ready // lost on its way
	equal(t, "after the gap", revisionsOf(t, take(t, f, 5)), upTo(2, 6))
	nothing(t, f)
}

// A message may have left its round before the next one began, and be looked at
// after: it must not pass for the first of the new one.
func TestAMessageOfAnEarlierRoundIsLeftOut(t *testing.T) {
	r := newRig(t)
	f := r.attach(t, "slack")
	r.publish(t, "acme", 1, 2)
	late := <-f.events.ready
	if _, err := f.events.again(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.events.accept(late) {
		t.Error("accepted")
	}
}

func TestReadAgain(t *testing.T) {
	r := newRig(t)
	f := r.attach(t, "slack")
	r.publish(t, "acme", 1, 1)
	ev := next(t, f)
	body, err := f.Read(t.Context(), ev.Sequence)
	if err != nil || string(body) != string(ev.Body) {
		t.Errorf("Read = %s, %v", body, err)
	}
	if err := r.remove(t.Context(), Stream, ev.Sequence); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(t.Context(), ev.Sequence); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read of an expired event = %v, want fs.ErrNotExist", err)
	}
}

func TestOldest(t *testing.T) {
	r := newRig(t)
	f := r.attach(t, "slack")
	r.publish(t, "acme", 1, 3)
	s, err := r.stream(t.Context(), Stream)
	if err != nil {
		t.Fatal(err)
	}
	for _, purged := range []uint64{1, 3, 4} { // up to, exclusive
		if err := s.Purge(t.Context(), jetstream.WithPurgeSequence(purged)); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Oldest(t.Context()); err != nil || got != purged {
			t.Errorf("Oldest = %d, %v, want %d", got, err, purged)
		}
	}
}

func TestLedger(t *testing.T) {
	r := newRig(t)
	f := r.attach(t, "slack")
	history := func(f *Feed) string {
		var notes []string
		if err := f.History(t.Context(), func(note []byte) error {
			notes = append(notes, string(note))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return strings.Join(notes, " ")
	}
	other := r.attach(t, "email")
	r.publish(t, "acme", 1, 2)
	for i := range 3 {
		if err := f.Note(t.Context(), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Note(t.Context(), []byte("other")); err != nil {
		t.Fatal(err)
	}
	f.Close()
	r.shut()
	r.start(t)
	f = r.attach(t, "slack")
	if got := history(f); got != "0 1 2" {
		t.Errorf("History = %q, want %q", got, "0 1 2")
	}
	settle(t, f, take(t, f, 2)...)
	until(t, "acknowledged", func() bool {
		c, err := r.js.Consumer(t.Context(), Stream, "slack")
		return err == nil && c.CachedInfo().AckFloor.Stream == 2
	})
	f.Close()
	if got := history(r.attach(t, "slack")); got != "" {
		t.Errorf("History with nothing unsettled = %q, want none", got)
	}
}

func TestDeadLettersAndReplays(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	f := r.attach(t, "slack")
	r.publish(t, "acme", 1, 2)
	got := take(t, f, 2)
	id := event(t, "acme", 1, `{}`).ID
	for range 2 {
		if err := f.Bury(ctx, got[0], id, map[string]string{"Reason": "gone"}, []byte("letter")); err != nil {
			t.Fatal(err)
		}
	}
	other := r.attach(t, "email")
	if err := other.Bury(ctx, got[1], "other", nil, nil); err != nil {
		t.Fatal(err)
	}
	settle(t, f, got...)

	letters := r.letters(t, "slack")
	if len(letters) != 1 || len(r.letters(t, "")) != 2 {
		t.Fatalf("letters: %+v", r.letters(t, ""))
	}
	l := letters[0]
	if l.EventID != id || l.Connector != "slack" || string(l.Body) != "letter" || len(l.Headers) != 1 || l.Headers["Reason"] != "gone" || l.At.IsZero() {
		t.Errorf("letter: %+v", l)
	}
	if count, err := r.DeadCount(ctx); err != nil || count["slack"] != 1 || count["email"] != 1 || len(count) != 2 {
		t.Errorf("DeadCount = %v, %v", count, err)
	}

	if err := r.Replay(ctx, l, got[1].Body, 2); err == nil {
		t.Error("Replay took another event")
	}
	if err := r.Replay(ctx, l, got[0].Body, got[0].Sequence); err != nil {
		t.Fatal(err)
	}
	if err := r.Replay(ctx, l, got[0].Body, got[0].Sequence); err != nil { // a second click
		t.Fatal(err)
	}
	if len(r.letters(t, "slack")) != 0 {
		t.Error("the letter is still there")
	}
	again := next(t, f)
	if again.Replay == 0 || again.Sequence != 1 || again.Subject != got[0].Subject || string(again.Body) != string(got[0].Body) {
		t.Errorf("replay: %+v", again)
	}
	if body, err := f.ReadReplay(ctx, again.Replay); err != nil || string(body) != string(got[0].Body) {
		t.Errorf("ReadReplay = %s, %v", body, err)
	}
	nothing(t, f)
	if _, outstanding, err := f.Pending(ctx); err != nil || outstanding != 1 {
		t.Errorf("Pending = %d, %v, want 1 outstanding", outstanding, err)
	}
	f.Close()

	f = r.attach(t, "slack")
	if again = next(t, f); again.Replay == 0 {
		t.Errorf("an unsettled replay did not come again: %+v", again)
	}
	// It failed again: a letter can be written once more.
	if err := f.Bury(ctx, again, id, nil, []byte("second")); err != nil {
		t.Fatal(err)
	}
	settle(t, f, again, again)
	f.Close()
	nothing(t, r.attach(t, "slack"))
	if letters := r.letters(t, "slack"); len(letters) != 1 || string(letters[0].Body) != "second" {
		t.Errorf("letters: %+v", letters)
	}
}

func (r *rig) letters(t testing.TB, connector string) []DeadLetter {
	t.Helper()
	var all []DeadLetter
	if err := r.Dead(t.Context(), connector, func(l DeadLetter) error {
		all = append(all, l)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestHistoryReachesBackToAReplay(t *testing.T) {
	r := newRig(t)
	f := r.attach(t, "slack")
	r.publish(t, "acme", 1, 1)
	got := next(t, f)
	id := event(t, "acme", 1, `{}`).ID
	if err := f.Bury(t.Context(), got, id, nil, nil); err != nil {
		t.Fatal(err)
	}
	settle(t, f, got)
	if err := r.Replay(t.Context(), r.letters(t, "slack")[0], got.Body, 1); err != nil {
		t.Fatal(err)
	}
	next(t, f)
	if err := f.Note(t.Context(), []byte("replay tried once")); err != nil {
		t.Fatal(err)
	}
	f.Close()
	noted := false
	if err := r.attach(t, "slack").History(t.Context(), func([]byte) error { noted = true; return nil }); err != nil || !noted {
		t.Errorf("History = %v, noted %v", err, noted)
	}
}

func TestForgedReplaysAreDropped(t *testing.T) {
	r := newRig(t)
	f := r.attach(t, "slack")
	if _, err := r.js.Publish(t.Context(), replaySubject("slack"), []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	nothing(t, f)
}

func TestEvents(t *testing.T) {
	r := newRig(t)
	r.publish(t, "acme", 1, 3)
	read := func(opts EventsOptions) []int {
		var got []events.Stored
		if err := r.Events(t.Context(), opts, func(ev events.Stored) error {
			got = append(got, ev)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return revisionsOf(t, got)
	}
	equal(t, "all", read(EventsOptions{}), upTo(1, 3))
	equal(t, "of other collections", read(EventsOptions{Subjects: []string{"trackops.*.cases.*", "trackops.*.users.*"}}), nil)
	s, err := r.stream(t.Context(), Stream)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.GetMsg(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "since the second", read(EventsOptions{Since: second.Time}), upTo(2, 3))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	followed := make(chan events.Stored)
	ended := make(chan error, 1)
	go func() {
		ended <- r.Events(ctx, EventsOptions{Since: second.Time, Follow: true}, func(ev events.Stored) error {
			followed <- ev
			return nil
		})
	}()
	got := []events.Stored{<-followed, <-followed}
	r.publish(t, "acme", 4, 4)
	got = append(got, <-followed)
	equal(t, "followed", revisionsOf(t, got), upTo(2, 4))
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Events = %v, want the context's error", err)
	}
}
