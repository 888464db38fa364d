package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/slack-go/slack"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// An answer is read up to these sizes. The Web API repeats the message in its own.
const (
	maxWebhookAnswer = 4 << 10
	maxAPIAnswer     = 1 << 20
)

// A post is one message on its way.
type post struct {
	message
	meta   meta
	thread string // the ts of the message to reply to; "" for none
}

// dropWhat leaves out what Slack named as the reason for its no, and reports whether
// there was any.
func (p *post) dropWhat(name string) bool {
	switch name {
	case "invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "invalid_payload":
		had := p.blocks != nil
		p.blocks = nil
		return had
	case "thread_not_found", "message_not_found", "cannot_reply_to_message":
		had := p.thread != ""
		p.thread = ""
		return had
	case "metadata_too_large", "invalid_metadata_format", "invalid_metadata_schema":
		had := p.meta.events != ""
		p.meta.events = ""
		return had
	}
	return false
}

// A meta is what a message carries for programs. Slack's values are texts, numbers
// and booleans, so a list is a text.
type meta struct {
	delivery string // its id
	events   string // the ids of its events, with spaces in between; "" to leave them out
}

func metadata(d connectors.Delivery) meta {
	m := meta{delivery: d.ID}
	switch {
	case d.Digest != nil:
		m.events = strings.Join(d.Digest.IDs, " ")
	case len(d.Events) > 1:
		ids := make([]string, len(d.Events))
		for i, e := range d.Events {
			ids[i] = e.ID
		}
		m.events = strings.Join(ids, " ")
	}
	return m
}

func (m meta) slack() slack.SlackMetadata {
	payload := map[string]any{"id": m.delivery}
	if m.events != "" {
		payload["events"] = m.events
	}
	return slack.SlackMetadata{EventType: "trackops_event", EventPayload: payload}
}

// A sender hands one message to Slack. Without an error Slack has it.
type sender func(ctx context.Context, p post) (reply, error)

// A trial tries the way to Slack without a message.
type trial func(ctx context.Context) error

// webhook posts to an incoming webhook. Slack's own rule of success is a 200 with
// the body "ok". It knows no request but a message, so trying it ends before one.
func webhook(client *http.Client, address *url.URL, agent string) (send sender, try trial) {
	send = func(ctx context.Context, p post) (reply, error) {
		body, err := json.Marshal(p.payload())
		if err != nil {
			return reply{}, fault.Permanent(fmt.Errorf("encode the message: %w", err))
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), bytes.NewReader(body))
		if err != nil {
			return reply{}, fault.WithoutURL(err)
		}
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
		req.Header.Set("User-Agent", agent)
		resp, err := client.Do(req)
		if err != nil {
			return reply{}, fault.WithoutURL(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxWebhookAnswer))
		r := reply{status: resp.StatusCode, name: errorName(string(answer))}
		if r.name == "ok" && err == nil && resp.StatusCode == http.StatusOK {
			r.name, r.ok = "", true
		}
		return r, r.read(resp, err)
	}
	try = func(ctx context.Context) error { return connectors.Reach(ctx, client, address) }
	return send, try
}

// read is the error of a reply whose body ended with err.
func (r reply) read(resp *http.Response, err error) error {
	if err != nil && fault.FromHTTP(resp) == nil {
		return fmt.Errorf("read the answer: %w", fault.WithoutURL(err))
	}
	return r.refusal(resp)
}

// A payload is a message in JSON, as an incoming webhook takes it. The Web API
// takes the same fields and some more.
type payload struct {
	Channel     string               `json:"channel,omitempty"`
	Text        string               `json:"text"`
	Blocks      []slack.Block        `json:"blocks,omitempty"`
	Metadata    *slack.SlackMetadata `json:"metadata,omitempty"`
	UnfurlLinks bool                 `json:"unfurl_links"`
	UnfurlMedia bool                 `json:"unfurl_media"`
}

func (p post) payload() payload { return payload{Text: p.text, Blocks: p.blocks} }

// webAPI posts with chat.postMessage, and tries the token with auth.test. base ends
// in a slash: slack-go appends the method to it.
func webAPI(client *http.Client, base, token, channel, agent string) (send sender, try trial) {
	open := func(thread string) (*slack.Client, *gate) {
		g := &gate{client: client, agent: agent, thread: thread}
		return slack.New(token, slack.OptionAPIURL(base), slack.OptionHTTPClient(g)), g
	}
	send = func(ctx context.Context, p post) (reply, error) {
		api, g := open(p.thread)
		options := []slack.MsgOption{
			slack.MsgOptionText(p.text, false), // escaped already
			slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
			slack.MsgOptionMetadata(p.meta.slack()),
		}
		if p.blocks != nil {
			options = append(options, slack.MsgOptionBlocks(p.blocks...))
		}
		if p.thread != "" {
			options = append(options, slack.MsgOptionTS(p.thread))
		}
		_, _, err := api.PostMessageContext(ctx, channel, options...)
		return g.reply, ended(ctx, err)
	}
	try = func(ctx context.Context) error {
		api, _ := open("")
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

// A gate is the HTTP client of slack-go for one request, and keeps the reply. It
// turns every answer but a good one into our error before slack-go sees it: that
// knows neither dates in Retry-After nor the error name of a status other than
// 200, and takes a 200 without "ok" and without an error for a success. Nor does
// slack-go get to read the message that a good answer repeats: one that it cannot
// read would be an error, and the message posted again.
type gate struct {
	client *http.Client
	agent  string
	thread string // that the message was sent to
	reply  reply
}

// An answer is what every method of the Web API returns, and chat.postMessage.
type answer struct {
	OK       bool   `json:"ok"`
	Error    string `json:"error"`
	Metadata struct {
		Messages []string `json:"messages"` // what is wrong with the blocks
	} `json:"response_metadata"`

	TS      string `json:"ts"`
	Message struct {
		ThreadTS string `json:"thread_ts"`
		BotID    string `json:"bot_id"` // who posted it
	} `json:"message"`
}

// threadOf returns the thread that a message is in which was sent to the thread
// sent. Slack posts a reply outside of threads, without a word, if the thread's first
// message was deleted: the message that it repeats has no thread then. A mere echo of
// ours, which does not say who posted it, has none either and tells nothing.
func (a answer) threadOf(sent string) string {
	if a.Message.ThreadTS == "" && a.Message.BotID == "" {
		return sent
	}
	return a.Message.ThreadTS
}

// Do sends req and reads the answer, of which it keeps maxAPIAnswer.
func (g *gate) Do(req *http.Request) (*http.Response, error) {
	req.Header.Set("User-Agent", g.agent)
	resp, err := g.client.Do(req)
	if err != nil {
		return nil, fault.WithoutURL(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAPIAnswer))
	var a answer
	if err == nil {
		err = json.Unmarshal(body, &a)
	}
	g.reply = reply{
		status: resp.StatusCode, name: errorName(a.Error), detail: detailOf(a.Metadata.Messages), ok: a.OK,
		ts: a.TS, thread: a.threadOf(g.thread),
	}
	if err := g.reply.read(resp, err); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(strings.NewReader(`{"ok":true}`))
	return resp, nil
}
