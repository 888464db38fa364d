package connectors

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// A Ledger keeps what happened to each event.
type Ledger interface {
	// Note stores the JSON of one [Note]; it is durable when Note returns nil.
	// After an error it may be stored or not, and is stored again.
	Note(ctx context.Context, note []byte) error

	// Settle acknowledges an event to the stream: it never comes again. Of ev,
	// Sequence, Replay, Subject and At are always set, Body only when at hand.
	// It may be called again for the same event.
	Settle(ctx context.Context, ev events.Stored) error
}

// A History calls fn with every note of this connector, oldest first, and ends
// with fn's error.
type History func(ctx context.Context, fn func(note []byte) error) error

// An Outcome is what became of an attempt or of an event.
type Outcome string

// Failed is the outcome of an attempt that may be followed by another. It and
// Diverted leave the event waiting; the others settle it.
const (
	Delivered Outcome = "delivered" // the other side accepted it
	Digested  Outcome = "digested"  // the other side accepted a digest that it is part of
	Muted     Outcome = "muted"     // what came after it made it void: it is not told
	Failed    Outcome = "failed"
	Diverted  Outcome = "diverted" // the fallback was given it; it still waits
	Dead      Outcome = "dead"     // it lies among the dead letters
	Filtered  Outcome = "filtered" // the connector does not want it
	Expired   Outcome = "expired"  // it left the stream before it could be sent
)

// settles reports whether nothing follows for the event.
func (o Outcome) settles() bool { return o != Failed && o != Diverted }

// A Note is one line of the ledger: a failed attempt, or what settled an event.
type Note struct {
	EventID    string    `json:"event_id"`
	Sequence   uint64    `json:"sequence"`
	Replay     uint64    `json:"replay,omitempty"`  // the operator's request that it belongs to
	Attempt    int       `json:"attempt,omitempty"` // 1 at the first; a 429 is repeated with the same number
	At         time.Time `json:"at"`                // when the attempt began, or the event was settled without one
	DurationMS int64     `json:"duration_ms"`
	Outcome    Outcome   `json:"outcome"`
	Status     int       `json:"status,omitempty"` // HTTP, when there was an answer
	Error      string    `json:"error,omitempty"`  // at most 300 characters, one line
	Answer     string    `json:"answer,omitempty"` // what the other side said, the same
	Next       time.Time `json:"next,omitzero"`    // of a failed attempt; absent when it was the last
	Reason     string    `json:"reason,omitempty"` // why there is no further attempt, or why it was left out
	Probe      bool      `json:"probe,omitempty"`  // it spent no attempt of the schedule: the connector fails, not the event
	To         string    `json:"to,omitempty"`     // the fallback that was given a diverted event

	// Events are those that one delivery carried, if there were several. Then
	// EventID is the delivery's, and the other fields hold for all of them.
	Events []Member `json:"events,omitempty"`
}

// A Member is one event of a delivery that carried several.
type Member struct {
	EventID  string    `json:"event_id"`
	Sequence uint64    `json:"sequence"`
	Replay   uint64    `json:"replay,omitempty"`
	Attempt  int       `json:"attempt,omitempty"`
	Outcome  Outcome   `json:"outcome"`
	Next     time.Time `json:"next,omitzero"`
	Reason   string    `json:"reason,omitempty"`
}

// single is the note as if m had been delivered by itself.
func (n Note) single(m Member) Note {
	n.EventID, n.Sequence, n.Replay, n.Attempt = m.EventID, m.Sequence, m.Replay, m.Attempt
	n.Outcome, n.Next, n.Reason, n.Events = m.Outcome, m.Next, m.Reason, nil
	return n
}

// note writes the try as a line of the ledger.
func (t try) note(id string, e entry) Note {
	n := Note{
		EventID: id, Sequence: e.sequence, Replay: e.replay, Attempt: t.attempt,
		At: time.Unix(0, t.at).UTC(), DurationMS: t.took.Milliseconds(),
		Outcome: Failed, Status: t.status, Error: t.err, Answer: t.answer, Probe: t.probe,
	}
	if t.next != 0 {
		n.Next = time.Unix(0, t.next).UTC()
	}
	return n
}

// try is the reverse of [try.note].
func (n Note) try() try {
	t := try{
		at: n.At.UnixNano(), took: time.Duration(n.DurationMS) * time.Millisecond,
		attempt: n.Attempt, status: n.Status, err: n.Error, answer: n.Answer, probe: n.Probe,
	}
	if !n.Next.IsZero() {
		t.next = n.Next.UnixNano()
	}
	return t
}

// encodeJSON returns v as one line that keeps the bytes of a json.RawMessage.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// clip makes text fit for a ledger line and a header: one line, valid UTF-8,
// at most 300 characters.
func clip(text string) string {
	const limit = 300
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	return string([]rune(text)[:limit-1]) + "…"
}

// A memory is what the ledger says of events that the stream may bring again.
// Events are known by a digest of their id, not by their sequence: a stream made
// anew counts from 1 again, and its events must not be taken for settled ones.
type memory struct {
	settled map[digest]uint64 // the sequence in the stream
	failed  map[digest]*progress
	pruned  bool
}

type digest [16]byte

func newMemory() *memory {
	return &memory{settled: map[digest]uint64{}, failed: map[digest]*progress{}}
}

func digestOf(id string, replay uint64) digest {
	var buf [128]byte
	b := binary.BigEndian.AppendUint64(buf[:0], replay)
	sum := sha256.Sum256(append(b, id...))
	return digest(sum[:16])
}

// learn takes in one note; later ones outrank earlier ones.
func (m *memory) learn(raw []byte) error {
	var n Note
	if err := json.Unmarshal(raw, &n); err != nil {
		return fmt.Errorf("decode note: %w", err)
	}
	if len(n.Events) == 0 {
		m.take(n)
	}
	for _, one := range n.Events {
		m.take(n.single(one))
	}
	return nil
}

// take takes in the note of one event.
func (m *memory) take(n Note) {
	d := digestOf(n.EventID, n.Replay)
	if _, settled := m.settled[d]; settled {
		return // the fallback was given it at that moment
	}
	if n.Outcome.settles() {
		m.settled[d] = n.Sequence
		if n.Replay != 0 {
			m.settled[d] = math.MaxUint64 // replays come in no order: never pruned
		}
		delete(m.failed, d)
		return
	}
	p := m.failed[d]
	if p == nil {
		p = &progress{id: n.EventID, sequence: n.Sequence, replayed: n.Replay != 0}
		m.failed[d] = p
	}
	if n.Outcome == Diverted {
		p.diverted = true
		return
	}
	if p.first.IsZero() {
		p.first = n.At
	}
	p.remember(n.try())
	p.reason, p.spent = n.Reason, n.Attempt
	if !n.Next.IsZero() {
		p.next = n.Next
	}
	switch {
	case n.Status == statusThrottled:
		p.spent, p.throttled = n.Attempt-1, p.throttled+1
	case n.Probe:
		p.spent = n.Attempt - 1
	default:
		p.throttled = 0
	}
	if n.Next.IsZero() && p.reason == "" && !n.Probe {
		p.reason = "schedule exhausted"
	}
}

// recall says whether the event was settled, and otherwise what is known of its
// attempts, nil for nothing. It forgets what it told: the caller keeps it now.
//
// The stream begins with the oldest event that was not acknowledged, so what was
// settled before the first one that comes, and is no replay, cannot come again
// and leaves the memory.
func (m *memory) recall(id string, e entry) (settled bool, past *progress) {
	if len(m.settled) == 0 && len(m.failed) == 0 {
		return false, nil
	}
	if !m.pruned && e.replay == 0 {
		m.pruned = true
		for d, sequence := range m.settled {
			if sequence < e.sequence {
				delete(m.settled, d)
			}
		}
	}
	d := digestOf(id, e.replay)
	if _, ok := m.settled[d]; ok {
		delete(m.settled, d)
		return true, nil
	}
	past = m.failed[d]
	delete(m.failed, d)
	return false, past
}

// A settledSet is the events settled since the start, a bit each: the stream
// begins again at its oldest unacknowledged event when its server restarts.
type settledSet struct {
	pages   map[uint64]uint64 // sequence/64 to one bit per event
	replays map[ident]struct{}
}

// An ident names an event among those that came from the stream.
type ident struct{ sequence, replay uint64 }

func newSettledSet() *settledSet {
	return &settledSet{pages: map[uint64]uint64{}, replays: map[ident]struct{}{}}
}

func (s *settledSet) add(id ident) {
	if id.replay != 0 {
		s.replays[id] = struct{}{}
		return
	}
	s.pages[id.sequence/64] |= 1 << (id.sequence % 64)
}

// cut forgets the events from sequence on, replays aside.
func (s *settledSet) cut(sequence uint64) {
	for page := range s.pages {
		switch {
		case page > sequence/64:
			delete(s.pages, page)
		case page == sequence/64:
			s.pages[page] &= 1<<(sequence%64) - 1
		}
	}
}

func (s *settledSet) has(id ident) bool {
	if id.replay != 0 {
		_, ok := s.replays[id]
		return ok
	}
	return s.pages[id.sequence/64]&(1<<(id.sequence%64)) != 0
}
