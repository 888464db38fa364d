package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

func healthCommand() command {
	return command{
		name:    "health",
		summary: "ask a running notifier whether it lives, for HEALTHCHECK",
		detail: `Asks /healthz at HTTP_LISTEN and exits with 0 if it answers 200, else with 1.
For HEALTHCHECK in a container, where there is no shell. Whether it is ready is
another question: GET /readyz.`,
		run: func(ctx context.Context, p program, _ any, _ []string) error {
			listen, err := p.httpListen()
			if err != nil {
				return err
			}
			return askHealth(ctx, listen)
		},
	}
}

// httpListen reads HTTP_LISTEN alone: a probe needs no account.
func (p program) httpListen() (string, error) {
	var s settings
	l := newLoader([]string{"HTTP_LISTEN=" + p.lookup("HTTP_LISTEN")})
	l.fill("", &s)
	listen := parse(l, "HTTP_LISTEN", s.HTTP.Listen, acceptedListen, readListen)
	if err := l.err(); err != nil {
		return "", err
	}
	if listen == "" {
		return "", misuse("HTTP_LISTEN is off, so there is nothing to ask; set it to an address such as 127.0.0.1:8080")
	}
	return listen, nil
}

func askHealth(ctx context.Context, listen string) error {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	url := "http://" + dialable(listen) + "/healthz"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, fault.WithoutURL(err))
	}
	defer resp.Body.Close()
	if err := fault.FromHTTP(resp); err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	return nil
}
