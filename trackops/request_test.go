package trackops_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"pgregory.net/rapid"
)

func TestTarget(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 30, 0, 5e8, time.FixedZone("", 3600))
	for name, tc := range map[string]struct {
		request     trackops.Request
		path, query string
		err         bool
	}{
		"head":         {trackops.Request{Collection: collection(t, "clients")}, "clients", "dir=desc&page=1&per_page=100", false},
		"fixed":        {trackops.Request{Collection: collection(t, "cases"), Asc: true, PerPage: 7}, "cases", "dir=asc&is_request=false&page=1&per_page=7", false},
		"bare":         {trackops.Request{Collection: collection(t, "cases"), Bare: true, Page: 3}, "cases", "dir=desc&page=3&per_page=100", false},
		"count":        {trackops.Request{Collection: collection(t, "files"), Count: true}, "files", "mode=count&per_page=100", false},
		"window":       {trackops.Request{Collection: collection(t, "events"), CreatedFrom: at, CreatedTo: at}, "events", "created_from=2026-11-23+09%3A30%3A00&created_to=2026-11-23+09%3A30%3A00&dir=desc&page=1&per_page=100", false},
		"system":       {trackops.Request{Collection: collection(t, "invoices"), CreatedFrom: at, Format: trackops.Unix}, "invoices", "created_from_system=1795426200&dir=desc&page=1&per_page=100", false},
		"updated":      {trackops.Request{Collection: collection(t, "staff"), UpdatedFrom: at, Format: trackops.ISOOffset}, "staff", "dir=desc&page=1&per_page=100&updated_from=2026-11-23T09%3A30%3A00%2B00%3A00", false},
		"single":       {trackops.Request{Collection: collection(t, "case_updates"), ID: "a/b c"}, "case/updates/a%2Fb%20c", "", false},
		"composite":    {trackops.Request{Collection: collection(t, "case_contacts"), ID: "55/7/2"}, "case/contacts/55/7/2", "", false},
		"no filter":    {trackops.Request{Collection: collection(t, "fields"), CreatedTo: at}, "", "", true},
		"dots":         {trackops.Request{Collection: collection(t, "case_contacts"), ID: "55/../2"}, "", "", true},
		"no path":      {trackops.Request{}, "", "", true},
		"negative":     {trackops.Request{Collection: collection(t, "clients"), Page: -1}, "", "", true},
		"single plain": {trackops.Request{Collection: collection(t, "cases"), ID: "901"}, "cases/901", "", false},
	} {
		path, query, err := tc.request.Target()
		if (err != nil) != tc.err {
			t.Errorf("%s: error %v", name, err)
		} else if err == nil && (path != tc.path || query.Encode() != tc.query) {
			t.Errorf("%s: %s?%s, want %s?%s", name, path, query.Encode(), tc.path, tc.query)
		}
	}
}

func TestTargetLeavesTheTableAlone(t *testing.T) {
	c := trackops.Collection{Path: "x", Query: url.Values{"a": {"b"}}}
	if _, _, err := (trackops.Request{Collection: c, Count: true}).Target(); err != nil || len(c.Query) != 1 {
		t.Errorf("Query = %v (%v), want it unchanged", c.Query, err)
	}
}

func TestCollections(t *testing.T) {
	all := trackops.Collections()
	updated := 0
	for _, c := range all {
		if c.Name != strings.ReplaceAll(c.Path, "/", "_") {
			t.Errorf("name %s of path %s", c.Name, c.Path)
		}
		if c.UpdatedFrom {
			updated++
		}
		if got, ok := trackops.Lookup(c.Name); !ok || got.Path != c.Path {
			t.Errorf("Lookup(%s) = %v, %t", c.Name, got, ok)
		}
	}
	if len(all) != 16 || updated != 14 {
		t.Errorf("%d collections, %d incremental, want 16 and 14", len(all), updated)
	}
}

func key(t *testing.T, c trackops.Collection, record string) (trackops.Key, error) {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(record), &fields); err != nil {
		t.Fatal(err)
	}
	var values [][]byte
	for _, name := range c.Fields() {
		values = append(values, fields[name])
	}
	return c.Key(values)
}

func TestKey(t *testing.T) {
	at := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	custom := trackops.Collection{Name: "notes", Path: "notes", ID: "uuid", Updated: "changed"}
	for _, tc := range []struct {
		collection trackops.Collection
		record     string
		want       trackops.Key
		err        string
	}{
		{collection(t, "clients"), `{"id":1042,"created_at":"2026-11-23 09:30:00","updated_at":null}`, trackops.Key{ID: "1042", Path: "1042", Created: at, Format: trackops.SQL}, ""},
		{collection(t, "clients"), `{"id":"1042","updated_at":"2026-11-23T09:30:00Z"}`, trackops.Key{ID: "1042", Path: "1042", Updated: at, Format: trackops.ISO}, ""},
		{collection(t, "clients"), `{"id":90071992547409931}`, trackops.Key{ID: "90071992547409931", Path: "90071992547409931"}, ""},
		{custom, `{"uuid":"a/é","changed":1795426200}`, trackops.Key{ID: "a/é", Path: "a/é", Updated: at, Format: trackops.Unix}, ""},
		{collection(t, "case_contacts"), `{"case_id":"55","user_id":7,"assign_type":2}`, trackops.Key{ID: "55/7/2", Path: "55/7/2"}, ""},
		{collection(t, "case_contacts"), `{"casefile_id":54,"case":55,"user":7,"assign_type_id":2}`, trackops.Key{ID: "54/7/2", Path: "54/7/2"}, ""},
		{collection(t, "case_contacts"), `{"id":9,"case":55,"user":7,"assign_type_id":2}`, trackops.Key{ID: "9", Path: "55/7/2"}, ""},
		{collection(t, "case_contacts"), `{"id":9,"case":55}`, trackops.Key{ID: "9", Path: "9"}, ""},
		{collection(t, "case_contacts"), `{"case":55,"user":"7/8","assign_type_id":2}`, trackops.Key{}, "key of case_contacts: "},
		{collection(t, "case_contacts"), `{"case":55,"user":7}`, trackops.Key{}, "key of case_contacts: a record has no id"},
		{collection(t, "clients"), `{"name":"Secret"}`, trackops.Key{}, "key of clients: a record has no id"},
		{collection(t, "clients"), `{"id":""}`, trackops.Key{}, "no id"},
		{collection(t, "clients"), `{"id":null}`, trackops.Key{}, "no id"},
		{collection(t, "clients"), `{"id":1.5}`, trackops.Key{}, "neither"},
		{collection(t, "clients"), `{"id":{"Secret":1}}`, trackops.Key{}, "neither"},
	} {
		got, err := key(t, tc.collection, tc.record)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "Secret") {
				t.Errorf("Key(%s): %v, want %q", tc.record, err, tc.err)
			}
			continue
		}
		if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
			t.Errorf("Key(%s): %v\n%s", tc.record, err, diff)
		}
	}
	if _, err := collection(t, "clients").Key(nil); err == nil {
		t.Error("Key(nil) succeeded")
	}
}

func TestParseTime(t *testing.T) {
	at := time.Date(2024, 5, 2, 18, 11, 9, 0, time.UTC)
	for _, tc := range []struct {
		raw    string
		want   time.Time
		format trackops.TimeFormat
	}{
		{`"2024-05-02 18:11:09"`, at, trackops.SQL},
		{`2024-05-02 18:11:09`, at, trackops.SQL},
		{`"2024-05-02 18:11:09.250"`, at.Add(250 * time.Millisecond), trackops.SQL},
		{`"2024-05-02T18:11:09Z"`, at, trackops.ISO},
		{`"2024-05-02T18:11:09.5Z"`, at.Add(500 * time.Millisecond), trackops.ISO},
		{`"2024-05-02T20:11:09+02:00"`, at, trackops.ISOOffset},
		{`"2024-05-02T20:11:09.000001+02:00"`, at.Add(time.Microsecond), trackops.ISOOffset},
		{`"2024-05-02T20:11:09\u002b0200"`, at, trackops.ISOShortOffset},
		{`"2024-05-02T18:11:09"`, at, trackops.ISOBare},
		{`"2024-05-02 11:11:09-07:00"`, at, trackops.SQLOffset},
		{`1714673469`, at, trackops.Unix},
		{`"1714673469"`, at, trackops.Unix},
		{`1714673469.25`, at.Add(250 * time.Millisecond), trackops.Unix},
		{`1714673469000`, at, trackops.UnixMillis},
		{`"1714673469001"`, at.Add(time.Millisecond), trackops.UnixMillis},
	} {
		got, format, ok := trackops.ParseTime([]byte(tc.raw))
		if !ok || !got.Equal(tc.want) || format != tc.format || got.Location() != time.UTC {
			t.Errorf("ParseTime(%s) = %s, %q, %t, want %s, %q", tc.raw, got, format, ok, tc.want, tc.format)
		}
	}
	for _, raw := range []string{
		``, `null`, `""`, `"0000-00-00 00:00:00"`, `0`, `42`, `"2024"`, `"2024-05-02"`, `20240502`, `-1714673469`, `true`, `{}`,
		`"2024-13-02 18:11:09"`, `"2024-05-02 18:11:09`, `99999999999999999999`, `1e9`, `1714673469.` + strings.Repeat("1", 80), `.5`,
	} {
		if got, format, ok := trackops.ParseTime([]byte(raw)); ok {
			t.Errorf("ParseTime(%s) = %s, %q, want none", raw, got, format)
		}
	}
}

// What an account sends in a format, a parameter sends back in the same.
func TestFormatMirrorsParseTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(100_000_000, 250_000_000_000).Draw(t, "at"), 0).UTC()
		format := rapid.SampledFrom(trackops.TimeFormats()).Draw(t, "format")
		if format == trackops.Unix && at.Unix() >= 100_000_000_000 {
			return // as a number it is in milliseconds
		}
		if format == trackops.UnixMillis && at.UnixMilli() < 100_000_000_000 {
			return
		}
		text := format.Format(at)
		got, parsed, ok := trackops.ParseTime([]byte(text))
		if !ok || !got.Equal(at) || parsed != format {
			t.Fatalf("ParseTime(%s) = %s, %q, %t, want %s, %q", text, got, parsed, ok, at, format)
		}
	})
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{`"2024-05-02 18:11:09"`, `"2024-05-02T20:11:09+02:00"`, `1714673469.25`, `"1714673469001"`, `null`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		at, format, ok := trackops.ParseTime(raw)
		if !ok {
			return
		}
		if at.Year() < 1970 || at.Year() > 9999 {
			t.Fatalf("ParseTime(%q) = %s", raw, at)
		}
		again, same, ok := trackops.ParseTime([]byte(format.Format(at)))
		if at.Unix() >= 100_000_000 && (!ok || same != format || again.Unix() != at.Unix()) {
			t.Fatalf("ParseTime(%q) = %s %q; written again: %s %q %t", raw, at, format, again, same, ok)
		}
	})
}

// Records are exactly the elements that encoding/json sees, and nothing that it
// refuses is accepted.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`[{"id":1},{"id":"2","n":{"x":[]}}]`, `null`, `[`, `{"a":1}`, "\ufeff[]", `[{}]]`, "[{\"a\":\"\xff\"}]", `[{"a":1,"a":2}]`} {
		f.Add([]byte(s))
	}
	c, _ := trackops.Lookup("clients")
	f.Fuzz(func(t *testing.T, body []byte) {
		page, err := trackops.Request{Collection: c}.Decode(bytes.Clone(body))
		var want []json.RawMessage
		plain := json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &want)
		if err != nil {
			objects := plain == nil
			for _, r := range want {
				objects = objects && r[0] == '{'
			}
			// Nor does jsontext take surrogate halves or very deep nesting.
			if objects && !bytes.Contains(body, []byte(`\u`)) && len(body) < 10_000 {
				t.Fatalf("Decode(%q): %v, but it is a list of objects", body, err)
			}
			return
		}
		if plain != nil || len(want) != len(page.Records) {
			t.Fatalf("Decode(%q) gave %d records; encoding/json: %d, %v", body, len(page.Records), len(want), plain)
		}
		for i, r := range page.Records {
			if string(r) != string(bytes.ToValidUTF8(want[i], []byte("\ufffd"))) {
				t.Fatalf("record %d = %q, want %q", i, r, want[i])
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	record := `{"id":1042,"name":"Acme Insurance","notes":"` + strings.Repeat("Surveillance from 06:00. ", 24) +
		`","Client":{"id":7,"name":"x"},"amount":"12.50","created_at":"2024-05-02 18:11:09","updated_at":"2024-05-02 18:11:09"}`
	body := []byte("[" + strings.Repeat(record+",", 99) + record + "]")
	c, _ := trackops.Lookup("clients")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if page, err := (trackops.Request{Collection: c}).Decode(body); err != nil || len(page.Records) != 100 {
			b.Fatal(err)
		}
	}
}
