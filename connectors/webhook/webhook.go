// Package webhook posts events to an HTTP endpoint as CloudEvents 1.0, or as a
// template has it, signed by Standard Webhooks. It never follows a redirect, and no
// error of it holds the path or the query of the endpoint: they are secrets.
//
// Success is a status of 2xx and nothing else. Every other answer is temporary;
// only an event that cannot be encoded or rendered is permanent.
package webhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// Of an answer only the status counts. This much of its body is read, for so long,
// to use the connection again, and for an excerpt.
const (
	maxAnswer     = 16 << 10
	maxAnswerTime = time.Second
)

// Kind returns the kind "webhook". It is retried for three days, as Standard
// Webhooks recommends.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:     "webhook",
		Doc:      "posts signed CloudEvents to an HTTP endpoint",
		Settings: func() any { return &settings{} },
		New: func(from any, env connectors.Env) (connectors.Connector, error) {
			s, ok := from.(*settings)
			if !ok {
				return nil, fmt.Errorf("webhook: settings are a %T", from)
			}
			c, err := build(s, env)
			if err != nil {
				return nil, err
			}
			return c, nil
		},
		Retry: []time.Duration{
			5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
			10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
		},
		Timeout: 15 * time.Second,
	}
}

type connector struct {
	client  *http.Client
	address string
	header  http.Header // of every request
	keys    [][]byte    // for signing, current first
	encode  encoder
	secrets []string // to keep out of errors and excerpts
	now     func() time.Time
	reach   func(ctx context.Context) error // the host, without a request
}

// Deliver posts d once.
func (c *connector) Deliver(ctx context.Context, d connectors.Delivery) error {
	p, err := c.encode(d)
	if err != nil {
		return fault.Permanent(err)
	}
	if !isPlainID(d.ID) {
		return fault.Permanent(fmt.Errorf("post to webhook: delivery id %q cannot be signed", d.ID))
	}
	if err := c.post(ctx, d, p); err != nil {
		return connectors.Redact(fmt.Errorf("post to webhook: %w", err), c.secrets...)
	}
	return nil
}

// Check connects to the host as Deliver does, and hangs up before a request.
func (c *connector) Check(ctx context.Context) error {
	if err := c.reach(ctx); err != nil {
		return connectors.Redact(fmt.Errorf("reach webhook: %w", err), c.secrets...)
	}
	return nil
}

// post makes the request and puts the answer on record, whatever it is.
func (c *connector) post(ctx context.Context, d connectors.Delivery, p payload) error {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address, bytes.NewReader(p.body))
	if err != nil {
		return fault.WithoutURL(err)
	}
	req.Header = c.header.Clone()
	for name, value := range p.header {
		req.Header.Set(name, value)
	}
	sign(req.Header, c.keys, d.ID, c.now(), p.body)
	resp, err := c.client.Do(req)
	if err != nil {
		return fault.WithoutURL(err)
	}
	defer resp.Body.Close()
	// The other side has answered: what is wrong with the body does not matter.
	enough := time.AfterFunc(maxAnswerTime, leave)
	said, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	enough.Stop()
	d.Answer(resp.StatusCode, connectors.RedactText(string(said), c.secrets...))
	return fault.FromHTTP(resp)
}
