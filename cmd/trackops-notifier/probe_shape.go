package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// A shape is the form of many JSON values without their content: which fields
// there are, how often, and of which types.
type shape struct {
	Records int                       `json:"records"`
	Fields  map[string]map[string]int `json:"fields"` // path → type → how often
}

func newShape() *shape { return &shape{Fields: make(map[string]map[string]int)} }

const (
	maxShapeDepth  = 4
	maxShapeFields = 60 // of one object; one with more is a map, whose keys are content
)

// plainName is what a programmer names a field. Any other key may be content: an
// address, a person, an id.
var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,39}$`)

// add counts the fields of a record.
func (s *shape) add(record json.RawMessage) error {
	s.Records++
	return s.members("", record, 1)
}

func (s *shape) members(path string, object json.RawMessage, depth int) error {
	fields, err := topLevel(object)
	if err != nil {
		return err
	}
	for _, f := range fields {
		name := f.name
		if !plainName.MatchString(name) || len(fields) > maxShapeFields && depth > 1 {
			name = "*"
		}
		if err := s.value(strings.TrimPrefix(path+"."+name, "."), f.value, depth); err != nil {
			return err
		}
	}
	return nil
}

func (s *shape) value(path string, value json.RawMessage, depth int) error {
	kind := valueType(value)
	if s.Fields[path] == nil {
		s.Fields[path] = make(map[string]int)
	}
	s.Fields[path][kind]++
	if depth == maxShapeDepth {
		return nil
	}
	switch kind {
	case "object":
		return s.members(path, value, depth+1)
	case "array":
		var items []json.RawMessage
		if err := json.Unmarshal(value, &items); err != nil {
			return err
		}
		for _, item := range items {
			if err := s.value(path+"[]", item, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	dateForm    = regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)
	integerForm = regexp.MustCompile(`^-?\d+$`)
	decimalForm = regexp.MustCompile(`^-?\d+\.\d+$`)
)

// valueType names the type of a JSON value and, of a text, its form.
func valueType(value json.RawMessage) string {
	switch value[0] {
	case 'n':
		return "null"
	case 't', 'f':
		return "boolean"
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return textType(value)
	}
	if integerForm.Match(value) {
		return "integer"
	}
	return "number"
}

func textType(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) != nil {
		return "text"
	}
	switch {
	case text == "":
		return "empty text"
	case text == "true", text == "false":
		return "boolean text"
	case dateForm.MatchString(text):
		return "date text"
	case integerForm.MatchString(text):
		return "integer text"
	case decimalForm.MatchString(text):
		return "decimal text"
	case strings.HasPrefix(text, "https://"), strings.HasPrefix(text, "http://"):
		return "address text"
	}
	if _, f, ok := trackops.ParseTime(value); ok {
		return "time text" + " " + formatName(f)
	}
	return "text"
}

// formatName names a form of times in a report.
func formatName(f trackops.TimeFormat) string {
	return strings.NewReplacer("2006", "YYYY", "-01-02", "-MM-DD", "15:04:05", "hh:mm:ss", "-07:00", "+hh:mm", "-0700", "+hhmm").Replace(string(f))
}

// sortedFields returns the names of the fields that the records are in order of,
// descending or ascending: what may decide the order of a list.
func sortedFields(records []json.RawMessage, descending bool) []string {
	const fewest = 3 // fewer prove nothing
	if len(records) < fewest {
		return nil
	}
	columns := make(map[string][]int64)
	for _, record := range records {
		fields, err := topLevel(record)
		if err != nil {
			return nil
		}
		for _, f := range fields {
			if v, ok := orderValue(f.value); ok && plainName.MatchString(f.name) {
				columns[f.name] = append(columns[f.name], v)
			}
		}
	}
	var names []string
	for name, column := range columns {
		if descending {
			slices.Reverse(column)
		}
		if len(column) == len(records) && slices.IsSorted(column) && column[0] != column[len(column)-1] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// orderValue makes a time, a date or an integer comparable.
func orderValue(value json.RawMessage) (int64, bool) {
	if t, _, ok := trackops.ParseTime(value); ok {
		return t.UnixMilli(), true
	}
	text := string(bytes.Trim(value, `"`))
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t.UnixMilli(), true
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// changedFields compares two readings of the same records, a moment apart, and
// returns the fields that differ although updated_at does not.
func changedFields(c trackops.Collection, before, after []json.RawMessage) []string {
	old := make(map[string][]field)
	for _, record := range before {
		key, err := keyOf(c, record)
		fields, fieldsErr := topLevel(record)
		if err == nil && fieldsErr == nil {
			old[key.ID+" "+key.Updated.String()] = fields
		}
	}
	var names []string
	for _, record := range after {
		key, err := keyOf(c, record)
		fields, fieldsErr := topLevel(record)
		if err != nil || fieldsErr != nil {
			continue
		}
		for _, f := range fields {
			i := slices.IndexFunc(old[key.ID+" "+key.Updated.String()], func(o field) bool { return o.name == f.name })
			if i < 0 || !plainName.MatchString(f.name) || slices.Contains(names, f.name) {
				continue
			}
			if !bytes.Equal(old[key.ID+" "+key.Updated.String()][i].value, f.value) {
				names = append(names, f.name)
			}
		}
	}
	slices.Sort(names)
	return names
}
