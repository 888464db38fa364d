package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

const (
	headerOriginal = "Trackops-Sequence" // of the event in the stream of events
	headerSubject  = "Trackops-Subject"
	headerFor      = "Trackops-For" // the connector that fails, whose event it is
)

func replaySubject(connector string) string { return "trackops-replay." + connector }

// A DeadLetter is an event that a connector gave up.
type DeadLetter struct {
	Sequence   uint64 // in [DeadStream]
	Connector  string
	Collection string // of the event; "unknown" if its subject was none of ours
	EventID    string
	At         time.Time // when it was given up
	Headers    map[string]string
	Body       []byte
}

// Bury stores a dead letter for the event with this id. Burying what is buried
// does nothing.
func (f *Feed) Bury(ctx context.Context, ev events.Stored, id string, headers map[string]string, letter []byte) error {
	tokens := strings.Split(ev.Subject, ".") // trackops.<account>.<collection>.<action>
	if len(tokens) != 4 {
		tokens = []string{"", "", "unknown", "unknown"} // whatever it is, it must not block what comes behind it
	}
	m := nats.NewMsg(strings.Join([]string{"trackops-dead", f.connector, tokens[2], tokens[3], id}, "."))
	m.Data = letter
	for name, value := range headers {
		m.Header.Set(name, value)
	}
	m.Header.Set(headerExpect, "0")
	_, err := f.bus.request(ctx, m)
	if errors.Is(err, nats.ErrMaxPayload) {
		err = fault.Permanent(err)
	}
	if err != nil && !isWrongLast(err) {
		return fmt.Errorf("bury %s: %w", id, err)
	}
	return nil
}

// Dead calls fn for each dead letter of the connector, or of all if that is "",
// from the oldest on.
func (b *Bus) Dead(ctx context.Context, connector string, fn func(DeadLetter) error) error {
	what := scanConfig{stream: DeadStream, subjects: []string{deadSubjects}}
	if connector != "" {
		what.subjects[0] = "trackops-dead." + connector + ".>"
	}
	err := b.scan(ctx, what, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		tokens := strings.Split(m.Subject(), ".")
		if len(tokens) != 5 {
			return nil // not written by Bury
		}
		letter := DeadLetter{
			Sequence:   meta.Sequence.Stream,
			Connector:  tokens[1],
			Collection: tokens[2],
			EventID:    tokens[4],
			At:         meta.Timestamp,
			Headers:    map[string]string{},
			Body:       m.Data(),
		}
		for name := range m.Headers() {
			if name != headerExpect {
				letter.Headers[name] = m.Headers().Get(name)
			}
		}
		return fn(letter)
	})
	if err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	return nil
}

// DeadCount returns the number of dead letters of each connector that has any.
func (b *Bus) DeadCount(ctx context.Context) (map[string]int, error) {
	info, err := b.info(ctx, DeadStream, jetstream.WithSubjectFilter(deadSubjects))
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for subject, letters := range info.State.Subjects {
		if tokens := strings.Split(subject, "."); len(tokens) == 5 {
			count[tokens[1]] += int(letters)
		}
	}
	return count, nil
}

// Replay asks the letter's connector to deliver the event again, and removes the
// letter. body is the event, sequence its place in the stream of events. A crash
// in between leaves the letter; repeating Replay within the duplicate window does
// not repeat the request.
func (b *Bus) Replay(ctx context.Context, letter DeadLetter, body []byte, sequence uint64) error {
	ev, err := events.Decode(body)
	if err != nil {
		return fmt.Errorf("replay %s: %w", letter.EventID, err)
	}
	if ev.ID != letter.EventID {
		return fmt.Errorf("replay %s: the event given is %s", letter.EventID, ev.ID)
	}
	m := nats.NewMsg(replaySubject(letter.Connector))
	m.Data = body
	m.Header.Set(headerID, "replay-"+strconv.FormatUint(letter.Sequence, 10))
	m.Header.Set(headerOriginal, strconv.FormatUint(sequence, 10))
	m.Header.Set(headerSubject, ev.NATSSubject())
	m.Header.Set(headerType, contentType)
	if _, err := b.request(ctx, m); err != nil {
		return fmt.Errorf("replay %s: %w", letter.EventID, err)
	}
	return b.remove(ctx, DeadStream, letter.Sequence)
}

// Drop deletes the letter for good. Dropping what is gone does nothing.
func (b *Bus) Drop(ctx context.Context, letter DeadLetter) error {
	if err := b.remove(ctx, DeadStream, letter.Sequence); err != nil {
		return fmt.Errorf("drop the dead letter of %s: %w", letter.EventID, err)
	}
	return nil
}
