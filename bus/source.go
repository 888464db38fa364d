package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

const (
	prefetch      = 256
	maxAckPending = 65_536
	ackWait       = 30 * 24 * time.Hour // redelivery by the server is never wanted
)

// A source reads one durable consumer in stream order and hands out each message
// once, whatever happens to the connection. It remembers only the sequences of
// those that are not settled yet.
//
// The server does not send a message again that was lost with a connection, or
// only after ackWait, and then after younger ones. So whenever something may have
// been lost, the consumer is made anew behind the last settled message, and what
// was handed out before is left out when it comes again. Each such life of the
// consumer is a round.
type source struct {
	bus    *Bus
	stream string
	name   string // of the consumer
	filter []string
	keep   func(ctx context.Context, floor uint64) error // writes the position down; nil: it is not needed
	ready  chan delivery

	mu       sync.Mutex
	round    uint64
	received uint64             // messages of this round
	high     uint64             // the highest sequence handed out, or the position at start
	highTime time.Time          // when the stream took it; zero: not known
	waiting  map[uint64]handed  // handed out and not settled
	restart  context.CancelFunc // ends the present round
}

// handed is what is kept of a message that is not settled.
type handed struct {
	reply string // where to acknowledge
	at    int64  // when the stream took it, in nanoseconds
}

// A delivery is a message as it came in.
type delivery struct {
	jetstream.Msg
	meta  *jetstream.MsgMetadata
	round uint64
}

// place makes the consumer anew: everything above floor comes again. A crash in
// the middle loses no position, since that was written down before.
func (s *source) place(ctx context.Context, floor uint64) (jetstream.Consumer, error) {
	if s.keep != nil {
		if err := s.keep(ctx, floor); err != nil {
			return nil, err
		}
	}
	ctx, cancel := deadline(ctx)
	defer cancel()
	err := s.bus.js.DeleteConsumer(ctx, s.stream, s.name)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, fmt.Errorf("place consumer %s: %w", s.name, plain(err))
	}
	c, err := s.bus.js.CreateConsumer(ctx, s.stream, jetstream.ConsumerConfig{
		Durable:        s.name,
		Description:    "a connector of trackops-notifier; do not touch",
		FilterSubjects: s.filter,
		DeliverPolicy:  jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:    floor + 1,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        ackWait,
		MaxDeliver:     -1,
		MaxAckPending:  maxAckPending,
		Metadata:       map[string]string{ownerKey: "1"},
	})
	if err != nil {
		return nil, fmt.Errorf("place consumer %s: %w", s.name, plain(err))
	}
	return c, nil
}

// run brings messages to s.ready until ctx ends. c is the first round's consumer.
func (s *source) run(ctx context.Context, c jetstream.Consumer) {
	for attempt := 1; ; attempt++ {
		var err error
		if c == nil {
			c, err = s.again(ctx)
		}
		if err == nil {
			attempt, err = 1, s.pull(ctx, c)
			c = nil
		}
		if ctx.Err() != nil {
			return
		}
		s.bus.log.Warn("consumer interrupted", "consumer", s.name, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(fault.Backoff(attempt, 50*time.Millisecond, 10*time.Second)):
		}
	}
}

// again begins a round behind the last settled message. The server may have lost
// what it had not synced and have gone on from there: then the sequences belong to
// other messages now, but these are younger than what they replace. So the round
// begins at the earlier one of where the sequence says and where the time says.
func (s *source) again(ctx context.Context) (jetstream.Consumer, error) {
	info, err := s.bus.info(ctx, s.stream)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.round++
	s.received = 0
	floor, since := min(s.high, info.State.LastSeq), s.highTime
	if !since.IsZero() {
		since = since.Add(1)
	}
	for sequence, h := range s.waiting {
		floor = min(floor, sequence-1)
		if at := time.Unix(0, h.at); at.Before(since) {
			since = at
		}
	}
	s.mu.Unlock()
	if !since.IsZero() {
		before, err := s.bus.lastBefore(ctx, s.stream, since)
		if err != nil {
			return nil, err
		}
		floor = min(floor, before)
	}
	return s.place(ctx, floor)
}

// lastBefore returns the sequence of the stream's last message before a time.
func (b *Bus) lastBefore(ctx context.Context, stream string, at time.Time) (uint64, error) {
	ctx, cancel := deadline(ctx)
	defer cancel()
	c, err := b.js.CreateConsumer(ctx, stream, scanConfig{since: at, headersOnly: true}.consumer())
	if err != nil {
		return 0, fmt.Errorf("messages of %s since a time: %w", stream, plain(err))
	}
	b.dropConsumer(stream, c.CachedInfo().Name)
	return c.CachedInfo().Delivered.Stream, nil
}

// pull forwards messages until something may have been lost.
func (s *source) pull(ctx context.Context, c jetstream.Consumer) error {
	ctx, restart := context.WithCancel(ctx)
	defer restart()
	stop := s.bus.onReconnect(restart)
	defer stop()
	s.mu.Lock()
	round := s.round
	s.restart = restart
	s.mu.Unlock()
	lost := make(chan error, 1)
	end := func(err error) {
		select {
		case lost <- err:
		default: // it ends already
		}
	}
	// A handler that blocks makes messages wait in the subscription, whose limits
	// are far above what the server sends ahead. The iterator has room for no more
	// than that, and drops a message where the server's own notices take its place.
	consuming, err := c.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil {
			end(err)
			return
		}
		select {
		case s.ready <- delivery{m, meta, round}:
		case <-ctx.Done():
		}
	}, s.bus.consumeLimit(prefetch), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { end(err) }))
	if err != nil {
		return plain(err)
	}
	defer func() {
		restart() // lets a handler that blocks go
		consuming.Stop()
		<-consuming.Closed()
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-lost:
		return plain(err)
	}
}

// accept reports whether the delivery is to be handed out: it is of the present
// round, nothing before it was lost, and it was not handed out before.
func (s *source) accept(d delivery) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.round != s.round {
		return false
	}
	if d.meta.Sequence.Consumer != s.received+1 {
		s.round++ // what is still on its way belongs to no round
		s.restart()
		return false
	}
	s.received++
	sequence := d.meta.Sequence.Stream
	// A younger message with an old sequence is another one: the server lost
	// what it had not synced, and went on from there.
	if sequence > s.high || d.meta.Timestamp.After(s.highTime) {
		s.high, s.highTime = sequence, d.meta.Timestamp
		s.waiting[sequence] = handed{d.Reply(), d.meta.Timestamp.UnixNano()}
		return true
	}
	if h, ok := s.waiting[sequence]; ok {
		s.waiting[sequence] = handed{d.Reply(), h.at}
	} else {
		s.ack(d.Reply())
	}
	return false
}

// isWaiting reports whether the message was handed out and not settled.
func (s *source) isWaiting(sequence uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.waiting[sequence]
	return ok
}

// settle acknowledges a message. An acknowledgement that is lost does no harm:
// the ledger is the truth, and in the next round it is given again.
func (s *source) settle(sequence uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h, ok := s.waiting[sequence]; ok {
		delete(s.waiting, sequence)
		s.ack(h.reply)
	}
}

func (s *source) ack(reply string) {
	if err := s.bus.nc.Publish(reply, []byte("+ACK")); err != nil {
		s.bus.log.Debug("acknowledge", "consumer", s.name, "error", err)
	}
}

func (s *source) outstanding() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}
