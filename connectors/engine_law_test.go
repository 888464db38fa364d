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
	begin       time.Duration // after virtual time began
	quiet       string
	jumps       bool // the clock of the stream is set forth and back
	later       int  // events that come while each process runs
	gone        bool // the receiver answers 410 now and then
	orders      int  // of an operator, to pause and resume, in each process
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
		quiet:       rapid.SampledFrom([]string{"", "", "22:00-07:00", "01:30-02:30,02:45-03:10"}).Draw(t, "quiet"),
		jumps:       rapid.Bool().Draw(t, "jumps"),
		later:       rapid.IntRange(0, 5).Draw(t, "later"),
		gone:        rapid.IntRange(0, 3).Draw(t, "gone") == 0,
		orders:      rapid.IntRange(0, 3).Draw(t, "orders"),
	}
	// Some begin in the hours before the clocks of Berlin are set.
	p.begin = rapid.SampledFrom([]time.Duration{0, spring.Sub(epoch), autumn.Sub(epoch)}).Draw(t, "begin")
	if p.begin > 0 {
		p.begin -= time.Duration(rapid.IntRange(0, 8*60).Draw(t, "minutes before")) * time.Minute
	}
	for range p.deaths {
		p.lostAcks = append(p.lostAcks, rapid.IntRange(0, 10).Draw(t, "lost acks"))
	}
	return p
}

// When the clocks of Berlin were set in the year in which virtual time begins.
var (
	spring = time.Date(2000, 3, 26, 1, 0, 0, 0, time.UTC)
	autumn = time.Date(2000, 10, 29, 1, 0, 0, 0, time.UTC)
)

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
	case 9:
		a.err = status([]int{301, 400, 404, 413, 422}[r.IntN(5)])
	case 10:
		if r.IntN(10) == 0 {
			a.err = fault.Unsafe(fmt.Errorf("certificate"))
		}
	case 11:
		if p.gone && r.IntN(5) == 0 {
			a.err = status(http.StatusGone)
		}
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

// live runs the plan to its end: several processes that die, and one that does
// not and settles everything.
func (p plan) live(filter *Filter) *world {
	w := newWorld()
	w.reply, w.filter = p.reply, filter
	if p.masked {
		w.mask = must(CompileMask(nil, []string{"/s"}))
	}
	time.Sleep(p.begin)
	r := rand.New(rand.NewPCG(p.seed, 1))
	for range p.events {
		p.happen(w, r)
	}
	for i := range p.deaths {
		p.process(w, r, i)
	}
	p.process(w, r, -1)
	w.final(p)
	return w
}

// happen adds an event to the stream.
func (p plan) happen(w *world, r *rand.Rand) uint64 {
	record, sequence := r.IntN(p.records), uint64(0)
	switch r.IntN(14) {
	case 10, 11, 12:
		n := (w.n[record] + 1 + r.IntN(2)) % 3
		sequence = w.change(fmt.Sprint("changing ", record), fmt.Sprintf(`"n":%d`, w.n[record]), fmt.Sprintf(`"n":%d`, n))
		w.n[record] = n
	case 13:
		sequence = w.publish(fmt.Sprint(record), `"urgent":true,"s":"s3cret"`)
	case 0:
		sequence = w.publishRaw("{not an event")
	case 1:
		sequence = w.publish(fmt.Sprint(record), `"skip":true`)
	default:
		sequence = w.publish(fmt.Sprint(record), "")
	}
	if p.jumps && r.IntN(4) == 0 {
		w.stream[sequence-1].At = time.Now().Add(time.Duration(r.IntN(10*60)-5*60) * time.Minute)
	}
	return sequence
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
	l.watch(e)
	p.disturb(ctx, e, l, r, death)
	for hours := 0; hours < 24*60 && ctx.Err() == nil && !(death < 0 && w.finished()); hours++ {
		time.Sleep(time.Hour)
		if s := e.Stats(); s.State == Parked {
			if !p.gone {
				w.breach("parked without a 410")
			}
			l.resume(ctx, e)
		}
	}
	cancel()
	if err := <-done; err != nil {
		w.breach("Run = %v, want nil", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := e.Stats().InFlight; n != 0 {
		w.breach("%d in flight after the end", n)
	}
	l.audit()
	w.crash()
	if death >= 0 {
		w.acks = w.acks[:len(w.acks)-min(len(w.acks), p.lostAcks[death])]
	}
}

// extend adds what not every connector has.
func (p plan) extend(cfg *Config) {
	cfg.Burst = p.burst
	cfg.Calendar = must(NewCalendar(p.digest, p.quiet, "Europe/Berlin"))
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

// disturb lets things happen while the process runs: more events, replays, an
// operator's orders, a server that begins its feed again, an event that ages out.
func (p plan) disturb(ctx context.Context, e *Engine, l *life, r *rand.Rand, death int) {
	for range p.later {
		time.Sleep(time.Duration(r.IntN(90)*r.IntN(2)) * time.Minute)
		l.feed(p.happen(l.world, r))
	}
	for range p.orders {
		_ = e.Pause(ctx) // it may die meanwhile
		time.Sleep(time.Duration(r.IntN(90)) * time.Minute)
		l.resume(ctx, e)
		time.Sleep(time.Duration(r.IntN(2000)) * time.Millisecond)
	}
	for n := range p.replays {
		time.Sleep(time.Duration(r.IntN(2000)) * time.Millisecond)
		if sequence := 1 + r.Uint64N(uint64(len(l.stream))); l.replayable(sequence) {
			l.replay(sequence, uint64(1000*(death+2)+n))
		}
	}
	time.Sleep(time.Duration(r.IntN(2000)) * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	if sequence := 1 + r.Uint64N(uint64(len(l.stream))); r.IntN(3) == 0 && !l.isReplayed(sequence) {
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

// resume is an operator's order: what waits may be sent before its time.
func (l *life) resume(ctx context.Context, e *Engine) {
	l.mu.Lock()
	l.turned = time.Now()
	l.mu.Unlock()
	_ = e.Resume(ctx) // it may die meanwhile
}

// watch lets every call check the accounts of e.
func (l *life) watch(e *Engine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats = e.Stats
}

// audit checks that what was observed is what became of it.
func (l *life) audit() {
	if l.stats == nil {
		return
	}
	if s := l.stats(); s.Observed != s.Delivered+s.Digested+s.Muted+s.Filtered+s.Dead+s.Expired+uint64(s.Pending) {
		l.breach("what was observed is not what became of it: %+v", s)
	}
}

// crash is the end of a process. What the receiver accepted and the ledger does not
// have was in flight, and may be told again.
func (w *world) crash() {
	clear(w.now)
	for _, a := range w.asked {
		if _, settled := w.settled[a.ident]; a.accepted && !settled {
			w.inFlight[a.ident] = true
		}
	}
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
		if a.ident.replay != 0 || accepted[a.sequence] > 1 {
			continue
		}
		if last := order[w.record(a.sequence)]; a.sequence < last {
			w.breach("%d was accepted after %d of the same record", a.sequence, last)
		}
		order[w.record(a.sequence)] = a.sequence
	}
	dead := 0
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
