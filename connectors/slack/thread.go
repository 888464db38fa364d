package slack

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// A thread is where the messages about one record are. The zero value is of a
// delivery that has none.
type thread struct {
	key string // in the connector's memory
	ts  string // Slack's name of the first message; "" if there is none yet
}

// recall returns the thread of the delivery. What is about several records has
// none, and neither has an operational event: in an old thread nobody sees it.
func (c *connector) recall(ctx context.Context, d connectors.Delivery) (thread, error) {
	if c.memory == nil || d.Digest != nil || len(d.Events) != 1 || d.Events[0].Data.Collection == events.System {
		return thread{}, nil
	}
	t := thread{key: threadKey(c.channel, d.Events[0].Data)}
	var err error
	t.ts, err = c.memory.Recall(ctx, t.key)
	return t, err
}

// remember keeps the first message of the thread that Slack put ours in. Ours is
// that itself if there was no thread before, or if Slack no longer knows the one
// there was and posted ours outside.
func (c *connector) remember(ctx context.Context, t thread, r reply) error {
	first := cmp.Or(r.thread, r.ts)
	if t.key == "" || r.ts == "" || first == t.ts {
		return nil
	}
	return c.memory.Remember(ctx, t.key, first)
}

// threadKey is the record's name in a connector's memory. A ts means something in
// one channel only.
func threadKey(channel string, d events.Data) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{channel, d.Account, d.Collection, d.ID}, "\x00")))
	return "thread-" + base64.RawURLEncoding.EncodeToString(sum[:])
}
