// Package console prints events on the program's own output, as a team would
// read them in a chat. It never reaches beyond the process.
package console

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// Kind returns the kind "console". It has no settings.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:     "console",
		Doc:      "prints each event on standard output, coloured on a terminal",
		Settings: func() any { return &settings{} },
		New: func(_ any, env connectors.Env) (connectors.Connector, error) {
			return &console{out: env.Stdout, turn: make(chan struct{}, 1)}, nil
		},
		Retry:   []time.Duration{time.Second, 5 * time.Second, 30 * time.Second},
		Timeout: 5 * time.Second,
	}
}

type settings struct{}

type console struct {
	out  connectors.Writer
	turn chan struct{} // holds a value while a block is being written
}

// Deliver prints one block, in one write. A write that the output does not take
// goes on when ctx ends, and the ones after it wait: a pipe without a reader can
// only be left.
func (c *console) Deliver(ctx context.Context, d connectors.Delivery) error {
	var text []byte
	for _, e := range d.Events {
		m, err := connectors.NewMessage(e)
		if err != nil {
			return err
		}
		text = append(text, block(m, c.out.Color())...)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("print event: %w", err)
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("print event: %w", ctx.Err())
	}
	done := make(chan error, 1)
	go func() {
		n, err := c.out.Write(text)
		if err == nil && n < len(text) {
			err = io.ErrShortWrite
		}
		<-c.turn
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("print event: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("print event: %w", ctx.Err())
	}
}
