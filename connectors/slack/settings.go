package slack

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// The field names are such that envconfig splits them into the documented words.
type settings struct {
	WebhookURL         string `split_words:"true" secret:"true" desc:"address of an incoming webhook; instead of BOT_TOKEN and CHANNEL"`
	BotToken           string `split_words:"true" secret:"true" desc:"bot token (xoxb-…) with the scope chat:write"`
	Channel            string `split_words:"true" desc:"channel to post to with BOT_TOKEN: its id (C0123456789) or #name"`
	APIUrl             string `split_words:"true" secret:"true" desc:"base of the Web API, default https://slack.com/api/"`
	Thread             string `split_words:"true" desc:"record: the first message about a record begins a thread, later ones reply in it; needs BOT_TOKEN; unset: no threads"`
	Template           string `split_words:"true" desc:"Go template of the message, in Slack's marks (mrkdwn); unset: blocks that suit the event"`
	TemplateFile       string `split_words:"true" desc:"file with the TEMPLATE"`
	BlocksTemplate     string `split_words:"true" desc:"Go template of the message's blocks, a JSON array; unset: blocks that suit the event"`
	BlocksTemplateFile string `split_words:"true" desc:"file with the BLOCKS_TEMPLATE"`
}

const defaultAPI = "https://slack.com/api/"

// share names the channel: nothing else tells whose rate a message counts for. An
// incoming webhook belongs to one channel, but which one only Slack knows.
func share(from any) string {
	s, ok := from.(*settings)
	if !ok {
		return ""
	}
	name := "webhook " + s.WebhookURL
	if s.WebhookURL == "" {
		name = strings.Join([]string{"channel", apiBase(s.APIUrl), s.BotToken, strings.ToLower(strings.TrimPrefix(s.Channel, "#"))}, " ")
	}
	return fmt.Sprintf("slack %x", sha256.Sum256([]byte(name))) // it is made of secrets
}

// apiBase is the address that the names of methods are appended to.
func apiBase(address string) string {
	return strings.TrimSuffix(cmp.Or(address, defaultAPI), "/") + "/"
}

// connector makes a connector that speaks through client.
func (s *settings) connector(client *http.Client, env connectors.Env) (*connector, error) {
	c := &connector{name: env.Name, link: env.Link, channel: s.Channel, secrets: []string{s.BotToken}}
	var problems []error
	if s.WebhookURL != "" {
		u, err := connectors.ParseEndpoint("WEBHOOK_URL", s.WebhookURL)
		if err != nil {
			problems = append(problems, err)
		} else {
			c.secrets = append(append(c.secrets, addressSecrets(u)...), env.ProxySecrets(u)...)
			c.send, c.try = webhook(client, u, env.UserAgent())
		}
	}
	if u, err := connectors.ParseEndpoint("API_URL", apiBase(s.APIUrl)); err != nil {
		problems = append(problems, err)
	} else if u.RawQuery != "" {
		problems = append(problems, &connectors.SettingError{Setting: "API_URL", Problem: "has a query", Accepted: "an absolute http or https URL without a query"})
	} else if s.WebhookURL == "" {
		c.secrets = append(c.secrets, env.ProxySecrets(u)...)
		c.send, c.try = webAPI(client, u.String(), s.BotToken, s.Channel, env.UserAgent())
	}
	switch {
	case s.Thread != "" && s.Thread != "record":
		problems = append(problems, &connectors.SettingError{Setting: "THREAD", Problem: fmt.Sprintf("is %q", s.Thread), Accepted: "record, or unset"})
	case s.Thread != "" && s.BotToken == "":
		problems = append(problems, &connectors.SettingError{Setting: "THREAD", Problem: "set without BOT_TOKEN: an incoming webhook cannot reply", Accepted: "record with BOT_TOKEN and CHANNEL, or unset"})
	case s.Thread != "":
		c.memory = env.Memory
	}
	problems = append(problems, c.templates(s, env)...)
	if err := errors.Join(append(problems, choice(s)...)...); err != nil {
		return nil, err
	}
	return c, nil
}

// addressSecrets are the path and the query of an incoming webhook, and its last
// part, which is a secret by itself.
func addressSecrets(u *url.URL) []string {
	return []string{u.String(), u.RequestURI(), strings.Trim(u.Path, "/"), u.Path[strings.LastIndexByte(u.Path, '/')+1:], u.RawQuery}
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

// templates compiles the templates of the message, of which there is at most one.
func (c *connector) templates(s *settings, env connectors.Env) []error {
	var err, blocksErr error
	c.textTemplate, err = env.ReadTemplate("TEMPLATE", s.Template, s.TemplateFile, connectors.Mrkdwn)
	c.blocksTemplate, blocksErr = env.ReadTemplate("BLOCKS_TEMPLATE", s.BlocksTemplate, s.BlocksTemplateFile, connectors.MrkdwnJSON)
	problems := []error{err, blocksErr}
	setting := "BLOCKS_TEMPLATE"
	if s.BlocksTemplateFile != "" {
		setting += "_FILE"
	}
	if s.Template+s.TemplateFile != "" && s.BlocksTemplate+s.BlocksTemplateFile != "" {
		problems = append(problems, &connectors.SettingError{Setting: setting, Problem: "set beside a template of the text", Accepted: "one template: of the text or of the blocks"})
	}
	if c.blocksTemplate != nil {
		if err := c.tryBlocks(); err != nil {
			problems = append(problems, &connectors.SettingError{Setting: setting, Problem: err.Error(), Accepted: "a Go template that makes a JSON array of Slack's blocks, objects with a type"})
		}
	}
	return problems
}

// tryBlocks renders a made-up event: blocks that are none show at once.
func (c *connector) tryBlocks() error {
	e := events.Event{Data: events.Data{Account: "acme", Collection: "clients", Action: events.Created, ID: "1", Revision: 1, Record: []byte(`{"id":1,"name":"Acme"}`)}}
	data, err := connectors.NewTemplateData(connectors.Delivery{Events: []events.Event{e.Stamp("made-up")}}, c.name, nil)
	if err == nil {
		_, err = c.fill(data, message{})
	}
	return err
}
