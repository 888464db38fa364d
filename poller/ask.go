package poller

import (
	"context"
	"fmt"
	"time"

	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A question from outside waits for its turn in asks.
type errand struct {
	request trackops.Request
	answer  chan<- errandResult
}

type errandResult struct {
	page trackops.Page
	err  error
}

// Ask spends one request of the account's budget on a question of an operator,
// at the poller's pace, and returns the answer as the API gave it: nothing of it
// is stored. It may be called from any goroutine while Run is running; otherwise
// it waits until ctx ends.
func (p *Poller) Ask(ctx context.Context, r trackops.Request) (trackops.Page, error) {
	answer := make(chan errandResult, 1)
	select {
	case p.errands <- errand{r, answer}:
	case <-ctx.Done():
		return trackops.Page{}, fmt.Errorf("ask through account %s: %w", p.Account, ctx.Err())
	}
	select {
	case got := <-answer:
		return got.page, got.err
	case <-ctx.Done():
		return trackops.Page{}, fmt.Errorf("ask through account %s: %w", p.Account, ctx.Err())
	}
}

// run spends the next request on an errand.
func (p *Poller) run(ctx context.Context, e errand) {
	p.mu.Lock()
	p.pace.sent(time.Now())
	p.mu.Unlock()
	page, err := p.Source.Do(ctx, e.request)
	p.left(page)
	e.answer <- errandResult{page, err}
}

// errandTurn waits until at, and lets an errand go first that comes meanwhile,
// as soon as the pace allows. It reports whether the wait is over.
func (p *Poller) errandTurn(ctx context.Context, at time.Time) bool {
	t := time.NewTimer(max(0, time.Until(at)))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	case e := <-p.errands:
		p.mu.Lock()
		wait := time.Until(later(p.pace.next(), p.denied.until))
		p.mu.Unlock()
		if wait > 0 && !sleep(ctx, wait) {
			e.answer <- errandResult{err: ctx.Err()}
			return false
		}
		p.run(ctx, e)
		return false
	}
}
