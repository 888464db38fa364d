package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

var (
	attributeName = regexp.MustCompile(`^[a-z0-9]{1,20}$`)
	// The date-time of RFC 3339 §5.6 in upper case.
	timestamp   = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$`)
	reverseName = regexp.MustCompile(`^com\.trackops\.[a-z0-9_]+\.[a-z_]+$`)
)

// checkCloudEvent reads body as a receiver that knows the specification and not
// us: CloudEvents 1.0 §3 and the JSON event format §2 and §3.
func checkCloudEvent(body []byte) error {
	var event map[string]json.RawMessage
	if err := json.Unmarshal(body, &event); err != nil {
		return err
	}
	if !json.Valid(event["data"]) || event["data_base64"] != nil {
		return errors.New("data is not JSON beside datacontenttype application/json")
	}
	delete(event, "data")
	attributes := make(map[string]string)
	for name, raw := range event {
		var value string
		if err := json.Unmarshal(raw, &value); err != nil || bytes.Equal(raw, []byte("null")) {
			return fmt.Errorf("attribute %s is %s, not a string", name, raw)
		}
		if !attributeName.MatchString(name) {
			return fmt.Errorf("attribute name %q", name)
		}
		if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r >= 0x7f && r <= 0x9f }) {
			return fmt.Errorf("attribute %s is %q", name, value)
		}
		attributes[name] = value
	}
	for _, required := range []string{"id", "source", "specversion", "type"} {
		if attributes[required] == "" {
			return fmt.Errorf("no attribute %s", required)
		}
	}
	if attributes["specversion"] != "1.0" {
		return fmt.Errorf("specversion %q", attributes["specversion"])
	}
	if source, err := url.Parse(attributes["source"]); err != nil || !source.IsAbs() {
		return fmt.Errorf("source %q is no absolute URI", attributes["source"])
	}
	if !reverseName.MatchString(attributes["type"]) {
		return fmt.Errorf("type %q", attributes["type"])
	}
	if at := attributes["time"]; !timestamp.MatchString(at) {
		return fmt.Errorf("time %q", at)
	} else if _, err := time.Parse(time.RFC3339, at); err != nil {
		return err
	}
	media, _, err := mime.ParseMediaType(attributes["datacontenttype"])
	if err != nil || media != "application/json" {
		return fmt.Errorf("datacontenttype %q: %v", attributes["datacontenttype"], err)
	}
	return nil
}

// everyKind returns an event of each action, of records and of operation.
func everyKind() []events.Event {
	at := time.Date(2026, time.November, 23, 9, 30, 4, 0, time.FixedZone("", -5*3600))
	var all []events.Event
	for _, action := range events.Actions() {
		all = append(all, events.Event{
			Source: events.Source("acme") + "/case/updates",
			Data: events.Data{Account: "acme", Collection: "case_updates", Action: action, ID: "7/é", Revision: 1, ObservedAt: at,
				Record: json.RawMessage(`{"id":7}`)},
		})
	}
	for _, what := range events.SystemActions() {
		all = append(all, events.NewSystem("acme", what, "new-clients", 1, at, "Something\nhappened.", map[string]any{"a": 1}))
	}
	return all
}

func TestEveryEventIsACloudEvent(t *testing.T) {
	t.Parallel()
	for _, e := range everyKind() {
		encoded, err := e.Stamp("k7q2").Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := checkCloudEvent(encoded.Body); err != nil {
			t.Errorf("%s: %v", encoded.Body, err)
		}
		if !strings.HasPrefix(encoded.Subject, "trackops.acme.") || strings.Count(encoded.Subject, ".") != 3 || strings.ContainsAny(encoded.Subject, "*> \t") {
			t.Errorf("subject %q", encoded.Subject)
		}
	}
}

// The check itself has to be able to fail.
func TestWhatIsNoCloudEvent(t *testing.T) {
	t.Parallel()
	encoded, err := everyKind()[0].Stamp("k7q2").Encode()
	if err != nil {
		t.Fatal(err)
	}
	for old, broken := range map[string]string{
		`"specversion":"1.0"`: `"specversion":"1"`, `"id":"acme_`: `"ID":"acme_`, `"source":"https://acme.viewcases.com`: `"source":"acme`,
		`"type":"com.`: `"type":"`, `"subject":"7/é"`: `"subject":""`, `"time":"2026-11-23T`: `"time":"2026-11-23 `,
		`"datacontenttype":"application/json"`: `"data_base64":"e30=","datacontenttype":"application/json"`, `"specversion"`: `"trace_parent":"x","specversion"`,
	} {
		body := bytes.Replace(encoded.Body, []byte(old), []byte(broken), 1)
		if bytes.Equal(body, encoded.Body) {
			t.Fatalf("no %s in %s", old, body)
		}
		if checkCloudEvent(body) == nil {
			t.Errorf("%s passes for a CloudEvent", body)
		}
	}
}
