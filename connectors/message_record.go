package connectors

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// A field of a record that people read: a text, a number, a boolean, or the name
// of a nested copy of another record.
type field struct {
	name, value string
	nested      bool
}

// A record is its fields that are not empty, in order.
type record []field

// readRecord reads the fields of a record. What is no object has none.
func readRecord(raw json.RawMessage) (record, error) { return readFields(raw, copyField) }

// readFields reads the fields of an object; nested says what one that is an object
// itself holds.
func readFields(raw json.RawMessage, nested func(json.RawMessage) (string, error)) (record, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		if len(bytes.TrimSpace(raw)) == 0 || err == nil {
			return nil, nil
		}
		return nil, err
	}
	var out record
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		f, err := readField(name.(string), value, nested) // a key is always a string
		if err != nil {
			return nil, err
		}
		if strings.TrimSpace(f.value) != "" {
			out = append(out, f)
		}
	}
	return out, nil
}

func readField(name string, raw json.RawMessage, nested func(json.RawMessage) (string, error)) (f field, err error) {
	f = field{name: name, nested: raw[0] == '{'}
	switch {
	case f.nested:
		f.value, err = nested(raw)
	case raw[0] != '[' && string(raw) != "null" && string(raw) != `""`:
		f.value, err = readable(name, raw)
	}
	return f, err
}

// copyField is what a nested copy of another record stands for: its name.
func copyField(raw json.RawMessage) (string, error) {
	r, err := readFields(raw, func(json.RawMessage) (string, error) { return "", nil })
	if err != nil {
		return "", err
	}
	name, named := r.title("")
	if len(named) == 0 {
		return "", nil
	}
	return name, nil
}

// first returns the first of the fields named that the record has, in one line.
func (r record) first(names ...string) string {
	for _, name := range names {
		for _, f := range r {
			if f.name == name {
				return OneLine(f.value)
			}
		}
	}
	return ""
}

// facts returns the fields that people read, without those named in the title.
func (r record) facts(named []string) []Fact {
	var out []Fact
	for _, f := range r {
		switch f.name {
		case "id", "created_at", "updated_at", "deleted_at":
			continue
		}
		if strings.HasSuffix(f.name, "_id") || slices.Contains(named, f.name) {
			continue
		}
		out = append(out, Fact{Label: words(f.name), Value: f.value})
	}
	return out
}

// title names the record by the first of its fields that does, and returns the
// names of the fields it used.
func (r record) title(id string) (string, []string) {
	if last := r.first("last_name"); r.first("name") == "" && r.first("first_name")+last != "" {
		return strings.TrimSpace(r.first("first_name") + " " + last), []string{"first_name", "last_name"}
	}
	for _, match := range []func(field) bool{
		func(f field) bool { return f.name == "name" },
		func(f field) bool { return f.name == "title" },
		func(f field) bool { return f.name == "filename" || f.name == "file_name" },
		func(f field) bool { return strings.HasPrefix(f.name, "formatted_") },
		func(f field) bool { return strings.HasSuffix(f.name, "_number") && f.name != "reference_number" },
		func(f field) bool { return f.name == "number" || f.name == "subject" || f.name == "email" },
		func(f field) bool { return f.name == "User" },
	} {
		for _, f := range r {
			if match(f) && (!f.nested || f.name == "User") {
				return OneLine(f.value), []string{f.name}
			}
		}
	}
	return "#" + OneLine(id), nil
}
