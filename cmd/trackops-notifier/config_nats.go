package main

import (
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"time"
)

// natsConfig says which NATS server holds the events: the one at URL, or the
// embedded one if URL is empty.
type natsConfig struct {
	URL      string // comma-separated; "" for the embedded server; may hold credentials
	Creds    string // path of a credentials file
	User     string
	Password string // secret
	Token    string // secret
	CA       string // path of a PEM file
	Listen   string // the embedded server's address; "" for none, and beside URL

	// OutboxHold is how long an event stays in the outbox after the server has
	// acknowledged it: longer than the server takes to bring it to its disk.
	OutboxHold time.Duration
}

type natsSettings struct {
	URL        string `secret:"true" desc:"a NATS server, or several of one cluster, comma-separated; unset: the embedded server"`
	Creds      string `desc:"path of a NATS credentials file"`
	User       string `desc:"user at the NATS server, or of the embedded one"`
	Password   string `secret:"true" desc:"password of NATS_USER"`
	Token      string `secret:"true" desc:"token at the NATS server, or of the embedded one"`
	CA         string `desc:"path of a PEM file with the authorities to trust at NATS_URL"`
	Listen     string `default:"127.0.0.1:4222" desc:"address of the embedded server, off for none; other than loopback requires NATS_TOKEN, or NATS_USER and NATS_PASSWORD; ignored if NATS_URL is set"`
	OutboxHold string `split_words:"true" default:"10m" desc:"how long state.db keeps an event after the server at NATS_URL took it, to send it again if the server loses it; the embedded server needs 10s"`
}

// embeddedHold covers several sync intervals of the embedded server.
const embeddedHold = 10 * time.Second

func (l *loader) nats(s natsSettings) natsConfig {
	c := natsConfig{
		URL: s.URL, Creds: s.Creds, User: s.User, Password: s.Password, Token: s.Token, CA: s.CA,
		OutboxHold: parse(l, "NATS_OUTBOX_HOLD", s.OutboxHold, "a duration, as 10m", readDuration),
	}
	l.checkNATSAuth(c)
	if c.Creds != "" {
		parse(l, "NATS_CREDS", c.Creds, "a readable credentials file", readReadable)
	}
	if c.CA != "" {
		parse(l, "NATS_CA", c.CA, "a readable PEM file with certificates", readCertificates)
	}
	if c.URL != "" || l.unreadable["NATS_URL"] {
		c.URL = parse(l, "NATS_URL", c.URL, "nats://, tls://, ws:// or wss:// addresses, comma-separated", readNATSURLs)
		return c
	}
	for _, name := range []string{"NATS_CREDS", "NATS_CA"} {
		if l.env[name] != "" {
			l.report(name, "set without NATS_URL, and the embedded server has no use for it", "NATS_URL beside it")
		}
	}
	c.OutboxHold = embeddedHold
	c.Listen = parse(l, "NATS_LISTEN", s.Listen, acceptedListen, readListen)
	host, _, _ := net.SplitHostPort(c.Listen)
	guarded := c.Token != "" || l.unreadable["NATS_TOKEN"] || c.User != ""
	if c.Listen != "" && !isLoopback(host) && !guarded {
		l.report("NATS_LISTEN", quote(c.Listen)+" is open to other machines without a password", "a loopback address, or NATS_TOKEN, or NATS_USER and NATS_PASSWORD beside it")
	}
	return c
}

// checkNATSAuth accepts one way to log in, whole.
func (l *loader) checkNATSAuth(c natsConfig) {
	const accepted = "one of NATS_CREDS, NATS_TOKEN, and NATS_USER with NATS_PASSWORD"
	if c.User != "" && c.Password == "" {
		l.report("NATS_PASSWORD", "not set beside NATS_USER", "the password of NATS_USER")
	}
	if c.User == "" && c.Password != "" {
		l.report("NATS_USER", "not set beside NATS_PASSWORD", "the user whose password NATS_PASSWORD is")
	}
	if c.Token != "" && c.User != "" {
		l.report("NATS_TOKEN", "set beside NATS_USER", accepted)
	}
	if c.Creds != "" && (c.User != "" || c.Token != "") {
		l.report("NATS_CREDS", "set beside another way to log in", accepted)
	}
}

// readNATSURLs never quotes an address: it may hold a password.
func readNATSURLs(value string) (string, error) {
	items, err := readList(value)
	if err != nil {
		return "", err
	}
	websockets := 0
	for _, item := range items {
		u, err := url.Parse(item)
		switch {
		case err != nil || u.Hostname() == "":
			return "", errors.New("holds an address that is not a URL")
		case u.Port() != "" && !isPort(u.Port()):
			return "", errors.New("holds an address without a valid port")
		case u.RawQuery != "" || u.ForceQuery || strings.Contains(item, "#"):
			return "", errors.New("holds an address with a query or fragment")
		}
		switch u.Scheme {
		case "ws", "wss":
			websockets++
		case "nats", "tls":
		default:
			return "", errors.New("holds an address of another scheme")
		}
	}
	if websockets != 0 && websockets != len(items) {
		return "", errors.New("mixes WebSocket addresses with others")
	}
	return strings.Join(items, ","), nil
}

// readReadable checks that the path names a file that can be read.
func readReadable(path string) (string, error) {
	f, err := openFile(path)
	if err != nil {
		return "", err
	}
	return path, f.Close()
}

func readCertificates(path string) (string, error) {
	f, err := openFile(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	const most = 4 << 20 // the bundles of operating systems are a tenth of it
	pem, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return "", fileError(err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return "", errors.New("names a file without certificates")
	}
	return path, nil
}
