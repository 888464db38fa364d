package connectors

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// An arrival is an event that came from the stream, decoded.
type arrival struct {
	entry  entry
	id     string // the event's; a made-up one when the body could not be decoded
	lane   string
	broken error // the body could not be decoded

	behind uint64 // events of the stream that follow
	urgent bool   // it is told at once, whatever the calendar says
}

// arrive decodes ev, asks the filters, once, and takes out what is masked.
func (e *Engine) arrive(ev events.Stored) arrival {
	a := arrival{behind: ev.Behind, entry: entry{
		sequence: ev.Sequence, replay: ev.Replay, at: ev.At.UnixNano(), subject: ev.Subject, lent: ev.For != "",
		load: &load{body: ev.Body},
	}}
	event, err := events.Decode(ev.Body)
	if err != nil {
		a.id = "undecodable-" + strconv.FormatUint(ev.Sequence, 10)
		a.broken = err
		return a
	}
	a.id, a.lane = event.ID, laneKey(event)
	masked, left := e.cfg.Mask.Apply(event)
	switch {
	case e.isAboutMe(event), !a.entry.lent && !e.cfg.Filter.wants(event):
		a.entry.fate = unwanted
	case !left:
		a.entry.fate = omitted
	default:
		a.urgent = e.cfg.Urgent != nil && e.cfg.Calendar != nil && e.cfg.Urgent.Match(event)
	}
	a.entry.load.event = masked
	return a
}

// wants is Match, and true of no filter.
func (f *Filter) wants(ev events.Event) bool { return f == nil || f.Match(ev) }

// laneKey names a record. No part of it holds a zero byte but the last.
func laneKey(ev events.Event) string {
	return ev.Data.Account + "\x00" + ev.Data.Collection + "\x00" + ev.Data.ID
}

// takeIn hands over what the feed gives, until ctx ends.
func (e *Engine) takeIn(ctx context.Context, to chan<- arrival) {
	for failures := 0; ctx.Err() == nil; {
		ev, err := e.cfg.Feed.Next(ctx)
		if err != nil {
			failures++
			if ctx.Err() == nil {
				e.trouble("read the next event", err)
				sleep(ctx, fault.Backoff(failures, minBackoff, maxBackoff))
			}
			continue
		}
		if failures > 0 {
			e.relief()
		}
		failures = 0
		select {
		case to <- e.arrive(ev):
		case <-ctx.Done():
		}
	}
}

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 30 * time.Second

	// storeTimeout bounds one call to the ledger, the graveyard or the feed: a
	// call into a bus that went away may wait for ever.
	storeTimeout = 30 * time.Second
	unlimited    = time.Duration(0)
)

// persist calls f until it succeeds, waiting longer each time, and fails only
// when ctx ends. Each call is limited to limit unless that is unlimited.
func (e *Engine) persist(ctx context.Context, what string, limit time.Duration, f func(ctx context.Context) error) error {
	for failures := 0; ; {
		err := call(ctx, limit, f)
		if err == nil {
			if failures > 0 {
				e.relief()
			}
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, errors.Join(ctx.Err(), err))
		}
		failures++
		e.trouble(what, err)
		sleep(ctx, fault.Backoff(failures, minBackoff, maxBackoff))
	}
}

func call(ctx context.Context, limit time.Duration, f func(ctx context.Context) error) error {
	if limit == unlimited {
		return f(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return f(ctx)
}

// sleep returns after d, or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// isAboutMe reports whether ev says how this connector does. It is not told: an
// event about a failing receiver would only fail there again.
func (e *Engine) isAboutMe(ev events.Event) bool {
	return ev.Data.Collection == events.System && ev.Data.ID == e.cfg.Name
}
