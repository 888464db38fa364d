package main

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/trackops-notifier/trackops-notifier/diff"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// collectionSettings are the variables of one collection: all of them for one
// that Trackops does not document, all but the path for the others.
type collectionSettings struct {
	Path    string `desc:"adds a collection that is not documented: its path below the API's address, as time/entries"`
	ID      string `desc:"the field that identifies a record; unset: id"`
	Created string `desc:"the field with the time a record was created; unset: created_at. For an added collection it says, too, that created_from and created_to filter by it"`
	Updated string `desc:"the field with the time of a record's last change; unset: updated_at. For an added collection it says, too, that updated_from filters by it"`
	Query   string `desc:"parameters that every list carries, as is_vendor=false&role=3, beside the documented ones of the collection"`
	Ignore  string `desc:"JSON Pointers to parts of a record that do not count, comma-separated, * for any key or index"`
}

const collectionPrefix = "COLLECTION_"

// polled returns the collections to poll: those that POLL_COLLECTIONS names, or
// all there are.
func (l *loader) polled(poll string, all []trackops.Collection) []trackops.Collection {
	if poll == "" {
		return all
	}
	names := collectionNames(all)
	accepted := "names of collections, comma-separated: " + strings.Join(names, ", ")
	chosen, mistakes := []trackops.Collection(nil), len(l.errs)
	for _, name := range parse(l, "POLL_COLLECTIONS", poll, accepted, readList) {
		i := slices.Index(names, name)
		switch {
		case i < 0:
			near := nearest(name, names)
			l.report("POLL_COLLECTIONS", quote(name)+" is not a collection; the nearest is "+near, accepted)
		case !slices.Contains(collectionNames(chosen), name):
			chosen = append(chosen, all[i])
		}
	}
	if len(l.errs) > mistakes {
		return all // what was meant is not known: no event pattern is wrong for that
	}
	return chosen
}

// allCollections returns the documented collections as COLLECTION_ variables
// change them, and after them those that COLLECTION_<NAME>_PATH adds.
func (l *loader) allCollections() []trackops.Collection {
	all := trackops.Collections()
	for i, c := range all {
		all[i] = l.documented(c)
	}
	documented := collectionNames(all)
	for _, variable := range l.under(collectionPrefix) {
		name, ok := strings.CutSuffix(strings.TrimPrefix(variable, collectionPrefix), "_PATH")
		if !ok || slices.Contains(documented, strings.ToLower(name)) {
			continue
		}
		if err := checkCollectionName(name); err != nil {
			l.report(variable, err.Error(), "COLLECTION_<NAME>_PATH with a NAME of capital letters, digits and single underscores that begins with a letter")
			l.unreadable[variable] = true
			continue
		}
		var s collectionSettings
		l.fill(collectionPrefix+name, &s)
		c := trackops.Collection{
			Name:        strings.ToLower(name),
			Path:        parse(l, variable, s.Path, "a path below the API's address, as time/entries", readPath),
			UpdatedFrom: s.Updated != "",
		}
		if s.Created != "" {
			c.CreatedFrom, c.CreatedTo = "created_from", "created_to"
		}
		all = append(all, l.adjust(collectionPrefix+name, c, s))
	}
	return all
}

func collectionNames(all []trackops.Collection) []string {
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.Name
	}
	return names
}

func checkCollectionName(name string) error {
	if strings.ToLower(name) == events.System {
		return errors.New("takes the name of operational events")
	}
	if !nameForm.MatchString(name) || len(name) > 64 {
		return fmt.Errorf("adds no collection: %s is not a name", quote(name))
	}
	return nil
}

func (l *loader) documented(c trackops.Collection) trackops.Collection {
	prefix := collectionPrefix + strings.ToUpper(c.Name)
	var s collectionSettings
	l.fill(prefix, &s)
	if s.Path != "" {
		l.report(prefix+"_PATH", "adds "+c.Name+", which is there already", "the name of a collection that is not documented; the other COLLECTION_"+strings.ToUpper(c.Name)+"_ variables are free")
	}
	return l.adjust(prefix, c, s)
}

// adjust returns c as the settings change it.
func (l *loader) adjust(prefix string, c trackops.Collection, s collectionSettings) trackops.Collection {
	for _, change := range []struct {
		field, value string
		to           *string
	}{{"ID", s.ID, &c.ID}, {"CREATED", s.Created, &c.Created}, {"UPDATED", s.Updated, &c.Updated}} {
		if change.value != "" {
			*change.to = parse(l, join(prefix, change.field), change.value, "the name of a field, as created_at", readFieldName)
		}
	}
	if s.Query != "" {
		own := []string{"page", "per_page", "dir", "mode", "updated_from", "updated_to", c.CreatedFrom, c.CreatedTo}
		more := parse(l, prefix+"_QUERY", s.Query, "parameters as role=3&is_vendor=false", func(value string) (url.Values, error) {
			return readQuery(value, own)
		})
		query := url.Values{}
		maps.Copy(query, c.Query)
		maps.Copy(query, more)
		c.Query = query
	}
	if s.Ignore != "" {
		const accepted = "JSON Pointers, comma-separated, as /notes or /contacts/*/email"
		pointers := parse(l, prefix+"_IGNORE", s.Ignore, accepted, readList)
		c.Ignore = slices.Concat(c.Ignore, pointers)
		if _, err := diff.NewRules(pointers, false); err != nil {
			l.report(prefix+"_IGNORE", err.Error(), accepted)
		}
	}
	return c
}

var pathForm = regexp.MustCompile(`^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$`)

func readPath(value string) (string, error) {
	path := strings.Trim(value, "/")
	if !pathForm.MatchString(path) {
		return "", fmt.Errorf("%s is not a path", quote(value))
	}
	return path, nil
}

var fieldForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func readFieldName(value string) (string, error) {
	if !fieldForm.MatchString(value) {
		return "", fmt.Errorf("%s is not the name of a field", quote(value))
	}
	return value, nil
}

// readQuery refuses the parameters that the poller sets itself.
func readQuery(value string, own []string) (url.Values, error) {
	query, err := url.ParseQuery(value)
	if err != nil {
		return nil, errors.New("not a query")
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if name == "" {
			return nil, errors.New("holds a parameter without a name")
		}
		if slices.Contains(own, name) {
			return nil, fmt.Errorf("sets %s, which the poller sets itself", name)
		}
	}
	return query, nil
}
