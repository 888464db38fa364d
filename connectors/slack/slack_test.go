package slack

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

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
			var m struct {
				Text   string
				Blocks json.RawMessage
			}
			if err := json.Unmarshal(r.Body, &m); err != nil {
				return err
			}
			return valid(m.Text, m.Blocks)
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
			form, err := url.ParseQuery(string(r.Body))
			if err != nil {
				return err
			}
			if r.Path != "/s3cretbase/chat.postMessage" || form.Get("channel") != "C1" || r.Header.Get("User-Agent") != "trackops-notifier/1.2.3" {
				return fmt.Errorf("path %s, channel %s, agent %s", r.Path, form.Get("channel"), r.Header.Get("User-Agent"))
			}
			return valid(form.Get("text"), []byte(form.Get("blocks")))
		},
	})
}

// ours are the only marks of a message that begin with "<".
var ours = regexp.MustCompile(`<!date\^\d+\^\{date_short_pretty\} \{time\}\|[0-9: UTC-]+>`)

// valid returns an error for a message that Slack would refuse or misread.
func valid(text string, blocks []byte) error {
	var set slack.Blocks
	if err := json.Unmarshal(blocks, &set); err != nil {
		return fmt.Errorf("blocks: %w", err)
	}
	total, texts := 0, []string{text}
	if n := len(set.BlockSet); n == 0 || n > 50 {
		return fmt.Errorf("%d blocks", n)
	}
	for _, b := range set.BlockSet {
		total += blockSize(b)
		own, err := textsOf(b)
		if err != nil {
			return err
		}
		texts = append(texts, own...)
	}
	if total > 13000 || utf8.RuneCountInString(text) > 4000 || text == "" {
		return fmt.Errorf("%d characters in blocks, %d in text", total, utf8.RuneCountInString(text))
	}
	for _, s := range texts {
		s = ours.ReplaceAllString(s, "")
		for _, e := range []string{"&amp;", "&lt;", "&gt;"} {
			s = strings.ReplaceAll(s, e, "")
		}
		if strings.ContainsAny(s, "<>&") || !utf8.ValidString(s) {
			return fmt.Errorf("not escaped: %.200q", s)
		}
	}
	return nil
}

func textsOf(b slack.Block) ([]string, error) {
	var all []*slack.TextBlockObject
	limit := 3000
	switch b := b.(type) {
	case *slack.HeaderBlock:
		if limit = 150; b.Text.Type != "plain_text" {
			return nil, fmt.Errorf("header is %s", b.Text.Type)
		}
		all = append(all, b.Text)
	case *slack.SectionBlock:
		if b.Text != nil {
			all = append(all, b.Text)
		}
		if len(b.Fields) > 10 {
			return nil, fmt.Errorf("%d fields", len(b.Fields))
		}
		for _, f := range b.Fields {
			if utf8.RuneCountInString(f.Text) > 2000 {
				return nil, fmt.Errorf("a field of %d characters", utf8.RuneCountInString(f.Text))
			}
			all = append(all, f)
		}
	case *slack.ContextBlock:
		for _, e := range b.ContextElements.Elements {
			all = append(all, e.(*slack.TextBlockObject))
		}
	}
	var texts []string
	for _, o := range all {
		n := utf8.RuneCountInString(o.Text)
		if n == 0 || n > limit || strings.TrimSpace(o.Text) == "" || o.Type == "mrkdwn" && !o.Verbatim {
			return nil, fmt.Errorf("%s of %d characters, verbatim %v", o.Type, n, o.Verbatim)
		}
		texts = append(texts, o.Text)
	}
	return texts, nil
}

func TestGolden(t *testing.T) {
	for _, sample := range connectortest.Samples() {
		m, err := render([]events.Event{sample.Event})
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"text": m.text, "blocks": m.blocks}); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", sample.Name+".golden.json")
		if *update {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func start(t *testing.T, settings func(addr string) map[string]string, answers ...connectortest.HTTPAnswer) error {
	t.Helper()
	remote := connectortest.HTTP(t, connectortest.HTTPAnswer{Status: 200, Body: "ok"})
	remote.Script(answers...)
	c, err := connectortest.New(t, Kind(), settings(remote.Addr()), connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	e := connectortest.Samples()[0].Event
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return c.Deliver(ctx, connectors.Delivery{ID: e.ID, Events: []events.Event{e}, Attempt: 1})
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
		status   int
	}{
		{"ok with a line end", hook, answer{Status: 200, Body: "ok\n"}, "", 0, 0},
		{"200 with an error", hook, answer{Status: 200, Body: "no_service"}, "no_service", 0, 0},
		{"200 with JSON", hook, answer{Status: 200, Body: `{"ok":false}`}, "neither ok", 0, 0},
		{"200 with HTML", hook, answer{Status: 200, Body: `<html>ok</html>`}, "neither ok", 0, 0},
		{"200 with nothing", hook, answer{Status: 200}, "neither ok", 0, 0},
		{"200 with more than ok", hook, answer{Status: 200, Body: "okay"}, "okay", 0, 0},
		{"200 cut short", hook, answer{Raw: "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok"}, "read the answer", 0, 0},
		{"200 without end", hook, answer{Status: 200, Endless: true}, "neither ok", 0, 0},
		{"204", hook, answer{Status: 204}, "want 200", 0, 0},
		{"redirect", hook, answer{Status: 302, Header: map[string]string{"Location": "https://elsewhere.example/s"}}, "elsewhere.example", 0, 302},
		{"archived", hook, answer{Status: 410, Body: "channel_is_archived"}, "channel_is_archived", 0, 410},
		{"gone", hook, answer{Status: 404, Body: "no_service"}, "no_service", 0, 404},
		{"429 with seconds", hook, answer{Status: 429, Header: map[string]string{"Retry-After": "12"}}, "429", 12 * time.Second, 429},
		{"429 without", hook, answer{Status: 429}, "429", 30 * time.Second, 429},
		{"429 with a fraction", hook, answer{Status: 429, Header: map[string]string{"Retry-After": "1.5"}}, "429", 30 * time.Second, 429},
		{"api: channel", api, answer{Status: 200, Body: `{"ok":false,"error":"channel_not_found"}`}, "channel_not_found", 0, 0},
		{"api: blocks", api, answer{Status: 200, Body: `{"ok":false,"error":"invalid_blocks","response_metadata":{"messages":["x"]}}`}, "invalid_blocks", 0, 0},
		{"api: ratelimited", api, answer{Status: 200, Body: `{"ok":false,"error":"ratelimited"}`}, "ratelimited", 30 * time.Second, 0},
		{"api: HTML", api, answer{Status: 200, Body: "<html>"}, "invalid character", 0, 0},
		{"api: ratelimited with seconds", api, answer{Status: 200, Body: `{"ok":false,"error":"ratelimited"}`, Header: map[string]string{"Retry-After": "3"}}, "ratelimited", 3 * time.Second, 0},
		{"api: what is wrong with the blocks", api, answer{Status: 200, Body: `{"ok":false,"error":"invalid_blocks","response_metadata":{"messages":["[ERROR] too\nlong"]}}`}, "[ERROR] too long", 0, 0},
		{"api: just ok", api, answer{Status: 200, Body: `{"ok":true}`}, "", 0, 0},
		{"api: cut short", api, answer{Raw: "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{\"ok\":true}"}, "read the answer", 0, 0},
		{"api: neither", api, answer{Status: 200, Body: "{}"}, "without a name", 0, 0},
		{"api: 5xx with HTML", api, answer{Status: 502, Body: "<html>"}, "502", 0, 502},
		{"api: 4xx with a name", api, answer{Status: 403, Body: `{"ok":false,"error":"team_access_not_granted"}`}, "team_access_not_granted", 0, 403},
		{"api: 429 without", api, answer{Status: 429, Body: `{"ok":false,"error":"ratelimited"}`}, "ratelimited", 30 * time.Second, 429},
		{"api: 429 with a date", api, answer{Status: 429, Header: map[string]string{
			"Date": now.Format(http.TimeFormat), "Retry-After": now.Add(45 * time.Second).Format(time.ANSIC),
		}}, "429", 45 * time.Second, 429},
		{"api: redirect", api, answer{Status: 307, Header: map[string]string{"Location": "https://elsewhere.example/s"}}, "elsewhere.example", 0, 307},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := start(t, c.settings, c.answer)
			if c.text == "" {
				if err != nil {
					t.Fatalf("Deliver = %v, want nil", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.text) || fault.IsPermanent(err) || fault.Status(err) != c.status {
				t.Errorf("Deliver = %v, status %d; want a temporary error with %q, status %d", err, fault.Status(err), c.text, c.status)
			}
			if after, ok := fault.After(err); after != c.after || ok != (c.after > 0) {
				t.Errorf("retry after %v, %v; want %v", after, ok, c.after)
			}
			if strings.Contains(err.Error(), "/s") && strings.Contains(err.Error(), "services") {
				t.Errorf("the error holds the path: %v", err)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings map[string]string
		want     []string // settings with mistakes
	}{
		{"nothing", nil, []string{"WEBHOOK_URL"}},
		{"both", map[string]string{"WEBHOOK_URL": "https://hooks.example/x", "BOT_TOKEN": "t", "CHANNEL": "c"}, []string{"BOT_TOKEN"}},
		{"webhook and channel", map[string]string{"WEBHOOK_URL": "https://hooks.example/x", "CHANNEL": "c"}, []string{"CHANNEL"}},
		{"token alone", map[string]string{"BOT_TOKEN": "t"}, []string{"CHANNEL"}},
		{"channel alone", map[string]string{"CHANNEL": "c"}, []string{"BOT_TOKEN"}},
		{"all wrong at once", map[string]string{"WEBHOOK_URL": "hooks.example", "API_URL": "ftp://x", "BOT_TOKEN": "a b"}, []string{"WEBHOOK_URL", "API_URL", "BOT_TOKEN", "BOT_TOKEN"}},
		{"metadata address", map[string]string{"WEBHOOK_URL": "http://169.254.169.254/x"}, []string{"WEBHOOK_URL"}},
		{"fine", map[string]string{"WEBHOOK_URL": "https://hooks.example/x"}, nil},
		{"fine too", map[string]string{"BOT_TOKEN": "xoxb-1", "CHANNEL": "#c"}, nil},
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

func TestAddressesAreCheckedAtDialTime(t *testing.T) {
	u := &url.URL{Scheme: "http", Host: "169.254.169.254", Path: hookPath}
	client := connectors.HTTPClient(nil, nil)
	send, try := webhook(client, u, "t")
	if err := send(t.Context(), "id", message{text: "x"}); !errors.Is(err, connectors.ErrAddressRefused) {
		t.Errorf("post to a metadata address = %v, want %v", err, connectors.ErrAddressRefused)
	}
	_, tryAPI := webAPI(client, u.String()+"/", token, "C1", "t")
	for name, try := range map[string]trial{"webhook": try, "web api": tryAPI} {
		if err := try(t.Context()); !errors.Is(err, connectors.ErrAddressRefused) {
			t.Errorf("try a metadata address, %s: %v, want %v", name, err, connectors.ErrAddressRefused)
		}
	}
}

func TestEscapeKeepsTheLimitInCharacters(t *testing.T) {
	for _, unit := range []string{"x", "é", "日", "🕵"} {
		for _, n := range []int{maxHeader - 1, maxHeader, maxHeader + 1, maxHeader * 20} {
			got := escape(strings.Repeat(unit, n), maxHeader)
			if n <= maxHeader && got != strings.Repeat(unit, n) {
				t.Errorf("escape(%d × %q) = %q, want it whole", n, unit, got)
			}
			if n > maxHeader && (utf8.RuneCountInString(got) > maxHeader || !strings.HasSuffix(got, " more characters")) {
				t.Errorf("escape(%d × %q) = %d characters, %q", n, unit, utf8.RuneCountInString(got), got)
			}
		}
	}
	// Entities count as they are written, and are never cut.
	for n := 25; n <= 35; n++ {
		got := escape(strings.Repeat("&", n), 150)
		if whole := strings.Repeat("&amp;", n); n <= 30 && got != whole || n > 30 && utf8.RuneCountInString(got) > 150 {
			t.Errorf("escape(%d × &) = %q", n, got)
		}
	}
	want := strings.Repeat("x", 127) + "… 1,234 more characters"
	if got := escape(strings.Repeat("x", 127+1234), 150); got != want {
		t.Errorf("escape = %q, want %q", got, want)
	}
}

func TestManyChangesAreCountedNotLost(t *testing.T) {
	for _, n := range []int{maxChanges - 1, maxChanges, maxChanges + 1, 500} {
		e := connectortest.Samples()[1].Event
		e.Data.Changes = nil
		for i := range n {
			e.Data.Changes = append(e.Data.Changes, events.Change{Path: fmt.Sprintf("/f%d", i), To: json.RawMessage("1")})
		}
		m, err := render([]events.Event{e})
		if err != nil {
			t.Fatal(err)
		}
		blocks, err := json.Marshal(m.blocks)
		if err != nil {
			t.Fatal(err)
		}
		note := ""
		switch left := n - maxChanges; {
		case left == 1:
			note = "… and 1 more change_"
		case left > 1:
			note = fmt.Sprintf("… and %d more changes_", left)
		}
		if got := strings.Contains(string(blocks), "more change"); got != (note != "") || !strings.Contains(string(blocks), note) {
			t.Errorf("%d changes: want the note %q in %s", n, note, blocks)
		}
	}
}

func TestSeveralEventsShareAMessage(t *testing.T) {
	var all []events.Event
	for range 40 {
		all = append(all, connectortest.Samples()[1].Event)
	}
	m, err := render(all)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := json.Marshal(m.blocks)
	if err != nil {
		t.Fatal(err)
	}
	if err := valid(m.text, blocks); err != nil {
		t.Error(err)
	}
	if !strings.Contains(string(blocks), "more events") {
		t.Errorf("no word on the events left out: %s", blocks)
	}
}

func FuzzEscape(f *testing.F) {
	for _, sample := range connectortest.Hostile() {
		f.Add(sample.Event.Data.ID, 100)
	}
	f.Add("<!channel> & \xff\x00", 20)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 1 + (limit&0xffff)%5000
		got := escape(s, limit)
		if utf8.RuneCountInString(got) > limit {
			t.Errorf("escape(%q, %d) has %d characters", s, limit, utf8.RuneCountInString(got))
		}
		for _, e := range []string{"&amp;", "&lt;", "&gt;"} {
			got = strings.ReplaceAll(got, e, "")
		}
		if strings.ContainsAny(got, "<>&") || !utf8.ValidString(got) {
			t.Errorf("escape(%q, %d) = %q", s, limit, got)
		}
	})
}

func FuzzRender(f *testing.F) {
	f.Add(`{"name":"<!channel>"}`, "/name", `"a"`, `"<@U1>"`, "m")
	f.Fuzz(func(t *testing.T, record, path, from, to, text string) {
		for _, raw := range []string{record, from, to} {
			if !json.Valid([]byte(raw)) {
				return // not an event
			}
		}
		e := connectortest.Samples()[1].Event
		e.Data.Record = json.RawMessage(record)
		e.Data.Changes = []events.Change{{Path: path, From: json.RawMessage(from), To: json.RawMessage(to)}}
		e.Data.Account, e.Data.Message = text, text
		for _, action := range []events.Action{events.Created, events.Updated} {
			e.Data.Action = action
			m, err := render([]events.Event{e})
			if err != nil {
				continue // refused, not misread
			}
			blocks, err := json.Marshal(m.blocks)
			if err != nil {
				t.Fatal(err)
			}
			if err := valid(m.text, blocks); err != nil {
				t.Errorf("%s: %v", action, err)
			}
		}
	})
}
