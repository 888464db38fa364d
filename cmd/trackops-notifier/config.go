package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// config is what the environment asks of the program. It is complete and valid.
type config struct {
	Accounts    []account // at least one
	Rate        float64   // requests a second to each account, above 0, at most 1
	Collections []trackops.Collection
	RecordURL   string // the pattern of links to records, for recordLink; "" for none
	Poll        pollConfig
	DataDir     string
	NATS        natsConfig
	Stream      streamConfig
	HTTPListen  string // "" for none

	// Proxy returns the proxy for an address, or nil for none; nil if there is no
	// proxy at all. It makes no errors.
	Proxy func(*url.URL) (*url.URL, error)

	LogLevel   slog.Level
	LogFormat  string            // "text", "json", or "" to choose by the terminal
	Connectors []connectorConfig // by name
}

// streamConfig limits what the stream of events keeps.
type streamConfig struct {
	MaxAge   time.Duration
	MaxBytes int64
}

// settings are the variables that exist once. Their names follow from the
// fields' names, so no field needs an envconfig tag: with one, envconfig reads
// the variable without its prefix too.
type settings struct {
	Trackops struct {
		API      apiSettings
		Accounts string `desc:"several accounts instead of one: their subdomains, comma-separated; each has TRACKOPS_<KEY>_… variables"`
		Record   struct {
			URL string `desc:"where people see a record, for links in messages: an address with {subdomain}, {collection}, {id} and {field:<name>} in it, as https://{subdomain}.viewcases.com/{collection}/{id}; unset: no links"`
		}
	}
	Poll struct {
		Collections string `desc:"names of the collections to watch, comma-separated; unset: all documented ones and those that COLLECTION_<NAME>_PATH adds"`
		MaxAge      string `split_words:"true" desc:"the longest time between two polls of a collection, refused where the rate does not allow it; unset: four rounds over all collections, a minute at least"`
		SweepShare  string `split_words:"true" default:"0.02" desc:"the part of all requests, 0.01 to 0.5, that the reading of everything in the background gets at least"`
	}
	Data struct {
		Dir string `default:"data" desc:"folder of state.db and the embedded server's files"`
	}
	NATS   natsSettings
	Stream struct {
		MaxAge   string `split_words:"true" default:"720h" desc:"how long the stream keeps an event; days may be written 30d"`
		MaxBytes string `split_words:"true" default:"1GiB" desc:"how much the stream keeps; when it is full, events wait in state.db"`
	}
	HTTP struct {
		Listen string `default:"127.0.0.1:8080" desc:"address of /healthz, /readyz and /metrics; off for none"`
		Proxy  string `secret:"true" desc:"proxy for endpoints of plain http, as HTTPS_PROXY"`
	}
	HTTPS struct {
		Proxy string `secret:"true" desc:"proxy for Trackops and for endpoints of https: http://user:password@host:port, or socks5; never used for this machine. These three may be written in lower case, which counts more"`
	}
	No struct {
		Proxy string `desc:"hosts that need no proxy, comma-separated: names, which include what is below them, addresses and CIDRs, each perhaps with a port; * for all"`
	}
	Log struct {
		Level  string `default:"info" desc:"debug, info, warn or error"`
		Format string `desc:"text or json; unset: text on a terminal, else json"`
	}
}

// loadConfig reads the environment, given as os.Environ has it. Its error is a
// configErrors: every mistake there is, and never the value of a secret. It
// reads the files that the environment names and changes nothing.
func loadConfig(environ []string, kinds []connectors.Kind) (config, error) {
	l := newLoader(environ)
	var s settings
	l.fill("", &s)
	all := l.allCollections()
	c := config{
		Accounts:    l.accounts(s.Trackops.API, s.Trackops.Accounts),
		Rate:        l.apiRate(s.Trackops.API.Rate),
		Collections: l.polled(s.Poll.Collections, all),
		RecordURL:   parse(l, "TRACKOPS_RECORD_URL", s.Trackops.Record.URL, acceptedRecordURL, readRecordURL),
		Poll:        l.poll(s.Poll.MaxAge, s.Poll.SweepShare),
		DataDir:     parse(l, "DATA_DIR", s.Data.Dir, "a folder, which is created if it does not exist", readFolder),
		NATS:        l.nats(s.NATS),
		Stream:      l.stream(s.Stream.MaxAge, s.Stream.MaxBytes),
		HTTPListen:  parse(l, "HTTP_LISTEN", s.HTTP.Listen, acceptedListen, readListen),
		LogLevel:    parse(l, "LOG_LEVEL", s.Log.Level, "debug, info, warn or error", readLevel),
		LogFormat:   parse(l, "LOG_FORMAT", s.Log.Format, "text or json", readFormat),
	}
	if c.HTTPListen != "" && c.HTTPListen == c.NATS.Listen && !strings.HasSuffix(c.HTTPListen, ":0") {
		l.report("HTTP_LISTEN", "the address of NATS_LISTEN", "an address of its own")
	}
	l.feasible(c)
	c.Proxy = l.proxies(s)
	c.Connectors = l.connectors(behindProxy(kinds, c.Proxy), collectionNames(all), collectionNames(c.Collections))
	l.keepsLongEnough(c)
	l.rejectUnknown(kinds)
	if err := l.err(); err != nil {
		return config{}, err
	}
	return c, nil
}

func (l *loader) stream(maxAge, maxBytes string) streamConfig {
	const leastAge, leastBytes = time.Minute, 1 << 20
	s := streamConfig{
		MaxAge: parse(l, "STREAM_MAX_AGE", maxAge, "a duration of at least 1m, as 720h or 30d", func(v string) (time.Duration, error) {
			d, err := readDuration(v)
			if err == nil && d < leastAge {
				err = fmt.Errorf("%s is too short", quote(v))
			}
			return d, err
		}),
		MaxBytes: parse(l, "STREAM_MAX_BYTES", maxBytes, "a size of at least 1MiB, as 512MB or 10GiB", func(v string) (int64, error) {
			n, err := readBytes(v)
			if err == nil && n < leastBytes {
				err = fmt.Errorf("%s is too small", quote(v))
			}
			return n, err
		}),
	}
	return s
}

func readLevel(value string) (slog.Level, error) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(value, level.String()) {
			return level, nil
		}
	}
	return 0, fmt.Errorf("%s is not a level", quote(value))
}

func readFormat(value string) (string, error) {
	switch value {
	case "", "text", "json":
		return value, nil
	}
	return "", fmt.Errorf("%s is not a format", quote(value))
}

// readFolder refuses what cannot become a folder: a file, or a path below one.
func readFolder(value string) (string, error) {
	for dir := filepath.Clean(value); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir() && dir == filepath.Clean(value):
			return "", errors.New("names a file")
		case err == nil && !info.IsDir():
			return "", errors.New("lies below a file")
		case err == nil || dir == filepath.Dir(dir):
			return value, nil
		}
	}
}
