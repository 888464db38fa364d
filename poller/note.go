package poller

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/trackops-notifier/trackops-notifier/state"
)

// accountNote is what is stored of an account beside its collections.
type accountNote struct {
	LastRequest time.Time     `json:"last_request,omitzero"` // by our clock
	Gap         time.Duration `json:"gap,omitzero"`          // the pace that the server accepted
	Stopped     bool          `json:"stopped,omitzero"`      // LastRequest is the last: the poller stopped in order
}

// restoreNote goes on at the pace of the last run. After a crash nobody knows
// when its last request left, so it counts as just now.
func (p *Poller) restoreNote() error {
	var note accountNote
	err := p.Store.View(func(tx *state.Tx) error {
		raw := tx.AccountNote(p.Account)
		if raw == nil {
			return nil
		}
		return json.Unmarshal(raw, &note)
	})
	if err != nil {
		return fmt.Errorf("account %s: read note: %w", p.Account, err)
	}
	if note == (accountNote{}) {
		return nil
	}
	p.pace.gap = max(p.pace.least, note.Gap)
	p.pace.last = note.LastRequest
	if now := time.Now(); !note.Stopped || note.LastRequest.After(now) {
		p.pace.last = now
	}
	// From here on only an orderly stop says when the last request left.
	return p.Store.Update(func(tx *state.Tx) error { return p.saveNote(tx, false) })
}

func (p *Poller) saveNote(tx *state.Tx, stopped bool) error {
	raw, err := json.Marshal(accountNote{LastRequest: p.pace.last, Gap: p.pace.gap, Stopped: stopped})
	if err != nil {
		return fmt.Errorf("write account note: %w", err)
	}
	return tx.SetAccountNote(p.Account, raw)
}

// saveAll stores what moved since it was last stored, at the end of a run.
func (p *Poller) saveAll() error {
	return p.Store.Update(func(tx *state.Tx) error {
		p.saved = time.Time{}
		if err := p.saveCursors(tx, nil); err != nil {
			return err
		}
		return p.saveNote(tx, true)
	})
}
