package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// State is where the stream of events, and one account in it, begin and end.
type State struct {
	First, Last   uint64 // of the whole stream; Last is at least what was ever stored and not lost
	LastOfAccount uint64 // 0: the account has no event in the stream
}

// Tail calls fn for each event from sequence from on, in order, without its
// body: the given account's, and the others' too, which tell a place that was
// given to somebody else from an empty one. It ends at the stream's end or with
// fn's error. The account must not be published meanwhile.
func (b *Bus) Tail(ctx context.Context, account string, from uint64, fn func(sequence uint64, account, id string) error) (State, error) {
	info, err := b.info(ctx, Stream)
	if err != nil {
		return State{}, err
	}
	state := State{First: info.State.FirstSeq, Last: info.State.LastSeq}
	if state.LastOfAccount, _, err = b.LastOf(ctx, account); err != nil {
		return State{}, err
	}
	if from > state.Last {
		return state, nil
	}
	from = max(from, 1)
	what := scanConfig{stream: Stream, subjects: []string{space("*")}, from: from, headersOnly: true}
	err = b.scan(ctx, what, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		_, rest, _ := strings.Cut(m.Subject(), ".")
		owner, _, _ := strings.Cut(rest, ".")
		return fn(meta.Sequence.Stream, owner, m.Headers().Get(headerID))
	})
	if err != nil {
		return State{}, fmt.Errorf("events of the stream from %d: %w", from, err)
	}
	return state, nil
}

// scanConfig says what to read of a stream: from a sequence, from a time, or all.
type scanConfig struct {
	stream      string
	subjects    []string
	from        uint64
	since       time.Time
	headersOnly bool
}

func (c scanConfig) consumer() jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		AckPolicy:         jetstream.AckNonePolicy,
		FilterSubjects:    c.subjects,
		HeadersOnly:       c.headersOnly,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: time.Minute,
	}
	switch {
	case c.from > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, c.from
	case !c.since.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &c.since
	}
	return cfg
}

// scan calls fn for each message that was in the stream when it began, in order.
// A gap, or a connection lost on the way, is an error.
func (b *Bus) scan(ctx context.Context, what scanConfig, fn func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	create, cancel := deadline(ctx)
	defer cancel()
	c, err := b.js.CreateConsumer(create, what.stream, what.consumer())
	if err != nil {
		return plain(err)
	}
	info := c.CachedInfo()
	defer b.dropConsumer(what.stream, info.Name)
	left := info.NumPending
	if left == 0 {
		return nil
	}
	messages, err := c.Messages(b.pullLimit(scanBatch))
	if err != nil {
		return plain(err)
	}
	defer messages.Stop()
	for n := uint64(1); n <= left; n++ {
		m, err := nextWithin(ctx, messages)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && b.exhausted(ctx, c) {
			return nil // the rest expired while we read
		}
		if err != nil {
			return plain(err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != n {
			return errors.New("a message was lost on the way")
		}
		if err := fn(m, meta); err != nil {
			return err
		}
		if meta.NumPending == 0 {
			break
		}
	}
	return nil
}

const scanBatch = 1000

func nextWithin(ctx context.Context, messages jetstream.MessagesContext) (jetstream.Msg, error) {
	ctx, cancel := deadline(ctx)
	defer cancel()
	return messages.Next(jetstream.NextContext(ctx))
}

func (b *Bus) exhausted(ctx context.Context, c jetstream.Consumer) bool {
	ctx, cancel := deadline(ctx)
	defer cancel()
	info, err := c.Info(ctx)
	return err == nil && info.NumPending == 0
}

// dropConsumer removes a consumer made for one read. The server would do so
// itself a minute later.
func (b *Bus) dropConsumer(stream, name string) {
	subject := "$JS.API.CONSUMER.DELETE." + stream + "." + name
	if err := b.nc.Publish(subject, nil); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		b.log.Debug("drop a consumer", "stream", stream, "error", err)
	}
}

// pullLimit bounds what the server sends ahead. A message above the bound would
// never come, so it is a multiple of the largest possible one.
func (b *Bus) pullLimit(messages int) jetstream.PullMessagesOpt {
	return jetstream.PullMaxMessagesWithBytesLimit(messages, int(max(2*b.nc.MaxPayload(), maxPayload)))
}

// consumeLimit is pullLimit for messages that are handed to a function.
func (b *Bus) consumeLimit(messages int) jetstream.PullConsumeOpt {
	return jetstream.PullMaxMessagesWithBytesLimit(messages, int(max(2*b.nc.MaxPayload(), maxPayload)))
}
