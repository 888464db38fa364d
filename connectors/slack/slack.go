// Package slack posts events to a Slack channel, through an incoming webhook or
// the Web API. It never edits or deletes what it posted.
//
// Every refusal is temporary, "invalid_blocks" and "channel_not_found" as well as a
// busy server: a channel gets created, a webhook renewed. Only an event that
// cannot be rendered is permanent. Slack has no key to spot repetitions: a
// time-out after it took a message posts that message twice. With a bot token the
// delivery's id is in the message's metadata, to find such pairs.
package slack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// defaultWait is how long we stay away when Slack asks us to slow down without
// saying for how long: half a minute clears its limit of one message a second.
const defaultWait = 30 * time.Second

// Kind returns the kind "slack": one message a second, for that is what Slack
// grants a channel; retries for six hours, for older alerts are useless.
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
		Timeout: 15 * time.Second,
		Rate:    1,
	}
}

// The field names are such that envconfig splits them into the documented words.
type settings struct {
	WebhookURL string `split_words:"true" secret:"true" desc:"address of an incoming webhook; instead of BOT_TOKEN and CHANNEL"`
	BotToken   string `split_words:"true" secret:"true" desc:"bot token (xoxb-…) with the scope chat:write"`
	Channel    string `split_words:"true" desc:"channel to post to with BOT_TOKEN: its id (C0123456789) or #name"`
	APIUrl     string `split_words:"true" secret:"true" desc:"base of the Web API, default https://slack.com/api/"`
}

// A sender hands one rendered message to Slack.
type sender func(ctx context.Context, id string, m message) error

// A trial tries the way to Slack without a message.
type trial func(ctx context.Context) error

type connector struct {
	send    sender
	try     trial
	secrets []string // to keep out of errors
}

func build(from any, env connectors.Env) (connectors.Connector, error) {
	s, ok := from.(*settings)
	if !ok {
		return nil, fmt.Errorf("slack: settings are a %T", from)
	}
	client := connectors.HTTPClient(nil, nil)
	c := &connector{secrets: []string{s.BotToken}}
	var problems []error
	if s.WebhookURL != "" {
		u, err := connectors.ParseEndpoint("WEBHOOK_URL", s.WebhookURL)
		if err != nil {
			problems = append(problems, err)
		} else {
			c.secrets = append(c.secrets, s.WebhookURL, u.RequestURI(), u.Path)
			c.send, c.try = webhook(client, u, env.UserAgent())
		}
	}
	api := s.APIUrl
	if api == "" {
		api = "https://slack.com/api/"
	}
	if u, err := connectors.ParseEndpoint("API_URL", api); err != nil {
		problems = append(problems, err)
	} else if u.RawQuery != "" {
		problems = append(problems, &connectors.SettingError{Setting: "API_URL", Problem: "has a query", Accepted: "an absolute http or https URL without a query"})
	} else if s.WebhookURL == "" {
		c.send, c.try = webAPI(client, strings.TrimSuffix(u.String(), "/")+"/", s.BotToken, s.Channel, env.UserAgent())
	}
	if err := errors.Join(append(problems, choice(s)...)...); err != nil {
		return nil, err
	}
	return c, nil
}

// choice checks that there is one way to post, and all of it.
func choice(s *settings) []error {
	const accepted = "either WEBHOOK_URL, or BOT_TOKEN and CHANNEL"
	wrong := func(setting, problem string) []error {
		return []error{&connectors.SettingError{Setting: setting, Problem: problem, Accepted: accepted}}
	}
	var all []error
	switch {
	case s.WebhookURL != "" && s.BotToken != "":
		all = wrong("BOT_TOKEN", "set beside WEBHOOK_URL")
	case s.WebhookURL != "" && s.Channel != "":
		all = wrong("CHANNEL", "set beside WEBHOOK_URL, which has its own channel")
	case s.WebhookURL != "":
	case s.BotToken == "" && s.Channel == "":
		all = wrong("WEBHOOK_URL", "not set, and neither are BOT_TOKEN and CHANNEL")
	case s.BotToken == "":
		all = wrong("BOT_TOKEN", "not set")
	case s.Channel == "":
		all = wrong("CHANNEL", "not set")
	}
	for name, value := range map[string]string{"BOT_TOKEN": s.BotToken, "CHANNEL": s.Channel} {
		if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			all = append(all, &connectors.SettingError{Setting: name, Problem: "holds white space or a control character", Accepted: "the value as Slack shows it"})
		}
	}
	return all
}

// Deliver posts all events of d in one message.
func (c *connector) Deliver(ctx context.Context, d connectors.Delivery) error {
	m, err := render(d.Events)
	if err != nil {
		return err
	}
	if err := c.send(ctx, d.ID, m); err != nil {
		return connectors.Redact(fmt.Errorf("post to slack: %w", err), c.secrets...)
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

// refusal is an answer of Slack that is not 2xx, with its error name.
func refusal(resp *http.Response, name string) error {
	err := fault.FromHTTP(resp)
	if err == nil {
		return nil
	}
	if name != "" {
		err = fmt.Errorf("%w: %s", err, name)
	}
	if _, ok := fault.After(err); !ok && resp.StatusCode == http.StatusTooManyRequests {
		err = fault.RetryAfter(defaultWait, err)
	}
	return err
}

// errorName returns s if it is one of Slack's error names, which are words in
// lower case; anything else may be a page of a proxy, or our own words.
func errorName(s string) string {
	s = strings.TrimSpace(s)
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' {
			return ""
		}
	}
	if len(s) > 64 {
		return ""
	}
	return s
}
