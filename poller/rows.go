package poller

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/trackops-notifier/trackops-notifier/diff"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A row is one record of an answer.
type row struct {
	raw         json.RawMessage
	key         trackops.Key
	fingerprint diff.Fingerprint
}

// A layout knows where a collection keeps what identifies a record.
type layout struct {
	collection trackops.Collection
	rules      *diff.Rules
	fields     []string
	values     [][]byte // scratch
}

func newLayout(c trackops.Collection) (*layout, error) {
	rules, err := diff.NewRules(c.Ignore, c.VolatileURLs)
	if err != nil {
		return nil, fmt.Errorf("collection %s: ignored fields: %w", c.Name, err)
	}
	fields := c.Fields()
	return &layout{collection: c, rules: rules, fields: fields, values: make([][]byte, len(fields))}, nil
}

// rows reads a page. A missing or repeated identity is an error of the whole
// page: nothing of it can be compared.
func (l *layout) rows(records []json.RawMessage) ([]row, error) {
	rows := make([]row, 0, len(records))
	seen := make(map[string]struct{}, len(records))
	for i, raw := range records {
		fingerprint, err := l.rules.Scan(raw, l.fields, l.values)
		if err != nil {
			return nil, fmt.Errorf("%s: record %d of the page: %w", l.collection.Name, i+1, err)
		}
		key, err := l.collection.Key(l.values)
		if err != nil {
			return nil, fmt.Errorf("record %d of the page: %w", i+1, err)
		}
		if _, twice := seen[key.ID]; twice {
			return nil, fmt.Errorf("%s: two records of one page have the id %q", l.collection.Name, key.ID)
		}
		seen[key.ID] = struct{}{}
		rows = append(rows, row{raw: raw, key: key, fingerprint: fingerprint})
	}
	return rows, nil
}

// created returns the creation times of rows as listed.
func created(rows []row) []time.Time {
	times := make([]time.Time, len(rows))
	for i, r := range rows {
		times[i] = r.key.Created
	}
	return times
}
