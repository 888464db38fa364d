package bus

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
)

const gatePrefix = "_TRACKOPS_GATE."

// A gate stands between outside clients and the making of consumers. A consumer
// may push to any subject, and JetStream does not ask whether its maker may
// publish there: one that delivers to $JS.API.STREAM.PURGE.TRACKOPS empties the
// stream. Only the request's body tells, so it has to be read.
type gate struct {
	nc         *nats.Conn
	connectors []string
}

func openGate(s *Server, connectors []string) (*gate, error) {
	nc, err := nats.Connect("", append(s.internal(), nats.InProcessServer(s.ns), nats.Name("gate"))...)
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded server: %w", err)
	}
	g := &gate{nc, connectors}
	if _, err := nc.Subscribe(gatePrefix+">", g.pass); err != nil {
		nc.Close()
		return nil, fmt.Errorf("open the gate for consumers: %w", err)
	}
	if err := nc.FlushTimeout(apiTimeout); err != nil {
		nc.Close()
		return nil, fmt.Errorf("open the gate for consumers: %w", err)
	}
	return g, nil
}

func (g *gate) close() { g.nc.Close() }

// pass hands an inoffensive request to JetStream, and its answer back.
func (g *gate) pass(m *nats.Msg) {
	var answer []byte
	if reason := g.objection(m.Data); reason != "" {
		answer = refusal(reason)
	} else if got, err := g.nc.Request(strings.TrimPrefix(m.Subject, gatePrefix), m.Data, apiTimeout); err != nil {
		answer = refusal(err.Error())
	} else {
		answer = got.Data
	}
	// An error here means that we or the client are gone: no one is left to tell.
	_ = m.Respond(answer)
}

// objection says why a consumer may not be made, "" if it may.
func (g *gate) objection(body []byte) string {
	var request struct {
		Config struct {
			Name           string `json:"name"`
			Durable        string `json:"durable_name"`
			DeliverSubject string `json:"deliver_subject"`

			Metadata map[string]string `json:"metadata"`
		} `json:"config"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return "the request is not valid JSON"
	}
	c := request.Config
	if c.DeliverSubject != "" && !strings.HasPrefix(c.DeliverSubject, "_INBOX.") {
		return "a consumer may deliver to _INBOX.> only"
	}
	if slices.Contains(g.connectors, c.Name) || slices.Contains(g.connectors, c.Durable) {
		return "the consumer belongs to a connector"
	}
	if _, ok := c.Metadata[ownerKey]; ok {
		return "the metadata say that the consumer is a connector's"
	}
	return ""
}

func refusal(reason string) []byte {
	type apiError struct {
		Code        int    `json:"code"`
		Description string `json:"description"`
	}
	text, err := json.Marshal(struct {
		Type  string   `json:"type"`
		Error apiError `json:"error"`
	}{"io.nats.jetstream.api.v1.consumer_create_response", apiError{403, reason}})
	if err != nil {
		return nil
	}
	return text
}
