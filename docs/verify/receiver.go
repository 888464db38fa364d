// Command verify is a receiver of the notifier's webhooks, to copy from: it
// verifies the signature, refuses what is too old, and takes each delivery once.
// It needs nothing but the standard library.
//
//	go run ./docs/verify 127.0.0.1:9000 secret.txt
//
// The file holds the secret as CONNECTOR_<NAME>_SECRET has it: whsec_ and base64.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance = 5 * time.Minute
	maxBody   = 16 << 20
	maxSeen   = 100_000 // deliveries to remember: a failed one is repeated for three days
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: verify <address> <file with the secret>")
	}
	secret, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	r, err := newReceiver(string(secret), os.Stdout)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	server := &http.Server{Handler: r, ReadTimeout: 30 * time.Second}
	log.Fatal(server.Serve(listener))
}

// verify returns nil if a holder of the key signed body with these headers within
// the last five minutes. Body has to be the bytes as they came.
func verify(h http.Header, body, key []byte, now time.Time) error {
	id, timestamp := h.Get("webhook-id"), h.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || id == "" {
		return errors.New("webhook-id or webhook-timestamp is missing or malformed")
	}
	if math.Abs(float64(now.Unix()-seconds)) > tolerance.Seconds() {
		return errors.New("too old, or from the future: it may have been recorded")
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	want := mac.Sum(nil)
	for _, one := range strings.Fields(h.Get("webhook-signature")) { // several while a secret is exchanged
		encoded, ok := strings.CutPrefix(one, "v1,")
		got, err := base64.StdEncoding.DecodeString(encoded)
		if ok && err == nil && hmac.Equal(got, want) { // in constant time
			return nil
		}
	}
	return errors.New("no signature matches")
}

// A receiver takes each delivery once. It forgets them when it ends: a database
// with a unique key on webhook-id does not.
type receiver struct {
	key []byte
	out io.Writer

	mu    sync.Mutex
	seen  map[string]bool
	order []string // of seen, oldest first
}

func newReceiver(secret string, out io.Writer) (*receiver, error) {
	encoded, ok := strings.CutPrefix(strings.TrimSpace(secret), "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) == 0 {
		return nil, errors.New("the secret is not whsec_ and base64")
	}
	return &receiver{key: key, out: out, seen: make(map[string]bool)}, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	if err := verify(req.Header, body, r.key, time.Now()); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	if err := r.take(req.Header.Get("webhook-id"), body); err != nil {
		http.Error(w, "try again later", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// take handles a delivery unless it was handled before.
func (r *receiver) take(id string, body []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[id] {
		return nil
	}
	if err := r.handle(body); err != nil {
		return err // not seen: it comes again
	}
	r.seen[id] = true
	r.order = append(r.order, id)
	if len(r.order) > maxSeen {
		delete(r.seen, r.order[0])
		r.order = r.order[1:]
	}
	return nil
}

// handle is where your own code begins. A digest is a list of events.
func (r *receiver) handle(body []byte) error {
	type event struct{ Type, ID string }
	var all []event
	if json.Unmarshal(body, &all) != nil {
		all = make([]event, 1)
		if err := json.Unmarshal(body, &all[0]); err != nil {
			return err
		}
	}
	for _, e := range all {
		if _, err := fmt.Fprintln(r.out, e.Type, e.ID); err != nil {
			return err
		}
	}
	return nil
}
