package connectortest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// pagerKind is the example of docs/writing-a-connector.md.
func pagerKind() connectors.Kind {
	return connectors.Kind{
		Name:     "pager",
		Doc:      "rings a pager by HTTP",
		Settings: func() any { return &pagerSettings{} },
		New:      newPager,
		Retry:    []time.Duration{5 * time.Second, time.Minute, 10 * time.Minute},
		Timeout:  10 * time.Second,
	}
}

type pagerSettings struct {
	URL string `split_words:"true" secret:"true" desc:"address of the pager's API"`
}

func newPager(settings any, env connectors.Env) (connectors.Connector, error) {
	s := settings.(*pagerSettings)
	u, err := connectors.ParseEndpoint("URL", s.URL)
	if err != nil {
		return nil, err
	}
	p := &pager{client: connectors.HTTPClient(connectors.HTTPOptions{Proxy: env.Proxy}), url: u.String(), agent: env.UserAgent(), secrets: []string{s.URL}}
	if path := u.RequestURI(); path != "/" {
		p.secrets = append(p.secrets, path)
	}
	return p, nil
}

type pager struct {
	client  *http.Client
	url     string
	agent   string
	secrets []string
}

// Deliver rings once. The pager's API spots repetitions by the Idempotency-Key.
func (p *pager) Deliver(ctx context.Context, d connectors.Delivery) error {
	var lines []string
	for _, e := range d.Events {
		m, err := connectors.NewMessage(e)
		if err != nil {
			return err
		}
		lines = append(lines, m.Headline())
	}
	body, err := json.Marshal(map[string]string{"text": connectors.Shorten(strings.Join(lines, "\n"), 160)})
	if err != nil {
		return fault.Permanent(fmt.Errorf("ring the pager: %w", err))
	}
	return connectors.Redact(p.post(ctx, d.ID, body), p.secrets...)
}

func (p *pager) post(ctx context.Context, id string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ring the pager: %w", fault.WithoutURL(err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", p.agent)
	req.Header.Set("Idempotency-Key", id)
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("ring the pager: %w", fault.WithoutURL(err))
	}
	defer resp.Body.Close()
	if err := fault.FromHTTP(resp); err != nil {
		return fmt.Errorf("ring the pager: %w", err)
	}
	return nil
}

func TestTheExampleOfTheDocumentationConforms(t *testing.T) {
	connectortest.Run(t, connectortest.Suite{
		Kind: pagerKind(),
		Remote: func(t *testing.T) connectortest.Remote {
			return connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 202})
		},
		Settings: func(addr string) map[string]string {
			return map[string]string{"URL": "http://" + addr + "/ring/s3cret"}
		},
		Secrets: []string{"s3cret"},
		ID:      func(r connectortest.Received) string { return r.Header.Get("Idempotency-Key") },
		Check: func(r connectortest.Received) error {
			var m struct{ Text string }
			return json.Unmarshal(r.Body, &m)
		},
	})
}
