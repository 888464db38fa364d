package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// eventID is what an event's id looks like: its account, its collection with "-"
// for "_", its record, its revision and the epoch.
var eventID = regexp.MustCompile(`^([A-Za-z0-9-]+)_([A-Za-z0-9-]+)_[A-Za-z0-9-]+_[0-9]+_[A-Za-z0-9]+$`)

// Find returns the event with this id, or an error that is [fs.ErrNotExist] if
// the stream does not hold it. It reads the headers of the collection's events.
func (b *Bus) Find(ctx context.Context, id string) (events.Stored, error) {
	missing := fmt.Errorf("event %s: %w", id, fs.ErrNotExist)
	part := eventID.FindStringSubmatch(id)
	if part == nil {
		return events.Stored{}, missing
	}
	what := scanConfig{
		stream:      Stream,
		subjects:    []string{events.Subject(part[1], strings.ReplaceAll(part[2], "-", "_"), "*")},
		headersOnly: true,
	}
	var found events.Stored
	errFound := errors.New("found")
	err := b.scan(ctx, what, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if m.Headers().Get(headerID) != id {
			return nil
		}
		found = stored(delivery{Msg: m, meta: meta})
		return errFound
	})
	if err != nil && !errors.Is(err, errFound) {
		return events.Stored{}, fmt.Errorf("event %s: %w", id, err)
	}
	if err == nil {
		return events.Stored{}, missing
	}
	if found.Body, err = b.read(ctx, Stream, found.Sequence); err != nil {
		return events.Stored{}, fmt.Errorf("event %s: %w", id, err)
	}
	return found, nil
}

// Notes calls fn for each note of the connector's ledger, oldest first. It ends
// at the ledger's end or with fn's error; fn may keep the note.
func (b *Bus) Notes(ctx context.Context, connector string, fn func(note []byte) error) error {
	what := scanConfig{stream: AttemptsStream, subjects: []string{noteSubject(connector)}}
	err := b.scan(ctx, what, func(m jetstream.Msg, _ *jetstream.MsgMetadata) error { return fn(m.Data()) })
	if err != nil {
		return fmt.Errorf("ledger of %s: %w", connector, err)
	}
	return nil
}

// Position returns the sequence up to which a connector is done with the stream
// of events: it settled those, or was not there yet. Above it there may be
// settled ones, too. known is false for a connector that was never attached.
func (b *Bus) Position(ctx context.Context, connector string) (floor uint64, known bool, err error) {
	floor, known, err = b.notedFloor(ctx, connector)
	if err != nil {
		return 0, false, err
	}
	ctx, cancel := deadline(ctx)
	defer cancel()
	c, err := b.js.Consumer(ctx, Stream, connector)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return floor, known, nil
	case err != nil:
		return 0, false, fmt.Errorf("look up the consumer %s: %w", connector, plain(err))
	case c.CachedInfo().Config.Metadata[ownerKey] == "":
		return floor, known, nil // someone else gave it this name: it says nothing about us
	}
	return max(floor, c.CachedInfo().AckFloor.Stream), true, nil
}
