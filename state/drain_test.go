package state

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// appendEvents appends n events of an account, in one transaction.
func appendEvents(t testing.TB, s *Store, account string, from, n int) {
	t.Helper()
	err := s.Update(func(tx *Tx) error {
		for i := range n {
			if err := tx.Append(event(account, from+i, 1, tx.Epoch())); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDrainSleepsUntilAppendAndRemovesAfterHold runs on a fake clock: the drain
// is idle between events, and an event leaves the outbox only after the hold.
func TestDrainSleepsUntilAppendAndRemovesAfterHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{Hold: 10 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		done := make(chan error)
		go func() {
			done <- s.Drain(ctx, func(_ context.Context, e events.Encoded) (uint64, error) {
				got = append(got, e.ID)
				return uint64(len(got)), nil
			})
		}()
		counts := func(wantPending, wantHeld int) {
			t.Helper()
			synctest.Wait()
			if pending, held, _ := s.Backlog("acme"); pending != wantPending || held != wantHeld {
				t.Errorf("after %v: %d pending, %d held, want %d, %d", time.Since(start()), pending, held, wantPending, wantHeld)
			}
		}
		counts(0, 0)
		appendEvents(t, s, "acme", 1, 3)
		counts(0, 3)
		time.Sleep(9 * time.Second)
		appendEvents(t, s, "acme", 4, 1)
		counts(0, 4)
		time.Sleep(4 * time.Second) // the first three are 13 s old: a quarter late at most
		counts(0, 1)
		time.Sleep(10 * time.Second)
		counts(0, 0)
		if len(got) != 4 || s.Position("acme") != 4 {
			t.Errorf("published %v, position %d", got, s.Position("acme"))
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Drain = %v, want %v", err, context.Canceled)
		}
	})
}

// start is when every fake clock begins.
func start() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

func TestBacklogKnowsTheOldestWaitingEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{Hold: time.Hour})
		for i, account := range []string{"acme", "zeta", "acme"} {
			appendEvents(t, s, account, i, 1)
			time.Sleep(time.Second)
		}
		want := func(account string, seconds int) {
			t.Helper()
			_, _, oldest := s.Backlog(account)
			if got := oldest.Sub(start()); got != time.Duration(seconds)*time.Second {
				t.Errorf("oldest of %q is %v from the start, want %d s", account, got, seconds)
			}
		}
		want("acme", 0)
		want("zeta", 1)
		want("", 0)
		calls := 0
		err := s.Drain(t.Context(), func(context.Context, events.Encoded) (uint64, error) {
			if calls++; calls > 1 {
				return 0, errRefused
			}
			return 1, nil
		})
		if !errors.Is(err, errRefused) {
			t.Fatal(err)
		}
		want("acme", 2)
		want("", 1)
	})
}

// TestAccountsTakeTurns: an account with a long backlog does not keep another
// one's single event waiting for all of it.
func TestAccountsTakeTurns(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{Hold: time.Hour})
	appendEvents(t, s, "acme", 0, 4*batchEvents)
	appendEvents(t, s, "zeta", 0, 1)
	n, other := 0, 0
	err := s.Drain(t.Context(), func(_ context.Context, e events.Encoded) (uint64, error) {
		if n++; e.Account == "zeta" {
			other = n
		}
		if n == 4*batchEvents+1 {
			return 0, errRefused
		}
		return uint64(n), nil
	})
	if !errors.Is(err, errRefused) || other == 0 || other > batchEvents+1 {
		t.Errorf("zeta's event came as number %d, Drain = %v", other, err)
	}
}

func TestDrainErrorsNameTheEventAndExcludeEachOther(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{})
	appendEvents(t, s, "acme", 7, 1)
	err := s.Drain(t.Context(), func(ctx context.Context, e events.Encoded) (uint64, error) {
		if err := s.Drain(ctx, nil); !errors.Is(err, errBusy) {
			t.Errorf("a second Drain = %v, want %v", err, errBusy)
		}
		if _, err := s.NewEpoch(); !errors.Is(err, errBusy) {
			t.Errorf("NewEpoch = %v, want %v", err, errBusy)
		}
		if _, err := s.Reconcile("acme", Tail{}); !errors.Is(err, errBusy) {
			t.Errorf("Reconcile = %v, want %v", err, errBusy)
		}
		return 0, errRefused
	})
	if !errors.Is(err, errRefused) || !strings.Contains(err.Error(), event("acme", 7, 1, s.Epoch()).ID) {
		t.Errorf("Drain = %v, want %v and the event's id", err, errRefused)
	}
}

// TestAppendRefuses events whose id could not be replaced, or is of an epoch
// that has passed.
func TestAppendRefuses(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{})
	good := event("acme", 1, 1, s.Epoch())
	bad := map[string]events.Encoded{
		"another epoch": event("acme", 1, 1, "aaaa"),
		"no account":    {ID: good.ID, Subject: good.Subject, Body: good.Body},
		"no subject":    {ID: good.ID, Account: "acme", Body: good.Body},
		"another id":    {ID: good.ID, Account: "acme", Subject: good.Subject, Body: []byte(`{}`)},
	}
	for name, e := range bad {
		if err := s.Update(func(tx *Tx) error { return tx.Append(e) }); err == nil {
			t.Errorf("an event with %s was appended", name)
		}
	}
}

// TestALargeEventPassesWhole: the batch in memory is limited by bytes, and one
// event above the limit still goes.
func TestALargeEventPassesWhole(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{})
	e := event("acme", 1, 1, s.Epoch())
	e.Body = append(e.Body[:len(e.Body)-1], `,"x":"`+strings.Repeat("long ", batchBytes/4)+`"}`...)
	err := s.Update(func(tx *Tx) error { return errors.Join(tx.Append(e), tx.Append(event("acme", 2, 1, s.Epoch()))) })
	if err != nil {
		t.Fatal(err)
	}
	batch, err := s.nextBatch("")
	if err != nil || len(batch) != 1 || string(batch[0].event.Body) != string(e.Body) {
		t.Errorf("the first batch has %d events (%v), want the large one, alone and whole", len(batch), err)
	}
}
