package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// A payload is a request's body and the headers that describe it.
type payload struct {
	header map[string]string
	body   []byte
}

// An encoder makes the payload of a delivery's events.
type encoder func([]events.Event) (payload, error)

// structured is the CloudEvents structured mode: the body is the event as
// [events.Event.Encode] writes it. Several events are a batch.
func structured(all []events.Event) (payload, error) {
	bodies := make([][]byte, 0, len(all))
	for _, e := range all {
		enc, err := e.Encode()
		if err != nil {
			return payload{}, err
		}
		bodies = append(bodies, enc.Body)
	}
	switch len(bodies) {
	case 0:
		return payload{}, errors.New("encode delivery: no events")
	case 1:
		return payload{header: map[string]string{"Content-Type": "application/cloudevents+json; charset=UTF-8"}, body: bodies[0]}, nil
	}
	batch := append(append([]byte("["), bytes.Join(bodies, []byte(","))...), ']')
	return payload{header: map[string]string{"Content-Type": "application/cloudevents-batch+json; charset=UTF-8"}, body: batch}, nil
}

// binary is the CloudEvents binary mode: attributes are headers, the body is the
// data. It has no form for several events.
func binary(all []events.Event) (payload, error) {
	if len(all) != 1 {
		return payload{}, fmt.Errorf("encode delivery: %d events: the binary format carries one", len(all))
	}
	e := all[0]
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
