package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

func testSendCommand() command {
	return command{
		name:    "test-send",
		args:    "<connector>",
		summary: "send one test event through a connector",
		detail: `Sends one made-up event through the connector, once and directly: past the
stream, its events list and its filter, and without a retry. It says what the
other side answered. Works beside a running notifier and without one.`,
		nargs: [2]int{1, 1},
		run: func(ctx context.Context, p program, _ any, args []string) error {
			cfg, err := loadConfig(p.environ, kinds())
			if err != nil {
				return err
			}
			return p.testSend(ctx, cfg, args[0])
		},
	}
}

func (p program) testSend(ctx context.Context, cfg config, name string) error {
	c, err := findConnector(cfg, name)
	if err != nil {
		return err
	}
	target, err := c.New(connectors.Env{Version: programVersion(), Stdout: p.output(), Link: recordLink(cfg.RecordURL)})
	if err != nil {
		return fmt.Errorf("connector %s: %w", name, err)
	}
	e := testEvent(cfg.Accounts[0].Subdomain, time.Now())
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if err := target.Deliver(ctx, connectors.Delivery{ID: e.ID, Events: []events.Event{e}, Attempt: 1}); err != nil {
		return fmt.Errorf("connector %s: %w", name, err)
	}
	_, err = fmt.Fprintf(p.stderr, "%s accepted the test event %s\n", name, e.ID)
	return err
}

func findConnector(cfg config, name string) (connectorConfig, error) {
	names := make([]string, len(cfg.Connectors))
	for i, c := range cfg.Connectors {
		if c.Name == name {
			return c, nil
		}
		names[i] = c.Name
	}
	if len(names) == 0 {
		return connectorConfig{}, misuse("no connector is configured; CONNECTOR_<NAME>_TYPE declares one, see trackops-notifier help env")
	}
	return connectorConfig{}, misuse(fmt.Sprintf("there is no connector %q; configured: %s", name, strings.Join(names, ", ")))
}

// testEvent is news of a client that does not exist. Its id says so, and is
// another one each second.
func testEvent(account string, now time.Time) events.Event {
	now = now.UTC().Truncate(time.Millisecond)
	return events.Event{
		Source: "https://" + account + ".viewcases.com/api/v1/clients",
		Data: events.Data{
			Account:    account,
			Collection: "clients",
			Action:     events.Updated,
			ID:         "0",
			Revision:   uint64(now.Unix()),
			ObservedAt: now,
			Changes: []events.Change{{
				Path: "/name", From: json.RawMessage(`"Test Client"`), To: json.RawMessage(`"Test Client Ltd"`),
			}},
			Record: json.RawMessage(`{"id":0,"name":"Test Client Ltd","notes":"This is a test by trackops-notifier test-send. No such client exists."}`),
		},
	}.Stamp("test")
}
