package fault

import (
	"errors"
	"net/url"
	"strings"
)

// WithoutURL removes the address from an error of net/http: paths and queries
// of endpoints are secrets. It goes, too, from what the error quotes of the
// answer: the other side may repeat it in a broken status line or a Location.
// The error underneath stays in the chain.
func WithoutURL(err error) error {
	var hide []string
	for u := (*url.Error)(nil); errors.As(err, &u); {
		hide = append(hide, secretParts(u.URL)...)
		err = u.Err
	}
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, part := range hide {
		text = strings.ReplaceAll(text, part, "[address]")
	}
	if text == err.Error() {
		return err
	}
	return &hidden{text, err}
}

// secretParts are the path and query of an address, and what is long enough in
// them to be a secret by itself.
func secretParts(address string) []string {
	u, err := url.Parse(address)
	if err != nil {
		return []string{address}
	}
	const shortest = 6
	var parts []string
	whole := u.RequestURI()
	for _, part := range append([]string{whole}, strings.FieldsFunc(whole, func(r rune) bool { return strings.ContainsRune("/?&=", r) })...) {
		if len(part) >= shortest {
			parts = append(parts, part)
		}
	}
	return parts
}

// hidden is an error whose text showed an address.
type hidden struct {
	text string
	err  error
}

func (h *hidden) Error() string { return h.text }
func (h *hidden) Unwrap() error { return h.err }
