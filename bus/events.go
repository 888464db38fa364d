package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// EventsOptions says which events to read.
type EventsOptions struct {
	// Since is when the stream took the first one. Zero: all that are there, or
	// with Follow only new ones.
	Since    time.Time
	Follow   bool     // wait for more until the context ends
	Subjects []string // patterns that do not overlap; none: all
}

// Events calls fn for each event that the stream holds, in its order, and with
// Follow for each that comes. It ends at the stream's end, with fn's error, or
// with the context's.
func (b *Bus) Events(ctx context.Context, opts EventsOptions, fn func(events.Stored) error) error {
	if opts.Follow {
		return b.follow(ctx, opts, fn)
	}
	what := scanConfig{stream: Stream, subjects: opts.Subjects, since: opts.Since}
	err := b.scan(ctx, what, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		return fn(stored(delivery{Msg: m, meta: meta}))
	})
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	return nil
}

func (b *Bus) follow(ctx context.Context, opts EventsOptions, fn func(events.Stored) error) error {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: opts.Subjects, DeliverPolicy: jetstream.DeliverNewPolicy}
	if !opts.Since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &opts.Since
	}
	create, cancel := deadline(ctx)
	defer cancel()
	c, err := b.js.OrderedConsumer(create, Stream, cfg)
	if err != nil {
		return fmt.Errorf("follow events: %w", plain(err))
	}
	messages, err := c.Messages(b.pullLimit(prefetch))
	if err != nil {
		return fmt.Errorf("follow events: %w", plain(err))
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("follow events: %w", plain(err))
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("follow events: %w", err)
		}
		if err := fn(stored(delivery{Msg: m, meta: meta})); err != nil {
			return err
		}
	}
}
