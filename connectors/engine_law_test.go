package connectors

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// A plan is one history of the world, drawn before it begins.
type plan struct {
	seed        uint64
	events      int
	records     int
	concurrency int
	maxWaiting  int
	rate        float64
	retry       []time.Duration
	deaths      []int // calls that each process lives for
	lostAcks    []int // acknowledgements lost in each death
	replays     int
	burst       int
	digest      string
	urgent      bool
	masked      bool
	fallback    bool
}

func drawPlan(t *rapid.T) plan {
	p := plan{
		seed:        rapid.Uint64().Draw(t, "seed"),
		events:      rapid.IntRange(1, 40).Draw(t, "events"),
		records:     rapid.IntRange(1, 5).Draw(t, "records"),
		concurrency: rapid.IntRange(1, 4).Draw(t, "concurrency"),
		maxWaiting:  rapid.IntRange(1, 50).Draw(t, "max waiting"),
		rate:        rapid.SampledFrom([]float64{0, 0, 20}).Draw(t, "rate"),
		retry:       rapid.SampledFrom([][]time.Duration{nil, {time.Second}, {time.Second, time.Minute, time.Hour}}).Draw(t, "retry"),
		deaths:      rapid.SliceOfN(rapid.IntRange(1, 120), 0, 6).Draw(t, "deaths"),
		replays:     rapid.IntRange(0, 5).Draw(t, "replays"),
		burst:       rapid.SampledFrom([]int{0, 0, 2, 10}).Draw(t, "burst"),
		digest:      rapid.SampledFrom([]string{"", "", "10s", "1h"}).Draw(t, "digest"),
		urgent:      rapid.Bool().Draw(t, "urgent"),
		masked:      rapid.Bool().Draw(t, "masked"),
		fallback:    rapid.IntRange(0, 3).Draw(t, "fallback") == 0,
	}
	for range p.deaths {
		p.lostAcks = append(p.lostAcks, rapid.IntRange(0, 10).Draw(t, "lost acks"))
	}
	return p
}

// reply draws what the receiver does, whatever the order of calls.
func (p plan) reply(call int, _ Delivery, sequence uint64) answer {
	r := rand.New(rand.NewPCG(p.seed, sequence<<16|uint64(call)))
	a := answer{after: time.Duration(r.IntN(3)) * time.Duration(r.IntN(400)) * time.Millisecond}
	switch n := r.IntN(20); n {
	case 0, 1, 2:
		a.err = status(500)
	case 3:
		a.err = fault.RetryAfter(90*time.Second, status(503))
	case 4:
		a.err = fault.RetryAfter(30*time.Second, status(http.StatusTooManyRequests))
	case 5:
		a.err = status(http.StatusTooManyRequests)
	case 6:
		a.err = fault.Permanent(fmt.Errorf("cannot be rendered"))
	case 7:
		a.panic = "secret"
	case 8:
		a.after = 2 * time.Minute // longer than the time-out
	}
	return a
}

// TestDeliveryLaw lives through random failures and crashes and checks that
// nothing is lost, records are in order, and only what was in flight at a crash
// is sent twice. The world checks the rest as it happens.
func TestDeliveryLaw(t *testing.T) {
	filter, err := CompileFilter("data.record.skip != true")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		var w *world
		synctest.Test(t, func(*testing.T) { w = p.live(filter) })
		for _, broken := range w.broken {
			rt.Error(broken)
		}
	})
}

// What is superseded while it waits with the others of its window is no end to all.
func TestSupersededInItsWindow(t *testing.T) {
	p := plan{seed: 2, events: 40, records: 1, concurrency: 1, maxWaiting: 3, retry: []time.Duration{time.Second},
		digest: "10s", urgent: true, fallback: true}
	within(t, func(t *testing.T, _ *world) {
		for _, broken := range p.live(must(CompileFilter("data.record.skip != true"))).broken {
			t.Error(broken)
		}
	})
}

// live runs the plan to its end: several processes that die, and one that does
// not and settles everything.
func (p plan) live(filter *Filter) *world {
	w := newWorld()
	w.reply, w.filter = p.reply, filter
	if p.masked {
		w.mask = must(CompileMask(nil, []string{"/s"}))
	}
	r := rand.New(rand.NewPCG(p.seed, 1))
	for range p.events {
		switch r.IntN(14) {
		case 12:
			w.change(fmt.Sprint(r.IntN(p.records)), fmt.Sprintf(`"n":%d`, r.IntN(2)), fmt.Sprintf(`"n":%d`, r.IntN(2)))
		case 13:
			w.publish(fmt.Sprint(r.IntN(p.records)), `"urgent":true,"s":"s3cret"`)
		case 0:
			w.publishRaw("{not an event")
		case 1:
			w.publish(fmt.Sprint(r.IntN(p.records)), `"skip":true`)
		default:
			w.publish(fmt.Sprint(r.IntN(p.records)), "")
		}
	}
	for i := range p.deaths {
		p.process(w, r, i)
	}
	p.process(w, r, -1)
	w.final(p)
	return w
}

func (p plan) process(w *world, r *rand.Rand, death int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l := w.newLife(cancel)
	if death >= 0 {
		l.left, l.after = p.deaths[death], r.IntN(2) == 0
	}
	failures := rand.New(rand.NewPCG(p.seed, uint64(death+100)))
	l.refuse = func(what string) error {
		if what != "attempt" && what != "accept" && failures.IntN(15) == 0 {
			return fmt.Errorf("the store is away")
		}
		return nil
	}
	cfg := l.config()
	cfg.Retry, cfg.Rate, cfg.Concurrency, cfg.MaxWaiting = p.retry, p.rate, p.concurrency, p.maxWaiting
	p.extend(&cfg)
	done := make(chan error, 1)
	e := NewEngine(cfg)
	go func() { done <- e.Run(ctx) }()
	p.disturb(l, r, death)
	for hours := 0; hours < 24*60 && ctx.Err() == nil && !(death < 0 && w.finished()); hours++ {
		time.Sleep(time.Hour)
	}
	if s := e.Stats(); death < 0 && s.State == Parked {
		w.breach("parked without a 410")
	}
	cancel()
	if err := <-done; err != nil {
		w.breach("Run = %v, want nil", err)
	}
	if s := e.Stats(); s.Observed != s.Delivered+s.Digested+s.Muted+s.Filtered+s.Dead+s.Expired+uint64(s.Pending) {
		w.breach("what was observed is not what became of it: %+v", s)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.now)
	if death >= 0 {
		w.acks = w.acks[:len(w.acks)-min(len(w.acks), p.lostAcks[death])]
	}
}

// extend adds what not every connector has.
func (p plan) extend(cfg *Config) {
	cfg.Burst = p.burst
	if p.digest != "" {
		cfg.Calendar = must(NewCalendar(p.digest, "", ""))
	}
	if p.urgent {
		cfg.Urgent = must(CompileFilter("data.record.urgent == true"))
	}
	if p.fallback {
		cfg.Fallback = &Fallback{Name: "mail", After: time.Minute, Latest: p.seed%2 == 0,
			Forward: func(context.Context, events.Stored) error { return nil }}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// disturb lets things happen while the process runs: replays, a server that
// begins its feed again, an event that ages out.
func (p plan) disturb(l *life, r *rand.Rand, death int) {
	for n := range p.replays {
		time.Sleep(time.Duration(r.IntN(2000)) * time.Millisecond)
		if sequence := 1 + r.Uint64N(uint64(p.events)); l.replayable(sequence) {
			l.replay(sequence, uint64(1000*(death+2)+n))
		}
	}
	time.Sleep(time.Duration(r.IntN(2000)) * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	if sequence := 1 + r.Uint64N(uint64(p.events)); r.IntN(3) == 0 && !l.isReplayed(sequence) {
		l.aged[sequence] = true
	}
	if r.IntN(2) == 0 {
		l.refeed()
	}
}

// replayable says whether an operator could ask for the event: it is settled,
// in the stream and not asked for before, so that the receiver can tell the
// replay, which looks the same, from the original.
func (w *world) replayable(sequence uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, settled := w.settled[ident{sequence: sequence}]
	return settled && !w.aged[sequence] && !w.isReplayed(sequence)
}

func (w *world) isReplayed(sequence uint64) bool {
	return slices.ContainsFunc(w.replays, func(ev events.Stored) bool { return ev.Sequence == sequence })
}

// finished says whether everything that is still in the stream is settled.
func (w *world) finished() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.unsettled()) == 0
}

func (w *world) unsettled() []ident {
	var open []ident
	for _, ev := range slices.Concat(w.stream, w.replays) {
		id := ident{ev.Sequence, ev.Replay}
		if _, ok := w.settled[id]; !ok && (!w.aged[ev.Sequence] || ev.Replay != 0) {
			open = append(open, id)
		}
	}
	return open
}

// final checks what holds at the end.
func (w *world) final(p plan) {
	if open := w.unsettled(); len(open) > 0 {
		w.breach("never settled: %v", open)
	}
	accepted := map[uint64]int{}
	var order = map[string]uint64{}
	for _, a := range w.asked {
		if !a.accepted {
			continue
		}
		accepted[a.sequence]++
		if a.replay || accepted[a.sequence] > 1 {
			continue
		}
		if last := order[w.record(a.sequence)]; a.sequence < last {
			w.breach("%d was accepted after %d of the same record", a.sequence, last)
		}
		order[w.record(a.sequence)] = a.sequence
	}
	repeats, dead := 0, 0
	delivered := map[uint64]int{}
	for id, outcome := range w.settled {
		switch outcome {
		case Delivered, Digested:
			delivered[id.sequence]++
		case Dead:
			dead++
			w.deadAsPlanned(id, p)
		}
	}
	for sequence, n := range accepted {
		repeats += n - delivered[sequence]
	}
	muted := 0
	for _, outcome := range w.settled {
		if outcome == Muted {
			muted++ // its digest was accepted, and it was not in it
		}
	}
	if limit := p.concurrency*max(1, p.burst)*len(p.deaths) + muted; p.digest == "" && repeats > limit {
		w.breach("%d deliveries were repeated, want at most the %d in flight in %d crashes", repeats, limit, len(p.deaths))
	}
	for sequence, n := range delivered {
		if accepted[sequence] < n {
			w.breach("%d is noted as delivered %d times and was accepted %d times", sequence, n, accepted[sequence])
		}
	}
	if len(w.graves) < dead {
		w.breach("%d dead letters for %d dead events", len(w.graves), dead)
	}
}

// deadAsPlanned checks that a dead event got all its attempts, and all are told.
func (w *world) deadAsPlanned(id ident, p plan) {
	notes := w.notesOf(id)
	last := notes[len(notes)-1]
	if w.record(id.sequence) == "" {
		return // undecodable
	}
	d := w.graves[fmt.Sprint(last.EventID, id.replay)]
	failed := 0
	for _, n := range notes {
		if n.Outcome == Failed {
			failed++
		}
	}
	if len(d.Attempts) != failed {
		w.breach("the letter of %d lists %d attempts, want %d", id.sequence, len(d.Attempts), failed)
	}
	if len(d.Attempts) == 0 {
		return // held up all the time
	}
	final := d.Attempts[len(d.Attempts)-1]
	switch {
	case final.Error == "cannot be rendered", strings.Contains(last.Reason, "while the connector failed"):
	case final.Attempt != 1+len(p.retry):
		w.breach("%d was given up after attempt %d of %d: %s", id.sequence, final.Attempt, 1+len(p.retry), last.Reason)
	}
}
