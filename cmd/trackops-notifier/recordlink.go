package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"strings"

	"github.com/trackops-notifier/trackops-notifier/events"
)

const acceptedRecordURL = "an absolute http or https URL, as https://{subdomain}.viewcases.com/{collection}/{id}, with {subdomain}, {collection}, {id} and {field:<name>} for a field of the record; the host may have {subdomain} only"

var placeholder = regexp.MustCompile(`\{(subdomain|collection|id|field:[^{}]+)\}`)

// notInURL is what RFC 3986 has no place for unless it is percent-encoded. An address
// with such a byte is put right by its readers in ways that differ: some decode the
// slash of a value on that occasion.
var notInURL = regexp.MustCompile(`[^-A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%]`)

// readRecordURL checks a pattern for the addresses of records, and percent-encodes
// what it has besides its placeholders; "" is none. No value of a record can lead it
// to another host.
func readRecordURL(pattern string) (string, error) {
	if pattern == "" {
		return "", nil
	}
	if strings.ContainsAny(placeholder.ReplaceAllLiteralString(pattern, ""), "{}") {
		return "", errors.New("holds a placeholder that does not exist")
	}
	pattern = percentEncoded(pattern)
	fill := func(with string) (*url.URL, error) {
		host := strings.ReplaceAll(pattern, "{subdomain}", "subdomain")
		return url.Parse(placeholder.ReplaceAllLiteralString(host, with))
	}
	one, err := fill("one")
	if err != nil || one.Hostname() == "" || one.Scheme != "https" && one.Scheme != "http" {
		return "", errors.New("not an absolute http or https URL")
	}
	other, err := fill("two")
	if err != nil || other.Scheme != one.Scheme || other.Host != one.Host || one.User != nil {
		return "", errors.New("a value before the path")
	}
	return pattern, nil
}

// percentEncoded encodes what is between the placeholders of pattern.
func percentEncoded(pattern string) string {
	encode := func(s string) string { return notInURL.ReplaceAllStringFunc(s, url.PathEscape) }
	var out strings.Builder
	end := 0
	for _, at := range placeholder.FindAllStringIndex(pattern, -1) {
		out.WriteString(encode(pattern[end:at[0]]) + pattern[at[0]:at[1]])
		end = at[1]
	}
	return out.String() + encode(pattern[end:])
}

// recordLink returns what makes the address of an event's record by a pattern that
// [readRecordURL] accepted. The address is "" without a pattern, of operational
// events, and where a field is missing.
func recordLink(pattern string) func(events.Event) string {
	return func(e events.Event) string {
		if pattern == "" || e.Data.Collection == events.System {
			return ""
		}
		missing := false
		address := placeholder.ReplaceAllStringFunc(pattern, func(name string) string {
			value := linkValue(e.Data, name[1:len(name)-1])
			// A path with dots for a name would lead to another one.
			missing = missing || value == "" || strings.Trim(value, ".") == ""
			return strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
		})
		if missing {
			return ""
		}
		return address
	}
}

func linkValue(d events.Data, name string) string {
	switch name {
	case "subdomain":
		return d.Account
	case "collection":
		return d.Collection
	case "id":
		return d.ID
	}
	dec := json.NewDecoder(bytes.NewReader(d.Record))
	dec.UseNumber()
	var record map[string]any
	if err := dec.Decode(&record); err != nil {
		return "" // no object: it has no fields
	}
	switch value := record[strings.TrimPrefix(name, "field:")].(type) {
	case string:
		return value
	case json.Number:
		return value.String()
	}
	return ""
}
