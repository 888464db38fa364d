// Package connectors is what it takes to deliver: the contract of a connector,
// and the engine that brings every event of a stream to it, in order per record,
// until the other side accepted it. It never knows how the other side is reached;
// that is one package each below this one.
package connectors

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// A Connector hands events to one remote system.
type Connector interface {
	// Deliver returns nil only after the other side accepted the delivery. Any
	// other outcome is an error, classified by package internal/fault and free
	// of secrets. It returns soon after ctx ends, may be called concurrently,
	// and may see one delivery again, with the same ID.
	Deliver(ctx context.Context, d Delivery) error
}

// The Func type makes a function a Connector.
type Func func(ctx context.Context, d Delivery) error

// Deliver calls f.
func (f Func) Deliver(ctx context.Context, d Delivery) error { return f(ctx, d) }

// A Checker is a Connector that can try the way to the other side without a
// message: log in, or say hello. Check returns nil if that worked, and an error
// free of secrets otherwise.
type Checker interface {
	Check(ctx context.Context) error
}

// A Middleware adds behaviour around a Connector.
type Middleware func(Connector) Connector

// A Delivery is one message to a remote system.
type Delivery struct {
	ID      string         // the same at every attempt: the receiver's key to spot repetitions
	Events  []events.Event // at least one, in order
	Attempt int            // 1 at the first

	// Digest is set when the events are the net changes of a window of time: one for
	// each record that differs. It is the record's event of the stream if there was
	// only one, and otherwise one with an id of its own.
	Digest *Digest

	answer func(Answer)
}

// A Digest is what a delivery stands for.
type Digest struct {
	From, To time.Time // the window: events from From on, until before To
	IDs      []string  // of every event of the window, in order, also of those that cancel out
	Quiet    bool      // the window was quiet hours, and this catches up
}

// An Answer is what the other side said, for whoever asks later what became of a
// delivery.
type Answer struct {
	Status int    // HTTP; 0 where there is none
	Text   string // an excerpt, without secrets
}

// Answer puts on record what the other side said to the attempt, also when it
// accepted. The last call counts; nobody needs to call it.
func (d Delivery) Answer(status int, text string) {
	if d.answer != nil {
		d.answer(Answer{Status: status, Text: text})
	}
}

// OnAnswer returns d with hear told of every [Delivery.Answer], at once.
func (d Delivery) OnAnswer(hear func(Answer)) Delivery {
	d.answer = hear
	return d
}

// A Kind is a type of connector, as CONNECTOR_<NAME>_TYPE names it.
type Kind struct {
	Name string // lower case: "slack"
	Doc  string // one line for help

	// Settings returns a pointer to a fresh struct for envconfig. Its fields carry
	// split_words:"true" and a desc tag, perhaps default and secret:"true", and
	// never an envconfig tag (libraries.md, traps). Fields that have to be parsed
	// are strings: New parses them and reports every mistake at once.
	Settings func() any

	// New makes a connector from filled settings. Its error is one or more joined
	// [SettingError]s. It opens no connection.
	New func(settings any, env Env) (Connector, error)

	Retry   []time.Duration // waits between attempts, unless _RETRY says otherwise
	Timeout time.Duration   // per attempt, unless _TIMEOUT says otherwise
	Rate    float64         // messages a second, unless _RATE says otherwise; 0 is unlimited

	// Concurrency is how many attempts there may be at a time; 0 is 16.
	Concurrency int

	// Burst is how many events one delivery may carry when more wait than the
	// rate lets through one by one; 0 is one. They are in order, also of one
	// record, and [Delivery.Digest] is nil.
	Burst int

	// Share names what the rate belongs to, as a Slack channel: connectors whose
	// settings give the same text share one rate, the lowest. It is not shown
	// anywhere. Nil, or "": the rate is the connector's own.
	Share func(settings any) string
}

// Env is what a connector may know of the program around it.
type Env struct {
	Name    string // of the connector, as configured
	Version string // of the program
	Stdout  Writer // where a console prints

	// Collections are the names that templates may be for. Nil is any.
	Collections []string

	// Link returns the address where people see the record of an event, or "".
	// Nil is none.
	Link func(events.Event) string

	// Proxy returns the proxy for an address, or nil for none, as the environment
	// has it (HTTPS_PROXY, HTTP_PROXY, NO_PROXY). Nil is none.
	Proxy func(*url.URL) (*url.URL, error)

	// Memory outlives the process. It is nil where nothing is delivered, as in a
	// check of the settings.
	Memory Memory
}

// A Memory keeps short texts of one connector. Its methods may be called
// concurrently, and while deliveries are made.
type Memory interface {
	// Remember stores value under key, letters, digits, "-" and "_" only. It is
	// durable when Remember returns nil, and kept as long as a dead letter.
	Remember(ctx context.Context, key, value string) error

	// Recall returns what was last remembered under key, or "".
	Recall(ctx context.Context, key string) (string, error)
}

// Writer is an output that may be a terminal.
type Writer interface {
	Write(p []byte) (int, error)
	Color() bool // escape sequences are welcome
}

// A SettingError is one mistake in a connector's settings.
type SettingError struct {
	Setting  string // the suffix of the variable: "WEBHOOK_URL"
	Problem  string // what is wrong, without the value if that is secret
	Accepted string // what is accepted: "an absolute http or https URL"
}

func (e *SettingError) Error() string {
	return fmt.Sprintf("%s: %s; accepted: %s", e.Setting, e.Problem, e.Accepted)
}

// SettingErrors returns the setting errors joined in err.
func SettingErrors(err error) []*SettingError {
	var one *SettingError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*SettingError
		for _, e := range joined.Unwrap() {
			all = append(all, SettingErrors(e)...)
		}
		return all
	}
	if errors.As(err, &one) {
		return []*SettingError{one}
	}
	return nil
}
