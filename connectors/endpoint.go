package connectors

import (
	"context"
	"crypto/tls"
	"encoding/base64"
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

// CheckAddress returns an error, with [ErrAddressRefused], for an address that no
// endpoint has: link-local, cloud metadata, unspecified, multicast, broadcast,
// also when written as an IPv6 address that carries the IPv4 one. Private
// addresses are accepted, for endpoints come from the operator. If allow is not
// empty only addresses in it are accepted, and still none of the former.
func CheckAddress(ip netip.Addr, allow []netip.Prefix) error {
	outer := ip.WithZone("").Unmap()
	for _, a := range []netip.Addr{outer, carried(outer)} {
		if a.IsUnspecified() || a.IsLinkLocalUnicast() || a.IsMulticast() || inAny(a, never) {
			return fmt.Errorf("%w: %s is link-local, of cloud metadata or of no single host", ErrAddressRefused, ip)
		}
	}
	if len(allow) > 0 && !inAny(outer, allow) {
		return fmt.Errorf("%w: %s is in no allowed network", ErrAddressRefused, ip)
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
				return fmt.Errorf("%w: %w", ErrAddressRefused, err)
			}
			return CheckAddress(to.Addr(), allow)
		},
	}
}

// HTTPClient returns a client for one endpoint: no proxy, no redirect followed, no
// decompression, addresses checked by [Dialer]. tlsConfig may be nil. The time of
// a request is bounded by its context; five minutes is only a last resort.
func HTTPClient(allow []netip.Prefix, tlsConfig *tls.Config) *http.Client {
	return &http.Client{
		Timeout: 5 * time.Minute,
		Transport: &http.Transport{
			DialContext:            Dialer(allow).DialContext,
			TLSClientConfig:        tlsConfig,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
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

// maxErrorText bounds what of an error is kept: the other side may say anything.
const maxErrorText = 600

// minSecret is the length in bytes below which a value is no secret but a word, as
// in a header "X-Env: eu": blacking it out would only spoil the text.
const minSecret = 4

// Redact makes an error fit for a log. It returns err as it is, unless its text
// holds one of the secrets, plain or in base64, or more than a line: then an error
// of the same class with the secrets blacked out. The other side's words are
// useful in an error, and may repeat what we said.
func Redact(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		for _, form := range []string{
			s, url.QueryEscape(s), url.PathEscape(s),
			// Padding, which may follow, tells nothing.
			base64.RawStdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)),
		} {
			text = strings.ReplaceAll(text, form, "[redacted]")
		}
	}
	if text = Shorten(OneLine(text), maxErrorText); text == err.Error() {
		return err
	}
	return reclass(text, err)
}

// reclass makes an error of text with the class of err and nothing else of it.
func reclass(text string, err error) error {
	clean := &redacted{text: text}
	for _, class := range []error{context.Canceled, context.DeadlineExceeded, ErrAddressRefused} {
		if errors.Is(err, class) {
			clean.classes = append(clean.classes, class)
		}
	}
	if code := fault.Status(err); code != 0 {
		clean.classes = append(clean.classes, &fault.StatusError{Code: code})
	}
	var out error = clean
	if d, ok := fault.After(err); ok {
		out = fault.RetryAfter(d, out)
	}
	if fault.IsPermanent(err) {
		out = fault.Permanent(out)
	}
	if fault.IsGone(err) {
		out = fault.Gone(out)
	}
	return out
}

type redacted struct {
	text    string
	classes []error
}

func (r *redacted) Error() string   { return r.text }
func (r *redacted) Unwrap() []error { return r.classes }
