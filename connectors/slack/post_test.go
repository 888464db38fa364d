package slack

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// A notebook is a memory as [connectors.Memory] describes it.
type notebook struct {
	mu             sync.Mutex
	notes          map[string]string
	recallErr, err error
}

func (n *notebook) Remember(_ context.Context, key, value string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString(key) {
		return errors.New("a key of other characters")
	}
	if n.err == nil {
		n.notes[key] = value
	}
	return n.err
}

func (n *notebook) Recall(_ context.Context, key string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.notes[key], n.recallErr
}

// deliver delivers a second after whatever was delivered before, as the engine
// does, and returns the answers that were reported.
func deliver(t *testing.T, c *connector, d connectors.Delivery) ([]connectors.Answer, error) {
	t.Helper()
	time.Sleep(time.Second) // in a bubble
	return attempt(t, c, d)
}

// attempt delivers at once.
func attempt(t *testing.T, c *connector, d connectors.Delivery) ([]connectors.Answer, error) {
	t.Helper()
	var answers []connectors.Answer
	ctx, cancel := context.WithTimeout(t.Context(), Kind().Timeout)
	defer cancel()
	err := c.Deliver(ctx, d.OnAnswer(func(a connectors.Answer) { answers = append(answers, a) }))
	return answers, err
}

func sampled(name string) events.Event {
	all := connectortest.Samples()
	return all[slices.IndexFunc(all, func(s connectortest.Sample) bool { return s.Name == name })].Event
}

func threaded(t *testing.T, f *fakeSlack, memory connectors.Memory) *connector {
	return connected(t, f, &settings{BotToken: token, Channel: "C1", Thread: "record"}, connectors.Env{Memory: memory})
}

func TestAThreadForEachRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, memory := newFakeSlack(), &notebook{notes: map[string]string{}}
		burst := connectors.Delivery{ID: "b", Events: []events.Event{sampled("client-updated"), sampled("client-deleted")}}
		for _, d := range []connectors.Delivery{
			one(sampled("client-created")), one(sampled("case-created")), one(sampled("client-updated")),
			burst, digestOf(burst.Events[:1], false), one(sampled("system")), one(sampled("system")), one(sampled("case-updated")), one(sampled("client-deleted")),
		} {
			// A connector made anew, as after a restart: the memory outlives it.
			if _, err := deliver(t, threaded(t, f, memory), d); err != nil {
				t.Fatal(err)
			}
		}
		m := f.messages()
		want := []string{"", "", m[0].ts, "", "", "", "", m[1].ts, m[0].ts}
		var got []string
		for _, one := range m {
			got = append(got, one.thread)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("threads (-want +got):\n%s", diff)
		}
	})
}

// Threads end: their first message was deleted, or Slack forgot it. The next
// message about the record begins another.
func TestALostThreadBeginsAnew(t *testing.T) {
	for _, how := range []string{"thread_not_found", "message_not_found", "cannot_reply_to_message", "posted outside"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, memory := newFakeSlack(), &notebook{notes: map[string]string{}}
				c := threaded(t, f, memory)
				send := func(name string) seen {
					if _, err := deliver(t, c, one(sampled(name))); err != nil {
						t.Fatal(err)
					}
					all := f.messages()
					return all[len(all)-1]
				}
				first := send("client-created")
				if how == "posted outside" {
					f.gone[first.ts] = true
				} else {
					f.no = func(m seen) string {
						if m.thread == first.ts {
							return how
						}
						return ""
					}
				}
				second, third := send("client-updated"), send("client-deleted")
				if second.thread != "" || third.thread != second.ts || len(f.messages()) != 3 {
					t.Errorf("%d messages, threads %q and %q; want the second to begin one, %s, that the third replies in", len(f.messages()), second.thread, third.thread, second.ts)
				}
				tooEarly(t, f)
			})
		})
	}
}

// An answer that does not say who posted the message, or repeats no message, says
// nothing of its thread: that stays what it was. One that names another thread is
// believed.
func TestAThreadOutlivesTerseAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, memory := newFakeSlack(), &notebook{notes: map[string]string{}}
		f.terse = true
		for _, name := range []string{"client-created", "client-updated", "client-deleted"} {
			if _, err := deliver(t, threaded(t, f, memory), one(sampled(name))); err != nil {
				t.Fatal(err)
			}
		}
		m := f.messages()
		if m[0].thread != "" || m[1].thread != m[0].ts || m[2].thread != m[0].ts {
			t.Errorf("threads %q, %q, %q, want two replies to %s", m[0].thread, m[1].thread, m[2].thread, m[0].ts)
		}
	})
	const sent = "1.1"
	for body, want := range map[string]string{
		`{"ok":true,"ts":"1.2"}`:                                                 sent,
		`{"ok":true,"ts":"1.2","message":null}`:                                  sent,
		`{"ok":true,"ts":"1.2","message":{"ts":"1.2","text":"x"}}`:               sent,
		`{"ok":true,"ts":"1.2","message":{"ts":"1.2","thread_ts":"1.1"}}`:        sent,
		`{"ok":true,"ts":"1.2","message":{"bot_id":"B","thread_ts":"1.1"}}`:      sent,
		`{"ok":true,"ts":"1.2","message":{"ts":"1.2","thread_ts":"1.0"}}`:        "1.0",
		`{"ok":true,"ts":"1.2","message":{"ts":"1.2","text":"x","bot_id":"B1"}}`: "",
	} {
		var a answer
		if err := json.Unmarshal([]byte(body), &a); err != nil {
			t.Fatal(err)
		}
		if got := a.threadOf(sent); got != want {
			t.Errorf("%s: thread %q, want %q", body, got, want)
		}
	}
	memory := &notebook{notes: map[string]string{}}
	c := threaded(t, newFakeSlack(), memory)
	if err := c.remember(t.Context(), thread{key: "k", ts: "1.1"}, reply{ts: "1.2", thread: "1.0"}); err != nil || memory.notes["k"] != "1.0" {
		t.Errorf("remembered %q, %v, want the thread that Slack names", memory.notes["k"], err)
	}
}

func tooEarly(t *testing.T, f *fakeSlack) {
	t.Helper()
	for _, r := range f.refused {
		if strings.HasPrefix(r, "429") {
			t.Errorf("Slack had to say %s", r)
		}
	}
}

func TestAMemoryThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("store is down")
		f, memory := newFakeSlack(), &notebook{notes: map[string]string{}, recallErr: broken}
		c := threaded(t, f, memory)
		if _, err := deliver(t, c, one(sampled("client-created"))); !errors.Is(err, broken) || len(f.requests) != 0 {
			t.Errorf("Deliver = %v after %d requests, want the error of the memory and nothing posted", err, len(f.requests))
		}
		if _, err := deliver(t, c, one(sampled("system"))); err != nil {
			t.Errorf("Deliver of what has no thread = %v, want nil", err)
		}
		memory.recallErr, memory.err = nil, broken
		answers, err := deliver(t, c, one(sampled("client-created")))
		if err != nil || len(answers) == 0 || !strings.Contains(answers[len(answers)-1].Text, "store is down") {
			t.Errorf("Deliver = %v, answers %v; want success, and the failure in the answer", err, answers)
		}
		if _, err := deliver(t, threaded(t, f, nil), one(sampled("client-updated"))); err != nil {
			t.Errorf("Deliver without a memory = %v, want nil", err)
		}
	})
}

func TestThreadKeys(t *testing.T) {
	data := sampled("client-created").Data
	keys := map[string]bool{}
	for _, change := range []func(d *events.Data) string{
		func(*events.Data) string { return "C1" },
		func(*events.Data) string { return "C2" },
		func(d *events.Data) string { d.Account = "other"; return "C1" },
		func(d *events.Data) string { d.Collection = "cases"; return "C1" },
		func(d *events.Data) string { d.ID = "7"; return "C1" },
		func(d *events.Data) string { d.ID, d.Collection = "7\x00clients", ""; return "C1" },
	} {
		d := data
		channel := change(&d)
		keys[threadKey(channel, d)] = true
	}
	if len(keys) != 6 {
		t.Errorf("%d keys of 6 records", len(keys))
	}
	updated := sampled("client-updated").Data
	if threadKey("C1", data) != threadKey("C1", updated) {
		t.Error("two events of one record have two keys")
	}
}

// What Slack does not like of a message is left out, so that the message is told;
// and the second request keeps its distance.
func TestRefusedPartsAreLeftOut(t *testing.T) {
	hook, api := &settings{WebhookURL: "https://hooks.example" + hookPath}, &settings{BotToken: token, Channel: "C1"}
	for _, c := range []struct {
		name     string // of the error
		settings *settings
		has      func(m seen) bool // what Slack refuses
	}{
		{"invalid_blocks", hook, func(m seen) bool { return len(m.blocks) > 0 }},
		{"invalid_payload", hook, func(m seen) bool { return len(m.blocks) > 0 }},
		{"invalid_blocks", api, func(m seen) bool { return len(m.blocks) > 0 }},
		{"invalid_blocks_format", api, func(m seen) bool { return len(m.blocks) > 0 }},
		{"msg_blocks_too_long", api, func(m seen) bool { return len(m.blocks) > 0 }},
		{"metadata_too_large", api, func(m seen) bool { return strings.Contains(m.metadata, " ") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeSlack()
				f.no = func(m seen) string {
					if c.has(m) {
						return c.name
					}
					return ""
				}
				conn := connected(t, f, c.settings, connectors.Env{})
				d := digestOf([]events.Event{sampled("client-updated"), sampled("case-updated")}, false)
				for range 2 { // the engine counts its second from the begin of an attempt: it is over
					answers, err := attempt(t, conn, d)
					if err != nil || len(answers) != 2 || answers[1].Text != "ok" || answers[0].Text == "ok" {
						t.Fatalf("Deliver = %v, answers %v; want success at the second request", err, answers)
					}
				}
				m := f.messages()
				if len(m) != 2 || !strings.Contains(m[0].text, "Client updated: ") || !strings.Contains(m[0].text, "Case updated: ") {
					t.Errorf("posted %+v, want both records told twice", m)
				}
				tooEarly(t, f)
			})
		})
	}
}

// What no other message would mend is not sent again.
func TestOtherRefusalsAreNotRepeated(t *testing.T) {
	for _, name := range []string{"channel_not_found", "invalid_blocks", "thread_not_found", "ratelimited", "fatal_error"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeSlack()
			f.no = func(seen) string { return name }
			c := connected(t, f, &settings{BotToken: token, Channel: "C1"}, connectors.Env{})
			_, err := deliver(t, c, one(sampled("client-updated")))
			want := 1
			if name == "invalid_blocks" {
				want = 2 // once without blocks
			}
			if err == nil || !strings.Contains(err.Error(), name) || len(f.requests) != want {
				t.Errorf("Deliver = %v after %d requests, want %s after %d", err, len(f.requests), name, want)
			}
		})
	}
}

// The wait for the second request ends with the attempt.
func TestTheWaitBetweenRequestsEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSlack()
		f.no = func(seen) string { return "invalid_blocks" }
		c := connected(t, f, &settings{BotToken: token, Channel: "C1"}, connectors.Env{})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		err := c.Deliver(ctx, one(sampled("client-updated")))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 300*time.Millisecond || len(f.requests) != 1 {
			t.Errorf("Deliver = %v after %v and %d requests, want the end of its context", err, time.Since(began), len(f.requests))
		}
	})
}

func TestTemplates(t *testing.T) {
	created, updated := sampled("client-created"), sampled("invoice-paid")
	hostile := created
	hostile.Data.Record = []byte(`{"id":1,"name":"<!channel> & \"quoted\"\\"}`)
	burst := connectors.Delivery{ID: "b", Events: []events.Event{created, updated}}
	for _, c := range []struct {
		name     string
		settings settings
		d        connectors.Delivery
		text     string // in the text
		blocks   string // in the blocks; "" for none
	}{
		{"text", settings{Template: "*{{.Lead}}* {{.Title}}"}, one(created), "*New client* Smith &amp; Sons", ""},
		{"text of hostile data", settings{Template: "{{.Record.name}}"}, one(hostile), `&lt;!channel&gt; &amp; "quoted"`, ""},
		{"text by collection", settings{Template: `other{{define "invoices"}}{{.Title}} is paid{{end}}`}, one(updated), "INV-1042 is paid", ""},
		{"text that says nothing", settings{Template: `{{if eq .Event.Data.Collection "cases"}}x{{end}}`}, one(created), "New client: Smith", "New client"},
		{"text of a burst", settings{Template: "{{.Title}}"}, burst, "INV-1042", ""},
		{"blocks", settings{BlocksTemplate: `[{"type":"section","text":{"type":"mrkdwn","verbatim":true,"text":"{{.Title}}"}},{"type":"divider"}]`}, one(created), "New client: Smith", "Smith &amp; Sons"},
		{"blocks of hostile data", settings{BlocksTemplate: `[{"type":"section","text":{"type":"mrkdwn","verbatim":true,"text":"{{.Record.name}}"}}]`}, one(hostile), "&lt;!channel&gt;", `&lt;!channel&gt; &amp; \"quoted\"`},
		{"blocks that are none", settings{BlocksTemplate: `[]`}, one(created), "New client: Smith", "New client"},
		{"blocks of a burst", settings{BlocksTemplate: `[{"type":"section","text":{"type":"mrkdwn","verbatim":true,"text":"{{.Title}}"}}]`}, burst, "2 changes", "INV-1042"},
		{"blocks that slack refuses", settings{BlocksTemplate: `[{"type":"nonsense"}]`}, one(created), "New client: Smith", ""},
		{"too many blocks", settings{BlocksTemplate: "[" + strings.Repeat(`{"type":"divider"},`, 59) + `{"type":"divider"}]`}, one(created), "New client: Smith", "11 more blocks"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeSlack()
				c.settings.BotToken, c.settings.Channel = token, "C1"
				if _, err := deliver(t, connected(t, f, &c.settings, connectors.Env{}), c.d); err != nil {
					t.Fatal(err)
				}
				m := f.messages()[0]
				if !strings.Contains(m.text, c.text) || !strings.Contains(m.raw, c.blocks) || (m.raw == "") != (c.blocks == "") {
					t.Errorf("posted text %q and blocks %s; want %q and %q", m.text, m.raw, c.text, c.blocks)
				}
				if at := m.misread(); at != "" {
					t.Error(at)
				}
			})
		})
	}
}

// What comes back through a proxy may repeat the proxy's password.
func TestTheProxysPasswordIsKeptOut(t *testing.T) {
	const password = "pr0xyp4ss"
	env := connectors.Env{Proxy: func(*url.URL) (*url.URL, error) {
		return &url.URL{Scheme: "http", Host: "proxy.example:3128", User: url.UserPassword("user", password)}, nil
	}}
	for name, s := range map[string]*settings{
		"webhook": {WebhookURL: "https://hooks.example" + hookPath},
		"web api": {BotToken: token, Channel: "C1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeSlack()
			f.no = func(seen) string { return password }
			answers, err := deliver(t, connected(t, f, s, env), one(sampled("client-created")))
			if err == nil || strings.Contains(err.Error(), password) || len(answers) != 1 || strings.Contains(answers[0].Text, password) {
				t.Errorf("%s: Deliver = %v, answers %v; want an error, and the password nowhere", name, err, answers)
			}
		})
	}
}
