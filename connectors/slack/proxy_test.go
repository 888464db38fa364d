package slack

import (
	"strings"
	"testing"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
)

func TestThroughAProxy(t *testing.T) {
	for name, settings := range map[string]map[string]string{
		"webhook": {"WEBHOOK_URL": "http://hooks.example.com/services/T0"},
		"web api": {"BOT_TOKEN": "xoxb-s3cret", "CHANNEL": "C0123456789", "API_URL": "http://api.example.com/api"},
	} {
		remote := connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 200, Body: "ok"})
		proxy := connectortest.Proxy(t, remote.Addr())
		c, err := connectortest.New(t, Kind(), settings, connectors.Env{Proxy: proxy.For})
		if err != nil {
			t.Fatal(err)
		}
		d := connectors.Delivery{ID: "acme_clients_1_2_k7q2", Events: []events.Event{connectortest.Samples()[0].Event}, Attempt: 1}
		err = c.Deliver(t.Context(), d)
		if got := proxy.Requests(); len(got) != 1 || !strings.Contains(got[0], ".example.com/") || len(remote.Received()) != 1 {
			t.Errorf("%s: the proxy saw %q, and Deliver = %v", name, got, err)
		}
	}
}
