package main

import (
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/poller"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

func load(t *testing.T, environ []string) config {
	t.Helper()
	c, err := loadConfig(environ, fakeKinds())
	if err != nil {
		t.Fatalf("loadConfig: %v", err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got := load(t, base())
	want := config{
		Accounts:    []account{{"acme", "dispatch", secretMark + "-token", "https://acme.viewcases.com/api/v1"}},
		Rate:        0.5,
		Collections: trackops.Collections(),
		Poll:        pollConfig{SweepShare: poller.DefaultSweepShare},
		DataDir:     "data",
		NATS:        natsConfig{Listen: "127.0.0.1:4222", OutboxHold: 10 * time.Second},
		Stream:      streamConfig{MaxAge: 720 * time.Hour, MaxBytes: 1 << 30},
		HTTPListen:  "127.0.0.1:8080",
		LogLevel:    slog.LevelInfo,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

func TestEveryVariableCounts(t *testing.T) {
	t.Parallel()
	got := load(t, base(
		"TRACKOPS_API_URL=http://127.0.0.1:9000/api/v1/", "TRACKOPS_API_RATE=1", "DATA_DIR="+t.TempDir()+"/new/data",
		"NATS_URL=nats://a.example.com:4222, tls://b.example.com", "NATS_USER=u", "NATS_PASSWORD=p", "NATS_OUTBOX_HOLD=1h",
		"NATS_LISTEN=not looked at", "STREAM_MAX_AGE=1d12h", "STREAM_MAX_BYTES=1.5gb", "HTTP_LISTEN=off", "LOG_LEVEL=DEBUG", "LOG_FORMAT=json",
		"POLL_COLLECTIONS=clients, cases,clients,", "COLLECTION_CLIENTS_IGNORE=/notes,/x/*/y", "COLLECTION_CASES_QUERY=client=5",
		"POLL_MAX_AGE=1m30s", "POLL_SWEEP_SHARE=0.2", "TRACKOPS_RECORD_URL=https://x.example/{id}",
	))
	if want := "https://x.example/{id}"; got.RecordURL != want {
		t.Errorf("records are at %q, want %q", got.RecordURL, want)
	}
	if want := (pollConfig{90 * time.Second, 0.2}); got.Poll != want {
		t.Errorf("poll %+v, want %+v", got.Poll, want)
	}
	if got.Accounts[0].URL != "http://127.0.0.1:9000/api/v1" || got.Rate != 1 || !strings.HasSuffix(got.DataDir, "/new/data") {
		t.Errorf("account %+v, rate %v, data %v", got.Accounts, got.Rate, got.DataDir)
	}
	if want := (natsConfig{URL: "nats://a.example.com:4222,tls://b.example.com", User: "u", Password: "p", OutboxHold: time.Hour}); got.NATS != want {
		t.Errorf("NATS %+v, want %+v", got.NATS, want)
	}
	if want := (streamConfig{36 * time.Hour, 1_500_000_000}); got.Stream != want {
		t.Errorf("stream %+v, want %+v", got.Stream, want)
	}
	if got.HTTPListen != "" || got.LogLevel != slog.LevelDebug || got.LogFormat != "json" {
		t.Errorf("listen %q, level %v, format %q", got.HTTPListen, got.LogLevel, got.LogFormat)
	}
	if names := collectionNames(got.Collections); !slices.Equal(names, []string{"clients", "cases"}) {
		t.Fatalf("collections %q", names)
	}
	if ignore := got.Collections[0].Ignore; !slices.Equal(ignore, []string{"/notes", "/x/*/y"}) {
		t.Errorf("clients ignore %q", ignore)
	}
	if want := (url.Values{"is_request": {"false"}, "client": {"5"}}); !reflect.DeepEqual(got.Collections[1].Query, want) {
		t.Errorf("cases ask %v, want %v", got.Collections[1].Query, want)
	}
}

func TestAddedCollections(t *testing.T) {
	t.Parallel()
	added := []string{
		"COLLECTION_TIME_ENTRIES_PATH=/time/entries/", "COLLECTION_TIME_ENTRIES_ID=uid", "COLLECTION_TIME_ENTRIES_UPDATED=changed_at",
		"COLLECTION_TIME_ENTRIES_CREATED=made_at", "COLLECTION_TIME_ENTRIES_IGNORE=/x", "COLLECTION_TIME_ENTRIES_QUERY=a=b",
	}
	want := trackops.Collection{
		Name: "time_entries", Path: "time/entries", ID: "uid", Updated: "changed_at", Created: "made_at", UpdatedFrom: true,
		CreatedFrom: "created_from", CreatedTo: "created_to", Ignore: []string{"/x"}, Query: url.Values{"a": {"b"}},
	}
	documented := len(trackops.Collections())
	all := load(t, base(added...)).Collections
	if len(all) != documented+1 || !reflect.DeepEqual(all[documented], want) {
		t.Errorf("added collection is\n%+v, want\n%+v", all[len(all)-1], want)
	}
	if names := collectionNames(load(t, base(append(added, "POLL_COLLECTIONS=clients")...)).Collections); !slices.Equal(names, []string{"clients"}) {
		t.Errorf("polled %q, though POLL_COLLECTIONS leaves the added one out", names)
	}
	if names := collectionNames(load(t, base(append(added, "POLL_COLLECTIONS=time_entries")...)).Collections); !slices.Equal(names, []string{"time_entries"}) {
		t.Errorf("polled %q, want the added one", names)
	}
	plain := load(t, base("COLLECTION_NOTES_PATH=notes")).Collections[documented]
	if want := (trackops.Collection{Name: "notes", Path: "notes"}); !reflect.DeepEqual(plain, want) {
		t.Errorf("added collection is %+v, want %+v", plain, want)
	}
}

func TestSeveralAccounts(t *testing.T) {
	t.Parallel()
	c := load(t, several("TRACKOPS_GLOBEX_EAST_SUBDOMAIN=globex-east", "TRACKOPS_GLOBEX_EAST_URL=http://[::1]:9000", "TRACKOPS_API_RATE=0.25"))
	want := []account{
		{"acme", "dispatch", secretMark + "-acme", "https://acme.viewcases.com/api/v1"},
		{"globex-east", "office", secretMark + "-globex", "http://[::1]:9000"},
	}
	if !slices.Equal(c.Accounts, want) || c.Rate != 0.25 {
		t.Errorf("accounts %+v at %v, want %+v", c.Accounts, c.Rate, want)
	}
	c = load(t, several("TRACKOPS_API_URL=https://proxy.example.com/{subdomain}/v1"))
	if got := c.Accounts[1].URL; got != "https://proxy.example.com/globex-east/v1" {
		t.Errorf("address %q", got)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for content, want := range map[string]string{"abc": "abc", "abc\n": "abc", "abc\r\n": "abc", "a c\n\n": "a c\n", " abc\n": " abc"} {
		c := load(t, base("NATS_TOKEN_FILE="+file(content)))
		if c.NATS.Token != want {
			t.Errorf("file %q gives %q, want %q", content, c.NATS.Token, want)
		}
	}
	c := load(t, base("TRACKOPS_API_TOKEN=", "TRACKOPS_API_TOKEN_FILE="+file("tok\n"), "CONNECTOR_A_TYPE=hook",
		"CONNECTOR_A_URL_FILE="+file("https://x.example.com/y"), "CONNECTOR_A_CA_FILE=/an/ordinary/path"))
	s := c.Connectors[0].Settings.(*hookSettings)
	if c.Accounts[0].Token != "tok" || s.URL != "https://x.example.com/y" || s.CAFile != "/an/ordinary/path" {
		t.Errorf("token %q, settings %+v", c.Accounts[0].Token, s)
	}
}

func TestConnectors(t *testing.T) {
	t.Parallel()
	c := load(t, base(
		"CONNECTOR_NEW_CLIENTS_TYPE=chat", "CONNECTOR_NEW_CLIENTS_WEBHOOK_URL=https://x.example.com", "CONNECTOR_NEW_CLIENTS_EVENTS=clients.created",
		"CONNECTOR_BOSS_TYPE=mail", "CONNECTOR_BOSS_SMTP_HOST=mx", "CONNECTOR_BOSS_SMTP_PORT=25", "CONNECTOR_BOSS_LINES=3",
		"CONNECTOR_BOSS_RATE=0.5", "CONNECTOR_BOSS_TIMEOUT=5s", "CONNECTOR_BOSS_RETRY=1m, 1d", "CONNECTOR_BOSS_FILTER=true",
		"CONNECTOR_BOSS_CHAT_TYPE=chat", "CONNECTOR_BOSS_CHAT_WEBHOOK_URL=https://x.example.com", "CONNECTOR_BOSS_CHAT_RETRY=off",
	))
	if len(c.Connectors) != 3 {
		t.Fatalf("%d connectors, want 3", len(c.Connectors))
	}
	boss, bossChat, clients := c.Connectors[0], c.Connectors[1], c.Connectors[2]
	if boss.Name != "boss" || bossChat.Name != "boss-chat" || clients.Name != "new-clients" {
		t.Errorf("names %q, %q, %q", boss.Name, bossChat.Name, clients.Name)
	}
	if want := (mailSettings{SMTPHost: "mx", SMTPPort: "25", Lines: 3}); *boss.Settings.(*mailSettings) != want {
		t.Errorf("settings %+v, want %+v", boss.Settings, want)
	}
	if boss.Rate != 0.5 || boss.Timeout != 5*time.Second || !slices.Equal(boss.Retry, []time.Duration{time.Minute, 24 * time.Hour}) || boss.Filter == nil {
		t.Errorf("boss: %+v", boss)
	}
	if clients.Rate != 1 || clients.Timeout != 10*time.Second || !slices.Equal(clients.Retry, []time.Duration{time.Second, time.Hour}) || clients.Filter != nil {
		t.Errorf("the kind's defaults do not apply: %+v", clients)
	}
	if len(bossChat.Retry) != 0 {
		t.Errorf("retry off gives %v", bossChat.Retry)
	}
	if got := clients.Subjects(c.Accounts, c.Collections); !slices.Equal(got, []string{"trackops.acme.clients.created"}) {
		t.Errorf("subjects %q", got)
	}
	if _, err := clients.New(connectors.Env{Version: "1"}); err != nil {
		t.Errorf("New: %v", err)
	}
}

func TestNoiseIsIgnored(t *testing.T) {
	t.Parallel()
	load(t, base(
		// What Kubernetes adds for services named trackops, poll-x, collection-a, connector-mail.
		"TRACKOPS_SERVICE_HOST=10.0.0.1", "TRACKOPS_SERVICE_PORT=8080", "TRACKOPS_SERVICE_PORT_HTTP=8080", "TRACKOPS_PORT=tcp://10.0.0.1:8080",
		"TRACKOPS_PORT_8080_TCP=tcp://10.0.0.1:8080", "TRACKOPS_PORT_8080_TCP_ADDR=10.0.0.1", "POLL_X_SERVICE_HOST=10.0.0.1",
		"COLLECTION_A_PORT=tcp://10.0.0.1:1", "CONNECTOR_MAIL_PORT_25_TCP_PROTO=tcp", "CONNECTOR_MAIL_SERVICE_PORT=25",
		// Empty is unset, also of what nobody knows.
		"TRACKOPS_NOTHING=", "CONNECTOR_NONE_TYPE=", "LOG_LEVEL=", "NATS_URL=",
		// Not ours.
		"NATS_CONTEXT=dev", "HTTP_PROXY=http://proxy", "LOG_COLOR=1", "DATA_DISK=x", "STREAM=1", "trackops_api_x=1", "TRACKOPS=1", "=C:=C:\\", "plain",
	))
}

func TestLaterEntriesWin(t *testing.T) {
	t.Parallel()
	if c := load(t, base("TRACKOPS_API_SUBDOMAIN=globex")); c.Accounts[0].Subdomain != "globex" {
		t.Errorf("subdomain %q, want the later one", c.Accounts[0].Subdomain)
	}
}

// The process's own environment is not what loadConfig was given.
func TestProcessEnvironmentIsOutOfReach(t *testing.T) {
	t.Setenv("TRACKOPS_API_RATE", "1")
	t.Setenv("LEVEL", "debug")
	t.Setenv("LOG_LEVEL", "debug")
	before := os.Environ()
	if c := load(t, base()); c.Rate != 0.5 || c.LogLevel != slog.LevelInfo {
		t.Errorf("rate %v and level %v come from the process", c.Rate, c.LogLevel)
	}
	after := os.Environ()
	slices.Sort(before)
	slices.Sort(after)
	if !slices.Equal(before, after) {
		t.Errorf("loadConfig left something behind in the process's environment")
	}
}

func FuzzLoadConfig(f *testing.F) {
	f.Add(strings.Join(base(chat, chatURL), "\n"))
	f.Add(strings.Join(several("CONNECTOR_A_B_TYPE=hook", "CONNECTOR_A_TYPE=mail", "COLLECTION_X_PATH=a/b"), "\n"))
	f.Add("TRACKOPS_ACCOUNTS=api,-,a\nCONNECTOR__TYPE=chat\nSTREAM_MAX_BYTES=1e9\nNATS_LISTEN=:\nCONNECTOR_A_EVENTS=*.*.*\nCOLLECTION_A_QUERY=%")
	f.Fuzz(func(t *testing.T, text string) {
		environ := strings.Split(text, "\n")
		for _, entry := range environ {
			if _, value, _ := strings.Cut(entry, "="); strings.HasPrefix(value, "/") {
				return // a device could block
			}
		}
		c, err := loadConfig(environ, fakeKinds())
		if err == nil && len(c.Accounts) == 0 {
			t.Error("no mistake and no account")
		}
		if err != nil && len(strings.Split(err.Error(), "\n")) != len(err.(configErrors)) {
			t.Errorf("not one mistake a line: %q", err)
		}
	})
}
