package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The streams: events for everyone; the ledger of deliveries and the dead
// letters for ourselves.
const (
	Stream         = "TRACKOPS"
	AttemptsStream = "TRACKOPS_ATTEMPTS"
	DeadStream     = "TRACKOPS_DEAD"
)

const (
	eventSubjects    = "trackops.>"
	attemptsSubjects = "trackops-attempts.>"
	deadSubjects     = "trackops-dead.>"
	replaySubjects   = "trackops-replay.>"

	ownerKey     = "trackops-notifier" // in the metadata of streams and consumers that we made
	minSideBytes = 16 << 20
)

// StreamConfig is what the streams may hold.
type StreamConfig struct {
	MaxAge   time.Duration // of an event, an attempt and a dead letter; 0 is no limit
	MaxBytes int64         // of the stream of events; the other two have a quarter each; 0 is no limit
	Replicas int           // in a cluster; 0 is 1

	// DuplicateWindow is how long the server itself remembers ids; 0 is two
	// minutes. Nothing relies on it.
	DuplicateWindow time.Duration
}

// Ensure makes the three streams, or brings the limits of those that an earlier
// Ensure made up to date. A stream that someone else made is used as it is, with
// its limits and replicas, if it takes our subjects. Safe to call again; with an
// error nothing is known of the streams.
func (b *Bus) Ensure(ctx context.Context, cfg StreamConfig) error {
	if !b.Connected() {
		return fmt.Errorf("prepare the streams: %w", b.away())
	}
	if err := b.checkVersion(); err != nil {
		return err
	}
	for _, want := range streamConfigs(cfg) {
		if err := b.ensure(ctx, want); err != nil {
			return fmt.Errorf("stream %s: %w", want.Name, plain(err))
		}
	}
	return nil
}

func streamConfigs(cfg StreamConfig) []jetstream.StreamConfig {
	window := cfg.DuplicateWindow
	if window == 0 {
		window = 2 * time.Minute
	}
	if cfg.MaxAge > 0 {
		window = min(window, cfg.MaxAge) // a longer one is refused
	}
	side := int64(-1)
	if cfg.MaxBytes > 0 {
		side = max(cfg.MaxBytes/4, minSideBytes)
	} else {
		cfg.MaxBytes = -1
	}
	base := jetstream.StreamConfig{
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew, // full means wait, not forget
		MaxMsgs:     -1,
		MaxAge:      cfg.MaxAge,
		MaxBytes:    cfg.MaxBytes,
		Replicas:    max(cfg.Replicas, 1),
		Duplicates:  window,
		AllowDirect: true,
		Metadata:    map[string]string{ownerKey: "1"},
	}
	events, attempts, dead := base, base, base
	events.Name, events.Subjects = Stream, []string{eventSubjects}
	events.Description = "What changed in Trackops: trackops.<account>.<collection>.<action>"
	attempts.Name, attempts.Subjects, attempts.MaxBytes = AttemptsStream, []string{attemptsSubjects}, side
	attempts.Description = "The connectors' ledger: what was settled, what was tried"
	// Forgetting an old note can repeat a delivery; refusing a new one would
	// stop them all.
	attempts.Discard = jetstream.DiscardOld
	dead.Name, dead.Subjects, dead.MaxBytes = DeadStream, []string{deadSubjects, replaySubjects}, side
	dead.Description = "Events that a connector could not deliver, and those to be delivered again"
	return []jetstream.StreamConfig{events, attempts, dead}
}

func (b *Bus) ensure(ctx context.Context, want jetstream.StreamConfig) error {
	ctx, cancel := deadline(ctx)
	defer cancel()
	s, err := b.js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		s, err = b.js.CreateStream(ctx, want)
	case err == nil:
		s, err = b.adopt(ctx, s, want)
	}
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams[want.Name] = s
	return nil
}

// adopt uses a stream that exists.
func (b *Bus) adopt(ctx context.Context, s jetstream.Stream, want jetstream.StreamConfig) (jetstream.Stream, error) {
	have := s.CachedInfo().Config
	if have.Metadata[ownerKey] == "" {
		return s, usable(have, want)
	}
	if have.MaxAge == want.MaxAge && have.MaxBytes == want.MaxBytes && have.Duplicates == want.Duplicates {
		return s, nil
	}
	have.MaxAge, have.MaxBytes, have.Duplicates = want.MaxAge, want.MaxBytes, want.Duplicates
	return b.js.UpdateStream(ctx, have)
}

// usable says what keeps a stream made by an operator from doing its work.
func usable(have, want jetstream.StreamConfig) error {
	for _, subject := range want.Subjects {
		if !slices.ContainsFunc(have.Subjects, func(s string) bool { return covers(s, subject) }) {
			return fmt.Errorf("it exists, and does not take %s: add that to its subjects, or remove it", subject)
		}
	}
	switch {
	case have.Retention != jetstream.LimitsPolicy:
		return errors.New("it exists, and its retention is not \"limits\"")
	case have.MaxMsgsPerSubject > 0:
		return errors.New("it exists, and has a limit of messages per subject")
	case have.Sealed || have.NoAck:
		return errors.New("it exists, and is sealed or does not acknowledge")
	}
	return nil
}

// covers reports whether every subject that matches sub matches pattern.
func covers(pattern, sub string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(sub, ".")
	for i, token := range p {
		if token == ">" {
			return len(s) > i
		}
		if i >= len(s) || s[i] == ">" || token != "*" && token != s[i] {
			return false
		}
	}
	return len(p) == len(s)
}
