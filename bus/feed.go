package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// ErrClosed says that the feed was closed.
var ErrClosed = errors.New("the feed is closed")

// A Feed brings a connector its events, in stream order, each of them until it
// is settled. Its methods may be called concurrently.
type Feed struct {
	bus       *Bus
	connector string
	events    *source
	replays   *source

	unsettledSince time.Time // when the oldest of what was unsettled at Attach was stored; zero: nothing was

	closed context.Context
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// Attach opens the feed of a connector: everything that its subjects match and
// that it has not settled comes again, from the oldest on. A connector seen for
// the first time starts behind the last event. The subjects may differ from last
// time, and must not overlap. One process at a time may attach a connector.
//
// Attach before the first [Bus.Publish] after a start: a server that lost what it
// had not synced has a shorter stream now, and the position follows it only as
// long as nothing was added.
func (b *Bus) Attach(ctx context.Context, connector string, subjects []string) (*Feed, error) {
	f := &Feed{bus: b, connector: connector}
	f.events = f.source(Stream, connector, subjects)
	f.events.keep = f.keepFloor
	f.replays = f.source(DeadStream, connector+"-replay", []string{replaySubject(connector)})
	if err := f.open(ctx); err != nil {
		return nil, fmt.Errorf("attach %s: %w", connector, err)
	}
	return f, nil
}

func (f *Feed) source(stream, consumer string, filter []string) *source {
	return &source{
		bus: f.bus, stream: stream, name: consumer, filter: filter,
		ready:   make(chan delivery),
		waiting: map[uint64]handed{},
		restart: func() {},
	}
}

func (f *Feed) open(ctx context.Context) error {
	floor, err := f.position(ctx)
	if err != nil {
		return err
	}
	if f.unsettledSince, err = f.oldestUnsettled(ctx, floor); err != nil {
		return err
	}
	f.events.high = floor
	if floor > 0 {
		if f.events.highTime, err = f.bus.storedAfter(ctx, Stream, floor-1, eventSubjects); err != nil {
			return err
		}
	}
	eventConsumer, err := f.events.place(ctx, floor)
	if err != nil {
		return err
	}
	// A settled request for a replay is deleted: what is there is to be done.
	replayConsumer, err := f.replays.place(ctx, 0)
	if err != nil {
		return err
	}
	f.closed, f.stop = context.WithCancel(context.Background())
	f.done.Go(func() { f.events.run(f.closed, eventConsumer) })
	f.done.Go(func() { f.replays.run(f.closed, replayConsumer) })
	return nil
}

// position returns the sequence up to which everything is settled.
func (f *Feed) position(ctx context.Context) (uint64, error) {
	info, err := f.bus.info(ctx, Stream)
	if err != nil {
		return 0, err
	}
	noted, known, err := f.bus.Position(ctx, f.connector)
	if err != nil {
		return 0, err
	}
	if !known {
		return info.State.LastSeq, nil
	}
	return min(noted, info.State.LastSeq), nil
}

// oldestUnsettled returns when the first event above floor, or the first request
// for a replay, was stored; the zero time if there is neither.
func (f *Feed) oldestUnsettled(ctx context.Context, floor uint64) (time.Time, error) {
	event, err := f.bus.storedAfter(ctx, Stream, floor, eventSubjects)
	if err != nil {
		return time.Time{}, err
	}
	replay, err := f.bus.storedAfter(ctx, DeadStream, 0, replaySubject(f.connector))
	if err != nil {
		return time.Time{}, err
	}
	if event.IsZero() || !replay.IsZero() && replay.Before(event) {
		return replay, nil
	}
	return event, nil
}

// storedAfter returns when the first message above the sequence was stored.
func (b *Bus) storedAfter(ctx context.Context, stream string, sequence uint64, subject string) (time.Time, error) {
	s, err := b.stream(ctx, stream)
	if err != nil {
		return time.Time{}, err
	}
	ctx, cancel := deadline(ctx)
	defer cancel()
	m, err := s.GetMsg(ctx, sequence+1, jetstream.WithGetMsgSubject(subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("first message of %s after %d: %w", stream, sequence, plain(err))
	}
	return m.Time, nil
}

// Next returns the next event: of the stream in its order, or one that an
// operator asked for again, which has Replay set and may come at any time. It
// waits for one until ctx ends or the feed is closed; a server that is away only
// makes it wait.
func (f *Feed) Next(ctx context.Context) (events.Stored, error) {
	for {
		select {
		case d := <-f.events.ready:
			if f.events.accept(d) {
				return stored(d), nil
			}
		case d := <-f.replays.ready:
			if !f.replays.accept(d) {
				continue
			}
			ev, err := replayed(d)
			if err == nil {
				return ev, nil
			}
			f.bus.log.Warn("a request for a replay is not one of ours", "sequence", d.meta.Sequence.Stream, "error", err)
			f.replays.settle(d.meta.Sequence.Stream)
		case <-ctx.Done():
			return events.Stored{}, ctx.Err()
		case <-f.closed.Done():
			return events.Stored{}, ErrClosed
		}
	}
}

func stored(d delivery) events.Stored {
	return events.Stored{
		Sequence: d.meta.Sequence.Stream,
		Subject:  d.Subject(),
		At:       d.meta.Timestamp,
		Body:     d.Data(),
		Behind:   d.meta.NumPending,
	}
}

func replayed(d delivery) (events.Stored, error) {
	sequence, err := strconv.ParseUint(d.Headers().Get(headerOriginal), 10, 64)
	if err != nil {
		return events.Stored{}, fmt.Errorf("its sequence: %w", err)
	}
	ev := stored(d)
	ev.Replay, ev.Sequence, ev.Subject = ev.Sequence, sequence, d.Headers().Get(headerSubject)
	if ev.Subject == "" {
		return events.Stored{}, errors.New("no subject")
	}
	ev.For = d.Headers().Get(headerFor)
	return ev, nil
}

// Forward gives an event of this connector to another one, to which it comes as a
// replay with For set. Repeating it within the duplicate window does nothing.
func (f *Feed) Forward(ctx context.Context, to string, ev events.Stored) error {
	m := nats.NewMsg(replaySubject(to))
	m.Data = ev.Body
	m.Header.Set(headerID, fmt.Sprintf("forward-%s-%d-%d", f.connector, ev.Sequence, ev.Replay))
	m.Header.Set(headerOriginal, strconv.FormatUint(ev.Sequence, 10))
	m.Header.Set(headerSubject, ev.Subject)
	m.Header.Set(headerFor, f.connector)
	m.Header.Set(headerType, contentType)
	if _, err := f.bus.request(ctx, m); err != nil {
		return fmt.Errorf("forward event %d to %s: %w", ev.Sequence, to, err)
	}
	return nil
}

// Read returns the body of the event with this sequence again, or an error that
// is [fs.ErrNotExist] if the stream no longer has it.
func (f *Feed) Read(ctx context.Context, sequence uint64) ([]byte, error) {
	return f.bus.read(ctx, Stream, sequence)
}

// ReadReplay returns the body that came with an operator's request again; the
// event itself may have left the stream long ago. replay is [events.Stored]'s.
func (f *Feed) ReadReplay(ctx context.Context, replay uint64) ([]byte, error) {
	return f.bus.read(ctx, DeadStream, replay)
}

func (b *Bus) read(ctx context.Context, stream string, sequence uint64) ([]byte, error) {
	s, err := b.stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	ctx, cancel := deadline(ctx)
	defer cancel()
	m, err := s.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("message %d of %s: %w", sequence, stream, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("message %d of %s: %w", sequence, stream, plain(err))
	}
	return m.Data, nil
}

// Settle ends an event: it does not come again. Note the outcome first, since
// the acknowledgement itself may be lost in a crash. Settling what is settled
// does nothing.
func (f *Feed) Settle(ctx context.Context, ev events.Stored) error {
	if ev.Replay == 0 {
		f.events.settle(ev.Sequence)
		return nil
	}
	if !f.replays.isWaiting(ev.Replay) {
		return nil
	}
	if err := f.bus.remove(ctx, DeadStream, ev.Replay); err != nil {
		return err
	}
	f.replays.settle(ev.Replay)
	return nil
}

// remove deletes a message; one that is gone already is no error.
func (b *Bus) remove(ctx context.Context, stream string, sequence uint64) error {
	s, err := b.stream(ctx, stream)
	if err != nil {
		return err
	}
	ctx, cancel := deadline(ctx)
	defer cancel()
	err = s.DeleteMsg(ctx, sequence)
	if err == nil {
		return nil
	}
	if _, readErr := b.read(ctx, stream, sequence); errors.Is(readErr, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("delete message %d of %s: %w", sequence, stream, plain(err))
}

// Oldest returns the sequence below which the stream holds no events any more.
func (f *Feed) Oldest(ctx context.Context) (uint64, error) {
	info, err := f.bus.info(ctx, Stream)
	if err != nil {
		return 0, err
	}
	return info.State.FirstSeq, nil
}

// Pending returns how many events still have to come out of Next, and how many
// came out and are not settled, replays included.
func (f *Feed) Pending(ctx context.Context) (pending uint64, outstanding int, err error) {
	ctx, cancel := deadline(ctx)
	defer cancel()
	for _, s := range []*source{f.events, f.replays} {
		c, err := f.bus.js.Consumer(ctx, s.stream, s.name)
		if err != nil {
			return 0, 0, fmt.Errorf("pending of %s: %w", f.connector, plain(err))
		}
		info, out := c.CachedInfo(), s.outstanding()
		outstanding += out
		pending += info.NumPending
		if ahead := info.NumAckPending - out; ahead > 0 {
			pending += uint64(ahead) // sent ahead, and waiting for Next
		}
	}
	return pending, outstanding, nil
}

// Close stops the feed; what is not settled comes again at the next Attach. It
// may be called again.
func (f *Feed) Close() {
	f.stop()
	f.done.Wait()
}
