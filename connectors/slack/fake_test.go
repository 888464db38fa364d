package slack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// A fakeSlack is Slack as its documentation describes it, and stricter where that
// only advises: one message a second for each channel, limits in characters,
// errors by name. It knows nothing of the code under test. It is an HTTP handler,
// and a RoundTripper that calls it, for bubbles of testing/synctest.
type fakeSlack struct {
	mu       sync.Mutex
	posted   []seen
	requests []seen // also those refused
	refused  []string
	last     map[string]time.Time // by channel
	gone     map[string]bool      // messages that were deleted, by ts
	no       func(m seen) string  // an error to answer, or ""
	next     int
	patient  bool // takes messages at any rate
	terse    bool // repeats of a message only what it was sent, and not the thread
}

// seen is one message as it arrived.
type seen struct {
	at       time.Time
	channel  string // of a webhook its path
	text     string
	blocks   []map[string]any
	thread   string
	ts       string
	metadata string
	raw      string // of the blocks
}

func newFakeSlack() *fakeSlack {
	return &fakeSlack{last: map[string]time.Time{}, gone: map[string]bool{}}
}

// RoundTrip answers without a socket.
func (f *fakeSlack) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, req)
	return w.Result(), nil
}

func (f *fakeSlack) messages() []seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]seen(nil), f.posted...)
}

func (f *fakeSlack) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := seen{at: time.Now(), channel: req.URL.Path}
	api := strings.HasSuffix(req.URL.Path, "/chat.postMessage")
	name := ""
	if api {
		name = m.readForm(req)
	} else {
		name = m.readJSON(req)
	}
	f.requests = append(f.requests, m)
	if wait := time.Second - m.at.Sub(f.last[m.channel]); !f.patient && f.last[m.channel].Add(time.Second).After(m.at) {
		f.refused = append(f.refused, fmt.Sprintf("429: %v too early", wait))
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"ok":false,"error":"ratelimited"}`)
		return
	}
	f.last[m.channel] = m.at
	if name == "" && f.no != nil {
		name = f.no(m)
	}
	if name == "" {
		name = m.problem()
	}
	if name != "" {
		f.refused = append(f.refused, name)
	}
	f.answer(w, api, &m, name)
}

func (f *fakeSlack) answer(w http.ResponseWriter, api bool, m *seen, name string) {
	word, details, _ := strings.Cut(name, ": ")
	if name == "" {
		f.next++
		m.ts = fmt.Sprintf("%d.%06d", m.at.Unix(), f.next)
		if f.gone[m.thread] {
			m.thread = "" // Slack posts a reply to a deleted message outside of threads
		}
		f.posted = append(f.posted, *m)
	}
	switch {
	case !api && name == "":
		fmt.Fprint(w, "ok")
	case !api:
		if status := map[string]int{"channel_is_archived": 410, "no_service": 404}[word]; status != 0 {
			w.WriteHeader(status)
		} else {
			w.WriteHeader(http.StatusBadRequest)
		}
		if strings.HasPrefix(word, "invalid_blocks") || word == "msg_blocks_too_long" {
			word = "invalid_blocks"
		}
		fmt.Fprint(w, word)
	case name == "":
		message := map[string]any{"type": "message", "text": m.text, "ts": m.ts}
		if !f.terse {
			message["bot_id"], message["blocks"] = "B1", m.blocks
		}
		if m.thread != "" && !f.terse {
			message["thread_ts"] = m.thread
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"ok": true, "channel": m.channel, "ts": m.ts, "message": message})
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{"ok": false, "error": word, "response_metadata": map[string]any{"messages": []string{"[ERROR] " + details}}})
	}
}

func (m *seen) readJSON(req *http.Request) string {
	dec := json.NewDecoder(req.Body)
	dec.DisallowUnknownFields()
	var all struct {
		Text        string          `json:"text"`
		Blocks      json.RawMessage `json:"blocks"`
		UnfurlLinks *bool           `json:"unfurl_links"`
		UnfurlMedia *bool           `json:"unfurl_media"`
	}
	if err := dec.Decode(&all); err != nil {
		return "invalid_payload: " + err.Error()
	}
	m.text = all.Text
	return m.readBlocks(string(all.Blocks))
}

func (m *seen) readForm(req *http.Request) string {
	if err := req.ParseForm(); err != nil {
		return "invalid_form_data: " + err.Error()
	}
	if req.PostForm.Get("token") == "" && req.Header.Get("Authorization") == "" {
		return "not_authed"
	}
	m.channel, m.text, m.thread = req.PostForm.Get("channel"), req.PostForm.Get("text"), req.PostForm.Get("thread_ts")
	m.metadata = req.PostForm.Get("metadata")
	if m.channel == "" {
		return "channel_not_found"
	}
	if m.metadata != "" {
		var meta struct {
			EventType    string         `json:"event_type"`
			EventPayload map[string]any `json:"event_payload"`
		}
		if err := json.Unmarshal([]byte(m.metadata), &meta); err != nil || meta.EventType == "" || meta.EventPayload == nil {
			return "invalid_metadata_format"
		}
		for _, v := range meta.EventPayload {
			if _, list := v.([]any); list {
				return "invalid_metadata_schema" // lists are of objects only
			}
		}
	}
	return m.readBlocks(req.PostForm.Get("blocks"))
}

func (m *seen) readBlocks(raw string) string {
	m.raw = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(raw) // for tests to search
	if raw == "" {
		return ""
	}
	if err := json.Unmarshal([]byte(raw), &m.blocks); err != nil {
		return "invalid_blocks_format: " + err.Error()
	}
	return ""
}

var deepest = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// problem is the error that Slack has for the message, with what is wrong.
func (m *seen) problem() string {
	if !utf8.ValidString(m.text) || !utf8.ValidString(m.raw) {
		return "invalid_payload: not UTF-8"
	}
	if strings.TrimSpace(m.text) == "" {
		return "no_text"
	}
	if n := utf8.RuneCountInString(m.text); n > 4000 {
		return fmt.Sprintf("msg_too_long: %d characters", n)
	}
	if m.thread != "" && !deepest.MatchString(m.thread) {
		return "invalid_thread_ts"
	}
	if len(m.blocks) > 50 {
		return fmt.Sprintf("invalid_blocks: no more than 50 items allowed, not %d", len(m.blocks))
	}
	for i, b := range m.blocks {
		if _, problem := blockProblem(b); problem != "" {
			return fmt.Sprintf("invalid_blocks: %s [json-pointer:/blocks/%d]", problem, i)
		}
	}
	if total := m.size(); total > 13297 {
		return fmt.Sprintf("msg_blocks_too_long: %d", total)
	}
	return ""
}

// size is what counts for the limit of all blocks together.
func (m *seen) size() int {
	total := 0
	for _, b := range m.blocks {
		texts, _ := blockProblem(b)
		total += 125
		for _, s := range texts {
			total += utf8.RuneCountInString(s)
		}
	}
	return total
}

// blockProblem returns the texts of a block, and what is wrong with it.
func blockProblem(b map[string]any) (texts []string, problem string) {
	check := func(v any, limit int, kinds string) {
		o, ok := v.(map[string]any)
		kind, _ := o["type"].(string)
		s, isText := o["text"].(string)
		n := utf8.RuneCountInString(s)
		switch {
		case !ok || !isText || !strings.Contains(kinds, kind):
			problem = fmt.Sprintf("not a text object of %s", kinds)
		case n < 1 || n > limit:
			problem = fmt.Sprintf("must be more than 0 and less than %d characters, not %d", limit+1, n)
		}
		texts = append(texts, s)
	}
	kind, _ := b["type"].(string)
	switch kind {
	case "header":
		check(b["text"], 150, "plain_text")
	case "section":
		fields, hasFields := b["fields"].([]any)
		if b["text"] != nil {
			check(b["text"], 3000, "plain_text mrkdwn")
		} else if !hasFields {
			return nil, "a section has text or fields"
		}
		if hasFields && (len(fields) < 1 || len(fields) > 10) {
			return nil, fmt.Sprintf("1 to 10 fields, not %d", len(fields))
		}
		for _, f := range fields {
			check(f, 2000, "plain_text mrkdwn")
		}
	case "context":
		elements, _ := b["elements"].([]any)
		if len(elements) < 1 || len(elements) > 10 {
			return nil, fmt.Sprintf("1 to 10 elements, not %d", len(elements))
		}
		for _, e := range elements {
			check(e, 3000, "plain_text mrkdwn")
		}
	case "divider":
	default:
		return nil, fmt.Sprintf("unsupported type: %q", kind)
	}
	return texts, problem
}

// The only marks of a message that begin with "<": the times and the links that
// the connector makes. The addresses of links are of the tests.
var ourMarks = regexp.MustCompile(`<!date\^-?\d+\^\{date_short_pretty\} \{time\}\|[0-9: UTC-]+>|<https://ops\.example/[^<>| ]*\|`)

// injected returns the first place where text has a mark that is not ours: data
// that Slack would read as a mention or a link.
func injected(text string) string {
	links := len(regexp.MustCompile(`<https://ops\.example/[^<>| ]*\|`).FindAllString(text, -1))
	rest := ourMarks.ReplaceAllString(text, "")
	for range links {
		rest = strings.Replace(rest, ">", "", 1) // the end of a link
	}
	for _, e := range []string{"&amp;", "&lt;", "&gt;"} {
		rest = strings.ReplaceAll(rest, e, "")
	}
	if i := strings.IndexAny(rest, "<>&"); i >= 0 {
		return fmt.Sprintf("%.80q", rest[max(0, i-10):])
	}
	return ""
}

// allTexts returns every text of the message, and which of them Slack would search
// for names and addresses.
func (m *seen) allTexts() (texts, searched []string) {
	texts = append(texts, m.text)
	for _, b := range m.blocks {
		var walk func(v any)
		walk = func(v any) {
			switch v := v.(type) {
			case map[string]any:
				if s, ok := v["text"].(string); ok {
					texts = append(texts, s)
					if v["type"] == "mrkdwn" && v["verbatim"] != true {
						searched = append(searched, s)
					}
				}
				for _, one := range v {
					walk(one)
				}
			case []any:
				for _, one := range v {
					walk(one)
				}
			}
		}
		walk(b)
	}
	return texts, searched
}

// misread returns what of the message Slack would take for something else.
func (m *seen) misread() string {
	texts, searched := m.allTexts()
	if len(searched) > 0 {
		return fmt.Sprintf("not verbatim: %.80q", searched[0])
	}
	for _, s := range texts {
		if at := injected(s); at != "" {
			return "not escaped: " + at
		}
	}
	return ""
}
