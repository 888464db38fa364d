package main

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

const acceptedProxy = "host:port, or an http, https or socks5 address such as http://user:password@proxy.example.com:3128, with what is special in the password percent-encoded"

// proxies returns the proxy for an address, as Go, curl and others read the same
// variables. It is nil where there is none for any address.
func (l *loader) proxies(s settings) func(*url.URL) (*url.URL, error) {
	noProxy := s.No.Proxy
	if lower := l.env["no_proxy"]; lower != "" {
		noProxy = lower
	}
	c := httpproxy.Config{
		HTTPProxy:  l.proxyAddress("HTTP_PROXY", s.HTTP.Proxy),
		HTTPSProxy: l.proxyAddress("HTTPS_PROXY", s.HTTPS.Proxy),
		NoProxy:    noProxy,
	}
	if c.HTTPProxy == "" && c.HTTPSProxy == "" {
		return nil
	}
	return c.ProxyFunc()
}

// proxyAddress reads a variable that may be written in lower case too, which then
// counts more.
func (l *loader) proxyAddress(name, value string) string {
	if lower := strings.ToLower(name); l.env[lower] != "" {
		name, value = lower, l.env[lower]
		l.hide(value)
	}
	if value == "" {
		return ""
	}
	return parse(l, name, value, acceptedProxy, readProxy)
}

// readProxy returns the address with its scheme. Its errors never quote it: people
// put credentials there.
func readProxy(value string) (string, error) {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Hostname() == "":
		return "", errors.New("not the address of a proxy")
	case !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme):
		return "", errors.New("neither http, https nor socks5")
	case u.Port() != "" && !isPort(u.Port()), strings.HasSuffix(u.Host, ":"):
		return "", errors.New("has no valid port")
	case strings.Trim(u.Path, "/") != "", u.RawQuery != "", u.Fragment != "":
		return "", errors.New("goes on behind the host and port")
	}
	return u.String(), nil
}

// behindProxy returns the kinds with connectors that use the proxy, wherever one
// is made.
func behindProxy(kinds []connectors.Kind, proxy func(*url.URL) (*url.URL, error)) []connectors.Kind {
	kinds = slices.Clone(kinds)
	for i, k := range kinds {
		kinds[i].New = func(settings any, env connectors.Env) (connectors.Connector, error) {
			env.Proxy = proxy
			return k.New(settings, env)
		}
	}
	return kinds
}

// proxyOf is Proxy for the client of Trackops.
func (c config) proxyOf(r *http.Request) (*url.URL, error) {
	if c.Proxy == nil {
		return nil, nil
	}
	return c.Proxy(r.URL)
}
