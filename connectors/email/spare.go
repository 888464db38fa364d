package email

import (
	"net"
	"sync"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

const (
	// keep is how long a connection that nobody uses stays open: mails of a burst
	// follow each other closer than that, and servers wait minutes (RFC 5321 §4.5.3.2).
	keep = 10 * time.Second

	// goodbye bounds the end of a conversation, whose outcome changes nothing.
	goodbye = 2 * time.Second
)

// A session is an open connection, encrypted and logged in.
type session struct {
	client *smtp.Client
	conn   net.Conn // below TLS
}

// hangUp ends the session at once. It may be called at any time, and again.
func (s *session) hangUp() { _ = s.conn.Close() }

// quit ends the session politely.
func (s *session) quit() {
	defer s.hangUp()
	if s.conn.SetDeadline(time.Now().Add(goodbye)) == nil {
		_ = s.client.Quit()
	}
}

// A spare keeps one open session between deliveries. It ends what was not taken
// for a while by itself, so that nobody has to close it.
type spare struct {
	mu      sync.Mutex
	session *session
	timer   *time.Timer // ends session
}

// take returns the session, which then is the caller's, or nil.
func (k *spare) take() *session {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.session
	if s != nil {
		k.timer.Stop()
		k.session = nil
	}
	return s
}

// put keeps s for the next to take, or ends it when there is one already.
func (k *spare) put(s *session) {
	k.mu.Lock()
	surplus := k.session != nil
	if !surplus {
		k.session = s
		k.timer = time.AfterFunc(keep, func() { k.drop(s) })
	}
	k.mu.Unlock()
	if surplus {
		s.quit()
	}
}

// drop ends s, unless it was taken.
func (k *spare) drop(s *session) {
	k.mu.Lock()
	idle := k.session == s
	if idle {
		k.session = nil
	}
	k.mu.Unlock()
	if idle {
		s.quit()
	}
}
