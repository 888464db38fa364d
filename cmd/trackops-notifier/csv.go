package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Columns are those of a table of records: the notifier's own, and one for each
// top-level field that any record has, in the order of their first appearance.
type columns struct {
	names []string
	index map[string]int // of a field's name in names
}

func newColumns() *columns { return &columns{index: make(map[string]int)} }

// ownColumns come first. A field of the same name stands as record.id.
func ownColumns() []string {
	return []string{"id", "revision", "created", "updated", "observed", "deleted"}
}

// add makes room for the fields of a line.
func (c *columns) add(line []byte) error {
	_, fields, err := decodeLine(line)
	for _, f := range fields {
		if _, known := c.index[f.name]; !known {
			c.index[f.name] = len(c.names)
			c.names = append(c.names, f.name)
		}
	}
	return err
}

func (c *columns) header() []string {
	row := ownColumns()
	for _, name := range c.names {
		if slices.Contains(ownColumns(), name) {
			name = "record." + name
		}
		row = append(row, harmless(name))
	}
	return row
}

// row returns the cells of a line; complete is false if a field has no column.
func (c *columns) row(line []byte) (row []string, complete bool, err error) {
	e, fields, err := decodeLine(line)
	if err != nil {
		return nil, false, err
	}
	row = make([]string, len(ownColumns())+len(c.names))
	copy(row, []string{harmless(e.ID), strconv.FormatUint(e.Revision, 10), timeCell(e.Created), timeCell(e.Updated), timeCell(e.Observed), timeCell(e.Deleted)})
	complete = true
	for _, f := range fields {
		i, known := c.index[f.name]
		if !known {
			complete = false
			continue
		}
		if row[len(ownColumns())+i], err = csvCell(f.value); err != nil {
			return nil, false, err
		}
	}
	return row, complete, nil
}

func timeCell(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// csvCell writes a JSON value for a spreadsheet: numbers and booleans as they are,
// texts without quotes and harmless, null as nothing, the rest as compact JSON.
func csvCell(value json.RawMessage) (string, error) {
	switch value[0] {
	case 'n':
		return "", nil
	case '"':
		var text string
		err := json.Unmarshal(value, &text)
		return harmless(text), err
	case '{', '[':
		var compact bytes.Buffer
		err := json.Compact(&compact, value)
		return compact.String(), err
	}
	return string(value), nil
}

// harmless puts an apostrophe before a text that a spreadsheet could take for a
// formula: one that begins with = + - @, also in their full-width forms or after
// white space, or with a tab or a line break (OWASP, CSV Injection).
func harmless(text string) string {
	shown := strings.TrimLeftFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	})
	if first, _ := utf8.DecodeRuneInString(shown); shown != "" && strings.ContainsRune("=+-@＝＋－＠", first) {
		return "'" + text
	}
	if text != "" && strings.ContainsRune("\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}

// writeRow writes a row as RFC 4180 has it. Unlike package encoding/csv it leaves
// line breaks within a cell as they are.
func writeRow(w *bufio.Writer, row []string) error {
	for i, cell := range row {
		if i > 0 {
			w.WriteByte(',')
		}
		if strings.ContainsAny(cell, "\",;\t\r\n ") {
			cell = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
		}
		w.WriteString(cell)
	}
	_, err := w.WriteString("\r\n") // tells of an earlier failure too
	return err
}
