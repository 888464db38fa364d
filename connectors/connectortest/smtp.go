package connectortest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/textproto"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A Stage is a point of an SMTP transaction.
type Stage int

// The stages of an SMTP transaction.
const (
	AtMail Stage = iota // MAIL FROM
	AtRcpt              // RCPT TO
	AtData              // after the message's last line
)

// An SMTPAnswer is what an [SMTPRemote] does with one transaction. The zero
// value accepts.
type SMTPAnswer struct {
	Stage  Stage
	Rcpt   string // at AtRcpt: only this recipient; "" is every one
	Code   int    // 0 accepts
	Text   string
	Echo   bool // the text also repeats the credentials and their base64
	HangUp bool // instead: the connection ends
	Stall  bool // instead: nothing, until the test ends
}

// SMTPOptions say what the server asks of its clients.
type SMTPOptions struct {
	User, Password string      // "" for no authentication
	TLS            *tls.Config // offers STARTTLS
	Implicit       bool        // TLS from the first byte instead
}

// An SMTPRemote is a scripted mail server.
type SMTPRemote struct {
	listener net.Listener
	options  SMTPOptions
	arrived  chan struct{}
	stop     chan struct{}

	mu       sync.Mutex
	script   []SMTPAnswer
	received []Received
}

// SMTP starts a mail server that accepts, unless scripted otherwise.
func SMTP(t testing.TB, o SMTPOptions) *SMTPRemote {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &SMTPRemote{listener: l, options: o, arrived: make(chan struct{}, 1000), stop: make(chan struct{})}
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &mailSession{remote: r, conn: c}, nil
	}))
	server.Domain = "mail.example"
	server.AllowInsecureAuth = true
	server.EnableSMTPUTF8 = true
	server.TLSConfig = o.TLS
	server.ErrorLog = log.New(io.Discard, "", 0)
	serve := l
	if o.Implicit {
		server.TLSConfig = nil
		serve = tls.NewListener(l, o.TLS)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(serve) }()
	t.Cleanup(func() {
		close(r.stop)
		if err := server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("close the mail server: %v", err)
		}
		// Once more: a server that had not begun to serve does not know its listener.
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("close the mail server: %v", err)
		}
		if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("serve mail: %v", err)
		}
	})
	return r
}

// Addr is the server's host:port.
func (r *SMTPRemote) Addr() string { return r.listener.Addr().String() }

// Arrived receives a value for each transaction, when it comes to its scripted
// stage.
func (r *SMTPRemote) Arrived() <-chan struct{} { return r.arrived }

// Received returns the transactions so far.
func (r *SMTPRemote) Received() []Received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Received(nil), r.received...)
}

// Script sets the answers to the next transactions.
func (r *SMTPRemote) Script(answers ...SMTPAnswer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.script = append(r.script, answers...)
}

// Next sets the answers to the next transactions.
func (r *SMTPRemote) Next(answers ...Answer) {
	for _, a := range answers {
		r.Script(inSMTP(a))
	}
}

func inSMTP(a Answer) SMTPAnswer {
	switch a {
	case Busy:
		return SMTPAnswer{Stage: AtData, Code: 451, Text: "try again later"}
	case Refuse:
		return SMTPAnswer{Stage: AtRcpt, Code: 550, Text: "no such user"}
	case Echo:
		return SMTPAnswer{Stage: AtData, Code: 554, Text: "refused", Echo: true}
	case HangUp:
		return SMTPAnswer{Stage: AtData, HangUp: true}
	case Stall:
		return SMTPAnswer{Stage: AtData, Stall: true}
	}
	return SMTPAnswer{}
}

func (r *SMTPRemote) take() SMTPAnswer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.script) == 0 {
		return SMTPAnswer{Stage: AtData}
	}
	answer := r.script[0]
	r.script = r.script[1:]
	return answer
}

func (r *SMTPRemote) note(got Received) {
	r.mu.Lock()
	got.At = time.Now()
	r.received = append(r.received, got)
	r.mu.Unlock()
	r.arrived <- struct{}{}
}

// A mailSession is one connection.
type mailSession struct {
	remote *SMTPRemote
	conn   *smtp.Conn
	answer SMTPAnswer
	got    Received
	noted  bool
	authed bool
}

func (s *mailSession) Reset() {
	if s.got.Recipients != nil && !s.noted {
		s.remote.note(s.got)
	}
	s.got, s.noted = Received{}, false
}

func (s *mailSession) Logout() error { return nil }

func (s *mailSession) AuthMechanisms() []string {
	if s.remote.options.User == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.remote.options.User || password != s.remote.options.Password {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "Authentication failed for " + user + " with " + password}
		}
		s.authed = true
		return nil
	}), nil
}

func (s *mailSession) Mail(string, *smtp.MailOptions) error {
	if s.remote.options.User != "" && !s.authed {
		return &smtp.SMTPError{Code: 530, Message: "authenticate first"}
	}
	s.got, s.noted = Received{}, false
	s.answer = s.remote.take()
	return s.at(AtMail, "")
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := s.at(AtRcpt, to); err != nil {
		return err
	}
	s.got.Recipients = append(s.got.Recipients, to)
	return nil
}

func (s *mailSession) Data(body io.Reader) error {
	all, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	reader := bufio.NewReader(bytes.NewReader(all))
	if s.got.Header, err = textproto.NewReader(reader).ReadMIMEHeader(); err != nil {
		return &smtp.SMTPError{Code: 554, Message: "no mail: " + err.Error()}
	}
	if s.got.Body, err = io.ReadAll(reader); err != nil {
		return err
	}
	if err := s.at(AtData, ""); err != nil {
		return err
	}
	s.got.Accepted = true
	s.noted = true
	s.remote.note(s.got)
	return nil
}

// at does what the script says for this stage.
func (s *mailSession) at(stage Stage, rcpt string) error {
	a := s.answer
	if a.Stage != stage || rcpt != "" && a.Rcpt != "" && a.Rcpt != rcpt || !a.Stall && !a.HangUp && a.Code == 0 {
		return nil
	}
	if a.Rcpt == "" && !s.noted {
		s.noted = true
		s.remote.note(s.got)
	}
	switch {
	case a.Stall:
		<-s.remote.stop
		return errors.New("the test ended")
	case a.HangUp:
		return errors.Join(errors.New("hung up"), s.conn.Close())
	}
	if a.Echo {
		o := s.remote.options
		a.Text += fmt.Sprintf(" %s %s %s", o.User, o.Password, encoded(o))
	}
	return &smtp.SMTPError{Code: a.Code, EnhancedCode: smtp.EnhancedCode{a.Code / 100, 1, 1}, Message: a.Text}
}

// encoded is what a client that authenticates sends, and the password alone.
func encoded(o SMTPOptions) string {
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + o.User + "\x00" + o.Password))
	return plain + " " + base64.StdEncoding.EncodeToString([]byte(o.Password))
}
