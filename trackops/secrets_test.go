package trackops_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// secretsIn returns what of the request must not be in a text, and is.
func secretsIn(text string) []string {
	pair := testUser + "/token:" + testToken
	var found []string
	for _, secret := range []string{
		testToken, testUser, strings.ToUpper(testToken),
		base64.StdEncoding.EncodeToString([]byte(pair)), base64.StdEncoding.EncodeToString([]byte(testToken)),
		url.QueryEscape(testUser), html.EscapeString(testUser),
		"/api/v1", "per_page", "Authorization", testToken[:9],
	} {
		if strings.Contains(text, secret) {
			found = append(found, secret)
		}
	}
	return found
}

// Error pages that repeat the request, in whole or spelled differently.
func TestErrorBodiesCannotLeak(t *testing.T) {
	escaped := ""
	for _, c := range testToken {
		escaped += fmt.Sprintf(`\u%04x`, c)
	}
	entities := ""
	for _, c := range testToken {
		entities += fmt.Sprintf("&#%d;", c)
	}
	percent := ""
	for _, c := range []byte(testToken) {
		percent += fmt.Sprintf("%%%02x", c)
	}
	for name, text := range map[string]string{
		"token":           "bad token " + testToken + " given",
		"upper case":      "bad token " + strings.ToUpper(testToken),
		"username":        "no user " + testUser,
		"json escapes":    `{"error":"` + escaped + `"}`,
		"entities":        "<p>" + entities + "</p>",
		"percent":         "?token=" + percent,
		"base64":          base64.StdEncoding.EncodeToString([]byte("x" + testUser + "/token:" + testToken)),
		"split by a tag":  "<p>" + testToken[:9] + "<wbr>" + testToken[9:],
		"cut by the read": strings.Repeat(" ", 4096-12) + testToken,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(t, trackops.Config{}, trackops.Request{}, body(500, text))
			if found := secretsIn(err.Error()); len(found) > 0 {
				t.Errorf("%q holds %q", err, found)
			}
		})
	}
}

// A server that sends the request back in every place an answer has.
func TestEchoesCannotLeak(t *testing.T) {
	for name, answer := range map[string]string{
		"as it is":       "%s",
		"status line":    "HTTP/1.1 500 %s\r\n\r\n",
		"header":         "HTTP/1.1 200 OK\r\n%s\r\n\r\n[]",
		"content length": "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n[]",
		"encoding":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n[]",
		"chunk":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
		"gzip":           "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 900\r\n\r\n%s",
		"body":           "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%s",
		"error body":     "HTTP/1.1 500 No\r\nConnection: close\r\n\r\n%s",
		"location":       "HTTP/1.1 302 No\r\nLocation: https://example.com/%s\r\nContent-Length: 0\r\n\r\n",
		"retry after":    "HTTP/1.1 429 No\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n",
	} {
		for _, oneLine := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", name, oneLine), func(t *testing.T) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				go echo(l, answer, oneLine)
				c := newClient(t, trackops.Config{BaseURL: "http://" + l.Addr().String() + "/api/v1"})
				_, err = c.Do(t.Context(), trackops.Request{Collection: collection(t, "clients")})
				if err == nil {
					if name == "header" {
						return // a strange header is no error
					}
					t.Fatal("no error")
				}
				if found := secretsIn(err.Error()); len(found) > 0 {
					t.Errorf("%q holds %q", err, found)
				}
			})
		}
	}
}

func echo(l net.Listener, answer string, oneLine bool) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	dump, err := httputil.DumpRequest(r, true)
	if err != nil {
		return
	}
	text := string(dump)
	if oneLine {
		text = strings.Join(strings.Fields(text), " ")
	}
	io.WriteString(conn, fmt.Sprintf(answer, text))
}

func TestNetworkErrorsHoldNoAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, base := range []string{"http://" + l.Addr().String() + "/api/v1", "https://" + l.Addr().String() + "/api/v1"} {
		c := newClient(t, trackops.Config{BaseURL: base})
		_, err := c.Do(t.Context(), trackops.Request{Collection: collection(t, "clients")})
		if err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("error %v, want connection refused", err)
		}
		if found := secretsIn(fmt.Sprint(err)); len(found) > 0 {
			t.Errorf("%q holds %q", err, found)
		}
	}
}

// The host is named as the user: the error tells what is wrong all the same.
func TestNetworkErrorsOfAHostNamedAsTheUser(t *testing.T) {
	const user, host = "acme", "acme.viewcases.com"
	operation := func(op string, err error) error {
		return &net.OpError{Op: op, Net: "tcp", Addr: &net.UnixAddr{Name: host}, Err: err}
	}
	dial := func(err error) error { return operation("dial", err) }
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that we break off
	server.StartTLS()
	defer server.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	for name, tc := range map[string]struct {
		dial error // nil connects to a server whose certificate is for another host
		want string
	}{
		"no such host":  {dial(&net.DNSError{Err: "no such host", Name: host, IsNotFound: true}), "the host's name could not be resolved: no such host"},
		"name server":   {dial(&net.DNSError{Err: "server misbehaving", Name: host, Server: "10.0.0.1:53", IsTemporary: true}), "the host's name could not be resolved"},
		"name time-out": {dial(&net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}), "the host's name could not be resolved: i/o timeout"},
		"refused":       {dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "the host could not be reached: connection refused"},
		"no route":      {dial(errors.New("no route to " + host)), "the host could not be reached"},
		"time-out":      {dial(os.ErrDeadlineExceeded), "the host could not be reached: i/o timeout"},
		"reset":         {operation("read", syscall.ECONNRESET), "the connection failed: connection reset by peer"},
		"proxy":         {operation("proxyconnect", dial(syscall.ECONNREFUSED)), "the proxy could not be reached: connection refused"},
		"certificate":   {nil, "the host's certificate is not valid: it is for another name"},
		"anything else": {errors.New(host), "the answer is not valid HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := trackops.New(trackops.Config{
				BaseURL: "https://" + host + "/api/v1", Username: user, Token: testToken, Rate: 1, RootCAs: trusted,
				Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
					if tc.dial != nil {
						return nil, tc.dial
					}
					return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.Do(t.Context(), trackops.Request{Collection: collection(t, "clients")})
			if err == nil || !strings.HasSuffix(err.Error(), ": "+tc.want) || strings.Contains(err.Error(), user) {
				t.Errorf("Do: %v, want %q", err, tc.want)
			}
		})
	}
}
