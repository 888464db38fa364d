package fault

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// FromProxy returns nil for a proxy's consent to CONNECT and an error otherwise,
// for [http.Transport.OnProxyConnectResponse]. The error has no [Status], for the
// endpoint behind the proxy said nothing, and none of the proxy's words: they may
// repeat the password that it was sent.
func FromProxy(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusProxyAuthRequired:
		return fmt.Errorf("the proxy wants another user or password: it answers %d", resp.StatusCode)
	}
	return fmt.Errorf("the proxy does not connect us: it answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
}
