package connectors

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// changed puts changes into words. Left out are those that only follow from
// another: the new time of updated_at, and the new ids of a nested copy whose new
// name is shown.
func changed(changes []events.Change) ([]Changed, error) {
	var out []Changed
	var followers []string
	for _, c := range changes {
		one, err := changedField(c)
		if err != nil {
			return nil, err
		}
		if copied, ok := nestedName(c.Path); ok {
			one.Label = words(copied)
			followers = append(followers, "/"+copied+"/id", "/"+snakeCase(copied)+"_id")
		}
		out = append(out, one)
	}
	follows := func(c Changed) bool { return slices.Contains(followers, c.Path) }
	out = slices.DeleteFunc(out, follows)
	if len(out) > 1 {
		out = slices.DeleteFunc(out, func(c Changed) bool { return c.Path == "/updated_at" })
	}
	return out, nil
}

func changedField(c events.Change) (Changed, error) {
	name := c.Path[strings.LastIndexByte(c.Path, '/')+1:]
	from, err := readable(name, c.From)
	if err != nil {
		return Changed{}, fmt.Errorf("from, at %s: %w", c.Path, err)
	}
	to, err := readable(name, c.To)
	if err != nil {
		return Changed{}, fmt.Errorf("to, at %s: %w", c.Path, err)
	}
	if from == to { // they differ in their spelling only
		from, to = Visible(string(c.From)), Visible(string(c.To))
	}
	return Changed{Label: pathLabel(c.Path), From: from, To: to, Path: c.Path}, nil
}

// nestedName returns the field of a nested copy whose name path is:
// "CaseStatus" of "/CaseStatus/name".
func nestedName(path string) (string, bool) {
	tokens := strings.Split(path, "/")
	if len(tokens) != 3 || tokens[2] != "name" && !strings.HasPrefix(tokens[2], "formatted_") {
		return "", false
	}
	return tokens[1], tokens[1] != "" && unicode.IsUpper(rune(tokens[1][0]))
}

// snakeCase is the form of names that columns have: "case_status".
func snakeCase(pascal string) string {
	var b strings.Builder
	for i, r := range pascal {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
