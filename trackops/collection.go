package trackops

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A Collection is one list of the API and what is documented about it. It is
// data: configuration can describe one that the table of [Collections] lacks.
type Collection struct {
	Name string // the path with _ for /: "case_updates"
	Path string // below the base address: "case/updates"

	// ID, Created and Updated name top-level fields of a record. Empty means
	// id, created_at and updated_at.
	ID, Created, Updated string

	// Query is sent with every list and count of the collection.
	Query url.Values

	// UpdatedFrom says that the collection is documented to take updated_from.
	UpdatedFrom bool

	// CreatedFrom and CreatedTo name the parameters that filter by the moment
	// the system created the record, both inclusive; empty if there are none.
	// Not to be confused with created_from of cases and invoices, which is a
	// date that users set.
	CreatedFrom, CreatedTo string

	// Ignore lists JSON Pointers (RFC 6901) of fields that change by
	// themselves, with * for any key or index.
	Ignore []string

	// VolatileURLs says that any string that is an absolute http(s) address is
	// new on each listing, and a bearer secret too.
	VolatileURLs bool

	// Composite lists, for records without an id, the alternative fields of
	// each part of their identity, in the order of the single record's path.
	Composite [][]string
}

// A Key is what the client knows about a record: all else in it is opaque.
type Key struct {
	ID               string     // of the record within its collection, the same for ever
	Path             string     // what [Request].ID must be to read this record; mostly the ID
	Created, Updated time.Time  // UTC; zero if absent or not a time
	Format           TimeFormat // in which the account wrote them; "" if neither is a time
}

// Fields returns the names of the top-level fields that [Collection.Key] needs,
// in the order in which it takes their values.
func (c Collection) Fields() []string {
	names := []string{
		orDefault(c.ID, "id"),
		orDefault(c.Created, "created_at"),
		orDefault(c.Updated, "updated_at"),
	}
	for _, part := range c.Composite {
		names = append(names, part...)
	}
	return names
}

func orDefault(name, fallback string) string {
	if name == "" {
		return fallback
	}
	return name
}

// Key makes a record's key from the raw JSON values of [Collection.Fields], in
// that order; an absent one is nil. Its error names the collection and repeats
// nothing of the record.
func (c Collection) Key(values [][]byte) (Key, error) {
	if want := len(c.Fields()); len(values) != want {
		return Key{}, fmt.Errorf("key of %s: %d values given, %d needed", c.Name, len(values), want)
	}
	var k Key
	composite, err := c.composite(values[3:])
	if err != nil {
		return Key{}, fmt.Errorf("key of %s: %w", c.Name, err)
	}
	k.ID, err = idText(values[0])
	switch {
	case err == nil && composite == "":
		k.Path = k.ID
	case err == nil:
		k.Path = composite
	case errors.Is(err, errNoID) && composite != "":
		k.ID, k.Path = composite, composite
	default:
		return Key{}, fmt.Errorf("key of %s: %w", c.Name, err)
	}
	var ok bool
	if k.Created, k.Format, ok = ParseTime(values[1]); !ok {
		k.Created, k.Format = time.Time{}, ""
	}
	if at, format, ok := ParseTime(values[2]); ok {
		k.Updated, k.Format = at, format
	}
	return k, nil
}

// composite joins the first alternative of each part that has a value; "" if a
// part has none.
func (c Collection) composite(values [][]byte) (string, error) {
	var parts []string
	for _, alternatives := range c.Composite {
		part := ""
		for i := range alternatives {
			text, err := idText(values[i])
			if errors.Is(err, errNoID) {
				continue
			}
			if err != nil {
				return "", err
			}
			part = text
			break
		}
		values = values[len(alternatives):]
		if part == "" {
			return "", nil
		}
		if strings.Contains(part, "/") {
			return "", errBadID
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "/"), nil
}

var (
	errNoID  = errors.New("a record has no id")
	errBadID = errors.New("a record's id is neither an integer nor a text")
)

// idText returns an id as text: the digits of an integer, however large, or the
// content of a string, so that 1042 and "1042" are the same record.
func idText(raw []byte) (string, error) {
	if len(raw) == 0 {
		return "", errNoID
	}
	switch jsontext.Value(raw).Kind() {
	case 'n':
		return "", errNoID
	case '"':
		text, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return "", errBadID
		}
		if len(text) == 0 {
			return "", errNoID
		}
		return string(text), nil
	case '0':
		if strings.ContainsAny(string(raw), ".eE") {
			return "", errBadID
		}
		return string(raw), nil
	}
	return "", errBadID
}
