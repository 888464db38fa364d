package slack

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// defaultWait is how long we stay away when Slack asks us to slow down without
// saying for how long: half a minute clears its limit of one message a second.
const defaultWait = 30 * time.Second

// A reply is what Slack said to one request.
type reply struct {
	status int    // HTTP; 0 for no answer
	name   string // of the error; "" for none, or none of Slack's
	detail string // what exactly is wrong, in Slack's words
	ok     bool   // it said so

	ts     string // of the message, when it was posted through the Web API
	thread string // the ts of the message it replies to, as Slack has it
}

// text is the reply in a word.
func (r reply) text() string {
	if r.ok {
		return "ok"
	}
	return r.name
}

// closed are the errors that no waiting mends, as somebody has to act here or to
// bring the channel, the webhook or the token back. All others may end over there:
// a bot gets invited, a channel gets created.
func closed() []string {
	return []string{
		"channel_is_archived", "is_archived",
		"no_service", "no_active_hooks", "no_team", "team_disabled",
		"account_inactive", "token_revoked",
	}
}

// limited are the names of "slow down".
func limited() []string {
	return []string{"ratelimited", "rate_limited", "message_limit_exceeded"}
}

// refusal returns nil if Slack accepted, and else the error that resp with the
// reply r is.
func (r reply) refusal(resp *http.Response) error {
	err := fault.FromHTTP(resp)
	slow := resp.StatusCode == http.StatusTooManyRequests || slices.Contains(limited(), r.name)
	switch {
	case err == nil && r.ok:
		return nil
	case err != nil && r.name != "":
		err = fmt.Errorf("%w: %s", err, r.name)
	case err == nil && slow:
		err = fmt.Errorf("answer is not ok: %s: %w", r.name, &fault.StatusError{Code: http.StatusTooManyRequests})
	case err == nil:
		err = errors.New("answer is neither ok nor an error of slack: is this its address?")
		if r.name != "" {
			err = errors.New("answer is not ok: " + r.name)
		}
	}
	if r.detail != "" {
		err = fmt.Errorf("%w: %s", err, r.detail)
	}
	if slices.Contains(closed(), r.name) {
		err = fault.Gone(err)
	}
	if _, ok := fault.After(err); ok {
		return err
	}
	if wait, ok := fault.ParseRetryAfter(resp.Header, time.Now()); ok {
		return fault.RetryAfter(wait, err)
	}
	if slow {
		return fault.RetryAfter(defaultWait, err)
	}
	return err
}

// errorName returns s if it is one of Slack's error names, which are words in
// lower case; anything else may be a page of a proxy, or our own words.
func errorName(s string) string {
	s = strings.TrimSpace(s)
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' {
			return ""
		}
	}
	if len(s) > 64 {
		return ""
	}
	return s
}

// detailOf makes one line of Slack's words about what is wrong.
func detailOf(messages []string) string {
	return connectors.Shorten(connectors.OneLine(strings.Join(messages, "; ")), 300)
}
