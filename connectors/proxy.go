package connectors

import (
	"net/netip"
	"net/url"
)

// via returns the proxy for u, nil for none.
func (e Env) via(u *url.URL) *url.URL {
	if e.Proxy == nil || u == nil {
		return nil
	}
	proxy, err := e.Proxy(u)
	if err != nil {
		return nil // each request fails with it
	}
	return proxy
}

// ProxySecrets returns the credentials of the proxy for u, to be kept out of
// errors: what comes back through a proxy may repeat them. u may be nil.
func (e Env) ProxySecrets(u *url.URL) []string {
	proxy := e.via(u)
	if proxy == nil || proxy.User == nil {
		return nil
	}
	user := proxy.User.Username()
	password, _ := proxy.User.Password()
	return []string{user, password, user + ":" + password}
}

// CheckNetworks returns a [SettingError] if the networks of an endpoint are limited
// and a proxy applies to it: the proxy looks up the name and connects, so nobody
// here sees where to. u may be nil.
func (e Env) CheckNetworks(u *url.URL, allow []netip.Prefix) error {
	if len(allow) == 0 || e.via(u) == nil {
		return nil
	}
	return &SettingError{
		Setting:  "ALLOW_NETWORKS",
		Problem:  "cannot be checked, because a proxy connects to the endpoint in our place",
		Accepted: "nothing; or put the endpoint's host into NO_PROXY",
	}
}
