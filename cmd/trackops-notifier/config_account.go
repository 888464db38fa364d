package main

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// An account is one Trackops account.
type account struct {
	Subdomain string
	Username  string // without the "/token" of the wire
	Token     string // secret
	URL       string // of the API, without a slash at its end
}

type apiSettings struct {
	Subdomain string `desc:"the account's subdomain: acme of acme.viewcases.com; required"`
	Username  string `desc:"name of an active employee with full access; required"`
	Token     string `secret:"true" desc:"the company's API token; required"`
	URL       string `default:"https://{subdomain}.viewcases.com/api/v1" desc:"address of the API, for a proxy or the simulator: https, or http on this machine"`
	Rate      string `default:"0.5" desc:"requests a second to one account, at most 1"`
}

// accountSettings are the variables of one account among several.
type accountSettings struct {
	Username  string `desc:"name of an active employee with full access; required"`
	Token     string `secret:"true" desc:"the company's API token; required"`
	URL       string `desc:"address of the API; unset: TRACKOPS_API_URL"`
	Subdomain string `desc:"the subdomain once more, if you like: it has to be the one listed"`
}

const (
	acceptedSubdomain = "the part before .viewcases.com: lower-case letters, digits and inner hyphens"
	acceptedUsername  = "the name of an employee with full access, without /token"
	acceptedToken     = "the company's API token"
	acceptedURL       = "an https address without user, query or fragment, or an http one of this machine"
)

// reservedKeys cannot be an account's key: variables of another meaning begin so.
var reservedKeys = []string{"API", "RECORD", "ACCOUNTS", "NOTIFIER"}

func (l *loader) apiRate(value string) float64 {
	return parse(l, "TRACKOPS_API_RATE", value, "a number above 0, at most 1 (requests a second)", func(v string) (float64, error) {
		rate, err := readNumber(v)
		switch {
		case err != nil:
			return 0, err
		case rate <= 0:
			return 0, fmt.Errorf("%s is not above 0", quote(v))
		case rate < 1.0/3600:
			return 0, fmt.Errorf("%s is less than one request an hour", quote(v))
		case rate > 1:
			return 0, fmt.Errorf("%s is more than Trackops allows", quote(v))
		}
		return rate, nil
	})
}

// accounts returns the one account of the TRACKOPS_API_ variables, or those
// that TRACKOPS_ACCOUNTS lists.
func (l *loader) accounts(api apiSettings, several string) []account {
	if several == "" {
		if l.require("TRACKOPS_API_SUBDOMAIN", api.Subdomain, acceptedSubdomain) {
			parse(l, "TRACKOPS_API_SUBDOMAIN", api.Subdomain, acceptedSubdomain, readSubdomain)
		}
		return []account{l.account("TRACKOPS_API", api.account())}
	}
	for _, name := range []string{"SUBDOMAIN", "USERNAME", "TOKEN", "TOKEN_FILE"} {
		if name = "TRACKOPS_API_" + name; l.env[name] != "" {
			l.report(name, "set beside TRACKOPS_ACCOUNTS", "TRACKOPS_<KEY>_USERNAME and TRACKOPS_<KEY>_TOKEN for each account listed")
		}
	}
	if !strings.Contains(api.URL, "{subdomain}") {
		l.report("TRACKOPS_API_URL", "one address for several accounts", "an address with {subdomain} in it, or TRACKOPS_<KEY>_URL for each account")
		api.URL = ""
	}
	return l.severalAccounts(several, api.URL)
}

func (a apiSettings) account() account {
	return account{Subdomain: a.Subdomain, Username: a.Username, Token: a.Token, URL: a.URL}
}

func (l *loader) severalAccounts(several, apiURL string) []account {
	const accepted = "different subdomains, comma-separated: each " + acceptedSubdomain
	subdomains := parse(l, "TRACKOPS_ACCOUNTS", several, accepted, readList)
	var accounts []account
	for i, subdomain := range subdomains {
		key := strings.ToUpper(strings.ReplaceAll(subdomain, "-", "_"))
		prefix := "TRACKOPS_" + key
		if slices.Contains(reservedKeys, key) {
			l.report("TRACKOPS_ACCOUNTS", fmt.Sprintf("lists %s, whose variables would begin with %s_, which has another meaning", quote(subdomain), prefix),
				"accounts whose keys are not "+strings.Join(reservedKeys, ", "))
			continue
		}
		if slices.Contains(subdomains[:i], subdomain) {
			l.report("TRACKOPS_ACCOUNTS", fmt.Sprintf("lists %s twice", quote(subdomain)), accepted)
			continue
		}
		if _, err := readSubdomain(subdomain); err != nil {
			l.report("TRACKOPS_ACCOUNTS", "lists "+quote(subdomain)+", which is not a subdomain", accepted)
			continue
		}
		var s accountSettings
		l.fill(prefix, &s)
		if s.Subdomain != "" && s.Subdomain != subdomain {
			l.report(prefix+"_SUBDOMAIN", fmt.Sprintf("%s, but TRACKOPS_ACCOUNTS lists %s", quote(s.Subdomain), quote(subdomain)), subdomain+", or nothing")
		}
		if s.URL == "" {
			s.URL = apiURL
		}
		accounts = append(accounts, l.account(prefix, account{subdomain, s.Username, s.Token, s.URL}))
	}
	return accounts
}

// account checks one account's variables, which begin with prefix, and returns
// it with its final URL.
func (l *loader) account(prefix string, a account) account {
	if l.require(prefix+"_USERNAME", a.Username, acceptedUsername) {
		parse(l, prefix+"_USERNAME", a.Username, acceptedUsername, readUsername)
	}
	if l.require(prefix+"_TOKEN", a.Token, acceptedToken+", or a file with it named by "+prefix+"_TOKEN_FILE") {
		parse(l, prefix+"_TOKEN", a.Token, acceptedToken, readToken)
	}
	if a.URL == "" {
		return a // reported
	}
	subdomain := a.Subdomain
	if _, err := readSubdomain(subdomain); err != nil {
		subdomain = "subdomain" // reported; the rest of the address can be wrong too
	}
	at := prefix + "_URL"
	if l.env[at] == "" {
		at = "TRACKOPS_API_URL"
	}
	a.URL = parse(l, at, strings.ReplaceAll(a.URL, "{subdomain}", subdomain), acceptedURL, readAPIURL)
	return a
}

var subdomainForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func readSubdomain(value string) (string, error) {
	if !subdomainForm.MatchString(value) {
		return "", fmt.Errorf("%s is not a subdomain", quote(value))
	}
	return value, nil
}

func readUsername(value string) (string, error) {
	switch {
	case strings.HasSuffix(value, "/token"):
		return "", errors.New("ends with /token, which is added to it")
	case strings.ContainsFunc(value, func(r rune) bool { return r == ':' || unicode.IsControl(r) }):
		return "", errors.New("holds a colon or a control character")
	case strings.TrimSpace(value) != value:
		return "", errors.New("begins or ends with white space")
	}
	return value, nil
}

func readToken(value string) (string, error) {
	if strings.ContainsFunc(value, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return "", errors.New("holds white space or a control character")
	}
	return value, nil
}

// readAPIURL never quotes the address: people put credentials there.
func readAPIURL(value string) (string, error) {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return "", errors.New("not an absolute URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("neither https nor http")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return "", errors.New("plain http to another machine, which would show the token to all between")
	case u.User != nil:
		return "", errors.New("holds a user")
	case u.RawQuery != "" || u.ForceQuery:
		return "", errors.New("holds a query")
	case strings.Contains(value, "#"):
		return "", errors.New("holds a fragment")
	case u.Port() != "" && !isPort(u.Port()):
		return "", errors.New("has no valid port")
	}
	return strings.TrimRight(value, "/"), nil
}
