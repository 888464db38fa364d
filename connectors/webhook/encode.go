package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// A payload is a request's body and the headers that describe it.
type payload struct {
	header map[string]string
	body   []byte
}

// An encoder makes the payload of a delivery.
type encoder func(connectors.Delivery) (payload, error)

// structured is the CloudEvents structured mode: the body is the event as
// [events.Event.Encode] writes it. Several events are a batch, and so is a digest, also
// of one: its first event has the ids of all that the digest stands for.
func structured(d connectors.Delivery) (payload, error) {
	bodies := make([][]byte, 0, len(d.Events))
	for _, e := range d.Events {
		enc, err := e.Encode()
		if err != nil {
			return payload{}, err
		}
		bodies = append(bodies, enc.Body)
	}
	switch {
	case len(bodies) == 0:
		return payload{}, errors.New("encode delivery: no events")
	case d.Digest != nil:
		var err error
		if bodies[0], err = withIDs(bodies[0], d.Digest.IDs); err != nil {
			return payload{}, err
		}
	case len(bodies) == 1:
		return payload{header: map[string]string{"Content-Type": "application/cloudevents+json; charset=UTF-8"}, body: bodies[0]}, nil
	}
	batch := append(append([]byte("["), bytes.Join(bodies, []byte(","))...), ']')
	// Without a charset, which JSON needs none of: IsHTTPBatch of the Go SDK of
	// CloudEvents compares the whole value.
	return payload{header: map[string]string{"Content-Type": "application/cloudevents-batch+json"}, body: batch}, nil
}

// withIDs adds ids to an event's JSON as the extension attribute "digestids". An
// attribute cannot be a list: it is a text with commas in between.
func withIDs(event []byte, ids []string) ([]byte, error) {
	list, err := json.Marshal(strings.Join(ids, ","))
	if err != nil {
		return nil, fmt.Errorf("encode the ids of the digest: %w", err)
	}
	event = append(bytes.TrimSuffix(event, []byte("}")), `,"digestids":`...)
	return append(append(event, list...), '}'), nil
}

// binary is the CloudEvents binary mode: attributes are headers, the body is the
// data. It has no form for several events, nor room in a header for the ids of a
// digest: both are a batch here too.
func binary(d connectors.Delivery) (payload, error) {
	if len(d.Events) != 1 || d.Digest != nil {
		return structured(d)
	}
	e := d.Events[0]
	enc, err := e.Encode()
	if err != nil {
		return payload{}, err
	}
	// Taken from the encoded event, so that both formats carry the same bytes.
	var parts struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(enc.Body, &parts); err != nil {
		return payload{}, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	h := map[string]string{
		"Content-Type":   e.DataContentType,
		"ce-specversion": attribute(e.SpecVersion),
		"ce-id":          attribute(e.ID),
		"ce-source":      attribute(e.Source),
		"ce-type":        attribute(e.Type),
		"ce-time":        attribute(e.Time.Format(time.RFC3339Nano)),
	}
	if e.Subject != "" { // an optional attribute, never empty
		h["ce-subject"] = attribute(e.Subject)
	}
	return payload{header: h, body: parts.Data}, nil
}

// templated writes what body makes of a delivery. One of which it makes nothing is
// encoded as without it.
func templated(body *connectors.Template, contentType string, env connectors.Env, encode encoder) encoder {
	return func(d connectors.Delivery) (payload, error) {
		data, err := connectors.NewTemplateData(d, env.Name, env.Link)
		if err != nil {
			return payload{}, err
		}
		text, err := body.Render(data)
		if err != nil {
			return payload{}, err
		}
		if strings.TrimSpace(text) == "" {
			return encode(d)
		}
		return payload{header: map[string]string{"Content-Type": contentType}, body: []byte(text)}, nil
	}
}

// attribute percent-encodes a value for a header, as the HTTP binding of CloudEvents
// 1.0.2 (§3.1.3.2) says: space, double quote, per cent, and all outside of
// U+0021 to U+007E. Bytes that are no UTF-8 become U+FFFD, as receivers must
// reject them.
func attribute(s string) string {
	const hex = "0123456789ABCDEF"
	s = strings.ToValidUTF8(s, "\uFFFD")
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c > ' ' && c < 0x7f && c != '"' && c != '%' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}
