package poller

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// In an account where nothing happens the watermark is the newest of old times.
// Deletions of the newest records are found as soon as those of others: where they
// are old, or were held for ten minutes.
func TestDeletionsInAQuietAccount(t *testing.T) {
	const month = 30 * 24 * time.Hour
	for _, test := range []struct {
		name             string
		apart, ago, held time.Duration
		ahead            time.Duration // what stamps records, before the Date header
		dateless         time.Duration // at first
	}{
		{"a month old, stamped alike", 0, month, 0, 0, 0},
		{"a month old, a second apart", time.Second, month, 0, 0, 0},
		{"a month old, stamped hours ahead", time.Second, month, 0, 5 * time.Hour, 0},
		{"a month old, stamped hours behind", time.Second, month, 0, -5 * time.Hour, 0},
		{"an hour old, held for a while", time.Second, time.Hour, 12 * time.Minute, 0, 0},
		{"an hour old, held for a while, stamped hours behind", time.Second, time.Hour, 12 * time.Minute, -5 * time.Hour, 0},
		{"an hour old, held for a while, no Date header at first", time.Second, time.Hour, 12 * time.Minute, 0, time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := trackopstest.Options{Sizes: map[string]int{"clients": 30}, Span: 30*test.apart + time.Second, StampSkew: test.ahead, Rate: 1}
				w := newWorld(t, 3, opts, "clients")
				time.Sleep(test.ago)
				dated := time.Now().Add(test.dateless)
				w.source = sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
					page, err := w.account.Do(ctx, r)
					if time.Now().Before(dated) {
						page.Date = time.Time{}
					}
					return page, err
				})
				w.start()
				w.await(time.Minute)
				w.sleep(test.held)
				id := w.account.IDs("clients")[29]
				must(t, w.account.Delete("clients", id))
				w.told(2*time.Minute, "clients", id, events.Deleted)
				w.verify()
			})
		})
	}
}

// However the clocks of an account differ, a settled count ends ten minutes before
// the time that a new record would bear, so that no record that becomes visible
// late can be within it.
func TestNothingNewIsWithinASettledCount(t *testing.T) {
	for _, test := range []struct {
		name         string
		skew, stamps time.Duration // of the account's clock, and of its stamps beside that
		dates        int           // each such answer has a Date header
	}{
		{"one clock", 0, 0, 1},
		{"hours ahead of ours", 7 * time.Hour, 0, 1},
		{"hours behind ours", -7 * time.Hour, 0, 1},
		{"stamps ahead", 0, 14 * time.Hour, 1},
		{"stamps behind", 0, -14 * time.Hour, 1},
		{"stamps a minute behind", 0, -time.Minute, 1},
		{"no Date header, behind ours", -7 * time.Hour, 0, 0},
		{"a Date header now and then", 0, -5 * time.Hour, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				opts := trackopstest.Options{Sizes: map[string]int{"clients": 150}, Rate: 1, Skew: test.skew, StampSkew: test.stamps, Lag: time.Minute}
				w := newWorld(t, 5, opts, "clients")
				agreed := time.Duration(0) // two clocks that agree within the overlap are taken for one
				if test.stamps.Abs() < usualOverlap {
					agreed = test.stamps.Abs()
				}
				asked := 0
				w.source = sourceFunc(func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
					page, err := w.account.Do(ctx, r)
					if asked++; test.dates == 0 || asked%test.dates != 0 {
						page.Date = time.Time{}
					}
					if until := r.CreatedTo; r.Count && w.watch("clients").cursor.Live {
						if next := time.Now().Add(test.skew + test.stamps); until.After(next.Add(-settle + resolution + agreed)) {
							t.Errorf("a count up to %s, when new records bear %s", until, next)
						}
					}
					return page, err
				})
				w.start()
				w.await(time.Minute)
				for i := range 30 {
					w.sleep(time.Duration(w.rng.IntN(1+i%7*400)) * time.Second)
					ids := w.account.IDs("clients")
					switch i % 3 {
					case 0:
						_, err := w.account.Create("clients", nil)
						must(t, err)
					case 1:
						must(t, w.account.Change("clients", ids[w.rng.IntN(len(ids))], map[string]any{"name": json.RawMessage(fmt.Sprintf("%q", fmt.Sprint("Acme ", i)))}))
					default:
						must(t, w.account.Delete("clients", ids[len(ids)-1]))
					}
					if i == 15 {
						w.crash()
						time.Sleep(time.Hour)
						w.start()
					}
				}
				w.sleep(2 * time.Hour)
				w.verify()
			})
		})
	}
}
