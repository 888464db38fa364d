package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trackops-notifier/trackops-notifier/events"
)

var (
	// ErrRolledBack says that the stream ends before the last event it
	// acknowledged: the server lost what it had not synced to disk, or someone
	// deleted messages. Compare with [Bus.Tail], publish what is missing after
	// [Bus.Resume].
	ErrRolledBack = errors.New("the stream has lost events it had acknowledged")

	// ErrOtherWriter says that someone else publishes events of the account.
	// Going on would mix two histories: stop, and say so.
	ErrOtherWriter = errors.New("another process publishes events of this account")

	// ErrFull says that the stream or the server's disk has no room. It is
	// temporary: events expire.
	ErrFull = errors.New("the stream is full")
)

const (
	contentType = "application/cloudevents+json"

	headerType   = "Content-Type"
	headerID     = "Nats-Msg-Id"
	headerExpect = "Nats-Expected-Last-Subject-Sequence"
	headerSpace  = "Nats-Expected-Last-Subject-Sequence-Subject"
)

// A writer publishes the events of one account, one at a time: the server
// stores an event only if the account's last one is the one we believe it to be.
type writer struct {
	mu     sync.Mutex
	expect uint64 // sequence of the account's last event
	header nats.Header
}

func (b *Bus) writer(account string) *writer {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.writers[account]
	if w == nil {
		w = &writer{header: nats.Header{
			headerType:   {contentType},
			headerID:     {""},
			headerExpect: {""},
			headerSpace:  {space(account)},
		}}
		b.writers[account] = w
	}
	return w
}

// space is where all events of an account are, and no others.
func space(account string) string { return events.Prefix + "." + account + ".>" }

// Resume says that the account's last event in the stream is the one with this
// sequence; 0: there is none. Call it before the first Publish of the account
// and after [ErrRolledBack].
func (b *Bus) Resume(account string, sequence uint64) {
	w := b.writer(account)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expect = sequence
}

// Publish stores an event in the stream and returns its sequence there. Calls of
// one account wait for each other. An event that is too large for the server is
// stored without its record and long values, marked truncated.
//
// After an error it is not known whether the event was stored, and the same
// event has to be published again before any other of its account: if it was
// stored, that finds out and returns its sequence. Errors are temporary but for
// [ErrRolledBack], [ErrOtherWriter], and one marked by fault.Permanent: the event
// can never be stored.
func (b *Bus) Publish(ctx context.Context, e events.Encoded) (sequence uint64, err error) {
	w := b.writer(e.Account)
	w.mu.Lock()
	defer w.mu.Unlock()
	body, err := b.fit(e)
	if err != nil {
		return 0, err
	}
	sequence, err = b.store(ctx, w, e, body)
	if err != nil {
		return 0, fmt.Errorf("publish %s: %w", e.ID, err)
	}
	return sequence, nil
}

func (b *Bus) store(ctx context.Context, w *writer, e events.Encoded, body []byte) (uint64, error) {
	w.header[headerID][0] = e.ID
	for {
		w.header[headerExpect][0] = strconv.FormatUint(w.expect, 10)
		ack, err := b.request(ctx, &nats.Msg{Subject: e.Subject, Header: w.header, Data: body})
		if ack.Duplicate {
			// The server knows the id from a message that may be gone, so it says
			// nothing about where the account ends.
			return ack.Sequence, err
		}
		if err == nil {
			w.expect = ack.Sequence
			return ack.Sequence, nil
		}
		if !isWrongLast(err) {
			return 0, err
		}
		last, err := b.refused(ctx, w, e, err)
		if err != nil {
			return 0, err
		}
		w.expect = last
		if last != 0 {
			return last, nil
		}
	}
}

// refused finds out why the server says that the account does not end where we
// believe. It returns the sequence of our event if that is already stored, and 0
// if no event of the account is left, so that it may be sent again.
func (b *Bus) refused(ctx context.Context, w *writer, e events.Encoded, refusal error) (uint64, error) {
	last, id, err := b.LastOf(ctx, e.Account)
	switch {
	case err != nil:
		return 0, err
	case last != 0 && id == e.ID:
		return last, nil
	case last > w.expect:
		return 0, fmt.Errorf("%w: expected its last event at %d, found %s at %d", ErrOtherWriter, w.expect, id, last)
	case last == w.expect:
		return 0, refusal // an earlier try of ours is still in flight in the cluster
	case last != 0:
		return 0, fmt.Errorf("%w: expected the last of %s at %d, found %d", ErrRolledBack, e.Account, w.expect, last)
	}
	info, err := b.info(ctx, Stream)
	if err != nil {
		return 0, err
	}
	if info.State.LastSeq < w.expect {
		return 0, fmt.Errorf("%w: expected the last of %s at %d, the stream ends at %d", ErrRolledBack, e.Account, w.expect, info.State.LastSeq)
	}
	return 0, nil // purged, or all of it expired
}

// LastOf returns the account's last event in the stream: its sequence and id. A
// sequence of 0 says that there is none.
func (b *Bus) LastOf(ctx context.Context, account string) (sequence uint64, id string, err error) {
	s, err := b.stream(ctx, Stream)
	if err != nil {
		return 0, "", err
	}
	ctx, cancel := deadline(ctx)
	defer cancel()
	m, err := s.GetLastMsgForSubject(ctx, space(account))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", fmt.Errorf("last event of %s: %w", account, plain(err))
	}
	return m.Sequence, m.Header.Get(headerID), nil
}

func (b *Bus) info(ctx context.Context, stream string, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	s, err := b.stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	ctx, cancel := deadline(ctx)
	defer cancel()
	info, err := s.Info(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("state of stream %s: %w", stream, plain(err))
	}
	return info, nil
}

// pubAck is the server's answer to a message for a stream.
type pubAck struct {
	Sequence  uint64    `json:"seq"`
	Duplicate bool      `json:"duplicate"`
	Error     *apiError `json:"error"`
}

type apiError struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return fmt.Sprintf("%s (%d)", e.Description, e.Code) }

// request publishes one message and waits for the stream's answer.
func (b *Bus) request(ctx context.Context, m *nats.Msg) (pubAck, error) {
	ctx, cancel := deadline(ctx)
	defer cancel()
	answer, err := b.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return pubAck{}, plain(err)
	}
	var ack pubAck
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return pubAck{}, fmt.Errorf("the stream's answer: %w", err)
	}
	switch {
	case ack.Error == nil && ack.Sequence == 0:
		return pubAck{}, errors.New("the stream's answer has no sequence")
	case ack.Error == nil:
		return ack, nil
	case isFull(ack.Error):
		return pubAck{}, fmt.Errorf("%w: %w", ErrFull, ack.Error)
	}
	return pubAck{}, ack.Error
}

// Codes of nats-server's errors.json.
const (
	codeInsufficientResources = 10023
	codeMemoryExceeded        = 10028
	codeStorageExceeded       = 10047
	codeWrongLast             = 10071
	codeStoreFailed           = 10077
	codeWrongLastInFlight     = 10164
)

func isFull(e *apiError) bool {
	switch e.Code {
	case codeInsufficientResources, codeMemoryExceeded, codeStorageExceeded:
		return true
	case codeStoreFailed:
		return strings.HasPrefix(e.Description, "maximum ")
	}
	return false
}

func isWrongLast(err error) bool {
	var e *apiError
	return errors.As(err, &e) && (e.Code == codeWrongLast || e.Code == codeWrongLastInFlight)
}
