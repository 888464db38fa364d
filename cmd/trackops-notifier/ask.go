package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// An asker spends one request on an account: its own client, or the running
// notifier, whose pace it then keeps.
type asker func(ctx context.Context, r trackops.Request) (trackops.Page, error)

// asker returns the way to an account that does not exceed its pace: through the
// notifier that runs, if one does and watches it. The second result says so.
func (p program) asker(ctx context.Context, cfg config, a account) (ask asker, beside bool, err error) {
	c := newControl(cfg.DataDir)
	var s statusReport
	err = c.read(ctx, "/status", &s)
	switch {
	case err == nil && s.watches(a.Subdomain):
		return c.asker(a.Subdomain), true, nil
	case err == nil: // it is not that one's account
	case !errors.Is(err, errNotRunning):
		return nil, false, err
	case isRunning(cfg.DataDir):
		return nil, false, fmt.Errorf("a notifier runs on DATA_DIR=%s but does not answer at its control socket, so its pace cannot be kept: its log says why", cfg.DataDir)
	}
	client, err := trackops.New(trackops.Config{
		BaseURL: a.URL, Username: a.Username, Token: a.Token, Rate: cfg.Rate, Version: programVersion(), Proxy: cfg.proxyOf,
	})
	if err != nil {
		return nil, false, fmt.Errorf("account %s: %w", a.Subdomain, err)
	}
	return client.Do, false, nil
}

// isRunning reports whether a process holds the state of a folder.
func isRunning(dataDir string) bool {
	if _, err := os.Stat(stateFile(dataDir)); err != nil {
		return false
	}
	running, err := checkState(dataDir)
	return running && err == nil
}

// errControl: the running notifier failed, not the account behind it.
var errControl = errors.New("ask through the running notifier")

// A question is a request on its way to the running notifier.
type question struct {
	Account string           `json:"account"`
	Request trackops.Request `json:"request"`
}

// A reply is what came of it: a page, and an error if that is not all.
type reply struct {
	Page  trackops.Page `json:"page"`
	Error *askError     `json:"error,omitempty"`
}

// An askError is an error of package trackops on its way through JSON, with all
// that callers tell errors apart by.
type askError struct {
	Text       string  `json:"text"`
	Status     int     `json:"status,omitempty"`
	RetryAfter float64 `json:"retry_after_seconds,omitempty"`
	Kind       string  `json:"kind,omitempty"` // the text of one of answerErrors
}

func answerErrors() []error {
	return []error{trackops.ErrNotJSON, trackops.ErrTruncated, trackops.ErrUnexpected, trackops.ErrTooLarge, trackops.ErrIgnored, trackops.ErrTimeout}
}

func newAskError(err error) *askError {
	if err == nil {
		return nil
	}
	e := &askError{Text: err.Error(), Status: fault.Status(err)}
	if d, ok := fault.After(err); ok {
		e.RetryAfter = d.Seconds()
	}
	for _, known := range answerErrors() {
		if errors.Is(err, known) {
			e.Kind = known.Error()
		}
	}
	return e
}

func (e *askError) Error() string { return e.Text }

// Unwrap returns what the error was made of.
func (e *askError) Unwrap() error {
	var err error
	if e.Status != 0 {
		err = &fault.StatusError{Code: e.Status}
	}
	for _, known := range answerErrors() {
		if e.Kind == known.Error() {
			err = known
		}
	}
	if err != nil && e.RetryAfter > 0 {
		err = fault.RetryAfter(time.Duration(e.RetryAfter*float64(time.Second)), err)
	}
	return err
}

func (c control) asker(account string) asker {
	return func(ctx context.Context, r trackops.Request) (trackops.Page, error) {
		var got reply
		if err := c.post(ctx, "/ask", question{account, r}, &got); err != nil {
			return trackops.Page{}, fmt.Errorf("%w: %w", errControl, err)
		}
		if got.Error != nil {
			return got.Page, got.Error
		}
		return got.Page, nil
	}
}

func (n *notifier) serveAsk(w http.ResponseWriter, r *http.Request) {
	var q question
	if !readBody(w, r, &q) {
		return
	}
	p, err := n.pollerOf(q.Account)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	page, err := p.Ask(r.Context(), q.Request)
	if r.Context().Err() != nil {
		refuse(w, http.StatusServiceUnavailable, "the notifier is stopping")
		return
	}
	writeJSON(w, http.StatusOK, reply{page, newAskError(err)})
}
