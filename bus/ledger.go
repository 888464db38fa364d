package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// noteMargin is how much earlier than the oldest unsettled event the ledger is
// read: the server's clock may have been set back in between.
const noteMargin = time.Hour

func noteSubject(connector string) string  { return "trackops-attempts." + connector + ".note" }
func floorSubject(connector string) string { return "trackops-attempts." + connector + ".floor" }

// Note appends to the connector's ledger. The note is stored when Note returns
// nil; after an error it may be.
func (f *Feed) Note(ctx context.Context, note []byte) error {
	return f.append(ctx, noteSubject(f.connector), note)
}

func (f *Feed) append(ctx context.Context, subject string, body []byte) error {
	if _, err := f.bus.request(ctx, &nats.Msg{Subject: subject, Data: body}); err != nil {
		return fmt.Errorf("ledger of %s: %w", f.connector, err)
	}
	return nil
}

// History calls fn, in order, for every note that can concern what was unsettled
// when the feed was attached, and for some older ones. fn may keep the note. Call
// it before the first Next.
func (f *Feed) History(ctx context.Context, fn func(note []byte) error) error {
	if f.unsettledSince.IsZero() {
		return nil
	}
	what := scanConfig{
		stream:   AttemptsStream,
		subjects: []string{noteSubject(f.connector)},
		since:    f.unsettledSince.Add(-noteMargin),
	}
	err := f.bus.scan(ctx, what, func(m jetstream.Msg, _ *jetstream.MsgMetadata) error { return fn(m.Data()) })
	if err != nil {
		return fmt.Errorf("ledger of %s: %w", f.connector, err)
	}
	return nil
}

func memorySubject(connector, key string) string {
	return "trackops-attempts." + connector + ".memory." + key
}

// Remember stores value under key, which is one token of a subject; it is durable
// when Remember returns nil. It is kept as long as the ledger.
func (f *Feed) Remember(ctx context.Context, key, value string) error {
	return f.append(ctx, memorySubject(f.connector, key), []byte(value))
}

// Recall returns what was last remembered under key, or "".
func (f *Feed) Recall(ctx context.Context, key string) (string, error) {
	body, err := f.bus.lastBody(ctx, AttemptsStream, memorySubject(f.connector, key))
	if err != nil {
		return "", fmt.Errorf("memory of %s: %w", f.connector, err)
	}
	return string(body), nil
}

// lastBody returns the last message of a subject, or nil if there is none.
func (b *Bus) lastBody(ctx context.Context, stream, subject string) ([]byte, error) {
	s, err := b.stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	ctx, cancel := deadline(ctx)
	defer cancel()
	m, err := s.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, plain(err)
	}
	return m.Data, nil
}

// keepFloor writes the position down.
func (f *Feed) keepFloor(ctx context.Context, floor uint64) error {
	return f.append(ctx, floorSubject(f.connector), strconv.AppendUint(nil, floor, 10))
}

// notedFloor returns the position last written down; known is false if there is
// none.
func (b *Bus) notedFloor(ctx context.Context, connector string) (floor uint64, known bool, err error) {
	body, err := b.lastBody(ctx, AttemptsStream, floorSubject(connector))
	if err != nil {
		return 0, false, fmt.Errorf("ledger of %s: %w", connector, err)
	}
	if body == nil {
		return 0, false, nil
	}
	floor, err = strconv.ParseUint(string(body), 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("ledger of %s: position: %w", connector, err)
	}
	return floor, true, nil
}
