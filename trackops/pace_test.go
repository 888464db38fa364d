package trackops_test

import (
	"context"
	"errors"
	"net"
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
