package email

import "sync"

// A partial remembers who accepted a delivery that not everyone did. It holds the
// last max of them.
type partial struct {
	max int

	mu       sync.Mutex
	accepted map[string]map[string]bool // by delivery, then by recipient
	order    []string                   // deliveries, oldest first
}

func newPartial(limit int) *partial {
	return &partial{max: limit, accepted: make(map[string]map[string]bool)}
}

// left returns those of all who have not accepted the delivery.
func (p *partial) left(delivery string, all []string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, r := range all {
		if !p.accepted[delivery][r] {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return all // asked for once more although everyone has it
	}
	return out
}

// note adds those who accepted. A delivery that everyone accepted is forgotten.
func (p *partial) note(delivery string, got []string, everyone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.accepted[delivery]
	switch {
	case everyone:
		p.forget(delivery)
		return
	case len(got) == 0:
		return
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
