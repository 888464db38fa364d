package slack

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
)

func TestEscapeKeepsTheLimitInCharacters(t *testing.T) {
	for _, limit := range []int{maxHeader, maxValue, maxNote, maxText} {
		for _, unit := range []string{"x", "é", "日", "🕵"} {
			for _, n := range []int{limit - 1, limit, limit + 1, limit * 20} {
				got := escape(strings.Repeat(unit, n), limit)
				if n <= limit && got != strings.Repeat(unit, n) {
					t.Errorf("escape(%d × %q) = %q, want it whole", n, unit, got)
				}
				if n > limit && (utf8.RuneCountInString(got) > limit || !strings.HasSuffix(got, " more characters")) {
					t.Errorf("escape(%d × %q) = %d characters, %q", n, unit, utf8.RuneCountInString(got), got)
				}
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

func TestFirstLinesAtTheLimit(t *testing.T) {
	for _, unit := range []string{"x", "é", "🕵"} {
		ten := strings.Repeat(unit, 9) + "\n"
		for _, n := range []int{maxText - 1, maxText, maxText + 1, maxText + 500} {
			text := (strings.Repeat(ten, n/10) + strings.Repeat(unit, n%10+10))[:]
			text = string([]rune(text)[:n])
			got := firstLines(text, maxText)
			if n <= maxText && got != text || n > maxText && (utf8.RuneCountInString(got) > maxText || !strings.HasSuffix(got, " more lines_")) {
				t.Errorf("firstLines(%d characters of %q) = %d characters, …%q", n, unit, utf8.RuneCountInString(got), got[len(got)-40:])
			}
		}
	}
	// The count is right, and one line alone is cut before a mark.
	text := strings.Repeat("a\n", 99) + "b"
	got := firstLines(text, 100)
	kept := strings.Count(got, "a\n")
	if want := fmt.Sprintf("_… and %d more lines_", 100-kept); !strings.HasSuffix(got, want) {
		t.Errorf("firstLines = %q, want %q at the end", got, want)
	}
	for _, mark := range []string{"&amp;", "<!date^1^{date}|x>", "<https://ops.example/1|Name>"} {
		for n := 80; n <= 110; n++ {
			got := firstLines(strings.Repeat("x", n)+mark+strings.Repeat("y", 100), 100)
			if at := strings.ContainsAny(strings.ReplaceAll(got, mark, ""), "<&>"); at || utf8.RuneCountInString(got) > 100 {
				t.Errorf("firstLines cut %q: %q", mark, got)
			}
		}
	}
}

// accepted returns why Slack would not take the message of d as it is.
func accepted(c *connector, d connectors.Delivery) (seen, string) {
	m, err := c.render(d)
	if err != nil {
		return seen{}, err.Error()
	}
	got, problem := received(m)
	for _, p := range []string{problem, got.problem(), got.misread()} {
		if p != "" {
			return got, p
		}
	}
	return got, ""
}

// received is m as it arrives.
func received(m message) (seen, string) {
	blocks, err := json.Marshal(m.blocks)
	if err != nil {
		return seen{}, err.Error()
	}
	got := seen{text: m.text}
	return got, got.readBlocks(string(blocks))
}

// Each limit one below, at and one above, in characters of one to four bytes and
// in one that becomes an entity.
func TestLimitsAtTheirEdges(t *testing.T) {
	c := &connector{link: recordLink}
	header := utf8.RuneCountInString("✏️ Client updated: ")
	for _, unit := range []string{"x", "é", "日", "🕵", "&"} {
		width := utf8.RuneCountInString(escape(unit, 10))
		for _, limit := range []int{maxHeader, maxValue, maxNote, maxSection, 2000, maxText, maxTotal} {
			for _, n := range []int{limit - 1, limit, limit + 1} {
				text := strings.Repeat(unit, (n-header)/width) + strings.Repeat("x", (n-header)%width)
				quoted, err := json.Marshal(text)
				if err != nil {
					t.Fatal(err)
				}
				record := fmt.Sprintf(`{"name":%s,"notes":%s}`, quoted, quoted)
				for _, action := range events.Actions() {
					e := connectortest.Samples()[0].Event
					e.Data.Action, e.Data.Record = action, json.RawMessage(record)
					e.Data.Changes = []events.Change{{Path: "/notes", From: quoted, To: json.RawMessage(`"` + text[:0] + `"`)}, {Path: "/" + text, To: quoted}}
					for _, d := range []connectors.Delivery{one(e), {ID: "d", Events: []events.Event{e, e}}, digestOf([]events.Event{e}, false)} {
						m, problem := accepted(c, d)
						if problem != "" {
							t.Errorf("%s, %d × %q: %s", action, n, unit, problem)
						}
						if len(d.Events) > 1 || d.Digest != nil || limit != maxHeader || action != events.Updated {
							continue
						}
						title, _ := m.blocks[0]["text"].(map[string]any)["text"].(string)
						if whole := strings.HasSuffix(title, escape(text, maxText)); whole != (n <= limit) {
							t.Errorf("header for %d characters of %q = %q, whole: %v", n, unit, title, whole)
						}
					}
				}
			}
		}
	}
}

func TestManyChangesAreCountedNotLost(t *testing.T) {
	for _, n := range []int{maxChanges - 1, maxChanges, maxChanges + 1, 500} {
		e := connectortest.Samples()[1].Event
		e.Data.Changes = nil
		for i := range n {
			e.Data.Changes = append(e.Data.Changes, events.Change{Path: fmt.Sprintf("/f%d", i), To: json.RawMessage("1")})
		}
		m, problem := accepted(&connector{}, one(e))
		if problem != "" {
			t.Error(problem)
		}
		note := ""
		switch left := n - maxChanges; {
		case left == 1:
			note = "… and 1 more change_"
		case left > 1:
			note = fmt.Sprintf("… and %d more changes_", left)
		}
		if got := strings.Contains(m.raw, "more change"); got != (note != "") || !strings.Contains(m.raw, note) {
			t.Errorf("%d changes: want the note %q in %s", n, note, m.raw)
		}
	}
}

// clients returns n events of as many clients, with names of so many units.
func clients(n, long int, unit string) []events.Event {
	var all []events.Event
	for i := range n {
		e := connectortest.Samples()[i%2].Event // created, updated
		name, err := json.Marshal(fmt.Sprintf("Client %d, %s", i, strings.Repeat(unit, long)))
		if err != nil {
			panic(err) // a string is always JSON
		}
		e.Data.ID = strconv.Itoa(1000 + i)
		e.Data.Record = json.RawMessage(fmt.Sprintf(`{"id":%d,"name":%s,"notes":%s}`, 1000+i, name, name))
		all = append(all, e.Stamp("k7q2"))
	}
	return all
}

var moreNote = regexp.MustCompile(`… and ([0-9,]+) more (events?|records?)`)

var clientName = regexp.MustCompile(`(?:New client|Client updated): Client (\d+),`)

// named returns the numbers of the clients that the headlines in text name.
func named(text string) []int {
	var all []int
	for _, found := range clientName.FindAllStringSubmatch(text, -1) {
		n, err := strconv.Atoi(found[1])
		if err != nil {
			panic(err) // digits
		}
		all = append(all, n)
	}
	return all
}

// upTo is 0, 1, … n-1.
func upTo(n int) []int {
	all := []int{}
	for i := range n {
		all = append(all, i)
	}
	return all
}

// However many events there are and whatever they hold: one message that Slack
// takes, each event named in order or counted.
func TestEveryEventIsNamedOrCounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(1, 60), rapid.IntRange(1, 600)).Draw(t, "events")
		all := clients(n, rapid.IntRange(0, 300).Draw(t, "length"), rapid.SampledFrom([]string{"x", "é", "🕵", "<", "&", "\n"}).Draw(t, "unit"))
		c := &connector{}
		if rapid.Bool().Draw(t, "links") {
			c.link = recordLink
		}
		d := connectors.Delivery{ID: "d", Events: all}
		if n == 1 || rapid.Bool().Draw(t, "digest") {
			d = digestOf(all, rapid.Bool().Draw(t, "quiet"))
		}
		m, problem := accepted(c, d)
		if problem != "" {
			t.Fatalf("%d events: %s", n, problem)
		}
		left := 0
		if note := moreNote.FindStringSubmatch(m.raw); note != nil {
			left, _ = strconv.Atoi(strings.ReplaceAll(note[1], ",", ""))
		}
		if got := named(m.raw); !slices.Equal(got, upTo(n-left)) {
			t.Fatalf("%d events: named %v, and %d counted", n, got, left)
		}
		if n <= 25 && left > 0 {
			t.Fatalf("%d of a burst of %d events are only counted", left, n)
		}
		if size := m.size(); size > maxTotal {
			t.Fatalf("%d events make %d characters", n, size)
		}
		if left > 0 && !strings.Contains(m.raw, "trackops-notifier events --since 2026-11-23T09:") {
			t.Fatalf("no command to see the rest: %s", m.raw)
		}
	})
}

// Changes that are many and long keep every limit, alone and in a list, and in a
// list those without room are counted.
func TestLongChanges(t *testing.T) {
	for _, n := range []int{1, 5, 12, 13, 20, 21} {
		for _, long := range []int{100, 290, 310, 599, 601} {
			e := sampled("client-updated")
			e.Data.Changes = nil
			for i := range n {
				value := json.RawMessage(`"` + strings.Repeat("é", long) + `"`)
				e.Data.Changes = append(e.Data.Changes, events.Change{Path: fmt.Sprintf("/f%d", i), From: value, To: value})
			}
			c := &connector{}
			if _, problem := accepted(c, one(e)); problem != "" {
				t.Errorf("%d changes of %d characters: %s", n, long, problem)
			}
			m, problem := accepted(c, connectors.Delivery{ID: "d", Events: []events.Event{e, e}})
			if problem != "" {
				t.Errorf("%d changes of %d characters in a list: %s", n, long, problem)
			}
			if shown := strings.Count(m.raw, "*F"); shown/2 > 12 || (shown/2 < n) != strings.Contains(m.raw, "more value") {
				t.Errorf("%d changes of %d characters: a list shows %d: %s", n, long, shown, m.raw)
			}
		}
	}
}

// The text of a template is at most as long as Slack advises.
func TestTextOfATemplateAtTheLimit(t *testing.T) {
	for _, unit := range []string{"x", "🕵"} {
		for _, n := range []int{3999, 4000, 4001} {
			c := connected(t, newFakeSlack(), &settings{BotToken: token, Channel: "C1", Template: strings.Repeat(unit, n)}, connectors.Env{})
			m, err := c.render(one(sampled("client-created")))
			if got := utf8.RuneCountInString(m.text); err != nil || got != min(n, 4000) {
				t.Errorf("a template of %d × %q makes %d characters, %v", n, unit, got, err)
			}
		}
	}
}

// A value of any length makes blocks that Slack takes, and those within the limits
// stay as they are written.
func TestBlocksOfATemplateAtTheLimits(t *testing.T) {
	for at, place := range map[string]struct {
		template string
		limit    int
	}{
		"section": {`[{"type":"section","text":{"type":"mrkdwn","verbatim":true,"text":"{{.Record.name}}"}}]`, 3000},
		"field":   {`[{"type":"section","fields":[{"type":"mrkdwn","verbatim":true,"text":"{{.Record.name}}"}]}]`, 2000},
		"header":  {`[{"type":"header","text":{"type":"plain_text","text":"{{.Record.name}}"}}]`, 150},
		"context": {`[{"type":"context","elements":[{"type":"plain_text","text":"{{.Record.name}}"}]}]`, 3000},
	} {
		c := connected(t, newFakeSlack(), &settings{BotToken: token, Channel: "C1", BlocksTemplate: place.template}, connectors.Env{})
		for _, unit := range []string{"x", "é", "🕵", "&"} {
			for _, n := range []int{place.limit - 1, place.limit, place.limit + 1, 150_000} {
				e := sampled("client-created")
				e.Data.Record = fmt.Appendf(nil, `{"id":1,"name":%q}`, strings.Repeat(unit, n))
				got, problem := accepted(c, one(e))
				if problem != "" {
					t.Errorf("%s of %d × %q: %s", at, n, unit, problem)
				}
				if whole := strings.Contains(got.raw, strings.Repeat(unit, n)); whole != (n <= place.limit) && unit != "&" {
					t.Errorf("%s of %d × %q is whole: %v", at, n, unit, whole)
				}
			}
		}
	}
}

// An address cannot end its link early, and what is none makes no link.
func TestLinks(t *testing.T) {
	for address, want := range map[string]string{
		"https://ops.example/1?a=b&c=d":         "<https://ops.example/1?a=b&amp;c=d|label>",
		"https://ops.example/?q=a|b><!channel>": "<https://ops.example/?q=a%7Cb%3E%3C!channel%3E|label>",
		"https://ops.example/a b":               "<https://ops.example/a%20b|label>",
		"https://ops.example/\n":                "label",
		"javascript:alert(1)":                   "label",
		"//ops.example/1":                       "label",
		"https:///1":                            "label",
		"":                                      "label",
		"https://ops.example/" + strings.Repeat("x", 480):   "<https://ops.example/" + strings.Repeat("x", 480) + "|label>",
		"https://ops.example/" + strings.Repeat("x", 480+1): "label",
	} {
		if got := link(address, "label"); got != want {
			t.Errorf("link(%q) = %q, want %q", address, got, want)
		}
	}
}

// A burst at its usual size is told with values, and its text names every event.
func TestABurstIsReadable(t *testing.T) {
	all := clients(Kind().Burst, 20, "x")
	m, problem := accepted(&connector{link: recordLink}, connectors.Delivery{ID: "d", Events: all})
	if problem != "" {
		t.Fatal(problem)
	}
	for _, want := range []string{"*Notes*", "*Credit limit*", "13 created · 12 updated"} {
		if !strings.Contains(m.raw, want) {
			t.Errorf("no %q in %s", want, m.raw)
		}
	}
	if got := named(m.text); !slices.Equal(got, upTo(len(all))) {
		t.Errorf("the text names %v: %s", got, m.text)
	}
}

// Each id of a digest is in the message or counted, and in the metadata.
func TestADigestListsItsIDs(t *testing.T) {
	for _, n := range []int{0, 1, 30, 45, 46, 47, 48, 49, 50, 51, 3000} {
		d := digestOf(clients(3, 5, "x"), false)
		d.Digest.IDs = nil
		for i := range n {
			d.Digest.IDs = append(d.Digest.IDs, fmt.Sprintf("acme_clients_%d_1_k7q2", 1000+i))
		}
		m, problem := accepted(&connector{}, d)
		if problem != "" {
			t.Fatal(problem)
		}
		listed, left := 0, 0
		for _, id := range d.Digest.IDs {
			if strings.Contains(m.raw, " "+id) {
				listed++
			}
		}
		if note := regexp.MustCompile(`… and ([0-9,]+) more: trackops-notifier events --since 2026-11-23T09:15:00Z`).FindStringSubmatch(m.raw); note != nil {
			left, _ = strconv.Atoi(strings.ReplaceAll(note[1], ",", ""))
		}
		if listed+left != n || listed < min(n, 45) {
			t.Errorf("%d ids: %d listed, %d counted", n, listed, left)
		}
		if got := len(strings.Fields(metadata(d).events)); got != n {
			t.Errorf("%d ids: %d in the metadata", n, got)
		}
	}
}

func TestADigestOfNothing(t *testing.T) {
	d := digestOf(nil, true)
	d.Digest.IDs = []string{"acme_clients_1_1_k7q2", "acme_clients_1_2_k7q2"}
	m, problem := accepted(&connector{}, d)
	if problem != "" || !strings.Contains(m.raw, "net of 2 events") {
		t.Errorf("%s: %s", problem, m.raw)
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
		if at := injected(got); at != "" || !utf8.ValidString(got) {
			t.Errorf("escape(%q, %d) = %q", s, limit, got)
		}
	})
}

func FuzzRender(f *testing.F) {
	f.Add(`{"name":"<!channel>"}`, "/name", `"a"`, `"<@U1>"`, "m", "1")
	f.Add(`{"name":"a\r\nb"}`, "", `null`, `"\u202e"`, "🕵", "https://x|y>")
	f.Fuzz(func(t *testing.T, record, path, from, to, text, id string) {
		for _, raw := range []string{record, from, to} {
			if !json.Valid([]byte(raw)) {
				return // not an event
			}
		}
		e := connectortest.Samples()[1].Event
		e.Data.Record = json.RawMessage(record)
		e.Data.Changes = []events.Change{{Path: path, From: json.RawMessage(from), To: json.RawMessage(to)}}
		e.Data.Account, e.Data.Message, e.Data.ID = text, text, id
		c := &connector{link: recordLink}
		for _, action := range []events.Action{events.Created, events.Updated} {
			e.Data.Action = action
			for _, d := range []connectors.Delivery{one(e), {ID: "d", Events: []events.Event{e, e, e}}, digestOf([]events.Event{e}, true)} {
				if _, err := c.render(d); err != nil {
					continue // refused, not misread
				}
				if _, problem := accepted(c, d); problem != "" {
					t.Errorf("%s: %s", action, problem)
				}
			}
		}
	})
}

// What breaks programs that print, quote or shorten arrives as something that
// Slack takes and does not misread, alone, in a burst and in a digest.
func TestHostileContent(t *testing.T) {
	c := &connector{link: func(e events.Event) string { return "https://ops.example/" + e.Data.ID }}
	var all []events.Event
	for _, sample := range connectortest.Hostile() {
		all = append(all, sample.Event)
		if _, problem := accepted(c, one(sample.Event)); problem != "" && !strings.Contains(problem, "read the") {
			t.Errorf("%s: %.300s", sample.Name, problem)
		}
	}
	for i := 0; i+25 <= len(all); i += 25 {
		for _, d := range []connectors.Delivery{{ID: "d", Events: all[i : i+25]}, digestOf(all[i:i+25], false)} {
			if _, problem := accepted(c, d); problem != "" && !strings.Contains(problem, "read the") {
				t.Errorf("events %d to %d: %.300s", i, i+25, problem)
			}
		}
	}
}
