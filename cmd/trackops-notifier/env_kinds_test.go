package main

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// The kinds of these tests have the fields that the rules of the environment are
// about: secrets, a list of secrets, paths that end in _FILE, a name that
// Kubernetes uses too, and a field that envconfig parses.

type chatSettings struct {
	WebhookURL string `split_words:"true" secret:"true" desc:"where to post"`
	Channel    string `desc:"channel"`
}

type mailSettings struct {
	SMTPHost     string `split_words:"true" desc:"mail server"`
	SMTPPort     string `split_words:"true" default:"587" desc:"its port"`
	SMTPPassword string `split_words:"true" secret:"true" desc:"password"`
	Lines        int    `default:"10" desc:"most lines of a mail"`
}

type hookSettings struct {
	URL    string `secret:"true" desc:"where to post"`
	Secret string `secret:"true" desc:"keys to sign with"`
	CAFile string `split_words:"true" desc:"authorities to trust"`
	Format string `default:"structured" desc:"structured | binary"`
}

func fakeKinds() []connectors.Kind {
	accept := func(errs ...error) (connectors.Connector, error) {
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		return connectors.Func(func(context.Context, connectors.Delivery) error { return nil }), nil
	}
	absolute := func(setting, value string) error {
		if u, err := url.Parse(value); err != nil || !u.IsAbs() {
			// As careless as a kind could be: it quotes a secret.
			return &connectors.SettingError{Setting: setting, Problem: value + " is no URL", Accepted: "an absolute http or https URL"}
		}
		return nil
	}
	return []connectors.Kind{
		{
			Name: "chat", Doc: "posts to a channel", Settings: func() any { return &chatSettings{} },
			New: func(s any, _ connectors.Env) (connectors.Connector, error) {
				return accept(absolute("WEBHOOK_URL", s.(*chatSettings).WebhookURL))
			},
			Retry: []time.Duration{time.Second, time.Hour}, Timeout: 10 * time.Second, Rate: 1,
		},
		{
			Name: "mail", Doc: "sends mail", Settings: func() any { return &mailSettings{} },
			New: func(s any, _ connectors.Env) (connectors.Connector, error) {
				m := s.(*mailSettings)
				var errs []error
				if m.SMTPHost == "" {
					errs = append(errs, &connectors.SettingError{Setting: "SMTP_HOST", Problem: "is not set", Accepted: "a host"})
				}
				if _, err := strconv.ParseUint(m.SMTPPort, 10, 16); err != nil {
					errs = append(errs, &connectors.SettingError{Setting: "SMTP_PORT", Problem: "is not a port", Accepted: "1 to 65535"})
				}
				return accept(errs...)
			},
			Timeout: time.Minute,
		},
		{
			Name: "hook", Doc: "posts to an endpoint", Settings: func() any { return &hookSettings{} },
			New: func(s any, _ connectors.Env) (connectors.Connector, error) {
				return accept(absolute("URL", s.(*hookSettings).URL))
			},
			Timeout: 15 * time.Second,
		},
	}
}
