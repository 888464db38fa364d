package main

import (
	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/console"
	"github.com/trackops-notifier/trackops-notifier/connectors/email"
	"github.com/trackops-notifier/trackops-notifier/connectors/slack"
	"github.com/trackops-notifier/trackops-notifier/connectors/webhook"
)

// kinds are the types of connectors that CONNECTOR_<NAME>_TYPE may name. A new
// one is a line here.
func kinds() []connectors.Kind {
	return []connectors.Kind{
		slack.Kind(),
		email.Kind(),
		webhook.Kind(),
		console.Kind(),
	}
}
