package console

import (
	"fmt"
	"strings"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// maxEvents is how many records of a digest are shown.
const maxEvents = 50

// digest renders the net changes of a window as one compact block: a line for each
// record. Like [block], it lets nothing of a record act on the screen.
func digest(d connectors.TemplateData, color bool) string {
	p := painter(color)
	var b strings.Builder
	fmt.Fprintf(&b, "🗞️ %s\n", p.paint(bold, line(d.Summary, maxTitle)))
	shown := d.Messages[:min(len(d.Messages), maxEvents)]
	for _, m := range shown {
		fmt.Fprintf(&b, "   %s %s\n", m.Icon, p.paint(actionColor(m.Event.Data), line(m.Line(), maxValue)))
	}
	more(&b, p, len(d.Messages)-len(shown), "record")
	fmt.Fprintf(&b, "   %s\n\n", p.paint(dim, "stands for "+connectors.Count(len(d.Digest.IDs))+plural(len(d.Digest.IDs), " event", " events")))
	return b.String()
}

func plural(n int, one, several string) string {
	if n == 1 {
		return one
	}
	return several
}
