package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// maxContainers is how many objects and arrays are indented: the indents of what is
// nested deeply grow with the square of its depth.
const maxContainers = 1000

// Preview returns the body that Deliver would post about d, JSON with indents,
// below the headers that describe it, without what acts on a terminal. The address, the signature and the headers of
// every request are not shown.
func (c *connector) Preview(d connectors.Delivery) (string, error) {
	p, err := c.encode(d)
	if err != nil {
		return "", fault.Permanent(err)
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p.header)) {
		fmt.Fprintf(&b, "%s: %s\n", name, p.header[name])
	}
	fmt.Fprintf(&b, "webhook-id: %s\n\n", d.ID)
	body := bytes.TrimSpace(p.body)
	var indented bytes.Buffer
	containers := bytes.Count(body, []byte("{")) + bytes.Count(body, []byte("["))
	if containers <= maxContainers && json.Indent(&indented, body, "", "  ") == nil {
		body = indented.Bytes()
	}
	b.Write(body)
	return connectors.Visible(b.String()) + "\n", nil
}
