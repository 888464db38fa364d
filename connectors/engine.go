package connectors

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// A Feed is a connector's share of the stream of events.
type Feed interface {
	// Next blocks until there is another event. After a start, and after its
	// server restarted, everything that is not settled comes again in the order
	// of the stream, perhaps with events that are; replays come when they come.
	// After an error the engine waits a little and calls again.
	Next(ctx context.Context) (events.Stored, error)

	// Read returns the body of an event, and fs.ErrNotExist when it left the
	// stream. It may be called concurrently, also with Next.
	Read(ctx context.Context, sequence uint64) ([]byte, error)
}

// A ReplayKeeper is a [Feed] that keeps the bodies of replays by themselves: the
// event may have left the stream long before an operator asks for it again.
type ReplayKeeper interface {
	// ReadReplay is Read for the event of a replay.
	ReadReplay(ctx context.Context, replay uint64) ([]byte, error)
}

// Config is what an [Engine] needs. Feed, Ledger, Graveyard and History are
// usually one value of package bus. Zero fields take the default in their comment.
type Config struct {
	Name      string // of the connector, as configured
	Connector Connector
	Feed      Feed
	Ledger    Ledger
	Graveyard Graveyard
	History   History

	Retry       []time.Duration // waits between attempts: n are 1 + n attempts; none is one attempt
	Rate        float64         // attempts a second, never two closer than that; 0 is unlimited
	Pace        *Pace           // instead of Rate, when it is shared
	Burst       int             // the most events of one delivery when more wait than the rate lets through; 1
	Timeout     time.Duration   // of one attempt; 30 s
	Concurrency int             // attempts at a time, each of another record; 16
	MaxWaiting  int             // events held at a time; the stream keeps the rest; 50,000
	Grace       time.Duration   // for attempts in flight when the engine is stopped; 10 s

	Filter   *Filter   // nil wants every event
	Mask     *Mask     // nil leaves nothing out
	Calendar *Calendar // nil tells everything at once
	Urgent   *Filter   // what the calendar does not hold up; nil is nothing
	Differ   Differ    // for digests; needed with a Calendar
	Fallback *Fallback // nil is none
	Memory   Memory    // of the connector's health; nil forgets it

	Logger   *slog.Logger // nil is silent
	Observer Observer
}

// An Observer hears what happens, for metrics. Its functions may be nil, are
// called concurrently, and hold up the delivery that they hear of.
type Observer struct {
	// Attempt is called after each attempt, with the outcome Delivered or Failed.
	Attempt func(n Note, took time.Duration)

	// Settled is called once the ledger has the note that settles an event. Of
	// a delivery of several it is called for each of them.
	Settled func(n Note)

	// Health is called when the connector begins to fail and when it is well again.
	Health func(h Health)
}

// An Engine brings the events of a [Feed] to a [Connector], in order per record.
//
// Events of one record form a lane: the next one is attempted only after the
// ledger has on record that the one before was delivered, given up, filtered or
// expired. Records do not wait for each other, until MaxWaiting events are held:
// then the engine takes no new ones until some are settled.
//
// Delivery is at least once. What is sent twice is only what was under way when
// the process died: accepted by the other side, and not yet noted.
type Engine struct {
	cfg   Config
	retry schedule

	orders chan func(*scheduler)

	mu    sync.Mutex // guards stats
	stats Stats
}

// NewEngine returns an engine that does nothing before [Engine.Run].
func NewEngine(cfg Config) *Engine {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 16
	}
	if cfg.MaxWaiting <= 0 {
		cfg.MaxWaiting = 50_000
	}
	if cfg.Grace <= 0 {
		cfg.Grace = 10 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Pace == nil {
		cfg.Pace = NewPace(cfg.Rate, false)
	}
	cfg.Logger = cfg.Logger.With("connector", cfg.Name)
	return &Engine{cfg: cfg, retry: schedule(cfg.Retry), orders: make(chan func(*scheduler))}
}

// Run delivers until ctx ends; then it takes no new events, gives attempts in
// flight up to Grace to finish, notes their outcome and returns nil. An attempt
// that Grace cuts off is not noted and is made again after the next start.
//
// Run may not be called twice at the same time. Nothing but the end of ctx ends
// it: when the ledger or the feed fails, it waits and tries again.
func (e *Engine) Run(ctx context.Context) error {
	known, err := e.recall(ctx)
	if err != nil {
		return nil // ctx ended
	}
	work, endWork := context.WithCancel(context.WithoutCancel(ctx))
	defer endWork()
	notes, endNotes := context.WithCancel(context.WithoutCancel(ctx))
	defer endNotes()

	h, err := e.restore(ctx)
	if err != nil {
		return nil // ctx ended
	}
	k := newKeeper(e)
	go k.run(notes)
	s := newScheduler(e, known, h, k)
	w := &worker{Engine: e, fetches: ctx, attempts: work, notes: notes}
	for range e.cfg.Concurrency {
		go w.run(s.jobs, s.results)
	}
	var intake sync.WaitGroup
	intake.Go(func() { e.takeIn(ctx, s.arrivals) })
	intake.Go(func() { e.age(ctx) })
	s.run(ctx)
	s.drain(e.cfg.Grace, endWork, endNotes)
	intake.Wait()
	k.close(endNotes)
	return nil
}

// recall reads the history, from the beginning again after an error. It fails
// only when ctx ends.
func (e *Engine) recall(ctx context.Context) (*memory, error) {
	var m *memory
	err := e.persist(ctx, "read the history", unlimited, func(ctx context.Context) error {
		m = newMemory()
		return e.cfg.History(ctx, func(note []byte) error {
			if err := m.learn(note); err != nil {
				e.cfg.Logger.Warn("a note of the ledger is unreadable and left out", "error", err)
			}
			return nil
		})
	})
	return m, err
}
