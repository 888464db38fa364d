package connectors

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

func TestCheckAddress(t *testing.T) {
	private := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		ip    string
		allow []netip.Prefix
		want  bool
	}{
		{"8.8.8.8", nil, true}, {"2606:4700::1111", nil, true},
		{"10.1.2.3", nil, true}, {"172.16.0.1", nil, true}, {"192.168.1.1", nil, true}, {"127.0.0.1", nil, true}, {"::1", nil, true}, {"fd12::1", nil, true}, {"100.64.0.1", nil, true},
		{"::ffff:10.1.2.3", nil, true}, {"64:ff9b::10.1.2.3", nil, true},
		{"169.254.169.254", nil, false}, {"169.254.0.1", nil, false}, {"169.253.255.255", nil, true}, {"169.255.0.0", nil, true},
		{"::ffff:169.254.169.254", nil, false}, {"::169.254.169.254", nil, false}, {"64:ff9b::169.254.169.254", nil, false}, {"2002:a9fe:a9fe::1", nil, false},
		{"fe80::1", nil, false}, {"fe80::1%eth0", nil, false}, {"febf::1", nil, false},
		{"fd00:ec2::254", nil, false}, {"fd20:ce::254", nil, false}, {"100.100.100.200", nil, false}, {"::ffff:100.100.100.200", nil, false}, {"168.63.129.16", nil, false}, {"192.0.0.192", nil, false},
		{"0.0.0.0", nil, false}, {"0.1.2.3", nil, false}, {"::", nil, false}, {"::ffff:0.0.0.0", nil, false},
		{"224.0.0.1", nil, false}, {"ff02::1", nil, false}, {"255.255.255.255", nil, false},
		{"10.1.2.3", private, true}, {"::ffff:10.1.2.3", private, true}, {"fd12::1", private, true},
		{"8.8.8.8", private, false}, {"127.0.0.1", private, false}, {"64:ff9b::10.1.2.3", private, false},
		{"169.254.1.1", []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, false}, {"fd00:ec2::254", private, false},
	} {
		err := CheckAddress(netip.MustParseAddr(c.ip), c.allow)
		if (err == nil) != c.want || err != nil && (!errors.Is(err, ErrAddressRefused) || !fault.IsUnsafe(err)) {
			t.Errorf("CheckAddress(%s, %v) = %v, want accepted %v", c.ip, c.allow, err, c.want)
		}
	}
}

func TestParseEndpointKeepsTheValueToItself(t *testing.T) {
	for value, want := range map[string]bool{
		"https://hooks.example/p4th?k=v": true, "http://10.0.0.7:8080": true, "https://[fd12::1]/x": true,
		"": false, "hooks.example/p4th": false, "ftp://hooks.example/p4th": false, "https:///p4th": false, "https://h:x/p4th": false,
		"https://u:p4th@h/": false, "https://h/#p4th": false, "https://h:/p4th": false, "http://169.254.169.254/p4th": false, "\x01p4th": false,
	} {
		u, err := ParseEndpoint("URL", value)
		if (err == nil) != want || (u != nil) != want {
			t.Errorf("ParseEndpoint(%q) = %v, %v", value, u, err)
		}
		if err != nil && (strings.Contains(err.Error(), "p4th") || len(SettingErrors(err)) != 1) {
			t.Errorf("ParseEndpoint(%q): %v: want a setting error without the value", value, err)
		}
	}
}
