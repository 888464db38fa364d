package trackops_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A hangUp server answers the first request of each connection, promising to
// keep it alive, and closes it on the second.
type hangUp struct {
	listener net.Listener
	requests atomic.Int32
	abrupt   bool // with a reset instead of an orderly end
}

func (h *hangUp) run() {
	for {
		conn, err := h.listener.Accept()
		if err != nil {
			return
		}
		go h.handle(conn)
	}
}

func (h *hangUp) handle(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for answered := false; ; answered = true {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		h.requests.Add(1)
		if answered {
			if tcp, ok := conn.(*net.TCPConn); ok && h.abrupt {
				tcp.SetLinger(0)
			}
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]")
	}
}

// Package net/http repeats a GET whose kept-alive connection died. Ours must
// reach the server once: a repetition is a second request within the second.
func TestARequestIsNeverSentTwice(t *testing.T) {
	for name, abrupt := range map[string]bool{"orderly end": false, "reset": true} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			server := &hangUp{listener: l, abrupt: abrupt}
			go server.run()
			c := newClient(t, trackops.Config{BaseURL: "http://" + l.Addr().String()})
			failed := 0
			for i := range 20 {
				_, err := c.Do(t.Context(), trackops.Request{Collection: collection(t, "clients")})
				if err != nil {
					failed++
				}
				if got := int(server.requests.Load()); got != i+1 {
					t.Fatalf("after %d calls of Do the server saw %d requests (last: %v)", i+1, got, err)
				}
			}
			if failed == 0 {
				t.Error("no request met a dead connection: connections were not reused")
			}
		})
	}
}

// The empty body that prevents repetitions is not announced to the server.
func TestRequestLooksLikeAPlainGet(t *testing.T) {
	head := make(chan string, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		var lines []string
		for {
			line, err := in.ReadString('\n')
			if err != nil || line == "\r\n" {
				break
			}
			lines = append(lines, strings.TrimSpace(line))
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
		head <- strings.Join(lines, "\n")
	}()
	c := newClient(t, trackops.Config{BaseURL: "http://" + l.Addr().String() + "/api/v1/", Version: "1.2.3"})
	if _, err := c.Do(t.Context(), trackops.Request{Collection: collection(t, "cases"), Page: 2}); err != nil {
		t.Fatal(err)
	}
	got := <-head
	for _, want := range []string{
		"GET /api/v1/cases?dir=desc&is_request=false&page=2&per_page=100 HTTP/1.1",
		"Authorization: Basic amFuZS5kb2VAYWdlbmN5LmV4YW1wbGUvdG9rZW46czNjcjN0LTRmMWMtdG9rZW4=",
		"Accept: application/json",
		"User-Agent: trackops-notifier/1.2.3 (+https://github.com/trackops-notifier/trackops-notifier)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the request lacks %q:\n%s", want, got)
		}
	}
	for _, unwanted := range []string{"Transfer-Encoding", "Content-Length"} {
		if strings.Contains(got, unwanted) {
			t.Errorf("the request has %s:\n%s", unwanted, got)
		}
	}
}
