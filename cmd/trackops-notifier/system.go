package main

import (
	"slices"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/state"
)

// publish puts an operational event into the outbox, from where it goes the way
// of all events.
func (n *notifier) publish(account string, what events.Action, about, message string, detail map[string]any) error {
	return n.store.Update(func(tx *state.Tx) error {
		number, err := tx.NextSystem(account)
		if err != nil {
			return err
		}
		e, err := events.NewSystem(account, what, about, number, time.Now(), message, detail).Stamp(tx.Epoch()).Encode()
		if err != nil {
			return err
		}
		return tx.Append(e)
	})
}

// watches reports whether the account is one of ours.
func (n *notifier) watches(subdomain string) bool {
	return slices.ContainsFunc(n.cfg.Accounts, func(a account) bool { return a.Subdomain == subdomain })
}
