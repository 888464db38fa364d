package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// received is what a receiver makes of a request with the libraries of the two
// standards: it verifies with each of the secrets, and then reads the events.
func received(r connectortest.Received, secrets ...string) ([]cloudevents.Event, error) {
	for _, secret := range secrets {
		wh, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return nil, err
		}
		if err := wh.Verify(r.Body, http.Header(r.Header)); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequest(http.MethodPost, "http://receiver.example", bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	req.Header = http.Header(r.Header)
	if cloudevents.IsHTTPBatch(req.Header) {
		return cloudevents.NewEventsFromHTTPRequest(req)
	}
	one, err := cloudevents.NewEventFromHTTPRequest(req)
	if err != nil {
		return nil, err
	}
	return []cloudevents.Event{*one}, nil
}

// same compares what was read with what was sent. Values of headers are
// percent-encoded, which the SDK leaves to the receiver.
func same(got cloudevents.Event, want events.Event, value func(string) (string, error)) error {
	if err := got.Validate(); err != nil {
		return err
	}
	enc, err := want.Encode()
	if err != nil {
		return err
	}
	var sent struct{ Data json.RawMessage }
	if err := json.Unmarshal(enc.Body, &sent); err != nil {
		return err
	}
	for name, pair := range map[string][2]string{
		"specversion": {got.SpecVersion(), "1.0"}, "id": {got.ID(), want.ID}, "source": {got.Source(), want.Source},
		"type": {got.Type(), want.Type}, "subject": {got.Subject(), strings.ToValidUTF8(want.Subject, "\uFFFD")},
		"datacontenttype": {got.DataContentType(), "application/json"}, "data": {string(got.Data()), string(sent.Data)},
	} {
		text := pair[0]
		if name != "data" && name != "datacontenttype" {
			if text, err = value(text); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if text != pair[1] {
			return fmt.Errorf("%s: %.300q, want %.300q", name, text, pair[1])
		}
	}
	if !got.Time().Equal(want.Time) {
		return fmt.Errorf("time: %v, want %v", got.Time(), want.Time)
	}
	return nil
}

func asIs(s string) (string, error) { return s, nil }

func TestInteroperation(t *testing.T) {
	hostile := slices.DeleteFunc(connectortest.Hostile(), func(s connectortest.Sample) bool {
		return s.Event.Subject != "" && strings.TrimSpace(s.Event.Subject) == "" // the SDK takes it for an empty one
	})
	for _, c := range []struct {
		format  string
		secrets []string
		samples []connectortest.Sample
		value   func(string) (string, error)
	}{
		{"structured", []string{current}, hostile, asIs},
		{"structured", []string{current, previous}, connectortest.Samples(), asIs},
		{"binary", []string{current}, hostile, url.PathUnescape},
		{"binary", []string{current, previous}, connectortest.Samples(), url.PathUnescape},
	} {
		conn, remote := start(t, map[string]string{"FORMAT": c.format, "SECRET": strings.Join(c.secrets, ",")})
		for i, sample := range c.samples {
			if err := deliver(t, conn, sample.Event); err != nil {
				t.Fatalf("%s %s: Deliver = %v", c.format, sample.Name, err)
			}
			got, err := received(remote.Received()[i], c.secrets...)
			if err == nil && len(got) != 1 {
				err = fmt.Errorf("%d events", len(got))
			}
			if err == nil {
				err = same(got[0], sample.Event, c.value)
			}
			if err != nil {
				t.Errorf("%s, %d secrets, %s: %v", c.format, len(c.secrets), sample.Name, err)
			}
		}
	}
}

// Several events are a batch in both formats: the binary one carries one only.
func TestBatchInteroperation(t *testing.T) {
	var all []events.Event
	for _, sample := range connectortest.Samples() {
		all = append(all, sample.Event)
	}
	for _, format := range []string{"structured", "binary"} {
		conn, remote := start(t, map[string]string{"FORMAT": format, "SECRET": current})
		if err := deliver(t, conn, all...); err != nil {
			t.Fatal(err)
		}
		got, err := received(remote.Received()[0], current)
		if err != nil || len(got) != len(all) {
			t.Fatalf("%s: %d events, %v; want %d", format, len(got), err, len(all))
		}
		for i := range got {
			if err := same(got[i], all[i], asIs); err != nil {
				t.Errorf("%s, event %d: %v", format, i, err)
			}
		}
	}
}

// A digest is a batch, also of one event and in the binary format, and the ids of all
// that it stands for are an attribute of its first event. Everything else is as it
// would be without that.
func TestDigestInteroperation(t *testing.T) {
	hostile := []string{"a_b_1_1_x", `",":}\`, "ü \u2028", "a_b_1_2_x"}
	for _, format := range []string{"structured", "binary"} {
		for _, n := range []int{1, 2} {
			var all []events.Event
			for _, sample := range connectortest.Samples()[:n] {
				all = append(all, sample.Event)
			}
			conn, remote := start(t, map[string]string{"FORMAT": format, "SECRET": current})
			d := connectors.Delivery{ID: "several_1", Events: all, Attempt: 1, Digest: &connectors.Digest{IDs: hostile}}
			if err := conn.Deliver(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			r := remote.Received()[0]
			got, err := received(r, current)
			if err != nil || len(got) != n || !bytes.HasPrefix(r.Body, []byte("[")) {
				t.Fatalf("%s: %d events, %v; want a batch of %d: %s", format, len(got), err, n, r.Body)
			}
			for i := range got {
				want := map[string]any{}
				if i == 0 {
					want["digestids"] = strings.Join(hostile, ",")
				}
				if diff := cmp.Diff(want, got[i].Extensions(), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s, event %d of %d: attributes (-want +got):\n%s", format, i, n, diff)
				}
				if err := same(got[i], all[i], asIs); err != nil {
					t.Errorf("%s, event %d of %d: %v", format, i, n, err)
				}
			}
		}
	}
}

// The check itself has to be able to fail: a library that accepts anything shows
// nothing.
func TestWhatDoesNotInteroperate(t *testing.T) {
	conn, remote := start(t, map[string]string{"SECRET": current})
	if err := deliver(t, conn, connectortest.Samples()[0].Event); err != nil {
		t.Fatal(err)
	}
	r := remote.Received()[0]
	if _, err := received(r, previous); !errors.Is(err, standardwebhooks.ErrNoMatchingSignature) {
		t.Errorf("with another secret: %v, want %v", err, standardwebhooks.ErrNoMatchingSignature)
	}
	r.Body = append(r.Body, '\n')
	if _, err := received(r, current); !errors.Is(err, standardwebhooks.ErrNoMatchingSignature) {
		t.Errorf("with a newline more: %v, want %v", err, standardwebhooks.ErrNoMatchingSignature)
	}
	got, err := received(r)
	if err != nil || same(got[0], connectortest.Samples()[1].Event, asIs) == nil {
		t.Errorf("another event passes for the one that was sent: %v", err)
	}
}
