package connectors_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/connectortest"
	"github.com/trackops-notifier/trackops-notifier/events"
)

// The examples of docs/templates.md do what it says.
func TestTemplateExamples(t *testing.T) {
	raw, err := os.ReadFile("../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	example := regexp.MustCompile("<!-- example: (\\w+) ([\\w-]+) -->\n```gotemplate\n((?s:.*?))\n```\n\n```text\n((?s:.*?))\n```\n")
	found := example.FindAllStringSubmatch(text, -1)
	if n := strings.Count(text, "<!-- example:"); n == 0 || len(found) != n || strings.Count(text, "```gotemplate") != n {
		t.Fatalf("%d of %d examples are in the form that is tried", len(found), n)
	}
	media := map[string]connectors.Medium{"plain": connectors.Plain, "mrkdwn": connectors.Mrkdwn, "html": connectors.HTML, "json": connectors.JSON}
	for _, e := range found {
		medium, ok := media[e[1]]
		if !ok {
			t.Fatalf("there is no medium %q", e[1])
		}
		data, err := connectors.NewTemplateData(exampleDelivery(t, e[2]), "sales", nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := compile(t, e[3], medium).Render(data)
		if err != nil || strings.TrimSpace(got) != e[4] {
			t.Errorf("%s\nof %s = %s, %v\nwant %s", e[3], e[2], got, err, e[4])
		}
	}
}

// exampleDelivery is the sample of that name, or a digest of all.
func exampleDelivery(t *testing.T, name string) connectors.Delivery {
	t.Helper()
	var all []events.Event
	for _, sample := range connectortest.Samples() {
		if sample.Name == name {
			return connectors.Delivery{Events: []events.Event{sample.Event}}
		}
		all = append(all, sample.Event)
	}
	if name != "digest" {
		t.Fatalf("there is no sample %q", name)
	}
	from := all[0].Time
	return connectors.Delivery{Events: all, Digest: &connectors.Digest{From: from, To: from.Add(15 * time.Minute)}}
}
