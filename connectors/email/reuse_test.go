package email

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wneessen/go-mail/smtp"

	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
)

// A tap passes connections on to a server and keeps the first word of each line
// that the clients sent.
type tap struct {
	addr string

	mu    sync.Mutex
	conns []net.Conn    // of clients
	heard [][]string    // on each
	ended chan struct{} // a value for each connection that ended
}

func wiretap(t *testing.T, to string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &tap{addr: l.Addr().String(), ended: make(chan struct{}, 100)}
	t.Cleanup(func() { l.Close(); w.cut() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				return
			}
			go w.pass(client, server)
		}
	}()
	return w
}

func (w *tap) pass(client, server net.Conn) {
	defer func() { w.ended <- struct{}{} }()
	defer client.Close()
	defer server.Close()
	w.mu.Lock()
	number := len(w.conns)
	w.conns, w.heard = append(w.conns, client), append(w.heard, nil)
	w.mu.Unlock()
	go func() { // ends with the connection
		_, _ = io.Copy(client, server)
		client.Close()
	}()
	for lines := bufio.NewReader(client); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		w.mu.Lock()
		w.heard[number] = append(w.heard[number], word)
		w.mu.Unlock()
		if _, err := io.WriteString(server, line); err != nil {
			return
		}
	}
}

// cut ends all connections.
func (w *tap) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
}

// commands are those of each connection that begin or end something.
func (w *tap) commands() [][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out [][]string
	for _, conn := range w.heard {
		var some []string
		for _, word := range conn {
			switch word {
			case "EHLO", "AUTH", "RSET", "MAIL", "DATA", "QUIT":
				some = append(some, word)
			}
		}
		out = append(out, some)
	}
	return out
}

// burst is a connector, a server behind a tap, and what the server answers.
func burst(t *testing.T, script ...connectortest.SMTPAnswer) (*connector, *connectortest.SMTPRemote, *tap) {
	t.Helper()
	remote := connectortest.SMTP(t, connectortest.SMTPOptions{User: user, Password: password})
	remote.Script(script...)
	w := wiretap(t, remote.Addr())
	c := connect(t, settingsFor(w.addr, "none"))
	t.Cleanup(func() {
		if s := c.spare.take(); s != nil {
			s.hangUp()
		}
	})
	return c, remote, w
}

func wantCommands(t *testing.T, w *tap, want ...string) {
	t.Helper()
	var got []string
	for _, conn := range w.commands() {
		got = append(got, strings.Join(conn, " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("commands of each connection (-want +got):\n%s", diff)
	}
}

func TestABurstGoesOverOneConnection(t *testing.T) {
	c, remote, w := burst(t)
	for range 3 {
		if err := deliver(t, c, connectortest.Samples()[0].Event); err != nil {
			t.Fatal(err)
		}
	}
	wantCommands(t, w, "EHLO AUTH MAIL DATA RSET MAIL DATA RSET MAIL DATA")
	if n := len(remote.Received()); n != 3 {
		t.Errorf("%d mails, want 3", n)
	}
}

// The server may close an idle connection whenever it likes.
func TestABrokenConnectionIsReplaced(t *testing.T) {
	c, remote, w := burst(t)
	for i := range 3 {
		if err := deliver(t, c, connectortest.Samples()[0].Event); err != nil {
			t.Fatalf("delivery %d: %v", i, err)
		}
		w.cut()
		<-w.ended
	}
	if n := len(remote.Received()); n != 3 {
		t.Errorf("%d mails, want 3", n)
	}
	if n := len(w.commands()); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

// As long as the server has not seen any of the message, it can be sent on another
// connection.
func TestWhatEndsBeforeTheMessageIsSentAgain(t *testing.T) {
	type answer = connectortest.SMTPAnswer
	for name, end := range map[string]answer{
		"421 to the sender":        {Stage: connectortest.AtMail, Code: 421, Text: "too many mails on this connection"},
		"421 to a recipient":       {Stage: connectortest.AtRcpt, Code: 421, Text: "closing"},
		"hang-up at the sender":    {Stage: connectortest.AtMail, HangUp: true},
		"hang-up at the recipient": {Stage: connectortest.AtRcpt, HangUp: true},
	} {
		t.Run(name, func(t *testing.T) {
			c, remote, _ := burst(t, answer{}, end)
			for range 2 {
				if err := deliver(t, c, connectortest.Samples()[0].Event); err != nil {
					t.Fatal(err)
				}
			}
			accepted := 0
			for _, r := range remote.Received() {
				if r.Accepted {
					accepted++
				}
			}
			if accepted != 2 {
				t.Errorf("%d mails, want 2", accepted)
			}
		})
	}
}

// A message that was sent, and not answered, may have been taken.
func TestAMessageIsNotSentTwice(t *testing.T) {
	c, remote, w := burst(t, connectortest.SMTPAnswer{}, connectortest.SMTPAnswer{Stage: connectortest.AtData, HangUp: true})
	if err := deliver(t, c, connectortest.Samples()[0].Event); err != nil {
		t.Fatal(err)
	}
	if err := deliver(t, c, connectortest.Samples()[0].Event); err == nil {
		t.Error("Deliver = nil, want an error")
	}
	if n := len(remote.Received()); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
	wantCommands(t, w, "EHLO AUTH MAIL DATA RSET MAIL DATA")
}

// A connection on which the server refused everything is not used again.
func TestARefusalEndsTheConnection(t *testing.T) {
	c, _, w := burst(t, connectortest.SMTPAnswer{Stage: connectortest.AtData, Code: 451, Text: "later"})
	if err := deliver(t, c, connectortest.Samples()[0].Event); err == nil {
		t.Error("Deliver = nil, want an error")
	}
	if c.spare.take() != nil {
		t.Error("the connection is kept")
	}
	<-w.ended
}

// pipe is a session whose other side notes the commands and agrees to each.
func pipe(t *testing.T, heard chan string) *session {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		lines := bufio.NewReader(theirs)
		for answer := "220 here"; ; {
			if _, err := io.WriteString(theirs, answer+"\r\n"); err != nil {
				return
			}
			line, err := lines.ReadString('\n')
			if err != nil {
				heard <- err.Error()
				return
			}
			heard <- strings.TrimSpace(line)
			answer = "250 yes"
			if strings.HasPrefix(line, "QUIT") {
				answer = "221 bye"
			}
		}
	}()
	client, err := smtp.NewClient(ours, "mail.example.com")
	if err == nil {
		err = client.Hello("here")
	}
	if err != nil {
		t.Fatal(err)
	}
	<-heard // EHLO
	return &session{client: client, conn: ours}
}

func TestAnIdleConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := make(chan string, 10)
		var k spare
		s := pipe(t, heard)
		for range 3 { // each use begins the time anew
			k.put(s)
			time.Sleep(keep - time.Second)
			if s = k.take(); s == nil {
				t.Fatal("the connection is gone before its time")
			}
		}
		k.put(s)
		start := time.Now()
		if got := <-heard; got != "QUIT" || time.Since(start) != keep {
			t.Errorf("heard %q after %v, want QUIT after %v", got, time.Since(start), keep)
		}
		if k.take() != nil {
			t.Error("take returns a closed connection")
		}
		if got := <-heard; got != "EOF" {
			t.Errorf("heard %q, want the end", got)
		}
	})
}

func TestASurplusConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := make(chan string, 10), make(chan string, 10)
		var k spare
		kept := pipe(t, first)
		k.put(kept)
		k.put(pipe(t, second))
		if got := <-second; got != "QUIT" {
			t.Errorf("heard %q, want QUIT", got)
		}
		if k.take() != kept {
			t.Error("the kept connection is gone")
		}
		k.drop(kept)         // as if its time was up just before it was taken
		time.Sleep(2 * keep) // its time is stopped
		synctest.Wait()
		if len(first) != 0 {
			t.Errorf("heard %q after it was taken", <-first)
		}
		kept.hangUp()
	})
}

// A server that says nothing any more costs seconds, not the attempt.
func TestASilentConnectionIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		go func() { _, _ = io.WriteString(theirs, "220 here\r\n"); _, _ = io.Copy(io.Discard, theirs) }()
		client, err := smtp.NewClient(ours, "mail.example.com")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if new(connector).alive(t.Context(), &session{client: client, conn: ours}) {
			t.Error("a silent connection is alive")
		}
		if took := time.Since(start); took > pulse+time.Second {
			t.Errorf("that took %v", took)
		}
		if _, err := ours.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the connection is still open: %v", err)
		}
	})
}

// What ends with the context of one delivery is not kept for the next.
func TestACancelledDeliveryKeepsNoConnection(t *testing.T) {
	c, _, w := burst(t, connectortest.SMTPAnswer{}, connectortest.SMTPAnswer{Stage: connectortest.AtData, Stall: true})
	if err := deliver(t, c, connectortest.Samples()[0].Event); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.Deliver(ctx, deliveryOf(connectortest.Samples()[0].Event)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Deliver = %v, want %v", err, context.DeadlineExceeded)
	}
	if c.spare.take() != nil {
		t.Error("the connection is kept")
	}
	<-w.ended
}
