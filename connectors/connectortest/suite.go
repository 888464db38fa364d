// Package connectortest holds every connector to one contract: a conformance
// suite on real sockets, and the scripted remotes it speaks to. It never looks
// inside a connector; it sees what arrives on the other side and what Deliver
// returns.
//
// A connector runs it in its own tests:
//
//	func TestConformance(t *testing.T) {
//		connectortest.Run(t, connectortest.Suite{
//			Kind:     pager.Kind(),
//			Remote:   func(t *testing.T) connectortest.Remote { return connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 204}) },
//			Settings: func(addr string) map[string]string { return map[string]string{"URL": "http://" + addr + "/s3cret"} },
//			Secrets:  []string{"s3cret"},
//			ID:       func(r connectortest.Received) string { return r.Header.Get("X-Delivery") },
//			Check:    func(r connectortest.Received) error { … },
//		})
//	}
package connectortest

import (
	"bytes"
	"net/textproto"
	"sync"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// A Suite is what [Run] has to know of a kind of connector.
type Suite struct {
	Kind connectors.Kind

	// Remote starts a fresh other side, which ends with the test. It is nil only
	// for a kind that speaks to none; NoRemote then says why, what is printed on
	// Env.Stdout counts as received, and the cases of a network are left out.
	Remote   func(t *testing.T) Remote
	NoRemote string

	// Settings are those that reach a remote at addr ("127.0.0.1:40123", or "" for
	// a kind without one), by the suffixes of their variables: "WEBHOOK_URL".
	Settings func(addr string) map[string]string

	// Secrets are the secret values within Settings. None may occur in an error or a
	// reported answer, not even in base64 or when the remote repeats what it was sent.
	Secrets []string

	// ID returns the delivery's id as it went over the wire: the same at every
	// attempt, different for every delivery. Nil says that the medium carries none.
	ID func(Received) string

	// Check returns an error if what arrived is not as the medium wants it.
	Check func(Received) error

	// NoRetryAfter says why the protocol has no way to name a time to come back;
	// "" means that it is HTTP's Retry-After.
	NoRetryAfter string
}

// A Remote is the other side of a connector, on a real socket: scripted, and it
// keeps what it received. Its methods may be called concurrently.
type Remote interface {
	Addr() string           // host:port
	Next(answers ...Answer) // to the deliveries that come next; after these it accepts
	Received() []Received   // everything that arrived so far, in order
	Arrived() <-chan struct{}
}

// An Answer is what every protocol can say in its own way.
type Answer int

// The answers of a [Remote].
const (
	Accept      Answer = iota
	Busy               // try again: 503, 451
	Refuse             // not this one: 400, 550
	Echo               // a refusal that repeats all it was sent, credentials too
	WaitSeconds        // come back in 7 seconds
	WaitDate           // come back at a date, 90 seconds after the answer's own
	HangUp             // the connection ends in the middle of the answer
	Stall              // no answer, until the client leaves
)

// Received is one delivery as it came over the wire.
type Received struct {
	At         time.Time // when all of it had arrived
	Accepted   bool
	Header     textproto.MIMEHeader // of the request or the mail
	Body       []byte               // without the header
	Recipients []string             // of a mail, in the order of the envelope
	Path       string               // of a request, with its query
}

// Run holds a kind to the contract of [connectors.Connector]. Cases run one after
// the other, as settings come from the environment, like in the program.
func Run(t *testing.T, s Suite) {
	t.Helper()
	if (s.Remote == nil) == (s.NoRemote == "") {
		t.Fatal("a suite has either a Remote or a reason to have none")
	}
	t.Run("kind", s.kind)
	t.Run("settings", s.settings)
	t.Run("accepted", s.accepted)
	t.Run("cancelled before", s.cancelledBefore)
	t.Run("repeated", s.repeated)
	t.Run("concurrent", s.concurrent)
	t.Run("hostile content", s.hostile)
	t.Run("preview", s.preview)
	if s.Remote == nil {
		t.Logf("%s has no remote, so these do not apply: busy, refused, retry-after, hang-up, unreachable, cancelled, echo. Reason: %s", s.Kind.Name, s.NoRemote)
		return
	}
	t.Run("busy", s.busy)
	t.Run("refused", s.refused)
	t.Run("no secret in an echoed refusal", s.echo)
	t.Run("hang-up", s.hangUp)
	t.Run("unreachable", s.unreachable)
	t.Run("cancelled", s.cancelled)
	t.Run("timed out", s.timedOut)
	if s.NoRetryAfter != "" {
		t.Logf("%s has no retry-after. Reason: %s", s.Kind.Name, s.NoRetryAfter)
		return
	}
	t.Run("retry-after", s.retryAfter)
}

// Output is a [connectors.Writer] that keeps what is written to it.
type Output struct {
	Colored bool

	mu     sync.Mutex
	writes [][]byte
}

// Write keeps a copy of p.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writes = append(o.writes, bytes.Clone(p))
	return len(p), nil
}

// Color reports whether escape sequences are welcome.
func (o *Output) Color() bool { return o.Colored }

// Writes returns what each call of Write was given.
func (o *Output) Writes() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([][]byte(nil), o.writes...)
}
