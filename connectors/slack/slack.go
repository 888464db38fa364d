// Package slack posts events to a Slack channel, through an incoming webhook or
// the Web API. It never edits or deletes what it posted.
//
// A delivery is one message, whatever it holds: what has no room is counted in
// it. Slack has no key to spot repetitions: a time-out after it took a message
// posts that message twice. With a bot token the delivery's id is in the message's
// metadata, to find such pairs.
package slack

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// Kind returns the kind "slack": one message a second, for that is what Slack
// grants a channel, and one at a time, so that they appear in their order; up to
// 25 events in one message when more wait than that; retries for six hours, for
// older alerts are useless.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:     "slack",
		Doc:      "posts to a Slack channel, by incoming webhook or bot token",
		Settings: func() any { return &settings{} },
		New:      build,
		Retry: []time.Duration{
			5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute,
			30 * time.Minute, time.Hour, 2 * time.Hour, 2*time.Hour + 20*time.Minute,
		},
		Timeout:     15 * time.Second,
		Rate:        1,
		Concurrency: 1,
		Burst:       25,
		Share:       share,
	}
}

// A connector posts to one channel.
type connector struct {
	name    string // as configured
	link    func(events.Event) string
	send    sender
	try     trial
	channel string            // "" with an incoming webhook
	memory  connectors.Memory // of threads; nil for none
	secrets []string          // to keep out of errors
	pace    pace

	textTemplate   *connectors.Template // at most one of the two
	blocksTemplate *connectors.Template
}

func build(from any, env connectors.Env) (connectors.Connector, error) {
	s, ok := from.(*settings)
	if !ok {
		return nil, fmt.Errorf("slack: settings are a %T", from)
	}
	c, err := s.connector(connectors.HTTPClient(connectors.HTTPOptions{Proxy: env.Proxy}), env)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Deliver posts all events of d in one message. Where Slack refuses the blocks of
// the message or the thread it replies to, it is posted once more without.
func (c *connector) Deliver(ctx context.Context, d connectors.Delivery) error {
	m, err := c.render(d)
	if err != nil {
		return err
	}
	t, err := c.recall(ctx, d)
	if err != nil {
		return connectors.Redact(fmt.Errorf("recall the thread of the record: %w", err), c.secrets...)
	}
	r, err := c.post(ctx, d, post{message: m, meta: metadata(d), thread: t.ts})
	if err != nil {
		return connectors.Redact(fmt.Errorf("post to slack: %w", err), c.secrets...)
	}
	if err := c.remember(ctx, t, r); err != nil {
		// The message is posted: an error would post it again.
		d.Answer(r.status, connectors.RedactText("ok, but its thread is forgotten: "+err.Error(), c.secrets...))
	}
	return nil
}

// Check logs in with the bot token (auth.test). The address of an incoming webhook
// knows no request but a message: it is connected to and left.
func (c *connector) Check(ctx context.Context) error {
	if err := c.try(ctx); err != nil {
		return connectors.Redact(fmt.Errorf("try slack: %w", err), c.secrets...)
	}
	return nil
}

// Preview returns the JSON of the message that Deliver would post for d. It holds
// no secret, and whether the message would be a reply is not known before.
func (c *connector) Preview(d connectors.Delivery) (string, error) {
	m, err := c.render(d)
	if err != nil {
		return "", err
	}
	p := post{message: m}.payload()
	if c.channel != "" {
		meta := metadata(d).slack()
		p.Channel, p.Metadata = c.channel, &meta
	}
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(p); err != nil {
		return "", fault.Permanent(fmt.Errorf("encode the message: %w", err))
	}
	return out.String(), nil
}

// post sends p, and again without what Slack named as the reason for its no.
func (c *connector) post(ctx context.Context, d connectors.Delivery, p post) (reply, error) {
	for again := false; ; again = true {
		if err := c.pace.wait(ctx); err != nil {
			return reply{}, err
		}
		r, err := c.send(ctx, p)
		if r.status != 0 {
			d.Answer(r.status, connectors.RedactText(r.text(), c.secrets...))
		}
		less := err != nil && p.dropWhat(r.name)
		if less || again {
			c.pace.mark()
		}
		if !less {
			return r, err
		}
	}
}

// A pace keeps the requests of one delivery, and the one after them, as far apart
// as Slack asks for. Of deliveries with one request the engine takes care.
type pace struct {
	mu   sync.Mutex
	free time.Time
}

// mark says that a request was made.
func (p *pace) mark() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = time.Now().Add(time.Second + 100*time.Millisecond) // some take less long to get there than others
}

// wait blocks until the next request may be made.
func (p *pace) wait(ctx context.Context) error {
	p.mu.Lock()
	wait := time.Until(p.free)
	p.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
