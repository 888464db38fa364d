package main

import (
	"context"
	"fmt"

	"github.com/trackops-notifier/trackops-notifier/bus"
)

// replayDead asks for the events again, in the order of letters. Letters that
// cannot be replayed are said at the end: they do not hold up the others.
func (p program) replayDead(ctx context.Context, b *bus.Bus, letters []bus.DeadLetter) error {
	left := 0
	for _, l := range letters {
		letter, err := readLetter(l)
		if err == nil && letter.Event == nil {
			err = fmt.Errorf("dead letter of %s: it was too large to keep its event; see event %d of the stream", l.EventID, letter.Sequence)
		}
		if err != nil {
			left++
			fmt.Fprintln(p.stderr, err)
			continue
		}
		if err := b.Replay(ctx, l, letter.Event, letter.Sequence); err != nil {
			return err
		}
		fmt.Fprintf(p.stderr, "%s goes to %s again\n", l.EventID, l.Connector)
	}
	if left > 0 {
		return fmt.Errorf("%d of %d dead letters cannot be replayed", left, len(letters))
	}
	return nil
}

// dropDead deletes the letters for good.
func (p program) dropDead(ctx context.Context, b *bus.Bus, letters []bus.DeadLetter) error {
	for _, l := range letters {
		if err := b.Drop(ctx, l); err != nil {
			return err
		}
		fmt.Fprintf(p.stderr, "%s is dropped; %s will not get it\n", l.EventID, l.Connector)
	}
	return nil
}
