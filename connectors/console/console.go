// Package console prints events on the program's own output, as a team would
// read them in a chat. It never reaches beyond the process.
package console

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// Kind returns the kind "console".
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:     "console",
		Doc:      "prints each event on standard output, coloured on a terminal",
		Settings: func() any { return &settings{} },
		New: func(s any, env connectors.Env) (connectors.Connector, error) {
			set := *s.(*settings)
			t, err := env.ReadTemplate("TEMPLATE", set.Template, set.TemplateFile, connectors.Plain)
			if err != nil {
				return nil, err
			}
			return &console{name: env.Name, link: env.Link, out: env.Stdout, template: t, turn: make(chan struct{}, 1)}, nil
		},
		Retry:   []time.Duration{time.Second, 5 * time.Second, 30 * time.Second},
		Timeout: 5 * time.Second,
	}
}

type settings struct {
	Template     string `split_words:"true" desc:"the text that is printed, as a template; unset: a block for each event"`
	TemplateFile string `split_words:"true" desc:"the path of a file with the template"`
}

type console struct {
	name     string
	link     func(events.Event) string
	out      connectors.Writer
	template *connectors.Template // nil for our own blocks
	turn     chan struct{}        // holds a value while a block is being written
}

// Preview returns what Deliver prints, without colour.
func (c *console) Preview(d connectors.Delivery) (string, error) { return c.render(d, false) }

// render puts a delivery into lines that all end with a line feed.
func (c *console) render(d connectors.Delivery, color bool) (string, error) {
	data, err := connectors.NewTemplateData(d, c.name, c.link)
	if err != nil {
		return "", err
	}
	if c.template != nil {
		text, err := c.template.Render(data)
		if err != nil {
			return "", err
		}
		if strings.TrimSpace(text) != "" {
			return strings.TrimRight(text, "\n") + "\n", nil
		}
	}
	if d.Digest != nil {
		return digest(data, color), nil
	}
	var b strings.Builder
	for _, m := range data.Messages {
		b.WriteString(block(m, color))
	}
	return b.String(), nil
}

// Deliver prints a delivery in one write. A write that the output does not take
// goes on when ctx ends, and the ones after it wait: a pipe without a reader can
// only be left.
func (c *console) Deliver(ctx context.Context, d connectors.Delivery) error {
	text, err := c.render(d, c.out.Color())
	if err != nil {
		return err
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
		n, err := c.out.Write([]byte(text))
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
