package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/slack-go/slack"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// An answer is read up to these sizes. The Web API repeats the message in its own.
const (
	maxWebhookAnswer = 4 << 10
	maxAPIAnswer     = 1 << 20
)

// webhook posts to an incoming webhook. Slack's own rule of success is a 200 with
// the body "ok".
func webhook(client *http.Client, address, agent string) sender {
	return func(ctx context.Context, _ string, m message) error {
		body, err := json.Marshal(slack.WebhookMessage{
			Text: m.text, Blocks: &slack.Blocks{BlockSet: m.blocks}, UnfurlLinks: new(bool), UnfurlMedia: new(bool),
		})
		if err != nil {
			return fault.Permanent(fmt.Errorf("encode the message: %w", err))
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
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
}

// webAPI posts with chat.postMessage. base ends in a slash: slack-go appends the
// method to it.
func webAPI(client *http.Client, base, token, channel, agent string) sender {
	api := slack.New(token, slack.OptionAPIURL(base), slack.OptionHTTPClient(&gate{client: client, agent: agent}))
	return func(ctx context.Context, id string, m message) error {
		_, _, err := api.PostMessageContext(ctx, channel,
			slack.MsgOptionText(m.text, false), // escaped already
			slack.MsgOptionBlocks(m.blocks...),
			slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
			slack.MsgOptionMetadata(slack.SlackMetadata{EventType: "trackops_event", EventPayload: map[string]any{"id": id}}),
		)
		var refused slack.SlackErrorResponse
		switch {
		case errors.As(err, &refused):
			return notOK(refused)
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		}
		return fault.WithoutURL(err)
	}
}

// notOK is an answer with "ok": false: its name, and what slack says of the blocks.
func notOK(r slack.SlackErrorResponse) error {
	name := errorName(r.Err)
	if name == "" {
		name = "an error without a name"
	}
	err := errors.New("answer is not ok: " + name)
	switch name {
	case "ratelimited", "rate_limited", "message_limit_exceeded":
		return fault.RetryAfter(defaultWait, err)
	}
	return err
}

// A gate is the HTTP client of slack-go. It turns an answer other than 200 into our
// error before slack-go sees it, which knows neither dates in Retry-After nor the
// error name in the body.
type gate struct {
	client *http.Client
	agent  string
}

// Do sends req. The body of a good answer is cut at maxAPIAnswer.
func (g *gate) Do(req *http.Request) (*http.Response, error) {
	req.Header.Set("User-Agent", g.agent)
	resp, err := g.client.Do(req)
	if err != nil {
		return nil, fault.WithoutURL(err)
	}
	if resp.StatusCode == http.StatusOK {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAPIAnswer), resp.Body}
		return resp, nil
	}
	defer resp.Body.Close()
	var answer struct {
		Error string `json:"error"`
	}
	// A body that is no JSON is a proxy's; the status says enough.
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxWebhookAnswer)).Decode(&answer); err != nil {
		answer.Error = ""
	}
	if err := refusal(resp, errorName(answer.Error)); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("status %d: want 200", resp.StatusCode)
}
