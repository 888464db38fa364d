package bus

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// Outside clients live in an account of their own. Subject permissions alone
// would not keep them from our streams: NATS checks what a client publishes, but
// not the reply subject it names, and an answer of JetStream sent to
// trackops.acme.clients.created would be stored as an event. Between accounts an
// answer can only go back to the one who asked.
const (
	ourAccount     = "TRACKOPS"
	outsideAccount = "SUBSCRIBERS"
	internalUser   = "trackops-notifier"
	internalInbox  = "_TRACKOPS_INBOX" // outside clients may see _INBOX
)

// readable is what outside clients may ask of JetStream. Consumers are made
// through the gate, see gate.go.
func readable() []string {
	return []string{
		"$JS.API.INFO",
		"$JS.API.STREAM.NAMES",
		"$JS.API.STREAM.LIST",
		"$JS.API.STREAM.INFO." + Stream,
		"$JS.API.STREAM.MSG.GET." + Stream,
		"$JS.API.DIRECT.GET." + Stream,
		"$JS.API.DIRECT.GET." + Stream + ".>",
		"$JS.API.CONSUMER.NAMES." + Stream,
		"$JS.API.CONSUMER.LIST." + Stream,
		"$JS.API.CONSUMER.INFO." + Stream + ".*",
		"$JS.API.CONSUMER.DELETE." + Stream + ".*",
		"$JS.API.CONSUMER.PAUSE." + Stream + ".*",
		"$JS.API.CONSUMER.RESET." + Stream + ".*",
		"$JS.API.CONSUMER.UNPIN." + Stream + ".*",
		"$JS.API.CONSUMER.MSG.NEXT." + Stream + ".*",
		"$JS.ACK." + Stream + ".>",
		"$JS.FC." + Stream + ".>",
	}
}

// gated is how consumers are made, in each of the protocol's four spellings.
func gated() []string {
	return []string{
		"$JS.API.CONSUMER.CREATE." + Stream,
		"$JS.API.CONSUMER.CREATE." + Stream + ".*",
		"$JS.API.CONSUMER.CREATE." + Stream + ".*.>",
		"$JS.API.CONSUMER.DURABLE.CREATE." + Stream + ".*",
	}
}

// ofConsumer is what would disturb the named consumer of ours.
func ofConsumer(name string) []string {
	return []string{
		"$JS.API.CONSUMER.CREATE." + Stream + "." + name,
		"$JS.API.CONSUMER.CREATE." + Stream + "." + name + ".>",
		"$JS.API.CONSUMER.DURABLE.CREATE." + Stream + "." + name,
		"$JS.API.CONSUMER.DELETE." + Stream + "." + name,
		"$JS.API.CONSUMER.PAUSE." + Stream + "." + name,
		"$JS.API.CONSUMER.RESET." + Stream + "." + name,
		"$JS.API.CONSUMER.UNPIN." + Stream + "." + name,
		"$JS.API.CONSUMER.MSG.NEXT." + Stream + "." + name,
		"$JS.ACK." + Stream + "." + name + ".>",
		"$JS.FC." + Stream + "." + name + ".>",
	}
}

// authenticator decides who a client is. It implements [server.Authentication].
type authenticator struct {
	cfg    ServerConfig
	secret string

	ours, outside *server.Account
}

// register makes the two accounts and what the outer one may use of the inner.
func (a *authenticator) register(ns *server.Server) (err error) {
	if a.ours, err = ns.RegisterAccount(ourAccount); err != nil {
		return err
	}
	if a.outside, err = ns.RegisterAccount(outsideAccount); err != nil {
		return err
	}
	for _, subject := range []string{eventSubjects, "_INBOX.>"} {
		if err := a.ours.AddStreamExport(subject, nil); err != nil {
			return fmt.Errorf("export %s: %w", subject, err)
		}
		if err := a.outside.AddStreamImport(a.ours, subject, ""); err != nil {
			return fmt.Errorf("import %s: %w", subject, err)
		}
	}
	for _, subject := range readable() {
		if err := a.lend(subject, subject); err != nil {
			return err
		}
	}
	for _, subject := range gated() {
		if err := a.lend(subject, gatePrefix+subject); err != nil {
			return err
		}
	}
	return nil
}

// lend lets outside clients ask for service `as` what is the service `to` here.
func (a *authenticator) lend(as, to string) error {
	if err := a.ours.AddServiceExportWithResponse(to, server.Streamed, nil); err != nil {
		return fmt.Errorf("export %s: %w", to, err)
	}
	if err := a.outside.AddServiceImport(a.ours, as, to); err != nil {
		return fmt.Errorf("import %s: %w", as, err)
	}
	return nil
}

// Check implements [server.Authentication].
func (a *authenticator) Check(c server.ClientAuthentication) bool {
	given := c.GetOpts()
	if given.Username == internalUser {
		if !same(given.Password, a.secret) {
			return false
		}
		c.RegisterUser(&server.User{Username: internalUser, Account: a.ours})
		return true
	}
	if !a.mayEnter(given) {
		return false
	}
	c.RegisterUser(&server.User{Username: "subscriber", Account: a.outside, Permissions: a.permissions()})
	return true
}

func (a *authenticator) mayEnter(given *server.ClientOpts) bool {
	byToken, byUser := a.cfg.Token != "", a.cfg.User != ""
	switch {
	case byToken && same(given.Token, a.cfg.Token):
		return true
	case byUser && same(given.Username, a.cfg.User) && same(given.Password, a.cfg.Password):
		return true
	}
	return !byToken && !byUser
}

func (a *authenticator) permissions() *server.Permissions {
	deny := []string{}
	for _, name := range a.cfg.Connectors {
		deny = append(deny, ofConsumer(name)...)
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: append(readable(), gated()...), Deny: deny},
		Subscribe: &server.SubjectPermission{Allow: []string{eventSubjects, "_INBOX.>"}},
	}
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// newSecret reads the credential in path, and makes one if there is none.
func newSecret(path string) (string, error) {
	if path == "" {
		return rand.Text(), nil
	}
	secret, err := readSecret(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	secret = rand.Text()
	return secret, writeSecret(path, secret)
}

func readSecret(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the NATS credential: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if len(secret) < 20 {
		return "", fmt.Errorf("read the NATS credential: %s is damaged; remove it and start again", path)
	}
	return secret, nil
}

// writeSecret writes the file whole or not at all: a reader never sees half.
func writeSecret(path, secret string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // with mode 0600
	if err != nil {
		return fmt.Errorf("write the NATS credential: %w", err)
	}
	_, err = f.WriteString(secret + "\n")
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write the NATS credential: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
