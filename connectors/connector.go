// Package connectors is what it takes to deliver: the contract of a connector,
// and the engine that brings every event of a stream to it, in order per record,
// until the other side accepted it. It never knows how the other side is reached;
// that is one package each below this one.
package connectors

import (
	"context"
	"errors"
	"fmt"
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
}

// Env is what a connector may know of the program around it.
type Env struct {
	Name    string // of the connector, as configured
	Version string // of the program
	Stdout  Writer // where a console prints
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
