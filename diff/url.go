package diff

import (
	"bytes"
	"unicode"
)

// isURL says whether a decoded string is an absolute http or https URL, by the
// generous reading [NewRules] promises. net/url would refuse, and so let
// through, addresses that other software opens all the same.
func isURL(text []byte) bool {
	if len(text) == 0 || !mayLeadURL(text[0]) {
		return false
	}
	text = bytes.TrimLeftFunc(text, isBlank)
	if len(text) < len("http://x") || !bytes.EqualFold(text[:4], []byte("http")) {
		return false
	}
	text = text[4:]
	if text[0]|0x20 == 's' {
		text = text[1:]
	}
	if text[0] != ':' {
		return false
	}
	host := bytes.TrimLeft(text[1:], `/\`)
	slashes := len(text) - 1 - len(host)
	return slashes >= 2 && len(host) > 0 && host[0] != '?' && host[0] != '#'
}

// mayLeadURL says at one glance for most strings that they are no URL.
func mayLeadURL(first byte) bool {
	return first|0x20 == 'h' || first <= ' ' || first >= 0x7f
}

// isBlank says whether a character in front of a URL is no part of it: white
// space, control characters, invisible ones such as the byte order mark.
func isBlank(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar
}
