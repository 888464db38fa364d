package webhook

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// What Preview shows is what is posted, and nothing secret.
func TestPreview(t *testing.T) {
	e := connectortest.Samples()[0].Event
	for name, c := range map[string]struct {
		settings map[string]string
		want     string // the beginning
	}{
		"structured": {nil, "Content-Type: application/cloudevents+json; charset=UTF-8\nwebhook-id: " + e.ID + "\n\n{\n  \"specversion\": \"1.0\",\n"},
		"binary":     {map[string]string{"FORMAT": "binary"}, "Content-Type: application/json\nce-id: " + e.ID + "\n"},
		"json":       {map[string]string{"BODY_TEMPLATE": `{"t":"{{.Title}}"}`}, "Content-Type: application/json\nwebhook-id: " + e.ID + "\n\n{\n  \"t\": \"Smith & Sons <Investigations>\"\n}\n"},
		"text":       {map[string]string{"BODY_TEMPLATE": `{{.Lead}}`, "CONTENT_TYPE": "text/plain"}, "Content-Type: text/plain\nwebhook-id: " + e.ID + "\n\nNew client\n"},
	} {
		remote := connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 204})
		settings := map[string]string{"URL": "http://" + remote.Addr() + path, "SECRET": current, "BEARER_TOKEN": "b3arer"}
		for k, v := range c.settings {
			settings[k] = v
		}
		conn, err := connectortest.New(t, Kind(), settings, connectors.Env{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := conn.(connectors.Previewer).Preview(connectors.Delivery{ID: e.ID, Events: []events.Event{e}})
		if err != nil || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: Preview = %s, %v, want it to begin %s", name, got, err, c.want)
		}
		for _, secret := range []string{strings.TrimPrefix(current, "whsec_"), path, "b3arer"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s: Preview shows %q", name, secret)
			}
		}
		if len(remote.Received()) > 0 {
			t.Errorf("%s: Preview sends something", name)
		}
		if err := deliver(t, conn, e); err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(got, "\n\n")
		posted := string(remote.Received()[0].Body)
		var a, b any
		if json.Unmarshal([]byte(posted), &a) == nil && json.Unmarshal([]byte(body), &b) == nil {
			posted, body = compact(t, a), compact(t, b)
		}
		if strings.TrimSpace(body) != posted {
			t.Errorf("%s: Preview shows %s, but posted was %s", name, body, posted)
		}
	}
}

func TestPreviewOfWhatCannotBeSent(t *testing.T) {
	conn, err := connectortest.New(t, Kind(), map[string]string{"URL": "http://127.0.0.1:1" + path, "SECRET": current}, connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.(connectors.Previewer).Preview(connectors.Delivery{ID: "none"}); !fault.IsPermanent(err) {
		t.Errorf("Preview of nothing = %v, want a permanent error", err)
	}
}

func compact(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
