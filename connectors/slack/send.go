package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// An answer is read up to these sizes. The Web API repeats the message in its own.
const (
	maxWebhookAnswer = 4 << 10
	maxAPIAnswer     = 1 << 20
)

// webhook posts to an incoming webhook. Slack's own rule of success is a 200 with
// the body "ok". It knows no request but a message, so trying it ends before one.
func webhook(client *http.Client, address *url.URL, agent string) (send sender, try trial) {
	send = func(ctx context.Context, _ string, m message) error {
		body, err := json.Marshal(slack.WebhookMessage{
			Text: m.text, Blocks: &slack.Blocks{BlockSet: m.blocks}, UnfurlLinks: new(bool), UnfurlMedia: new(bool),
		})
		if err != nil {
			return fault.Permanent(fmt.Errorf("encode the message: %w", err))
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), bytes.NewReader(body))
		if err != nil {
			return fault.WithoutURL(err)
		}
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
		req.Header.Set("User-Agent", agent)
		resp, err := client.Do(req)
		if err != nil {
			return fault.WithoutURL(err)
		}
		defer resp.Body.Close()
		answer, readErr := io.ReadAll(io.LimitReader(resp.Body, maxWebhookAnswer))
		name := errorName(string(answer))
		switch err := refusal(resp, name); {
		case err != nil:
			return err
		case readErr != nil:
			return fmt.Errorf("read the answer: %w", fault.WithoutURL(readErr))
		case resp.StatusCode != http.StatusOK:
			return fmt.Errorf("status %d: want 200", resp.StatusCode)
		case string(bytes.TrimSpace(answer)) == "ok":
			return nil
		case name != "":
			return errors.New("answer is not ok: " + name)
		}
		return errors.New("answer is neither ok nor an error of slack: is this the address of a webhook?")
	}
	try = func(ctx context.Context) error { return connectors.Reach(ctx, client, address) }
	return send, try
}

// webAPI posts with chat.postMessage, and tries the token with auth.test. base ends
// in a slash: slack-go appends the method to it.
func webAPI(client *http.Client, base, token, channel, agent string) (send sender, try trial) {
	api := slack.New(token, slack.OptionAPIURL(base), slack.OptionHTTPClient(&gate{client: client, agent: agent}))
	send = func(ctx context.Context, id string, m message) error {
		_, _, err := api.PostMessageContext(ctx, channel,
			slack.MsgOptionText(m.text, false), // escaped already
			slack.MsgOptionBlocks(m.blocks...),
			slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
			slack.MsgOptionMetadata(slack.SlackMetadata{EventType: "trackops_event", EventPayload: map[string]any{"id": id}}),
		)
		return ended(ctx, err)
	}
	try = func(ctx context.Context) error {
		_, err := api.AuthTestContext(ctx)
		return ended(ctx, err)
	}
	return send, try
}

// ended returns the end of ctx instead of err, if it ended.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// A gate is the HTTP client of slack-go. It turns every answer but a good one into
// our error before slack-go sees it: that knows neither dates in Retry-After nor
// the error name of a status other than 200, and takes a 200 without "ok" and
// without an error for a success.
type gate struct {
	client *http.Client
	agent  string
}

// An answer is what every method of the Web API returns.
type answer struct {
	OK       bool   `json:"ok"`
	Error    string `json:"error"`
	Metadata struct {
		Messages []string `json:"messages"` // what is wrong with the blocks
	} `json:"response_metadata"`
}

// Do sends req and reads the answer, of which it keeps maxAPIAnswer.
func (g *gate) Do(req *http.Request) (*http.Response, error) {
	req.Header.Set("User-Agent", g.agent)
	resp, err := g.client.Do(req)
	if err != nil {
		return nil, fault.WithoutURL(err)
	}
	defer resp.Body.Close()
	body, readErr := io.ReadAll(io.LimitReader(resp.Body, maxAPIAnswer))
	var a answer
	jsonErr := json.Unmarshal(body, &a)
	switch err := refusal(resp, errorName(a.Error)); {
	case err != nil:
		return nil, err
	case readErr != nil:
		return nil, fmt.Errorf("read the answer: %w", fault.WithoutURL(readErr))
	case jsonErr != nil:
		return nil, fmt.Errorf("read the answer: %w", jsonErr)
	case !a.OK:
		return nil, notOK(resp.Header, a)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// notOK is a 200 without "ok": true.
func notOK(h http.Header, a answer) error {
	name := errorName(a.Error)
	if name == "" {
		name = "an error without a name"
	}
	text := "answer is not ok: " + name
	if len(a.Metadata.Messages) > 0 {
		text += ": " + connectors.Shorten(connectors.OneLine(strings.Join(a.Metadata.Messages, "; ")), 300)
	}
	err := errors.New(text)
	if wait, ok := fault.ParseRetryAfter(h, time.Now()); ok {
		return fault.RetryAfter(wait, err)
	}
	switch name {
	case "ratelimited", "rate_limited", "message_limit_exceeded":
		return fault.RetryAfter(defaultWait, err)
	}
	return err
}
