package trackops_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
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
