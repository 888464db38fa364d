package connectors

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// A State is how a connector does.
type State string

// The states of a connector. In all of them events are kept, and in the first
// two they are sent.
const (
	Active  State = "active"
	Failing State = "failing" // something was refused, and nothing accepted since
	Open    State = "open"    // the circuit breaker: nothing is sent but a probe now and then
	Parked  State = "parked"  // the other side is gone for good; until an operator resumes it
	Paused  State = "paused"  // by an operator, until one resumes it
)

// Sends reports whether attempts are made as they fall due.
func (s State) Sends() bool { return s == Active || s == Failing }

// The rule of the circuit breaker.
const (
	breakFailures = 10          // in a row
	breakRecords  = 3           // they have to concern
	breakSilence  = time.Minute // without anything accepted

	firstProbe = 5 * time.Second // after it opened; each wait twice the one before
	lastProbe  = 5 * time.Minute // the longest wait

	// tellAfter is how long a connector that has little to send may fail before
	// that is told: it never reaches the numbers above.
	tellAfter = 10 * time.Minute

	// complaintEvery is how often refused messages are reported of a connector
	// that accepts others.
	complaintEvery = time.Hour
)

// A Health is the state of a connector, as it is remembered and reported.
type Health struct {
	State   State     `json:"state"`
	Since   time.Time `json:"since,omitzero"`
	Reason  string    `json:"reason,omitempty"`   // what went wrong, free of secrets
	Account string    `json:"account,omitempty"`  // of the event that met it
	Down    time.Time `json:"down,omitzero"`      // when the first failure in a row ended
	Told    bool      `json:"told,omitempty"`     // that it fails, and not yet that it recovered
	Paused  bool      `json:"paused,omitempty"`   // by an operator, whatever else it is
	Probes  int       `json:"probes,omitempty"`   // failed ones since it opened
	Probe   time.Time `json:"probe,omitzero"`     // when the next one is made
	Message bool      `json:"message,omitempty"`  // it is messages that are refused, not all
	Failed  int       `json:"failures,omitempty"` // in a row
	Silent  time.Time `json:"silent,omitzero"`    // the other side wants to hear nothing before that
}

// A health is the circuit breaker of one connector.
type health struct {
	Health
	accepted  time.Time           // the last time, or the start
	records   map[string]struct{} // that the failures in a row concern, at most breakRecords
	complaint time.Time           // the last report of a refused message
}

func newHealth(now time.Time) *health {
	return &health{Health: Health{State: Active, Since: now}, accepted: now, records: map[string]struct{}{}}
}

// restore takes over what was remembered of an earlier process, whose clock may
// have been ahead.
func (h *health) restore(text string, now time.Time) error {
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &h.Health); err != nil {
		return err
	}
	switch h.State {
	case Active, Failing, Open, Parked:
	default:
		return fmt.Errorf("state %q", h.State)
	}
	h.Since, h.Down = earlier(h.Since, now), earlier(h.Down, now)
	h.Probe = earlier(h.Probe, now.Add(lastProbe))
	h.Silent = earlier(h.Silent, now.Add(maxAfter))
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// remembered is what [health.restore] reads.
func (h *health) remembered() (string, error) {
	text, err := encodeJSON(h.Health)
	return string(text), err
}

// state is what the connector may do now.
func (h *health) state() State {
	if h.Paused && h.State != Parked {
		return Paused
	}
	return h.State
}

// A blow is a failed attempt, as far as it says how the connector does.
type blow struct {
	account, record string
	err             error
	text            string // of err
	probe           bool
}

// A news is what a change of health is for others.
type news int

const (
	nothing   news = iota
	nowFails       // to be told
	recovered      // to be told
)

// struck takes in a failed attempt that ended at now.
func (h *health) struck(b blow, now time.Time) news {
	status := fault.Status(b.err)
	if fault.IsPermanent(b.err) {
		return nothing // the event's fault
	}
	if isAlive(status) {
		return h.alive(b, status, now)
	}
	if h.Failed++; h.Failed == 1 {
		h.Down = now
	}
	if h.State == Parked {
		return nothing // was under way; only an operator ends that
	}
	switch {
	case fault.IsGone(b.err):
		return h.turn(Parked, b, now)
	case fault.IsUnsafe(b.err):
		return h.open(b, now)
	}
	if len(h.records) < breakRecords {
		h.records[b.record] = struct{}{}
	}
	silent := now.Sub(h.accepted) >= breakSilence
	if h.State == Open || h.Failed >= breakFailures && len(h.records) >= breakRecords && silent {
		return h.open(b, now)
	}
	if isMistake(status) || now.Sub(h.Down) >= tellAfter {
		return h.turn(Failing, b, now)
	}
	return nothing
}

// alive takes in an answer that says nothing against the endpoint: it throttles,
// or refused one message.
func (h *health) alive(b blow, status int, now time.Time) news {
	if h.State == Open && b.probe {
		h.turn(Failing, b, now)
	}
	if status == statusThrottled || h.Told || now.Sub(h.complaint) < complaintEvery {
		return nothing
	}
	h.complaint = now
	h.Message = true
	return h.turn(Failing, b, now)
}

// open opens the breaker, or keeps it open after a probe that failed.
func (h *health) open(b blow, now time.Time) news {
	wait := firstProbe
	if h.State == Open {
		if !b.probe {
			return nothing // was under way when it opened
		}
		h.Probes++
		h.Reason = b.text
		wait = min(firstProbe<<min(h.Probes, 10), lastProbe)
	} else {
		h.Probes = 0
	}
	h.Probe = now.Add(fault.Jitter(wait))
	return h.turn(Open, b, now)
}

// turn changes the state, and says whether that is news.
func (h *health) turn(to State, b blow, now time.Time) news {
	if h.State != to {
		h.State, h.Since, h.Reason = to, now, b.text
	}
	if to != Open {
		h.Probe, h.Probes = time.Time{}, 0
	}
	if h.Told {
		return nothing
	}
	h.Told, h.Account = true, b.account
	return nowFails
}

// acceptedAt takes in an attempt that was accepted.
func (h *health) acceptedAt(now time.Time) news {
	h.accepted, h.Failed, h.Down = now, 0, time.Time{}
	clear(h.records)
	if h.State == Parked {
		return nothing // was under way; what parked it says that it is gone
	}
	return h.well(now)
}

// well makes the state active again.
func (h *health) well(now time.Time) news {
	told := h.Told && !h.Message // that others are accepted mends no message
	if h.State != Active {
		h.State, h.Since = Active, now
	}
	h.Reason, h.Told, h.Message = "", false, false
	h.Probe, h.Probes = time.Time{}, 0
	if told {
		return recovered
	}
	return nothing
}

// pause is an operator's word.
func (h *health) pause() { h.Paused = true }

// resume is an operator's word: everything is tried again at once.
func (h *health) resume(now time.Time) {
	h.Paused = false
	if h.State == Parked || h.State == Open {
		h.State, h.Since = Failing, now
		h.Failed, h.Down = 0, time.Time{}
		h.accepted = now
		clear(h.records)
	}
	h.Probe, h.Probes = time.Time{}, 0
}

// isAlive reports whether a status says nothing against the endpoint.
func isAlive(status int) bool {
	switch status {
	case statusThrottled, http.StatusBadRequest, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// isMistake reports whether a status is one that somebody has to mend, and so has
// to hear of at once: the address moved, or it does not take us.
func isMistake(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly:
		return false
	}
	return status >= 300 && status < 500
}

// Sentence puts the health of the named connector into words.
func (h Health) Sentence(name string) string {
	switch {
	case h.State == Active:
		return fmt.Sprintf("Connector %s accepts deliveries again", name)
	case h.State == Parked:
		return fmt.Sprintf("Connector %s is parked: %s. Its events are kept; mend it and run: trackops-notifier resume %s", name, h.Reason, name)
	case h.State == Open:
		return fmt.Sprintf("Connector %s fails: %s. Its events wait while it is probed", name, h.Reason)
	case h.Message:
		return fmt.Sprintf("Connector %s refuses a message: %s. It is tried again on its schedule", name, h.Reason)
	default:
		return fmt.Sprintf("Connector %s fails: %s. Its events are tried again on their schedule", name, h.Reason)
	}
}
