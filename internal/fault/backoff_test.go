package fault_test

import (
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// Jitter never shortens a wait, and lengthens it by a tenth at most: also the
// longest that a Duration can hold.
func TestJitterKeepsItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(1, math.MaxInt64).Draw(t, "d"))
		got := fault.Jitter(d)
		if got < d || got-d > d/10 {
			t.Fatalf("Jitter(%d) = %d", d, got)
		}
	})
}

func TestJitterOfNoWait(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{0, -1, math.MinInt64} {
		if got := fault.Jitter(d); got != 0 {
			t.Errorf("Jitter(%d) = %v, want 0", d, got)
		}
	}
}

// Many that were refused at one moment must not come back at one moment.
func TestJitterSpreads(t *testing.T) {
	t.Parallel()
	const d = time.Hour
	seen := make(map[time.Duration]bool)
	least, most := time.Duration(math.MaxInt64), time.Duration(0)
	for range 1000 {
		wait := fault.Jitter(d)
		seen[wait] = true
		least, most = min(least, wait), max(most, wait)
	}
	if len(seen) < 900 || most-least < d/20 {
		t.Errorf("1000 waits are %d different ones from %v to %v", len(seen), least, most)
	}
}

// Backoff is at least base doubled for each repetition after the first, but the
// limit, and at most a tenth longer.
func TestBackoffDoublesUpToTheLimit(t *testing.T) {
	t.Parallel()
	waits := rapid.OneOf(rapid.Int64Range(1, math.MaxInt64), rapid.Int64Range(math.MaxInt64/4, math.MaxInt64)) // some overflow when doubled
	rapid.Check(t, func(t *rapid.T) {
		attempt := rapid.IntRange(1, 200).Draw(t, "attempt")
		base := waits.Draw(t, "base")
		limit := waits.Draw(t, "limit")

		doubled := new(big.Int).Lsh(big.NewInt(base), uint(attempt-1))
		want := limit
		if doubled.Cmp(big.NewInt(limit)) < 0 {
			want = doubled.Int64()
		}
		got := int64(fault.Backoff(attempt, time.Duration(base), time.Duration(limit)))
		if got < want || got-want > want/10 {
			t.Fatalf("Backoff(%d, %d, %d) = %d, want %d and at most a tenth more", attempt, base, limit, got, want)
		}
	})
}

func TestBackoffInHumanTerms(t *testing.T) {
	t.Parallel()
	for attempt, want := range map[int]time.Duration{
		0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 6: 32 * time.Second, 7: time.Minute, 1000: time.Minute,
	} {
		if got := fault.Backoff(attempt, time.Second, time.Minute); got < want || got > want+want/10 {
			t.Errorf("Backoff(%d, 1s, 1m) = %v, want %v and at most a tenth more", attempt, got, want)
		}
	}
}
