package connectors

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// ErrAddressRefused is in the chain of a dial error when the endpoint's name led
// to an address that no event may go to.
var ErrAddressRefused = errors.New("address refused")

// never are the addresses that serve a machine's own metadata, and so its
// credentials, at the large hosting companies. Most are link-local, which
// [CheckAddress] refuses as a whole; these are not.
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),          // this host (RFC 1122)
	netip.MustParsePrefix("255.255.255.255/32"), // broadcast
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud
	netip.MustParsePrefix("fd00:ec2::254/128"),  // AWS
	netip.MustParsePrefix("fd00:42::42/128"),    // Scaleway
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google Cloud
}

// CheckAddress returns an error, [ErrAddressRefused] marked as unsafe, for an
// address that no endpoint has: link-local, cloud metadata, unspecified, multicast,
// broadcast, also when written as an IPv6 address that carries the IPv4 one.
// Private addresses are accepted, for endpoints come from the operator. If allow is
// not empty only addresses in it are accepted, and still none of the former.
func CheckAddress(ip netip.Addr, allow []netip.Prefix) error {
	outer := ip.WithZone("").Unmap()
	for _, a := range []netip.Addr{outer, carried(outer)} {
		if a.IsUnspecified() || a.IsLinkLocalUnicast() || a.IsMulticast() || inAny(a, never) {
			return fault.Unsafe(fmt.Errorf("%w: %s is link-local, of cloud metadata or of no single host", ErrAddressRefused, ip))
		}
	}
	if len(allow) > 0 && !inAny(outer, allow) {
		return fault.Unsafe(fmt.Errorf("%w: %s is in no allowed network", ErrAddressRefused, ip))
	}
	return nil
}

func inAny(ip netip.Addr, networks []netip.Prefix) bool {
	for _, n := range networks {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

// carried returns the IPv4 address that a router would take out of ip: NAT64
// (RFC 6052), 6to4 (RFC 3056) or the old IPv4-compatible form (RFC 4291).
// Others are returned as they are.
func carried(ip netip.Addr) netip.Addr {
	b := ip.As16()
	switch {
	case !ip.Is6() || ip.IsUnspecified() || ip.IsLoopback():
		return ip
	case netip.MustParsePrefix("64:ff9b::/96").Contains(ip), netip.MustParsePrefix("::/96").Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:]))
	case netip.MustParsePrefix("2002::/16").Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return ip
}

// Dialer returns a dialer that applies [CheckAddress] to what a name resolved to,
// just before it connects, so that no second answer of a name server can differ.
func Dialer(allow []netip.Prefix) *net.Dialer {
	return &net.Dialer{
		KeepAlive: 30 * time.Second,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fault.Unsafe(fmt.Errorf("%w: %w", ErrAddressRefused, err))
			}
			return CheckAddress(to.Addr(), allow)
		},
	}
}

// HTTPOptions is what [HTTPClient] needs to know of an endpoint. Zero fields take
// the default in their comment.
type HTTPOptions struct {
	Allow []netip.Prefix                   // networks that may be connected to; all that [CheckAddress] accepts
	TLS   *tls.Config                      // the system's authorities, no client certificate
	Proxy func(*url.URL) (*url.URL, error) // as [Env.Proxy]; none
}

// HTTPClient returns a client for one endpoint: no redirect followed, no
// decompression, addresses checked by [Dialer]. Behind a proxy that is the proxy's
// own address, see [Env.CheckNetworks]. The time of a request is bounded by its
// context; five minutes is only a last resort.
func HTTPClient(o HTTPOptions) *http.Client {
	transport := &http.Transport{
		DialContext:            Dialer(o.Allow).DialContext,
		TLSClientConfig:        o.TLS,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		OnProxyConnectResponse: fault.FromProxy,
	}
	if o.Proxy != nil {
		transport.Proxy = func(r *http.Request) (*url.URL, error) { return o.Proxy(r.URL) }
	}
	return &http.Client{
		Timeout:       5 * time.Minute,
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// UserAgent names the program to the other side.
func (e Env) UserAgent() string {
	if e.Version == "" {
		return "trackops-notifier"
	}
	return "trackops-notifier/" + e.Version
}

// ParseEndpoint reads an endpoint's address. Its errors never hold the value:
// paths and queries of endpoints are secrets.
func ParseEndpoint(setting, value string) (*url.URL, error) {
	problem := ""
	u, err := url.Parse(value)
	switch {
	case err != nil:
		problem = "not a URL"
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		problem = "not an absolute http or https URL"
	case u.User != nil:
		problem = "holds a user or a password"
	case u.Fragment != "":
		problem = "has a fragment"
	case u.Port() == "0" || strings.HasSuffix(u.Host, ":"):
		problem = "has no valid port"
	default:
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && CheckAddress(ip, nil) != nil {
			problem = "its address is link-local, of cloud metadata or of no single host, where no event may go"
		}
	}
	if problem == "" {
		return u, nil
	}
	return nil, &SettingError{Setting: setting, Problem: problem, Accepted: "an absolute http or https URL such as https://hooks.example.com/path"}
}
