package email

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// A partial remembers who accepted a delivery that not everyone did: the last max
// of them by itself, and all of them by the memory that outlives the process.
type partial struct {
	max    int
	memory connectors.Memory // nil: a restart forgets

	mu       sync.Mutex
	accepted map[string]map[string]bool // by delivery, then by recipient
	order    []string                   // deliveries, oldest first
}

func newPartial(limit int, memory connectors.Memory) *partial {
	return &partial{max: limit, memory: memory, accepted: make(map[string]map[string]bool)}
}

// left returns those of all who have not accepted the delivery.
func (p *partial) left(ctx context.Context, delivery string, all []string) ([]string, error) {
	if err := p.recall(ctx, delivery, all); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, r := range all {
		if !p.accepted[delivery][r] {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return all, nil // asked for once more although everyone has it
	}
	return out, nil
}

// note adds those who accepted. A delivery that everyone accepted is forgotten.
func (p *partial) note(ctx context.Context, delivery string, got []string, everyone bool) error {
	known, changed := p.add(delivery, got, everyone)
	if p.memory == nil || !changed {
		return nil
	}
	// The attempt's time may be over; what was accepted has to be on record all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	if err := p.memory.Remember(ctx, memoryKey(delivery), strings.Join(known, " ")); err != nil {
		return fmt.Errorf("remember who accepted: %w", err)
	}
	return nil
}

const noteTimeout = 5 * time.Second

// recall takes over what an earlier process remembered of a delivery.
func (p *partial) recall(ctx context.Context, delivery string, all []string) error {
	p.mu.Lock()
	known := p.accepted[delivery] != nil
	p.mu.Unlock()
	if p.memory == nil || known {
		return nil
	}
	text, err := p.memory.Recall(ctx, memoryKey(delivery))
	if err != nil {
		return fmt.Errorf("recall who accepted: %w", err)
	}
	var got []string
	for _, r := range all {
		if slices.Contains(strings.Fields(text), digest(r)) {
			got = append(got, r)
		}
	}
	p.add(delivery, got, false)
	return nil
}

func memoryKey(delivery string) string { return "accepted-" + digest(delivery) }

// digest is a short name for s that is no address.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:12])
}

// add takes in those who accepted, and returns the digests of all who have, and
// whether that is news.
func (p *partial) add(delivery string, got []string, everyone bool) (digests []string, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.accepted[delivery]
	switch {
	case everyone:
		p.forget(delivery)
		return nil, known != nil
	case len(got) == 0:
		return nil, false
	case known == nil:
		known = make(map[string]bool)
		p.accepted[delivery] = known
		p.order = append(p.order, delivery)
	}
	for _, r := range got {
		known[r] = true
	}
	if len(p.order) > p.max {
		p.forget(p.order[0])
	}
	for r := range known {
		digests = append(digests, digest(r))
	}
	slices.Sort(digests)
	return digests, true
}

func (p *partial) forget(delivery string) {
	if p.accepted[delivery] == nil {
		return
	}
	delete(p.accepted, delivery)
	for i, id := range p.order {
		if id == delivery {
			p.order = append(p.order[:i], p.order[i+1:]...)
			return
		}
	}
}
