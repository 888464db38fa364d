package connectors

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// environment is what the expression sees of ev.
func (f *Filter) environment(ev events.Event) map[string]any {
	d := ev.Data
	data := map[string]any{
		"account": d.Account, "collection": d.Collection, "action": string(d.Action), "id": d.ID,
		"revision": int(d.Revision), "observed_at": d.ObservedAt, "truncated": d.Truncated,
		"message": d.Message,
	}
	if d.NotBefore != nil {
		data["not_before"] = *d.NotBefore
	}
	if d.NotAfter != nil {
		data["not_after"] = *d.NotAfter
	}
	if d.Detail != nil {
		data["detail"] = plain(d.Detail)
	}
	if f.record {
		data["record"] = decodeValue(d.Record)
	}
	changed := make([]string, len(d.Changes))
	for i, c := range d.Changes {
		changed[i] = c.Path
	}
	if f.changes {
		changes := make([]any, len(d.Changes))
		for i, c := range d.Changes {
			changes[i] = map[string]any{"path": c.Path, "from": decodeValue(c.From), "to": decodeValue(c.To)}
		}
		data["changes"] = changes
	}
	return map[string]any{"data": data, "changed": changed}
}

// decodeValue reads a JSON value; what is absent or broken is nil.
func decodeValue(raw json.RawMessage) any {
	if len(raw) == 0 {
		return nil
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil
	}
	return plain(v)
}

// plain makes every number in v an int where it is a whole one within 64 bits,
// and a float64 elsewhere, in place.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if replaced, ok := number(value); ok {
				v[key] = replaced
			} else {
				plain(value)
			}
		}
	case []any:
		for i, value := range v {
			if replaced, ok := number(value); ok {
				v[i] = replaced
			} else {
				plain(value)
			}
		}
	case json.Number:
		n, _ := number(v)
		return n
	}
	return v
}

func number(v any) (any, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return nil, false
	}
	if i, err := strconv.Atoi(string(n)); err == nil {
		return i, true
	}
	f, _ := strconv.ParseFloat(string(n), 64) // out of range is infinite
	return f, true
}
