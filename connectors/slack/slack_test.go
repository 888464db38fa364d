package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

const (
	hookPath = "/services/T000/B000/h00ks3cret"
	token    = "xoxb-t0k3n-s3cret"
)

func TestConformanceOfTheWebhook(t *testing.T) {
	connectortest.Run(t, connectortest.Suite{
		Kind: Kind(),
		Remote: func(t *testing.T) connectortest.Remote {
			return connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 200, Body: "ok"})
		},
		Settings: func(addr string) map[string]string {
			return map[string]string{"WEBHOOK_URL": "http://" + addr + hookPath}
		},
		Secrets: []string{"h00ks3cret", hookPath},
		ID:      nil, // an incoming webhook takes no id
		Check: func(r connectortest.Received) error {
			if r.Path != hookPath || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
				return fmt.Errorf("path %s, content type %s", r.Path, r.Header.Get("Content-Type"))
			}
			var m seen
			return faults(&m, m.readJSON(request(r)))
		},
	})
}

func TestConformanceOfTheWebAPI(t *testing.T) {
	connectortest.Run(t, connectortest.Suite{
		Kind: Kind(),
		Remote: func(t *testing.T) connectortest.Remote {
			return connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 200, Body: `{"ok":true,"channel":"C1","ts":"1.2"}`})
		},
		Settings: func(addr string) map[string]string {
			return map[string]string{"BOT_TOKEN": token, "CHANNEL": "C1", "API_URL": "http://" + addr + "/s3cretbase"}
		},
		Secrets: []string{token, "s3cretbase"},
		ID: func(r connectortest.Received) string {
			form, err := url.ParseQuery(string(r.Body))
			if err != nil {
				return ""
			}
			return form.Get("metadata")
		},
		Check: func(r connectortest.Received) error {
			var m seen
			problem := m.readForm(request(r))
			if r.Path != "/s3cretbase/chat.postMessage" || m.channel != "C1" || r.Header.Get("User-Agent") != "trackops-notifier/1.2.3" {
				return fmt.Errorf("path %s, channel %s, agent %s", r.Path, m.channel, r.Header.Get("User-Agent"))
			}
			return faults(&m, problem)
		},
	})
}

// request is what arrived, as the fake reads it.
func request(r connectortest.Received) *http.Request {
	req, err := http.NewRequest(http.MethodPost, "/", strings.NewReader(string(r.Body)))
	if err != nil {
		panic(err) // the address is fixed
	}
	req.Header = http.Header(r.Header)
	return req
}

// faults returns an error for a message that Slack would refuse or misread.
func faults(m *seen, problem string) error {
	for _, p := range []string{problem, m.problem(), m.misread()} {
		if p != "" {
			return errors.New(p)
		}
	}
	if len(m.blocks) == 0 {
		return errors.New("no blocks")
	}
	return nil
}

// start delivers one event to a server that answers so.
func start(t *testing.T, settings func(addr string) map[string]string, reported *connectors.Answer, answers ...connectortest.HTTPAnswer) error {
	t.Helper()
	remote := connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 200, Body: "ok"})
	remote.Script(answers...)
	c, err := connectortest.New(t, Kind(), settings(remote.Addr()), connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return c.Deliver(ctx, one(connectortest.Samples()[0].Event).OnAnswer(func(a connectors.Answer) { *reported = a }))
}

// one is the delivery of one event.
func one(e events.Event) connectors.Delivery {
	return connectors.Delivery{ID: e.ID, Events: []events.Event{e}, Attempt: 1}
}

func hook(addr string) map[string]string {
	return map[string]string{"WEBHOOK_URL": "http://" + addr + hookPath}
}

func api(addr string) map[string]string {
	return map[string]string{"BOT_TOKEN": token, "CHANNEL": "#alerts", "API_URL": "http://" + addr + "/api/"}
}

func TestAnswers(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	type answer = connectortest.HTTPAnswer
	for _, c := range []struct {
		name     string
		settings func(string) map[string]string
		answer   answer
		text     string // in the error; "" for no error
		after    time.Duration
		status   int    // in the error
		gone     bool   // closed for good
		reported string // the word in the answer
	}{
		{"ok with a line end", hook, answer{Status: 200, Body: "ok\n"}, "", 0, 0, false, "ok"},
		{"200 with an error", hook, answer{Status: 200, Body: "user_not_found"}, "user_not_found", 0, 0, false, "user_not_found"},
		{"200 with JSON", hook, answer{Status: 200, Body: `{"ok":false}`}, "neither ok", 0, 0, false, ""},
		{"200 with HTML", hook, answer{Status: 200, Body: `<html>ok</html>`}, "neither ok", 0, 0, false, ""},
		{"200 with nothing", hook, answer{Status: 200}, "neither ok", 0, 0, false, ""},
		{"200 with more than ok", hook, answer{Status: 200, Body: "okay"}, "okay", 0, 0, false, "okay"},
		{"200 cut short", hook, answer{Raw: "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok"}, "read the answer", 0, 0, false, "ok"},
		{"200 without end", hook, answer{Status: 200, Endless: true}, "neither ok", 0, 0, false, ""},
		{"201 with ok", hook, answer{Status: 201, Body: "ok"}, "not ok", 0, 0, false, "ok"},
		{"204", hook, answer{Status: 204}, "neither ok", 0, 0, false, ""},
		{"404 with ok", hook, answer{Status: 404, Body: "ok"}, "404", 0, 404, false, "ok"},
		{"redirect", hook, answer{Status: 302, Header: map[string]string{"Location": "https://elsewhere.example/s"}}, "elsewhere.example", 0, 302, false, ""},
		{"archived", hook, answer{Status: 410, Body: "channel_is_archived"}, "channel_is_archived", 0, 410, true, "channel_is_archived"},
		{"410 alone", hook, answer{Status: 410, Body: "<html>"}, "410", 0, 410, true, ""},
		{"removed", hook, answer{Status: 404, Body: "no_service"}, "no_service", 0, 404, true, "no_service"},
		{"disabled", hook, answer{Status: 403, Body: "no_active_hooks"}, "no_active_hooks", 0, 403, true, "no_active_hooks"},
		{"a name that is the secret", hook, answer{Status: 404, Body: "h00ks3cret"}, "404", 0, 404, false, "[redacted]"},
		{"no such channel", hook, answer{Status: 404, Body: "channel_not_found"}, "channel_not_found", 0, 404, false, "channel_not_found"},
		{"not allowed", hook, answer{Status: 403, Body: "action_prohibited"}, "action_prohibited", 0, 403, false, "action_prohibited"},
		{"rollup", hook, answer{Status: 500, Body: "rollup_error"}, "rollup_error", 0, 500, false, "rollup_error"},
		{"429 with seconds", hook, answer{Status: 429, Header: map[string]string{"Retry-After": "12"}}, "429", 12 * time.Second, 429, false, ""},
		{"429 without", hook, answer{Status: 429}, "429", 30 * time.Second, 429, false, ""},
		{"429 with a fraction", hook, answer{Status: 429, Header: map[string]string{"Retry-After": "1.5"}}, "429", 30 * time.Second, 429, false, ""},
		{"api: channel", api, answer{Status: 200, Body: `{"ok":false,"error":"channel_not_found"}`}, "channel_not_found", 0, 0, false, "channel_not_found"},
		{"api: not invited", api, answer{Status: 200, Body: `{"ok":false,"error":"not_in_channel"}`}, "not_in_channel", 0, 0, false, "not_in_channel"},
		{"api: archived", api, answer{Status: 200, Body: `{"ok":false,"error":"is_archived"}`}, "is_archived", 0, 0, true, "is_archived"},
		{"api: disabled account", api, answer{Status: 200, Body: `{"ok":false,"error":"account_inactive"}`}, "account_inactive", 0, 0, true, "account_inactive"},
		{"api: revoked", api, answer{Status: 200, Body: `{"ok":false,"error":"token_revoked"}`}, "token_revoked", 0, 0, true, "token_revoked"},
		{"api: wrong token", api, answer{Status: 200, Body: `{"ok":false,"error":"invalid_auth"}`}, "invalid_auth", 0, 0, false, "invalid_auth"},
		{"api: ratelimited", api, answer{Status: 200, Body: `{"ok":false,"error":"ratelimited"}`}, "ratelimited", 30 * time.Second, 429, false, "ratelimited"},
		{"api: ratelimited with seconds", api, answer{Status: 200, Body: `{"ok":false,"error":"ratelimited"}`, Header: map[string]string{"Retry-After": "3"}}, "ratelimited", 3 * time.Second, 429, false, "ratelimited"},
		{"api: limit of the workspace", api, answer{Status: 200, Body: `{"ok":false,"error":"message_limit_exceeded"}`}, "message_limit_exceeded", 30 * time.Second, 429, false, "message_limit_exceeded"},
		{"api: HTML", api, answer{Status: 200, Body: "<html>"}, "invalid character", 0, 0, false, ""},
		{"api: what is wrong", api, answer{Status: 200, Body: `{"ok":false,"error":"invalid_arguments","response_metadata":{"messages":["[ERROR] too\nlong"]}}`}, "[ERROR] too long", 0, 0, false, "invalid_arguments"},
		{"api: just ok", api, answer{Status: 200, Body: `{"ok":true}`}, "", 0, 0, false, "ok"},
		{"api: ok with a message of another make", api, answer{Status: 200, Body: `{"ok":true,"ts":"1.2","message":{"blocks":[{"type":7}],"thread_ts":"1.1"}}`}, "", 0, 0, false, "ok"},
		{"api: cut short", api, answer{Raw: "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{\"ok\":true}"}, "read the answer", 0, 0, false, ""},
		{"api: neither", api, answer{Status: 200, Body: "{}"}, "neither ok", 0, 0, false, ""},
		{"api: 5xx with HTML", api, answer{Status: 502, Body: "<html>"}, "502", 0, 502, false, ""},
		{"api: 5xx with ok", api, answer{Status: 503, Body: `{"ok":true}`}, "503", 0, 503, false, "ok"},
		{"api: 4xx with a name", api, answer{Status: 403, Body: `{"ok":false,"error":"team_access_not_granted"}`}, "team_access_not_granted", 0, 403, false, "team_access_not_granted"},
		{"api: 429 without", api, answer{Status: 429, Body: `{"ok":false,"error":"ratelimited"}`}, "ratelimited", 30 * time.Second, 429, false, "ratelimited"},
		{"api: 429 with a date", api, answer{Status: 429, Header: map[string]string{
			"Date": now.Format(http.TimeFormat), "Retry-After": now.Add(45 * time.Second).Format(time.ANSIC),
		}}, "429", 45 * time.Second, 429, false, ""},
		{"api: redirect", api, answer{Status: 307, Header: map[string]string{"Location": "https://elsewhere.example/s"}}, "elsewhere.example", 0, 307, false, ""},
		{"api: an error that is the token", api, answer{Status: 200, Body: `{"ok":false,"error":"` + token + `"}`}, "neither ok", 0, 0, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var reported connectors.Answer
			err := start(t, c.settings, &reported, c.answer)
			if reported.Text != c.reported || reported.Status == 0 || c.answer.Status != 0 && reported.Status != c.answer.Status {
				t.Errorf("answer %+v, want status %d and %q", reported, c.answer.Status, c.reported)
			}
			if c.text == "" {
				if err != nil {
					t.Fatalf("Deliver = %v, want nil", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.text) || fault.IsPermanent(err) || fault.Status(err) != c.status {
				t.Errorf("Deliver = %v, status %d; want a temporary error with %q, status %d", err, fault.Status(err), c.text, c.status)
			}
			if fault.IsGone(err) != c.gone {
				t.Errorf("Deliver = %v, closed for good: %v, want %v", err, fault.IsGone(err), c.gone)
			}
			if after, ok := fault.After(err); after != c.after || ok != (c.after > 0) {
				t.Errorf("retry after %v, %v; want %v", after, ok, c.after)
			}
			for _, secret := range []string{"services", "s3cret"} {
				if strings.Contains(err.Error()+reported.Text, secret) {
					t.Errorf("the error holds %q: %v", secret, err)
				}
			}
		})
	}
}

// No answer is no answer: what an attempt without one reports would be made up.
func TestSilenceIsNotReported(t *testing.T) {
	remote := connectortest.HTTP(t, connectortest.HTTPAnswer{Raw: "HTTP/1.1 20"})
	c, err := connectortest.New(t, Kind(), hook(remote.Addr()), connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	d := one(connectortest.Samples()[0].Event).OnAnswer(func(a connectors.Answer) { t.Errorf("answer %+v, want none", a) })
	if err := c.Deliver(t.Context(), d); err == nil {
		t.Error("Deliver = nil, want an error")
	}
}

func TestSettings(t *testing.T) {
	const url = "https://hooks.example/x"
	for _, c := range []struct {
		name     string
		settings map[string]string
		want     []string // settings with mistakes
	}{
		{"nothing", nil, []string{"WEBHOOK_URL"}},
		{"both", map[string]string{"WEBHOOK_URL": url, "BOT_TOKEN": "t", "CHANNEL": "c"}, []string{"BOT_TOKEN"}},
		{"webhook and channel", map[string]string{"WEBHOOK_URL": url, "CHANNEL": "c"}, []string{"CHANNEL"}},
		{"token alone", map[string]string{"BOT_TOKEN": "t"}, []string{"CHANNEL"}},
		{"channel alone", map[string]string{"CHANNEL": "c"}, []string{"BOT_TOKEN"}},
		{"all wrong at once", map[string]string{"WEBHOOK_URL": "hooks.example", "API_URL": "ftp://x", "BOT_TOKEN": "a b", "TEMPLATE": "{{"},
			[]string{"WEBHOOK_URL", "API_URL", "TEMPLATE", "BOT_TOKEN", "BOT_TOKEN"}},
		{"metadata address", map[string]string{"WEBHOOK_URL": "http://169.254.169.254/x"}, []string{"WEBHOOK_URL"}},
		{"API with a query", map[string]string{"BOT_TOKEN": "t", "CHANNEL": "c", "API_URL": "https://x.example/?a=b"}, []string{"API_URL"}},
		{"thread of a webhook", map[string]string{"WEBHOOK_URL": url, "THREAD": "record"}, []string{"THREAD"}},
		{"thread of something else", map[string]string{"BOT_TOKEN": "t", "CHANNEL": "c", "THREAD": "case"}, []string{"THREAD"}},
		{"two templates", map[string]string{"WEBHOOK_URL": url, "TEMPLATE": "x", "BLOCKS_TEMPLATE": `[{"type":"divider"}]`}, []string{"BLOCKS_TEMPLATE"}},
		{"a template twice", map[string]string{"WEBHOOK_URL": url, "TEMPLATE": "x", "TEMPLATE_FILE": "x"}, []string{"TEMPLATE"}},
		{"no such file", map[string]string{"WEBHOOK_URL": url, "BLOCKS_TEMPLATE_FILE": "/does/not/exist"}, []string{"BLOCKS_TEMPLATE_FILE"}},
		{"no blocks", map[string]string{"WEBHOOK_URL": url, "BLOCKS_TEMPLATE": `{"type":"divider"}`}, []string{"BLOCKS_TEMPLATE"}},
		{"blocks without type", map[string]string{"WEBHOOK_URL": url, "BLOCKS_TEMPLATE": `[{"text":"x"}]`}, []string{"BLOCKS_TEMPLATE"}},
		{"fine", map[string]string{"WEBHOOK_URL": url}, nil},
		{"fine too", map[string]string{"BOT_TOKEN": "xoxb-1", "CHANNEL": "#c", "THREAD": "record"}, nil},
	} {
		_, err := connectortest.New(t, Kind(), c.settings, connectors.Env{})
		var got []string
		for _, e := range connectors.SettingErrors(err) {
			got = append(got, e.Setting)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: New = %v (-want +got):\n%s", c.name, err, diff)
		}
	}
}

func TestShareNamesTheChannel(t *testing.T) {
	a := settings{WebhookURL: "https://hooks.example/a-s3cret"}
	b := settings{BotToken: "xoxb-s3cret", Channel: "#Alerts"}
	for _, same := range [][2]settings{
		{a, {WebhookURL: a.WebhookURL, Template: "x"}},
		{b, {BotToken: b.BotToken, Channel: "alerts", Thread: "record"}},
		{b, {BotToken: b.BotToken, Channel: b.Channel, APIUrl: "https://slack.com/api"}},
	} {
		if share(&same[0]) != share(&same[1]) || share(&same[0]) == "" {
			t.Errorf("Share(%+v) differs from Share(%+v): want one rate", same[0], same[1])
		}
	}
	for _, other := range [][2]settings{
		{a, {WebhookURL: "https://hooks.example/b"}},
		{a, b},
		{b, {BotToken: b.BotToken, Channel: "#other"}},
		{b, {BotToken: "xoxb-other", Channel: b.Channel}},
		{b, {BotToken: b.BotToken, Channel: b.Channel, APIUrl: "https://slack.example/api"}},
	} {
		if share(&other[0]) == share(&other[1]) {
			t.Errorf("Share(%+v) = Share(%+v): want two rates", other[0], other[1])
		}
	}
	if s := share(&a) + share(&b); strings.Contains(s, "s3cret") {
		t.Errorf("Share holds a secret: %s", s)
	}
}

func TestAddressesAreCheckedAtDialTime(t *testing.T) {
	u := &url.URL{Scheme: "http", Host: "169.254.169.254", Path: hookPath}
	client := connectors.HTTPClient(connectors.HTTPOptions{})
	send, try := webhook(client, u, "t")
	if _, err := send(t.Context(), post{message: message{text: "x"}}); !errors.Is(err, connectors.ErrAddressRefused) {
		t.Errorf("post to a metadata address = %v, want %v", err, connectors.ErrAddressRefused)
	}
	_, tryAPI := webAPI(client, u.String()+"/", token, "C1", "t")
	for name, try := range map[string]trial{"webhook": try, "web api": tryAPI} {
		if err := try(t.Context()); !errors.Is(err, connectors.ErrAddressRefused) {
			t.Errorf("try a metadata address, %s: %v, want %v", name, err, connectors.ErrAddressRefused)
		}
	}
}

// What Preview shows is what is posted.
func TestPreviewIsWhatIsPosted(t *testing.T) {
	for name, s := range map[string]*settings{
		"webhook": {WebhookURL: "https://hooks.example" + hookPath},
		"web api": {BotToken: token, Channel: "C1"},
	} {
		f := newFakeSlack()
		c := connected(t, f, s, connectors.Env{})
		d := one(connectortest.Samples()[1].Event)
		text, err := c.Preview(d)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "s3cret") || !strings.Contains(text, "\n  \"text\": ") {
			t.Errorf("%s: Preview = %s, want indented JSON without secrets", name, text)
		}
		if err := c.Deliver(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		var p struct {
			Channel, Text string
			Blocks        []map[string]any
			Metadata      json.RawMessage
		}
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		got := f.messages()[0]
		if diff := cmp.Diff(p.Blocks, got.blocks); diff != "" || p.Text != got.text || p.Channel != s.Channel || (p.Metadata != nil) != (s.Channel != "") {
			t.Errorf("%s: Preview = %s, but posted was %q (-preview +posted):\n%s", name, text, got.text, diff)
		}
	}
}

// connected is a connector that reaches f without a socket.
func connected(t testing.TB, f *fakeSlack, s *settings, env connectors.Env) *connector {
	t.Helper()
	c, err := s.connector(&http.Client{Transport: f}, env)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
