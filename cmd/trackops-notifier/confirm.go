package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
)

type confirmFlags struct{ account string }

// A confirmation is what an operator believes.
type confirmation struct {
	Account    string `json:"account"` // "" is the only one
	Collection string `json:"collection"`
}

func confirmCommand() command {
	return command{
		name:    "confirm",
		args:    "<collection> [--account acme]",
		summary: "believe a mass deletion that the notifier holds back",
		detail: `When much of a collection is missing all at once, the notifier suspects the
source and holds the deletions back for an hour (system.source_suspicious; see
trackops-notifier status). This command says that they are real: the running
notifier verifies and reports them from its next request on.`,
		flags: func(set *flag.FlagSet) any {
			f := &confirmFlags{}
			set.StringVar(&f.account, "account", "", "the account's `subdomain`, if several are watched")
			return f
		},
		nargs: [2]int{1, 1},
		run: func(ctx context.Context, p program, flags any, args []string) error {
			c, err := p.control()
			if err != nil {
				return err
			}
			var done confirmation
			err = c.post(ctx, "/confirm", confirmation{flags.(*confirmFlags).account, args[0]}, &done)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.stderr, "what is missing of %s in account %s will be verified and reported as deleted\n", done.Collection, done.Account)
			return nil
		},
	}
}

func (n *notifier) serveConfirm(w http.ResponseWriter, r *http.Request) {
	var c confirmation
	if !readBody(w, r, &c) {
		return
	}
	p, err := n.pollerOf(c.Account)
	if err := errors.Join(err, n.hasCollection(c.Collection)); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if err := p.Confirm(c.Collection); err != nil {
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	n.log.Warn("an operator confirmed a mass deletion", "account", p.Account, "collection", c.Collection)
	writeJSON(w, http.StatusOK, confirmation{p.Account, c.Collection})
}
