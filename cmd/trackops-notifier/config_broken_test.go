package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// secretMark is part of every secret here and of nothing else.
const secretMark = "s3cr3t"

// base is a small environment without mistakes, and more may follow it.
func base(more ...string) []string {
	return append([]string{
		"TRACKOPS_API_SUBDOMAIN=acme",
		"TRACKOPS_API_USERNAME=dispatch",
		"TRACKOPS_API_TOKEN=" + secretMark + "-token",
		"PATH=/usr/bin",
	}, more...)
}

// several is an environment with two accounts.
func several(more ...string) []string {
	return append([]string{
		"TRACKOPS_ACCOUNTS=acme, globex-east",
		"TRACKOPS_ACME_USERNAME=dispatch",
		"TRACKOPS_ACME_TOKEN=" + secretMark + "-acme",
		"TRACKOPS_GLOBEX_EAST_USERNAME=office",
		"TRACKOPS_GLOBEX_EAST_TOKEN=" + secretMark + "-globex",
	}, more...)
}

const chat = "CONNECTOR_SALES_TYPE=chat"
const chatURL = "CONNECTOR_SALES_WEBHOOK_URL=https://hooks.example.com/" + secretMark

func TestBrokenEnvironments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	empty, text := write("empty", ""), write("text", secretMark+"\n")
	large := write("large", strings.Repeat(secretMark, maxSecretFile))

	tests := []struct {
		name     string
		environ  []string
		variable string // the only one with a mistake
		says     string // part of what is wrong and accepted
	}{
		{"no subdomain", base("TRACKOPS_API_SUBDOMAIN="), "TRACKOPS_API_SUBDOMAIN", "not set; accepted: the part before .viewcases.com"},
		{"subdomain is a host", base("TRACKOPS_API_SUBDOMAIN=acme.viewcases.com"), "TRACKOPS_API_SUBDOMAIN", "the part before .viewcases.com"},
		{"subdomain in capitals", base("TRACKOPS_API_SUBDOMAIN=Acme"), "TRACKOPS_API_SUBDOMAIN", "lower-case letters"},
		{"no user name", base("TRACKOPS_API_USERNAME="), "TRACKOPS_API_USERNAME", "an employee with full access"},
		{"user name with the suffix of the wire", base("TRACKOPS_API_USERNAME=dispatch/token"), "TRACKOPS_API_USERNAME", "without /token"},
		{"user name with a colon", base("TRACKOPS_API_USERNAME=a:b"), "TRACKOPS_API_USERNAME", "colon"},
		{"no token", base("TRACKOPS_API_TOKEN="), "TRACKOPS_API_TOKEN", "TRACKOPS_API_TOKEN_FILE"},
		{"token with a space", base("TRACKOPS_API_TOKEN= " + secretMark), "TRACKOPS_API_TOKEN", "white space"},
		{"token twice", base("TRACKOPS_API_TOKEN_FILE=" + text), "TRACKOPS_API_TOKEN_FILE", "one of the two"},
		{"token's file is missing", base("TRACKOPS_API_TOKEN=", "TRACKOPS_API_TOKEN_FILE="+dir+"/none"), "TRACKOPS_API_TOKEN_FILE", "a readable file"},
		{"token in place of its file", base("TRACKOPS_API_TOKEN=", "TRACKOPS_API_TOKEN_FILE="+secretMark), "TRACKOPS_API_TOKEN_FILE", "a readable file"},
		{"token's file is empty", base("TRACKOPS_API_TOKEN=", "TRACKOPS_API_TOKEN_FILE="+empty), "TRACKOPS_API_TOKEN_FILE", "an empty file"},
		{"token's file is a folder", base("TRACKOPS_API_TOKEN=", "TRACKOPS_API_TOKEN_FILE="+dir), "TRACKOPS_API_TOKEN_FILE", "a folder"},
		{"token's file is huge", base("TRACKOPS_API_TOKEN=", "TRACKOPS_API_TOKEN_FILE="+large), "TRACKOPS_API_TOKEN_FILE", "64 KiB"},
		{"user name from a file", base("TRACKOPS_API_USERNAME_FILE=" + text), "TRACKOPS_API_USERNAME_FILE", "accepted: TRACKOPS_API_USERNAME"},
		{"plain http to another machine", base("TRACKOPS_API_URL=http://proxy.example.com/api/v1"), "TRACKOPS_API_URL", "an https address"},
		{"http to a host that begins like loopback", base("TRACKOPS_API_URL=http://127.0.0.1.example.com/api/v1"), "TRACKOPS_API_URL", "an https address"},
		{"API address without scheme", base("TRACKOPS_API_URL=proxy.example.com/api"), "TRACKOPS_API_URL", "an https address"},
		{"API address with a user", base("TRACKOPS_API_URL=https://u:" + secretMark + "@proxy.example.com/"), "TRACKOPS_API_URL", "without user"},
		{"API address with a query", base("TRACKOPS_API_URL=https://proxy.example.com/?key=" + secretMark), "TRACKOPS_API_URL", "holds a query"},
		{"API address with a fragment", base("TRACKOPS_API_URL=https://proxy.example.com/#" + secretMark), "TRACKOPS_API_URL", "holds a fragment"},
		{"API address that does not parse", base("TRACKOPS_API_URL=https://%zz" + secretMark), "TRACKOPS_API_URL", "an https address"},
		{"rate of never", base("TRACKOPS_API_RATE=1e-300"), "TRACKOPS_API_RATE", "less than one request an hour"},
		{"only the beginning of a NATS address", base("NATS_URL=nats://,"), "NATS_URL", "accepted: nats://, tls://, ws:// or wss:// addresses"},
		{"rate of zero", base("TRACKOPS_API_RATE=0"), "TRACKOPS_API_RATE", "above 0, at most 1"},
		{"rate above one", base("TRACKOPS_API_RATE=1.01"), "TRACKOPS_API_RATE", "more than Trackops allows"},
		{"rate in words", base("TRACKOPS_API_RATE=slow"), "TRACKOPS_API_RATE", "at most 1"},
		{"rate is not a number", base("TRACKOPS_API_RATE=NaN"), "TRACKOPS_API_RATE", "at most 1"},
		{"misspelt variable", base("TRACKOPS_API_RAET=0.5"), "TRACKOPS_API_RAET", "accepted: TRACKOPS_API_RATE"},
		{"variable of another version", base("TRACKOPS_RECORD_PATH=" + secretMark), "TRACKOPS_RECORD_PATH", "not a known variable"},
		{"link to no page", base("TRACKOPS_RECORD_URL=/clients/{id}"), "TRACKOPS_RECORD_URL", "an absolute http or https URL"},

		{"several accounts beside one", several("TRACKOPS_API_USERNAME=dispatch"), "TRACKOPS_API_USERNAME", "TRACKOPS_<KEY>_USERNAME"},
		{"one address for several accounts", several("TRACKOPS_API_URL=https://acme.viewcases.com/api/v1"), "TRACKOPS_API_URL", "{subdomain}"},
		{"no accounts in the list", several("TRACKOPS_ACCOUNTS=,", "TRACKOPS_ACME_USERNAME=", "TRACKOPS_ACME_TOKEN=", "TRACKOPS_GLOBEX_EAST_USERNAME=", "TRACKOPS_GLOBEX_EAST_TOKEN="), "TRACKOPS_ACCOUNTS", "comma-separated"},
		{"account twice", several("TRACKOPS_ACCOUNTS=acme,globex-east,acme"), "TRACKOPS_ACCOUNTS", "twice"},
		{"account with a reserved key", several("TRACKOPS_ACCOUNTS=acme,globex-east,api"), "TRACKOPS_ACCOUNTS", "NOTIFIER"},
		{"account that is no subdomain", several("TRACKOPS_ACCOUNTS=acme,globex-east,big_one"), "TRACKOPS_ACCOUNTS", "inner hyphens"},
		{"account without a token", several("TRACKOPS_GLOBEX_EAST_TOKEN="), "TRACKOPS_GLOBEX_EAST_TOKEN", "TRACKOPS_GLOBEX_EAST_TOKEN_FILE"},
		{"account with another subdomain", several("TRACKOPS_ACME_SUBDOMAIN=other"), "TRACKOPS_ACME_SUBDOMAIN", "acme, or nothing"},
		{"account's address", several("TRACKOPS_ACME_URL=http://proxy.example.com"), "TRACKOPS_ACME_URL", "an https address"},
		{"account that is not listed", several("TRACKOPS_ACMEE_TOKEN=" + secretMark), "TRACKOPS_ACMEE_TOKEN", "accepted: TRACKOPS_ACME_TOKEN"},

		{"collection nobody knows", base("POLL_COLLECTIONS=clients,kases"), "POLL_COLLECTIONS", "the nearest is cases"},
		{"collections of commas", base("POLL_COLLECTIONS=,,"), "POLL_COLLECTIONS", "lists nothing"},
		{"unknown poll variable", base("POLL_COLLECTION=clients"), "POLL_COLLECTION", "accepted: POLL_COLLECTIONS"},
		{"age of a poll in words", base("POLL_MAX_AGE=often"), "POLL_MAX_AGE", "as 2m or 1h"},
		{"age of a poll without a unit", base("POLL_MAX_AGE=120"), "POLL_MAX_AGE", "is not a duration"},
		{"age of a poll of nothing", base("POLL_MAX_AGE=0s"), "POLL_MAX_AGE", "not above zero"},
		{"polls more often than the pace allows", base("POLL_MAX_AGE=30s"), "POLL_MAX_AGE", "more than 0.5 requests a second allow; 34s can be kept; accepted: a duration"},
		{"sweeps leave too little for the polls", base("POLL_MAX_AGE=40s", "POLL_SWEEP_SHARE=0.5"), "POLL_MAX_AGE", "66s can be kept"},
		{"polls more often than each account allows", several("POLL_MAX_AGE=30s"), "POLL_MAX_AGE", "34s can be kept"},
		{"share of sweeps in per cent", base("POLL_SWEEP_SHARE=5%"), "POLL_SWEEP_SHARE", "a number from 0.01 to 0.5"},
		{"share of sweeps is nothing", base("POLL_SWEEP_SHARE=0"), "POLL_SWEEP_SHARE", "too little"},
		{"share of sweeps is negative", base("POLL_SWEEP_SHARE=-0.1"), "POLL_SWEEP_SHARE", "from 0.01"},
		{"share of sweeps is most of it", base("POLL_SWEEP_SHARE=0.51"), "POLL_SWEEP_SHARE", "leaves polls too few"},
		{"share of sweeps is not a number", base("POLL_SWEEP_SHARE=NaN"), "POLL_SWEEP_SHARE", "from 0.01 to 0.5"},
		{"age of a poll of a collection nobody knows", base("POLL_COLLECTIONS=kases", "POLL_MAX_AGE=5s"), "POLL_COLLECTIONS", "the nearest is cases"},
		{"age of a poll at no rate", base("TRACKOPS_API_RATE=0", "POLL_MAX_AGE=5s"), "TRACKOPS_API_RATE", "above 0"},

		{"added collection is documented", base("COLLECTION_CLIENTS_PATH=clients"), "COLLECTION_CLIENTS_PATH", "not documented"},
		{"added collection is system", base("COLLECTION_SYSTEM_PATH=system"), "COLLECTION_SYSTEM_PATH", "operational events"},
		{"added collection has no name", base("COLLECTION_1ST_PATH=first"), "COLLECTION_1ST_PATH", "begins with a letter"},
		{"added collection has a bad path", base("COLLECTION_NOTES_PATH=../admin"), "COLLECTION_NOTES_PATH", "below the API's address"},
		{"variables of a collection nobody added", base("COLLECTION_NOTES_IGNORE=/a"), "COLLECTION_NOTES_IGNORE", "COLLECTION_NOTES_PATH beside it"},
		{"misspelt collection variable", base("COLLECTION_CLIENTS_INGORE=/a"), "COLLECTION_CLIENTS_INGORE", "accepted: COLLECTION_CLIENTS_IGNORE"},
		{"pointer without a slash", base("COLLECTION_CLIENTS_IGNORE=notes"), "COLLECTION_CLIENTS_IGNORE", "as /notes"},
		{"query that pages", base("COLLECTION_CLIENTS_QUERY=per_page=5"), "COLLECTION_CLIENTS_QUERY", "sets per_page"},
		{"query that does not parse", base("COLLECTION_CLIENTS_QUERY=a=%zz"), "COLLECTION_CLIENTS_QUERY", "as role=3"},
		{"identity that is no field", base("COLLECTION_CLIENTS_ID=/id"), "COLLECTION_CLIENTS_ID", "name of a field"},

		{"data folder is a file", base("DATA_DIR=" + text), "DATA_DIR", "names a file; accepted: a folder"},
		{"data folder below a file", base("DATA_DIR=" + text + "/a/b"), "DATA_DIR", "lies below a file"},
		{"NATS server of another scheme", base("NATS_URL=http://u:" + secretMark + "@nats.example.com"), "NATS_URL", "nats://, tls://"},
		{"NATS server without a scheme", base("NATS_URL=nats.example.com:4222"), "NATS_URL", "nats://, tls://"},
		{"NATS servers mixed", base("NATS_URL=nats://a.example.com,wss://b.example.com"), "NATS_URL", "mixes WebSocket"},
		{"NATS credentials missing", base("NATS_URL=nats://a.example.com", "NATS_CREDS="+dir+"/none"), "NATS_CREDS", "a readable credentials file"},
		{"NATS credentials without a server", base("NATS_CREDS=" + text), "NATS_CREDS", "NATS_URL beside it"},
		{"NATS authorities are not certificates", base("NATS_URL=tls://a.example.com", "NATS_CA="+text), "NATS_CA", "PEM file with certificates"},
		{"NATS user without password", base("NATS_USER=bob"), "NATS_PASSWORD", "the password of NATS_USER"},
		{"NATS password without user", base("NATS_PASSWORD=" + secretMark), "NATS_USER", "the user whose password"},
		{"NATS token beside a user", base("NATS_USER=bob", "NATS_PASSWORD="+secretMark, "NATS_TOKEN="+secretMark), "NATS_TOKEN", "one of NATS_CREDS"},
		{"NATS open to the world", base("NATS_LISTEN=0.0.0.0:4222"), "NATS_LISTEN", "NATS_TOKEN"},
		{"NATS open on every interface", base("NATS_LISTEN=:4222"), "NATS_LISTEN", "a loopback address"},
		{"NATS address without a port", base("NATS_LISTEN=127.0.0.1"), "NATS_LISTEN", "host:port"},
		{"NATS hold in words", base("NATS_OUTBOX_HOLD=long"), "NATS_OUTBOX_HOLD", "as 10m"},
		{"port too high", base("HTTP_LISTEN=127.0.0.1:80800"), "HTTP_LISTEN", "host:port"},
		{"address that is no address", base("HTTP_LISTEN=300.0.0.1:80"), "HTTP_LISTEN", "no valid host"},
		{"one address for both servers", base("HTTP_LISTEN=127.0.0.1:4222"), "HTTP_LISTEN", "an address of its own"},
		{"stream age without a unit", base("STREAM_MAX_AGE=30"), "STREAM_MAX_AGE", "as 720h or 30d"},
		{"stream age of nothing", base("STREAM_MAX_AGE=0s"), "STREAM_MAX_AGE", "not above zero"},
		{"stream size in words", base("STREAM_MAX_BYTES=plenty"), "STREAM_MAX_BYTES", "as 512MB or 10GiB"},
		{"stream size too small", base("STREAM_MAX_BYTES=1kB"), "STREAM_MAX_BYTES", "at least 1MiB"},
		{"stream size beyond all disks", base("STREAM_MAX_BYTES=99999999TB"), "STREAM_MAX_BYTES", "too large"},
		{"log level", base("LOG_LEVEL=loud"), "LOG_LEVEL", "debug, info, warn or error"},
		{"log format", base("LOG_FORMAT=xml"), "LOG_FORMAT", "text or json"},

		{"unknown kind", base("CONNECTOR_SALES_TYPE=fax"), "CONNECTOR_SALES_TYPE", "accepted: chat, hook, mail"},
		{"connector without a name", base("CONNECTOR__TYPE=chat"), "CONNECTOR__TYPE", "begins with a letter"},
		{"connector in small letters", base("CONNECTOR_sales_TYPE=chat"), "CONNECTOR_sales_TYPE", "capital letters"},
		{"connector with two underscores", base("CONNECTOR_NEW__CLIENTS_TYPE=chat"), "CONNECTOR_NEW__CLIENTS_TYPE", "single underscores"},
		{"connector nobody declared", base(chatURL), "CONNECTOR_SALES_WEBHOOK_URL", "CONNECTOR_SALES_TYPE beside it, to declare the connector (chat, hook, mail)"},
		{"connector declared with a slip", base("CONNECTOR_SALES_TPYE=chat"), "CONNECTOR_SALES_TPYE", "accepted: CONNECTOR_SALES_TYPE"},
		{"misspelt connector variable", base(chat, chatURL, "CONNECTOR_SALES_CHANEL=#a"), "CONNECTOR_SALES_CHANEL", "accepted: CONNECTOR_SALES_CHANNEL"},
		{"variable of another kind", base(chat, chatURL, "CONNECTOR_SALES_URL=https://x.example.com/"+secretMark), "CONNECTOR_SALES_URL", "accepted: CONNECTOR_SALES_"},
		{"misspelt variable of another kind", base(chat, chatURL, "CONNECTOR_SALES_LINE=3"), "CONNECTOR_SALES_LINE", "accepted: CONNECTOR_SALES_RATE"},
		{"connector's secret is wrong", base(chat, "CONNECTOR_SALES_WEBHOOK_URL="+secretMark), "CONNECTOR_SALES_WEBHOOK_URL", "an absolute http or https URL"},
		{"connector's secret file is missing", base(chat, "CONNECTOR_SALES_WEBHOOK_URL_FILE="+dir+"/none"), "CONNECTOR_SALES_WEBHOOK_URL_FILE", "a readable file"},
		{"connector's setting is missing", base("CONNECTOR_BOSS_TYPE=mail"), "CONNECTOR_BOSS_SMTP_HOST", "a host"},
		{"connector's number is a word", base("CONNECTOR_BOSS_TYPE=mail", "CONNECTOR_BOSS_SMTP_HOST=mx", "CONNECTOR_BOSS_LINES=many"), "CONNECTOR_BOSS_LINES", "type int"},
		{"port of a mail server like Kubernetes' noise", base("CONNECTOR_BOSS_TYPE=mail", "CONNECTOR_BOSS_SMTP_HOST=mx", "CONNECTOR_BOSS_SMTP_PORT=tcp://10.0.0.1:25"), "CONNECTOR_BOSS_SMTP_PORT", "1 to 65535"},
		{"events without an action", base(chat, chatURL, "CONNECTOR_SALES_EVENTS=clients"), "CONNECTOR_SALES_EVENTS", "clients.created"},
		{"events of an unknown action", base(chat, chatURL, "CONNECTOR_SALES_EVENTS=clients.changed"), "CONNECTOR_SALES_EVENTS", "created, updated, deleted, restored"},
		{"events of a collection that is not polled", base("POLL_COLLECTIONS=cases,clients", chat, chatURL, "CONNECTOR_SALES_EVENTS=invoices.*"), "CONNECTOR_SALES_EVENTS", "a collection that is polled: cases, clients"},
		{"operational events of an unknown action", base(chat, chatURL, "CONNECTOR_SALES_EVENTS=system.created"), "CONNECTOR_SALES_EVENTS", "credentials_rejected"},
		{"operational action of any collection", base(chat, chatURL, "CONNECTOR_SALES_EVENTS=*.dead_lettered"), "CONNECTOR_SALES_EVENTS", "created, updated"},
		{"filter that does not compile", base(chat, chatURL, "CONNECTOR_SALES_FILTER=nope("), "CONNECTOR_SALES_FILTER", "(1:5); accepted: an expression over the event"},
		{"negative messages a second", base(chat, chatURL, "CONNECTOR_SALES_RATE=-1"), "CONNECTOR_SALES_RATE", "messages a second"},
		{"timeout of zero", base(chat, chatURL, "CONNECTOR_SALES_TIMEOUT=0s"), "CONNECTOR_SALES_TIMEOUT", "above zero"},
		{"schedule with a word in it", base(chat, chatURL, "CONNECTOR_SALES_RETRY=5s,soon"), "CONNECTOR_SALES_RETRY", "5s,5m,30m,2h"},
		{"a value with a NUL byte", base(chat, chatURL, "CONNECTOR_SALES_CHANNEL=a\x00b"), "CONNECTOR_SALES_CHANNEL", "NUL"},
		{"field to keep without a slash", base(chat, chatURL, "CONNECTOR_SALES_FIELDS=/name,notes"), "CONNECTOR_SALES_FIELDS", `"notes" is not a JSON Pointer; accepted: pointers into the record`},
		{"field to omit without a slash", base(chat, chatURL, "CONNECTOR_SALES_OMIT=ssn,/notes"), "CONNECTOR_SALES_OMIT", `"ssn" is not a JSON Pointer`},
		{"field to omit with a bad escape", base(chat, chatURL, "CONNECTOR_SALES_OMIT=/a~2b"), "CONNECTOR_SALES_OMIT", "is written ~0"},
		{"digest in words", base(chat, chatURL, "CONNECTOR_SALES_DIGEST=often"), "CONNECTOR_SALES_DIGEST", "is not a digest; accepted: a duration of whole seconds from 10s to 7d"},
		{"digest without a unit", base(chat, chatURL, "CONNECTOR_SALES_DIGEST=15"), "CONNECTOR_SALES_DIGEST", "hourly, daily@08:00"},
		{"digest of moments", base(chat, chatURL, "CONNECTOR_SALES_DIGEST=9s"), "CONNECTOR_SALES_DIGEST", "too short"},
		{"digest of months", base(chat, chatURL, "CONNECTOR_SALES_DIGEST=8d"), "CONNECTOR_SALES_DIGEST", "too long"},
		{"digest of half seconds", base(chat, chatURL, "CONNECTOR_SALES_DIGEST=90500ms"), "CONNECTOR_SALES_DIGEST", "whole seconds"},
		{"daily at no time", base(chat, chatURL, "CONNECTOR_SALES_DIGEST=daily@24:00"), "CONNECTOR_SALES_DIGEST", "not a time of the day"},
		{"weekly on no day", base(chat, chatURL, "CONNECTOR_SALES_DIGEST=weekly@monday-08:00"), "CONNECTOR_SALES_DIGEST", "not a day of the week; accepted: a duration"},
		{"digest longer than the stream", base(chat, chatURL, "CONNECTOR_SALES_DIGEST=weekly@mon-08:00", "STREAM_MAX_AGE=24h"), "CONNECTOR_SALES_DIGEST", "STREAM_MAX_AGE keeps events for 24h"},
		{"quiet hours without minutes", base(chat, chatURL, "CONNECTOR_SALES_QUIET_HOURS=22-7"), "CONNECTOR_SALES_QUIET_HOURS", "times of the day as 22:00-07:00"},
		{"quiet hours of nothing", base(chat, chatURL, "CONNECTOR_SALES_QUIET_HOURS=07:00-07:00"), "CONNECTOR_SALES_QUIET_HOURS", "ends where it begins"},
		{"quiet all day", base(chat, chatURL, "CONNECTOR_SALES_QUIET_HOURS=00:00-12:00,12:00-00:00"), "CONNECTOR_SALES_QUIET_HOURS", "the whole day is quiet"},
		{"time zone of nowhere", base(chat, chatURL, "CONNECTOR_SALES_DIGEST=1h", "CONNECTOR_SALES_TIMEZONE=Berlin"), "CONNECTOR_SALES_TIMEZONE", "an IANA name, as Europe/Berlin"},
		{"time zone of this machine", base(chat, chatURL, "CONNECTOR_SALES_DIGEST=1h", "CONNECTOR_SALES_TIMEZONE=Local"), "CONNECTOR_SALES_TIMEZONE", "an IANA name"},
		{"time zone of nothing", base(chat, chatURL, "CONNECTOR_SALES_TIMEZONE=UTC"), "CONNECTOR_SALES_TIMEZONE", "without DIGEST and QUIET_HOURS; accepted: one of them"},
		{"urgent does not compile", base(chat, chatURL, "CONNECTOR_SALES_DIGEST=1h", "CONNECTOR_SALES_URGENT=nope("), "CONNECTOR_SALES_URGENT", "(1:5); accepted: an expression over the event"},
		{"urgent is a number", base(chat, chatURL, "CONNECTOR_SALES_QUIET_HOURS=22:00-07:00", "CONNECTOR_SALES_URGENT=5"), "CONNECTOR_SALES_URGENT", "expected bool"},
		{"urgent where nothing waits", base(chat, chatURL, "CONNECTOR_SALES_URGENT=true"), "CONNECTOR_SALES_URGENT", "everything is told at once; accepted: one of them beside it"},
		{"fallback nobody knows", base(chat, chatURL, "CONNECTOR_BOSS_TYPE=mail", "CONNECTOR_BOSS_SMTP_HOST=mx", "CONNECTOR_SALES_FALLBACK=BOSS"), "CONNECTOR_SALES_FALLBACK", "is no connector; accepted: the name of another connector; the nearest is boss"},
		{"fallback where there is no other", base(chat, chatURL, "CONNECTOR_SALES_FALLBACK=boss"), "CONNECTOR_SALES_FALLBACK", "and there is none"},
		{"fallback to itself", base(chat, chatURL, "CONNECTOR_SALES_FALLBACK=sales"), "CONNECTOR_SALES_FALLBACK", "the connector itself; accepted: the name of another"},
		{"fallback after a word", base(chat, chatURL, "CONNECTOR_BOSS_TYPE=mail", "CONNECTOR_BOSS_SMTP_HOST=mx", "CONNECTOR_SALES_FALLBACK=boss", "CONNECTOR_SALES_FALLBACK_AFTER=soon"), "CONNECTOR_SALES_FALLBACK_AFTER", "above zero, as 10m"},
		{"fallback after no time", base(chat, chatURL, "CONNECTOR_BOSS_TYPE=mail", "CONNECTOR_BOSS_SMTP_HOST=mx", "CONNECTOR_SALES_FALLBACK=boss", "CONNECTOR_SALES_FALLBACK_AFTER=0s"), "CONNECTOR_SALES_FALLBACK_AFTER", "above zero"},
		{"time of no fallback", base(chat, chatURL, "CONNECTOR_SALES_FALLBACK_AFTER=1m"), "CONNECTOR_SALES_FALLBACK_AFTER", "without FALLBACK; accepted: FALLBACK beside it"},
		{"catching up on some", base(chat, chatURL, "CONNECTOR_BOSS_TYPE=mail", "CONNECTOR_BOSS_SMTP_HOST=mx", "CONNECTOR_SALES_FALLBACK=boss", "CONNECTOR_SALES_CATCHUP=some"), "CONNECTOR_SALES_CATCHUP", "accepted: all or latest"},
		{"catching up without a fallback", base(chat, chatURL, "CONNECTOR_SALES_CATCHUP=all"), "CONNECTOR_SALES_CATCHUP", "without FALLBACK"},
		{"template of a kind that has none", base(chat, chatURL, "CONNECTOR_SALES_TEMPLATE=x"), "CONNECTOR_SALES_TEMPLATE", "not a known variable"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			errs := mistakes(t, test.environ)
			if got := variablesOf(errs); !slices.Equal(got, []string{test.variable}) {
				t.Fatalf("mistakes in %q, want %q only:\n%v", got, test.variable, errs)
			}
			if !strings.Contains(errs.Error(), test.says) {
				t.Errorf("message\n%v\nlacks %q", errs, test.says)
			}
		})
	}
}

// mistakes loads a broken environment and checks what holds for every message.
func mistakes(t *testing.T, environ []string) configErrors {
	t.Helper()
	_, err := loadConfig(environ, fakeKinds())
	var errs configErrors
	if !errors.As(err, &errs) {
		t.Fatalf("loadConfig(%q) = %v, want a configErrors", environ, err)
	}
	if strings.Contains(err.Error(), secretMark) {
		t.Errorf("message shows a secret:\n%v", err)
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(errs) || !slices.IsSorted(variablesWithRepeats(errs)) {
		t.Errorf("%d mistakes are not one a line by variable:\n%v", len(errs), err)
	}
	for _, m := range errs {
		if m.Variable == "" || m.Problem == "" || m.Accepted == "" {
			t.Errorf("mistake %+v says too little", m)
		}
	}
	return errs
}

func variablesOf(errs configErrors) []string { return slices.Compact(variablesWithRepeats(errs)) }

func variablesWithRepeats(errs configErrors) []string {
	var names []string
	for _, m := range errs {
		names = append(names, m.Variable)
	}
	return names
}

func TestAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	errs := mistakes(t, []string{
		"TRACKOPS_API_SUBDOMAIN=Acme Inc",
		"TRACKOPS_API_TOKEN=" + secretMark,
		"TRACKOPS_API_RATE=5",
		"TRACKOPS_API_RTAE=5",
		"TRACKOPS_API_URL=ftp://x",
		"POLL_COLLECTIONS=nothing",
		"NATS_LISTEN=0.0.0.0:4222",
		"LOG_LEVEL=loud",
		"CONNECTOR_A_TYPE=fax",
		"CONNECTOR_A_RATE=x",
		"CONNECTOR_B_TYPE=mail",
		"CONNECTOR_B_LINES=many",
		"CONNECTOR_B_SMTP_PORT=x",
		"CONNECTOR_B_EVENTS=clients,*.exploded,clients.created", // the last is fine whatever POLL_COLLECTIONS meant
		"CONNECTOR_B_RETRY=x",
	})
	want := []string{
		"CONNECTOR_A_RATE", "CONNECTOR_A_TYPE", "CONNECTOR_B_EVENTS", "CONNECTOR_B_LINES", "CONNECTOR_B_RETRY",
		"CONNECTOR_B_SMTP_HOST", "CONNECTOR_B_SMTP_PORT", "LOG_LEVEL", "NATS_LISTEN", "POLL_COLLECTIONS",
		"TRACKOPS_API_RATE", "TRACKOPS_API_RTAE", "TRACKOPS_API_SUBDOMAIN", "TRACKOPS_API_URL", "TRACKOPS_API_USERNAME",
	}
	if got := variablesOf(errs); !slices.Equal(got, want) {
		t.Errorf("mistakes in\n%q, want\n%q", got, want)
	}
	if len(errs) != len(want)+1 { // each bad pattern of CONNECTOR_B_EVENTS
		t.Errorf("%d mistakes, want %d:\n%v", len(errs), len(want)+1, errs)
	}
}

// The name that is proposed is one that would be accepted, near and not its own.
func TestWhatAnUnknownNameWasMeantToBe(t *testing.T) {
	t.Parallel()
	hook := []string{"CONNECTOR_A_TYPE=webhook", "CONNECTOR_A_URL=https://x.example.com"}
	for name, want := range map[string]string{
		"CONNECTOR_A_WEBHOOK_URL":       "CONNECTOR_A_URL",
		"CONNECTOR_A_EVENT":             "CONNECTOR_A_EVENTS",
		"CONNECTOR_A_SECRETS":           "CONNECTOR_A_SECRET",
		"CONNECTOR_A_EVENTS_FILE":       "CONNECTOR_A_EVENTS, as only a secret can come from a file",
		"CONNECTOR_A_CA_FILE_FILE":      "CONNECTOR_A_CA_FILE, as only a secret can come from a file",
		"CONNECTOR_A_TYPE_FILE":         "CONNECTOR_A_TYPE, as only a secret can come from a file",
		"CONNECTOR_AA_EVENTS":           "CONNECTOR_AA_TYPE beside it, to declare the connector (console, email, slack, webhook); or CONNECTOR_A_EVENTS",
		"CONNECTOR_AB_EVNTS":            "CONNECTOR_AB_EVENTS",
		"POLL_FOO":                      "POLL_MAX_AGE",
		"POLL_INTERVAL":                 "POLL_MAX_AGE",
		"TRACKOPS_TOKEN":                "TRACKOPS_API_TOKEN",
		"TRACKOPS_API_SUBDOMAIN_FILE":   "TRACKOPS_API_SUBDOMAIN, as only a secret can come from a file",
		"COLLECTION_CLINETS_IGNORE":     "COLLECTION_CLINETS_PATH beside it, to add the collection; or COLLECTION_CLIENTS_IGNORE",
		"COLLECTION_CLIENTS_FOO":        "COLLECTION_CLIENTS_ID",
		"COLLECTION_":                   "COLLECTION_CASES_ID",
		"TRACKOPS_API_RATE_PER_SECONDS": "TRACKOPS_API_RATE",
	} {
		_, err := loadConfig(base(append(hook, name+"=x")...), kinds())
		if want := name + ": not a known variable; accepted: " + want; err == nil || err.Error() != want {
			t.Errorf("%v, want\n%s", err, want)
		}
	}
	for name, want := range map[string]string{
		"CONNECTOR_SALES_URL": "CONNECTOR_SALES_TYPE beside it, to declare the connector (console, email, slack, webhook)",
		"CONNECTOR_":          acceptedName,
		"CONNECTOR_EVENTS":    acceptedName,
	} {
		_, err := loadConfig(base(name+"=x"), kinds())
		if want := name + ": not a known variable; accepted: " + want; err == nil || err.Error() != want {
			t.Errorf("without a connector: %v, want\n%s", err, want)
		}
	}
}

func TestNamesThatCanBeReadInTwoWays(t *testing.T) {
	t.Parallel()
	for name, variable := range map[string]string{
		"both know the field":          "CONNECTOR_X_SMTP_HOST",
		"only the shorter name does":   "CONNECTOR_X_SMTP_PORT",
		"a secret's file":              "CONNECTOR_X_SMTP_PASSWORD_FILE",
		"a secret of the shorter name": "CONNECTOR_X_SMTP_PASSWORD",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			second := "CONNECTOR_X_SMTP_TYPE=hook"
			environ := base("CONNECTOR_X_TYPE=mail", second, "CONNECTOR_X_SMTP_URL=https://x.example.com", variable+"="+secretMark)
			errs := mistakes(t, environ)
			i := slices.IndexFunc(errs, func(m mistake) bool { return m.Variable == variable && strings.HasPrefix(m.Problem, "can be read") })
			if i < 0 {
				t.Fatalf("%s is taken:\n%v", variable, errs)
			}
			field := strings.TrimPrefix(variable, "CONNECTOR_X_SMTP_")
			for _, reading := range []string{field + " of the connector x-smtp", "SMTP_" + field + " of the connector x"} {
				if !strings.Contains(errs[i].Problem, reading) {
					t.Errorf("problem %q lacks the reading %q", errs[i].Problem, reading)
				}
			}
		})
	}
}

func TestLongMessagesStayOneLine(t *testing.T) {
	t.Parallel()
	errs := mistakes(t, base(chat, "CONNECTOR_SALES_WEBHOOK_URL=x\ny", "LOG_LEVEL=loud\n\x1b[31mLOG_LEVEL: fine", "TRACKOPS_\x1b\nX=1", "TRACKOPS_"+strings.Repeat("X", 5000)+"=1"))
	if strings.Contains(errs.Error(), "\x1b") {
		t.Errorf("message carries control characters: %q", errs.Error())
	}
}
