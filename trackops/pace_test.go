package trackops_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

func TestRequestsNeverArriveCloserThanTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &arrivals{hold: 300 * time.Millisecond}
		l := serve(t, server, true)
		c := newClient(t, trackops.Config{Rate: 1, Dial: l.dial})
		clients := collection(t, "clients")
		start := time.Now()
		var wg sync.WaitGroup
		for range 14 {
			wg.Go(func() {
				if _, err := c.Do(t.Context(), trackops.Request{Collection: clients}); err != nil {
					t.Errorf("Do: %v", err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took > 14*time.Second {
			t.Errorf("14 requests at 1/s took %s, want under 14s", took)
		}
		for i, gap := range server.gaps() {
			if gap <= time.Second {
				t.Errorf("request %d came %s after the one before, want more than 1s", i+2, gap)
			}
		}
	})
}

// At the API's pace against the API's own limit no request is refused, and 230
// records of each of four collections are read in under 15 seconds.
func TestPaceAgainstTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		account := trackopstest.New(trackopstest.Options{Records: 230, Rate: 1})
		l := serve(t, account.Handler(), true)
		c := newClient(t, trackops.Config{Rate: 1, Dial: l.dial})
		start := time.Now()
		for _, name := range []string{"clients", "cases", "staff", "invoices"} {
			for page := 1; page <= 3; page++ {
				if _, err := c.Do(t.Context(), trackops.Request{Collection: collection(t, name), Page: page}); err != nil {
					t.Errorf("Do: %v", err)
				}
			}
		}
		if took := time.Since(start); took >= 15*time.Second {
			t.Errorf("12 pages took %s", took)
		}
	})
}

func TestOneRequestIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &arrivals{hold: 5 * time.Second}
		l := serve(t, server, true)
		c := newClient(t, trackops.Config{Rate: 1, Dial: l.dial})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := c.Do(t.Context(), trackops.Request{Collection: collection(t, "clients")}); err != nil {
					t.Errorf("Do: %v", err)
				}
			})
		}
		wg.Wait()
		if server.most != 1 {
			t.Errorf("%d requests were in flight at once, want 1", server.most)
		}
	})
}

// The limiter counts from its grant; a request that left late must still keep
// its distance from the next.
func TestSlowDialDoesNotShortenTheGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &arrivals{}
		l := serve(t, server, false) // a new connection for each
		slow := true
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			if slow {
				time.Sleep(900 * time.Millisecond)
				slow = false
			}
			return l.dial(ctx, network, addr)
		}
		c := newClient(t, trackops.Config{Rate: 1, Dial: dial})
		for range 3 {
			if _, err := c.Do(t.Context(), trackops.Request{Collection: collection(t, "clients")}); err != nil {
				t.Fatalf("Do: %v", err)
			}
		}
		for _, gap := range server.gaps() {
			if gap <= time.Second {
				t.Errorf("gap = %s, want more than 1s", gap)
			}
		}
	})
}

// A slowWay delivers each write to it after the next of delays, and then at once.
// Who writes does not wait for that.
type slowWay struct {
	net.Conn
	written chan []byte
	closed  chan struct{}
	once    sync.Once
}

func newSlowWay(conn net.Conn, delays []time.Duration) *slowWay {
	w := &slowWay{Conn: conn, written: make(chan []byte, 8), closed: make(chan struct{})}
	go func() {
		for n := 0; ; n++ {
			select {
			case b := <-w.written:
				if n < len(delays) {
					time.Sleep(delays[n])
				}
				if _, err := conn.Write(b); err != nil {
					return
				}
			case <-w.closed:
				return
			}
		}
	}()
	return w
}

func (w *slowWay) Write(b []byte) (int, error) {
	w.written <- slices.Clone(b)
	return len(b), nil
}

func (w *slowWay) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

// A request that is late on its way must not be met there by the next one.
func TestDelaysOnTheWayDoNotShortenTheGap(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	for name, delays := range map[string][]time.Duration{
		"the first":       {900 * ms},
		"the first, long": {4500 * ms},
		"the third":       {0, 0, 900 * ms},
		"nearly two":      {0, 0, 1900 * ms},
		"three seconds":   {0, 0, 3 * s},
		"nearly five":     {20 * ms, 0, 4900 * ms},
		"one after one":   {0, 3 * s, 3 * s, 3 * s, 1 * s, 4 * s},
		"a slow start":    {2 * s, 0, 2 * s},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &arrivals{hold: 50 * ms}
				l := serve(t, server, true)
				c := newClient(t, trackops.Config{Rate: 1, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := l.dial(ctx, network, addr)
					return newSlowWay(conn, delays), err
				}})
				for range len(delays) + 3 {
					if _, err := c.Do(t.Context(), trackops.Request{Collection: collection(t, "clients")}); err != nil {
						t.Fatalf("Do: %v", err)
					}
				}
				for i, gap := range server.gaps() {
					if gap < time.Second {
						t.Errorf("request %d came %s after the one before, want 1s at least", i+2, gap)
					}
				}
			})
		})
	}
}

// What delays on the way cost where it is Trackops that is slow: a gap longer by
// the first answer, and one by each answer until it is known to be the rule.
func TestSlowAnswersHardlyCostPace(t *testing.T) {
	const slow = 3 * time.Second
	for name, tc := range map[string]struct {
		rate  float64
		quick int // answers before they become slow
		most  time.Duration
	}{
		"from the start": {1, 0, time.Second},
		"from then on":   {1, 5, 20 * time.Second},
		"at half a rate": {0.5, 5, 20 * 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &arrivals{}
				l := serve(t, server, true)
				c := newClient(t, trackops.Config{Rate: tc.rate, Dial: l.dial})
				const asked = 60
				var start time.Time
				for n := range tc.quick + asked {
					if n == tc.quick {
						server.hold = slow
						start = time.Now()
					}
					if _, err := c.Do(t.Context(), trackops.Request{Collection: collection(t, "clients")}); err != nil {
						t.Fatalf("Do: %v", err)
					}
				}
				gap := time.Duration(1.02 / tc.rate * float64(time.Second))
				if took, least := time.Since(start), asked*max(slow, gap); took > least+tc.most+gap {
					t.Errorf("%d answers of %s took %s, want %s and at most %s more", asked, slow, took, least, tc.most)
				}
			})
		})
	}
}

func TestFailedAttemptsKeepThePaceToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		c := newClient(t, trackops.Config{Rate: 1, Dial: func(context.Context, string, string) (net.Conn, error) {
			dials++
			return nil, errors.New("refused")
		}})
		start := time.Now()
		for range 5 {
			if _, err := c.Do(t.Context(), trackops.Request{Collection: collection(t, "clients")}); err == nil {
				t.Fatal("Do without a server succeeded")
			}
		}
		if took := time.Since(start); took < 4*time.Second || dials != 5 {
			t.Errorf("%d dials in %s, want 5 in at least 4s", dials, took)
		}
	})
}

func TestFirstRequestKeepsItsDistanceFromTheLastProcess(t *testing.T) {
	for name, tc := range map[string]struct{ last, low, high time.Duration }{
		"just now":                  {0, time.Second, 1100 * time.Millisecond},
		"half a second ago":         {-500 * time.Millisecond, 500 * time.Millisecond, 600 * time.Millisecond},
		"an hour ago":               {-time.Hour, 0, 0},
		"in the future: clock back": {time.Hour, time.Second, 1100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := serve(t, &arrivals{}, true)
				last := time.Now().Add(tc.last)
				c := newClient(t, trackops.Config{Rate: 1, Dial: l.dial, LastRequest: last})
				start := time.Now()
				page, err := c.Do(t.Context(), trackops.Request{Collection: collection(t, "clients")})
				if err != nil {
					t.Fatalf("Do: %v", err)
				}
				if waited := time.Since(start); waited < tc.low || waited > tc.high {
					t.Errorf("waited %s, want %s to %s", waited, tc.low, tc.high)
				}
				if !c.LastRequest().Equal(page.Sent) {
					t.Errorf("LastRequest = %s, want the time sent, %s", c.LastRequest(), page.Sent)
				}
			})
		})
	}
}

func TestSetRateSlowsAWaitingRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &arrivals{}
		l := serve(t, server, true)
		c := newClient(t, trackops.Config{Rate: 1, Dial: l.dial})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 2 {
				if _, err := c.Do(t.Context(), trackops.Request{Collection: collection(t, "clients")}); err != nil {
					t.Errorf("Do: %v", err)
				}
			}
		}()
		time.Sleep(500 * time.Millisecond)
		c.SetRate(0.25)
		<-done
		if gap := server.gaps()[0]; gap < 4*time.Second {
			t.Errorf("gap = %s after SetRate(0.25), want at least 4s", gap)
		}
		c.SetRate(50)
		if got := c.Rate(); got != 1 {
			t.Errorf("Rate = %v after SetRate(50), want the configured 1", got)
		}
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &arrivals{}
		l := serve(t, server, true)
		c := newClient(t, trackops.Config{Rate: 0.01, Dial: l.dial, LastRequest: time.Now()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for range 3 { // one waits for the pace, two for their turn
			wg.Go(func() {
				_, err := c.Do(ctx, trackops.Request{Collection: collection(t, "clients")})
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Do = %v, want the context's error", err)
				}
			})
		}
		wg.Wait()
		if len(server.at) != 0 {
			t.Errorf("%d requests left, want none", len(server.at))
		}
	})
}

func TestTimeoutCountsFromTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, &arrivals{hold: time.Minute}, true)
		c := newClient(t, trackops.Config{Rate: 0.1, Dial: l.dial, LastRequest: time.Now(), Timeout: 5 * time.Second})
		start := time.Now()
		_, err := c.Do(t.Context(), trackops.Request{Collection: collection(t, "clients")})
		if !errors.Is(err, trackops.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do = %v, want ErrTimeout alone", err)
		}
		if took := time.Since(start); took < 15*time.Second || took > 16*time.Second {
			t.Errorf("gave up after %s, want 10s of pace and 5s of patience", took)
		}
	})
}
