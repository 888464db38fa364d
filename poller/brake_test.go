package poller

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// However the absences come to light, a few in one window and the others in a
// count, none of a mass deletion is told before the brake was released.
func TestAMassDeletionIsNotToldInPieces(t *testing.T) {
	for _, seconds := range []int{0, 7, 31, 64, 120, 300} {
		t.Run(fmt.Sprintf("%d s after a sweep began", seconds), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 5, trackopstest.Options{Sizes: map[string]int{"clients": 229}, Rate: 1}, "clients")
				w.start()
				w.await(time.Minute)
				time.Sleep(10*time.Minute + time.Duration(seconds)*time.Second)
				for i, id := range w.account.IDs("clients") {
					if i < 30 || i >= 90 {
						must(t, w.account.Delete("clients", id))
					}
				}
				time.Sleep(50 * time.Minute)
				if n := w.count("clients", events.Deleted); n != 0 {
					t.Errorf("%d deletions told, want none within the hour", n)
				}
				if n := w.count(events.System, events.SourceSuspicious); n != 1 {
					t.Errorf("source_suspicious told %d times, want once", n)
				}
			})
		})
	}
}
