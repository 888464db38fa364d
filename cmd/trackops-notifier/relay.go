package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
	"github.com/trackops-notifier/trackops-notifier/state"
)

// relay brings the outbox to the stream, in order, until ctx ends. Whenever the
// stream turns out to have lost messages, the outbox is compared with it: what is
// missing there is published again, what is there already is not.
func (n *notifier) relay(ctx context.Context, b *bus.Bus) error {
	compared := true
	return n.untilDone(ctx, "publish to NATS", func() error {
		if !compared {
			if err := n.compareOutbox(ctx, b); err != nil {
				return err
			}
			compared = true
		}
		n.setNATSError("")
		err := n.store.Drain(ctx, b.Publish)
		if errors.Is(err, bus.ErrRolledBack) {
			compared = false
		}
		return err
	})
}

// compareOutbox settles, for each account, what is in the stream and what is not.
// A new epoch renames what waits in every account, so it comes last: before, the
// stream knows those events under their present ids.
func (n *notifier) compareOutbox(ctx context.Context, b *bus.Bus) error {
	foreign := false
	for _, a := range n.cfg.Accounts {
		r, err := n.compareAccount(ctx, b, a.Subdomain)
		if err != nil {
			return fmt.Errorf("compare the outbox of %s with the stream: %w", a.Subdomain, err)
		}
		foreign = foreign || r.Foreign
		if r.Published+r.Requeued > 0 {
			n.log.Info("outbox compared with the stream", "account", a.Subdomain, "found_published", r.Published, "to_publish_again", r.Requeued)
		}
		if r.Short {
			n.log.Warn("the stream lost more events than the outbox still holds; raise NATS_OUTBOX_HOLD above the time your server takes to sync", "account", a.Subdomain)
		}
	}
	if !foreign {
		return nil
	}
	epoch, err := n.store.NewEpoch()
	if err != nil {
		return err
	}
	n.log.Warn("the stream holds newer events than the state knows: the state is an old backup, or new. Ids go on under a new epoch; changes since the backup may be reported again", "epoch", epoch)
	return nil
}

func (n *notifier) compareAccount(ctx context.Context, b *bus.Bus, account string) (state.Result, error) {
	from, err := n.store.TailFrom(account)
	if err != nil {
		return state.Result{}, err
	}
	var tail state.Tail
	if from == 0 {
		from = math.MaxInt64 // no message is needed, only where the stream ends
	}
	end, err := b.Tail(ctx, account, from, func(sequence uint64, account, id string) error {
		tail.Messages = append(tail.Messages, state.Message{Sequence: sequence, Account: account, ID: id})
		return nil
	})
	if err != nil {
		return state.Result{}, err
	}
	tail.First, tail.Last, tail.AccountLast = end.First, end.Last, end.LastOfAccount
	r, err := n.store.Reconcile(account, tail)
	if err != nil {
		return state.Result{}, err
	}
	b.Resume(account, end.LastOfAccount)
	return r, nil
}

// isFatal reports whether the program has to stop: somebody else publishes for
// one of our accounts, or the server is of no use.
func isFatal(err error) bool {
	return errors.Is(err, bus.ErrOtherWriter) || errors.Is(err, bus.ErrOldServer)
}

// pause waits before the next try; false when ctx ended.
func pause(ctx context.Context, try int) bool {
	t := time.NewTimer(fault.Backoff(try, 250*time.Millisecond, longestPause))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
