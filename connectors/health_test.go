package connectors

import (
	"fmt"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// A patient is a health under attempts.
type patient struct {
	*health
	now time.Time
}

func newPatient() *patient {
	now := time.Now()
	return &patient{newHealth(now), now}
}

// fails lets n attempts fail, of records in turn, so long after one another.
func (p *patient) fails(n, records int, apart time.Duration, err error) news {
	last := nothing
	for i := range n {
		p.now = p.now.Add(apart)
		last = p.struck(blow{account: "acme", record: fmt.Sprint(i % records), err: err, text: err.Error()}, p.now)
	}
	return last
}

func (p *patient) probe(err error) news {
	p.now = p.now.Add(time.Minute)
	return p.struck(blow{account: "acme", record: "0", err: err, text: err.Error(), probe: true}, p.now)
}

func TestBreakerCountsToTen(t *testing.T) {
	p := newPatient()
	if p.fails(9, 3, time.Minute, status(500)); p.State != Active {
		t.Errorf("State = %s after nine failures", p.State)
	}
	if n := p.fails(1, 3, 0, status(500)); p.State != Open || n != nowFails || p.Account != "acme" {
		t.Errorf("State = %s, news %d, after the tenth", p.State, n)
	}
}

// The minute counts from the last acceptance, not from the first failure.
func TestBreakerWaitsForAMinuteOfSilence(t *testing.T) {
	p := newPatient()
	p.now = p.now.Add(50 * time.Second)
	if p.fails(15, 3, 500*time.Millisecond, status(500)); p.State != Active {
		t.Errorf("State = %s before a minute is over", p.State)
	}
	if p.fails(6, 3, 500*time.Millisecond, status(500)); p.State != Open {
		t.Errorf("State = %s when nothing was accepted for a minute", p.State)
	}
}

func TestAcceptanceBeginsTheCountAnew(t *testing.T) {
	p := newPatient()
	p.fails(9, 3, 10*time.Second, status(500))
	p.acceptedAt(p.now)
	if p.fails(12, 2, 10*time.Second, status(500)); p.State != Active {
		t.Errorf("State = %s after failures of two records", p.State)
	}
}

func TestProbesAreFurtherAndFurtherApart(t *testing.T) {
	p := newPatient()
	p.fails(10, 3, time.Minute, status(500))
	wait := firstProbe
	for i := range 10 {
		if got := p.Probe.Sub(p.now); got < wait || got > wait+wait/10 {
			t.Errorf("the wait for probe %d is %s, want %s", i+1, got, wait)
		}
		before := p.Probe
		if p.fails(3, 3, time.Second, status(500)); !p.Probe.Equal(before) {
			t.Error("what was under way when it opened moved the probe")
		}
		if n := p.probe(fmt.Errorf("reason %d", i)); n != nothing || p.Reason != fmt.Sprint("reason ", i) {
			t.Errorf("news %d, reason %q of probe %d", n, p.Reason, i+1)
		}
		wait = min(2*wait, lastProbe)
	}
}

// An endpoint that answers a probe with something against the message, or asks for
// patience, is there again; one failure is enough to see that it is not.
func TestProbeThatIsAnswered(t *testing.T) {
	for _, code := range []int{400, 413, 415, 422, 429} {
		p := newPatient()
		p.fails(10, 3, time.Minute, status(500))
		if n := p.probe(status(code)); p.State != Failing || n != nothing {
			t.Errorf("State = %s, news %d after %d to a probe", p.State, n, code)
		}
		if p.fails(1, 1, time.Second, status(500)); p.State != Open {
			t.Errorf("State = %s when it fails again", p.State)
		}
		if n := p.acceptedAt(p.now); p.State != Active || n != recovered {
			t.Errorf("State = %s, news %d when it is well", p.State, n)
		}
	}
}

// Refused messages of a connector that accepts others are told of once an hour.
func TestComplaints(t *testing.T) {
	p := newPatient()
	for i, test := range []struct {
		pass time.Duration
		want news
	}{{0, nowFails}, {30 * time.Minute, nothing}, {20 * time.Minute, nothing}, {11 * time.Minute, nowFails}} {
		p.now = p.now.Add(test.pass)
		if n := p.fails(1, 1, 0, status(422)); n != test.want || n != nothing && !p.Message {
			t.Errorf("news %d of complaint %d, want %d", n, i+1, test.want)
		}
		if p.acceptedAt(p.now); p.Message {
			t.Error("it still is of a message when others are accepted")
		}
	}
}

// An operator's word begins everything anew: it opens no sooner than one that was well.
func TestResumeBeginsAnew(t *testing.T) {
	for _, err := range []error{status(410), status(500)} {
		p := newPatient()
		p.fails(10, 3, time.Minute, err)
		p.resume(p.now)
		if p.State != Failing || !p.Down.IsZero() || p.Failed != 0 || !p.Told {
			t.Errorf("%+v when it is resumed", p.Health)
		}
		if p.fails(12, 3, time.Second, status(500)); p.State != Failing {
			t.Errorf("State = %s twelve seconds after it was resumed", p.State)
		}
		if n := p.fails(1, 3, time.Minute, status(500)); p.State != Open || n != nothing {
			t.Errorf("State = %s, news %d, a minute after it was resumed", p.State, n)
		}
	}
}

// A record that cannot be written says nothing of the endpoint.
func TestEventsFaultIsNoFailure(t *testing.T) {
	p := newPatient()
	if p.fails(20, 20, time.Minute, fault.Permanent(status(500))); p.Failed != 0 || p.State != Active {
		t.Errorf("%+v", p.Health)
	}
}

// What is parked is not only paused, and one word of an operator ends both.
func TestParkedAndPaused(t *testing.T) {
	p := newPatient()
	p.fails(1, 1, 0, status(410))
	if p.pause(); p.state() != Parked {
		t.Errorf("State = %s, want %s", p.state(), Parked)
	}
	if p.resume(p.now); p.state() != Failing {
		t.Errorf("State = %s when it is resumed", p.state())
	}
	if p.pause(); p.state() != Paused {
		t.Errorf("State = %s, want %s", p.state(), Paused)
	}
}
