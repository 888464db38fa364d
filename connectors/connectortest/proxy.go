package connectortest

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// What an [HTTPProxy] wants to be told. Neither may show in an error.
const (
	ProxyUser     = "pr0xy-user"
	ProxyPassword = "pr0xy/p4ss"
)

// An HTTPProxy is an HTTP proxy that wants a user and a password, and leads every
// request to one server, whatever its address says.
type HTTPProxy struct {
	server *httptest.Server
	to     string

	mu       sync.Mutex
	refuse   bool
	requests []string
}

// Proxy starts a proxy that leads to the server at host:port to.
func Proxy(t testing.TB, to string) *HTTPProxy {
	p := &HTTPProxy{to: to}
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.server.Close)
	return p
}

// URL is the proxy's address with user and password.
func (p *HTTPProxy) URL() *url.URL {
	return &url.URL{Scheme: "http", User: url.UserPassword(ProxyUser, ProxyPassword), Host: p.server.Listener.Addr().String()}
}

// For is the proxy for every address, as [connectors.Env] wants it.
func (p *HTTPProxy) For(*url.URL) (*url.URL, error) { return p.URL(), nil }

// Refuse makes the proxy refuse every request with a 502. It repeats the
// credentials in all that it says then.
func (p *HTTPProxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = true
}

// Requests returns what was asked of the proxy by someone it knows:
// "CONNECT example.com:443", "POST http://example.com/path".
func (p *HTTPProxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.requests...)
}

func (p *HTTPProxy) serve(w http.ResponseWriter, r *http.Request) {
	given := r.Header.Get("Proxy-Authorization")
	if given != "Basic "+base64.StdEncoding.EncodeToString([]byte(ProxyUser+":"+ProxyPassword)) {
		p.say(w, "407 No", given)
		return
	}
	p.mu.Lock()
	p.requests = append(p.requests, r.Method+" "+r.RequestURI)
	refuse := p.refuse
	p.mu.Unlock()
	switch {
	case refuse:
		p.say(w, "502 "+given, given+" "+ProxyPassword)
	case r.Method == http.MethodConnect:
		p.connect(w)
	default:
		(&httputil.ReverseProxy{Rewrite: func(q *httputil.ProxyRequest) {
			q.SetURL(&url.URL{Scheme: "http", Host: p.to})
		}}).ServeHTTP(w, r)
	}
}

// say answers with a status line of our own, and ends the connection.
func (p *HTTPProxy) say(w http.ResponseWriter, status, body string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the client left
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(body), body)
}

func (p *HTTPProxy) connect(w http.ResponseWriter) {
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the client left
	}
	defer client.Close()
	fmt.Fprint(client, "HTTP/1.1 200 Connected\r\n\r\n")
	go func() {
		// Either end may leave; then both do.
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	_, _ = io.Copy(client, server)
}
