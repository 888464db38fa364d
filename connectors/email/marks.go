package email

import (
	"strings"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// marks are the headers by which programs handle a mail.
func (l letter) marks(d connectors.Delivery) map[string]string {
	host := domain(l.from.Address)
	marks := map[string]string{
		// The same at every attempt, so that a repetition can be recognised as one
		// (RFC 5322 §3.6.4).
		"Message-ID":               "<" + d.ID + "@" + host + ">",
		"List-Id":                  l.listID(d.Events, host),
		"Auto-Submitted":           "auto-generated", // no answers by machines (RFC 3834),
		"X-Auto-Response-Suppress": "All",            // nor by Exchange, which has its own
	}
	if thread := thread(d.Events); thread != "" {
		marks["References"] = "<" + thread + "@" + host + ">"
		marks["In-Reply-To"] = marks["References"]
	}
	return marks
}

// thread is the left side of the Message-ID that all mails about a record refer
// to, so that mail programs show them together. There is no mail that has it. It
// is "" for events of several records.
func thread(all []events.Event) string {
	id := ""
	for _, e := range all {
		of := events.ID(e.Data.Account, e.Data.Collection, e.Data.ID, 0, "thread")
		if id != "" && id != of || !isPlainID(of) {
			return ""
		}
		id = of
	}
	return id
}

// listID names what the mail belongs to, for people's filters: the connector and,
// if all events are of one, the account (RFC 2919).
func (l letter) listID(all []events.Event, host string) string {
	words, id := "Trackops notifier", "trackops-notifier."+host
	account := all[0].Data.Account
	for _, e := range all {
		if e.Data.Account != account {
			account = ""
		}
	}
	for _, name := range []string{account, l.connector} {
		if name = label(name); name != "" {
			words += " " + name
			id = name + "." + id
		}
	}
	return `"` + words + `" <` + id + `>`
}

// label makes a part of a domain's name of s: letters, digits and inner hyphens, 63
// of them at most.
func label(s string) string {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune(plainLetters, r) {
			return r
		}
		return '-'
	}, strings.ToLower(s))
	return strings.Trim(s[:min(len(s), 63)], "-_")
}

const plainLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

// isPlainID reports whether id is of [A-Za-z0-9_-]+, as event ids are, and fits in
// a line.
func isPlainID(id string) bool {
	return id != "" && len(id) <= 500 && strings.Trim(id, plainLetters) == ""
}

// domain is the right side of an address, if it can be one of a Message-ID.
func domain(address string) string {
	d := address[strings.LastIndexByte(address, '@')+1:]
	if d == "" || len(d) > 255 || strings.ContainsFunc(d, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "trackops-notifier.invalid"
	}
	return d
}
