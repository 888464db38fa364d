package bus

import (
	"fmt"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

const (
	headerRoom = 4 << 10 // for subject and headers, also those of a replay
	longValue  = 1 << 10
)

// fit returns the event's body, shortened if the server would refuse it: one
// event must not hold up those behind it.
func (b *Bus) fit(e events.Encoded) ([]byte, error) {
	limit := int(b.nc.MaxPayload()) - headerRoom
	if limit <= 0 || len(e.Body) <= limit { // 0: never connected yet
		return e.Body, nil
	}
	ev, err := events.Decode(e.Body)
	if err != nil {
		return nil, fault.Permanent(fmt.Errorf("shorten %s: %w", e.ID, err))
	}
	for _, shorten := range []func(*events.Data){dropLong, dropChanges, dropDetail} {
		shorten(&ev.Data)
		short, err := ev.Encode()
		if err != nil {
			return nil, fault.Permanent(fmt.Errorf("shorten %s: %w", e.ID, err))
		}
		if len(short.Body) <= limit {
			b.log.Warn("event truncated", "event", e.ID, "bytes", len(e.Body), "limit_bytes", limit)
			return short.Body, nil
		}
	}
	return nil, fault.Permanent(fmt.Errorf("shorten %s: above the server's limit of %d bytes even without its content", e.ID, limit))
}

func dropLong(d *events.Data) {
	d.Truncated = true
	d.Record = nil
	for i := range d.Changes {
		c := &d.Changes[i]
		if len(c.From) > longValue {
			c.From = nil
		}
		if len(c.To) > longValue {
			c.To = nil
		}
	}
}

func dropChanges(d *events.Data) { d.Changes = nil }

func dropDetail(d *events.Data) { d.Detail, d.Message = nil, "" }
