package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
)

// dialTimeout is how long a command waits for NATS.
const dialTimeout = 5 * time.Second

// connectCommand connects a command to the NATS of a running notifier: NATS_URL
// if that is set, else the embedded server at NATS_LISTEN, with the credential
// that lies in DATA_DIR.
func connectCommand(ctx context.Context, cfg config) (*bus.Bus, error) {
	if cfg.NATS.URL != "" {
		c := clientConfig(cfg.NATS, nil)
		c.FirstConnect = dialTimeout
		b, err := bus.Connect(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("NATS_URL: %w", err)
		}
		return b, nil
	}
	if cfg.NATS.Listen == "" {
		return nil, misuse("NATS_LISTEN is off, so this command cannot reach the running notifier; set it to an address such as 127.0.0.1:4222")
	}
	b, err := bus.Connect(ctx, bus.ClientConfig{
		URL:          "nats://" + dialable(cfg.NATS.Listen),
		SecretFile:   secretFile(cfg.DataDir),
		FirstConnect: dialTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("reach the running notifier at NATS_LISTEN %s: %w; is it running, with the same DATA_DIR?", cfg.NATS.Listen, err)
	}
	return b, nil
}

// dialable returns the address under which a listener can be reached from this
// machine: a wildcard address is answered on loopback.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
