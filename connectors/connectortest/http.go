package connectortest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// An HTTPAnswer is what an [HTTPRemote] does with one request.
type HTTPAnswer struct {
	Wait    time.Duration // before anything else
	Status  int
	Header  map[string]string
	Body    string
	Raw     string // instead: these bytes as they are, and then the connection ends
	Reset   bool   // after Raw, if any, the connection is reset
	Stall   bool   // nothing until the client leaves; with a Status, after header and body
	Endless bool   // the body never ends
	Echo    bool   // the body repeats the request with its header

	// BadCertificate takes the place of a request: whoever connects to an [HTTPS]
	// remote next sees a certificate that nobody signed.
	BadCertificate bool
}

// An HTTPRemote is a scripted HTTP server.
type HTTPRemote struct {
	accept  HTTPAnswer
	server  *httptest.Server
	arrived chan struct{}
	stop    chan struct{}

	mu       sync.Mutex
	script   []HTTPAnswer
	received []Received
}

// HTTP starts a server that answers with accept, unless scripted otherwise.
func HTTP(t testing.TB, accept HTTPAnswer) *HTTPRemote {
	r := newHTTP(accept)
	r.server.Start()
	t.Cleanup(r.close)
	return r
}

// HTTPS is [HTTP] over TLS, with a certificate for 127.0.0.1 that
// [HTTPRemote.Server] knows.
func HTTPS(t testing.TB, accept HTTPAnswer) *HTTPRemote {
	r := newHTTP(accept)
	bad, err := unsigned()
	if err != nil {
		t.Fatalf("make a certificate: %v", err)
	}
	r.server.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if r.shows() {
			return &tls.Config{Certificates: []tls.Certificate{bad}}, nil
		}
		return nil, nil
	}}
	r.server.StartTLS()
	t.Cleanup(r.close)
	return r
}

func newHTTP(accept HTTPAnswer) *HTTPRemote {
	r := &HTTPRemote{accept: accept, arrived: make(chan struct{}, 1000), stop: make(chan struct{})}
	r.server = httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that leave are part of the script
	return r
}

func (r *HTTPRemote) close() {
	close(r.stop)
	r.server.CloseClientConnections()
	r.server.Close()
}

// unsigned makes a certificate that no authority vouches for.
func unsigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, err
}

// shows reports whether the next connection sees the bad certificate, and goes on
// in the script.
func (r *HTTPRemote) shows() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.script) == 0 || !r.script[0].BadCertificate {
		return false
	}
	r.script = r.script[1:]
	return true
}

// Addr is the server's host:port.
func (r *HTTPRemote) Addr() string { return r.server.Listener.Addr().String() }

// Server is the server itself, for its certificate.
func (r *HTTPRemote) Server() *httptest.Server { return r.server }

// CAFile writes the certificate of an [HTTPS] remote to a file, as a setting that
// names the authorities to trust wants it.
func (r *HTTPRemote) CAFile(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw}), 0o600); err != nil {
		t.Fatalf("write the certificate: %v", err)
	}
	return file
}

// Arrived receives a value for each request.
func (r *HTTPRemote) Arrived() <-chan struct{} { return r.arrived }

// Received returns the requests so far.
func (r *HTTPRemote) Received() []Received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Received(nil), r.received...)
}

// Script sets the answers to the next requests.
func (r *HTTPRemote) Script(answers ...HTTPAnswer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.script = append(r.script, answers...)
}

// Next sets the answers to the next requests.
func (r *HTTPRemote) Next(answers ...Answer) {
	for _, a := range answers {
		r.Script(r.inHTTP(a))
	}
}

func (r *HTTPRemote) inHTTP(a Answer) HTTPAnswer {
	date := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC) // far from any real clock: only the answer's own Date tells
	switch a {
	case Busy:
		return HTTPAnswer{Status: http.StatusServiceUnavailable, Body: "<html>busy</html>"}
	case Refuse:
		return HTTPAnswer{Status: http.StatusBadRequest, Body: "no"}
	case Echo:
		return HTTPAnswer{Status: http.StatusForbidden, Echo: true}
	case WaitSeconds:
		return HTTPAnswer{Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "7"}}
	case WaitDate:
		return HTTPAnswer{Status: http.StatusTooManyRequests, Header: map[string]string{
			"Date":        date.Format(http.TimeFormat),
			"Retry-After": date.Add(90 * time.Second).Format("Monday, 02-Jan-06 15:04:05 GMT"),
		}}
	case HangUp:
		return HTTPAnswer{Raw: "HTTP/1.1 20"}
	case Stall:
		return HTTPAnswer{Stall: true}
	}
	return r.accept
}

func (r *HTTPRemote) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the client left
	}
	answer, last := r.take(req, body)
	r.arrived <- struct{}{}
	if last {
		w.Header().Set("Connection", "close")
	}
	if answer.Wait > 0 {
		select {
		case <-time.After(answer.Wait):
		case <-req.Context().Done():
		case <-r.stop:
		}
	}
	switch {
	case answer.Stall:
		if answer.Status != 0 {
			r.write(w, req, body, answer)
			// A client that left already is what the wait below notices.
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-req.Context().Done():
		case <-r.stop:
		}
	case answer.Raw != "" || answer.Reset:
		cut(w, answer)
	default:
		r.write(w, req, body, answer)
	}
}

// take notes the request and returns the answer to it, and whether it is the last
// of the connection: a certificate is shown to new ones.
func (r *HTTPRemote) take(req *http.Request, body []byte) (answer HTTPAnswer, last bool) {
	at := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	answer = r.accept
	if len(r.script) > 0 && !r.script[0].BadCertificate {
		answer, r.script = r.script[0], r.script[1:]
	}
	header := textproto.MIMEHeader(req.Header.Clone())
	header.Set("Host", req.Host)
	r.received = append(r.received, Received{
		Accepted: answer.Status == r.accept.Status && answer.Body == r.accept.Body,
		Header:   header, Body: body, Path: req.URL.RequestURI(), At: at,
	})
	return answer, len(r.script) > 0 && r.script[0].BadCertificate
}

func (r *HTTPRemote) write(w http.ResponseWriter, req *http.Request, body []byte, answer HTTPAnswer) {
	for name, value := range answer.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(answer.Status)
	if answer.Echo {
		fmt.Fprintf(w, "%s %s\n%v\n%s", req.Method, req.URL, req.Header, body)
	}
	// A client that left is no fault of the script.
	_, err := io.WriteString(w, answer.Body)
	for err == nil && answer.Endless {
		select {
		case <-r.stop:
			return
		case <-req.Context().Done():
			return
		default:
			_, err = io.WriteString(w, "an endless answer ")
		}
	}
}

// cut writes what answer has of an answer and ends the connection.
func cut(w http.ResponseWriter, answer HTTPAnswer) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(fmt.Sprintf("cut an answer: %v", err)) // HTTP/1 only
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, answer.Raw); err != nil || !answer.Reset {
		return // the client left, or is to see an end
	}
	raw := conn
	if secure, ok := conn.(*tls.Conn); ok {
		raw = secure.NetConn()
		defer raw.Close() // first: without the goodbye of TLS
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it fails when the client has left
	}
}
