package trackopstest_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

func collection(t testing.TB, name string) trackops.Collection {
	t.Helper()
	c, ok := trackops.Lookup(name)
	if !ok {
		t.Fatalf("no collection %s", name)
	}
	return c
}

func do(t testing.TB, a *trackopstest.Account, r trackops.Request) trackops.Page {
	t.Helper()
	page, err := a.Do(t.Context(), r)
	if err != nil {
		t.Fatalf("Do: %v", err)
	}
	return page
}

func keys(t testing.TB, c trackops.Collection, records []json.RawMessage) []trackops.Key {
	t.Helper()
	var all []trackops.Key
	for _, raw := range records {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil {
			t.Fatalf("record %s: %v", raw, err)
		}
		var values [][]byte
		for _, name := range c.Fields() {
			values = append(values, fields[name])
		}
		key, err := c.Key(values)
		if err != nil {
			t.Fatalf("record %s: %v", raw, err)
		}
		all = append(all, key)
	}
	return all
}

func ids(t testing.TB, c trackops.Collection, records []json.RawMessage) []string {
	t.Helper()
	var all []string
	for _, k := range keys(t, c, records) {
		all = append(all, k.ID)
	}
	return all
}

func create(t testing.TB, a *trackopstest.Account, name string, set map[string]any) string {
	t.Helper()
	id, err := a.Create(name, set)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryCollectionAnswers(t *testing.T) {
	for _, format := range trackops.TimeFormats() {
		a := trackopstest.New(trackopstest.Options{Records: 120, TimeFormat: format, Fraction: format == trackops.ISO})
		for _, c := range trackops.Collections() {
			first := do(t, a, trackops.Request{Collection: c})
			second := do(t, a, trackops.Request{Collection: c, Page: 2})
			third := do(t, a, trackops.Request{Collection: c, Page: 3})
			count := do(t, a, trackops.Request{Collection: c, Count: true})
			if len(first.Records) != 100 || len(second.Records) != 20 || len(third.Records) != 0 || count.Count != 120 || count.Pages != 2 {
				t.Errorf("%s: pages of %d, %d, %d; count %d in %d pages", c.Name, len(first.Records), len(second.Records), len(third.Records), count.Count, count.Pages)
			}
			all := keys(t, c, append(first.Records, second.Records...))
			seen := map[string]bool{}
			for _, k := range all {
				seen[k.ID] = true
				if k.Created.IsZero() || k.Updated.IsZero() || k.Format != format {
					t.Errorf("%s: key %+v, want times in %q", c.Name, k, format)
				}
			}
			if len(seen) != 120 {
				t.Errorf("%s: %d different ids, want 120", c.Name, len(seen))
			}
			one := do(t, a, trackops.Request{Collection: c, ID: all[0].Path})
			if len(one.Records) != 1 || ids(t, c, one.Records)[0] != all[0].ID {
				t.Errorf("%s: get %s gave %s", c.Name, all[0].Path, one.Records)
			}
			if _, err := a.Do(t.Context(), trackops.Request{Collection: c, ID: "999999999"}); c.Name != "case_contacts" && !trackops.IsNotFound(err) {
				t.Errorf("%s: get of an unknown id: %v, want 404", c.Name, err)
			}
		}
	}
}

func TestSameSeedSameAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := func(seed uint64) string {
			a := trackopstest.New(trackopstest.Options{Seed: seed, Records: 20})
			for range 100 {
				a.Step()
			}
			text, err := json.Marshal([]any{a.Snapshot("clients"), a.Snapshot("invoices"), a.History()})
			check(t, err)
			return string(text)
		}
		first := run(1)
		if again := run(1); again != first {
			t.Error("two accounts of one seed differ")
		}
		if run(2) == first {
			t.Error("two seeds give one account")
		}
	})
}

func TestReferencesExist(t *testing.T) {
	a := trackopstest.New(trackopstest.Options{Records: 50})
	for range 300 {
		a.Step()
	}
	links := []struct{ from, field, nested, to string }{
		{"cases", "client_id", "Client", "clients"}, {"cases", "primary_contact_id", "PrimaryContact", "client_contacts"},
		{"client_locations", "root_id", "Client", "clients"}, {"client_contacts", "client_id", "ClientLocation", "client_locations"},
		{"invoices", "casefile_id", "Casefile", "cases"}, {"invoices", "client_id", "Client", "clients"},
		{"expense_entries", "user_id", "User", "staff"}, {"case_contacts", "user_id", "User", "staff"},
	}
	created := map[string]bool{} // also the deleted ones: a case outlives its client
	for _, m := range a.History() {
		created[m.Collection+"/"+m.ID] = true
	}
	for _, link := range links {
		targets := a.Snapshot(link.to)
		for id, raw := range a.Snapshot(link.from) {
			var fields map[string]json.RawMessage
			check(t, json.Unmarshal(raw, &fields))
			target := string(fields[link.field])
			if targets[target] == nil && !created[link.to+"/"+target] {
				t.Errorf("%s %s: %s %s does not exist", link.from, id, link.field, target)
			}
			if !strings.Contains(string(fields[link.nested]), `"id":`+target) {
				t.Errorf("%s %s: nested %s is %s, want id %s", link.from, id, link.nested, fields[link.nested], target)
			}
		}
	}
}

// A case's client is its contact's location's client.
func TestInvoiceBelongsToTheClientOfItsCase(t *testing.T) {
	a := trackopstest.New(trackopstest.Options{Records: 30})
	cases := a.Snapshot("cases")
	for id, raw := range a.Snapshot("invoices") {
		var invoice, parent struct {
			Case   json.Number `json:"casefile_id"`
			Client json.Number `json:"client_id"`
		}
		check(t, json.Unmarshal(raw, &invoice))
		check(t, json.Unmarshal(cases[invoice.Case.String()], &parent))
		if invoice.Client != parent.Client {
			t.Errorf("invoice %s: client %s, its case has %s", id, invoice.Client, parent.Client)
		}
	}
}

func TestFilesHaveNewAddressesOnEachListing(t *testing.T) {
	a := trackopstest.New(trackopstest.Options{Records: 1})
	r := trackops.Request{Collection: collection(t, "files")}
	address := func() (url, nested string) {
		var file struct {
			URL     string `json:"download_url"`
			Preview struct{ URL string }
		}
		check(t, json.Unmarshal(do(t, a, r).Records[0], &file))
		return file.URL, file.Preview.URL
	}
	one, inner := address()
	two, _ := address()
	if !strings.HasPrefix(one, "https://") || one == two || !strings.HasPrefix(inner, one) {
		t.Errorf("addresses %s, %s, %s", one, two, inner)
	}
}

func TestCasesListRequestsUnlessToldOtherwise(t *testing.T) {
	a := trackopstest.New(trackopstest.Options{Records: 10, Sort: trackopstest.ByCreated})
	cases := collection(t, "cases")
	if got := do(t, a, trackops.Request{Collection: cases, Count: true}).Count; got != 10 {
		t.Errorf("cases?is_request=false: %d, want 10", got)
	}
	both := do(t, a, trackops.Request{Collection: cases, Bare: true})
	if len(both.Records) != 20 {
		t.Errorf("cases: %d, want 20", len(both.Records))
	}
	all := keys(t, cases, both.Records)
	for i := 1; i < len(all); i++ {
		if all[i].Created.After(all[i-1].Created) {
			t.Errorf("record %d is newer than the one before", i)
		}
	}
	cases.Query = map[string][]string{"is_request": {"1"}}
	if got := do(t, a, trackops.Request{Collection: cases}); len(got.Records) != 10 {
		t.Errorf("cases?is_request=1: %d, want 10", len(got.Records))
	}
}

func TestDocumentedFilters(t *testing.T) {
	a := trackopstest.New(trackopstest.Options{Records: 40})
	id := create(t, a, "invoices", map[string]any{"status": "void-test", "due_on": "2031-01-05"})
	invoices := collection(t, "invoices")
	for query, want := range map[string]int{
		"status=void-test": 1, "id=" + id: 1, "due_from=2031-01-05&due_to=2031-01-05": 1, "due_from=2031-01-06": 0, "invoice_number=" + id: 1,
	} {
		c := invoices
		c.Query = map[string][]string{}
		for pair := range strings.SplitSeq(query, "&") {
			name, value, _ := strings.Cut(pair, "=")
			c.Query[name] = []string{value}
		}
		if got := do(t, a, trackops.Request{Collection: c}); len(got.Records) != want {
			t.Errorf("%s: %d records, want %d", query, len(got.Records), want)
		}
		if got := do(t, a, trackops.Request{Collection: c, Count: true}).Count; got != want {
			t.Errorf("%s: count %d, want %d", query, got, want)
		}
	}
}

func TestKeepBoundsTheLogs(t *testing.T) {
	a := trackopstest.New(trackopstest.Options{Records: 2, Keep: 10})
	for range 100 {
		a.Step()
		do(t, a, trackops.Request{Collection: collection(t, "clients")})
	}
	if h, r := len(a.History()), len(a.Requests()); h < 10 || h >= 20 || r < 10 || r >= 20 {
		t.Errorf("kept %d mutations and %d requests, want 10 to 19", h, r)
	}
}

// Replaying the history over the state at the start gives the state at the end.
func TestHistoryExplainsTheState(t *testing.T) {
	a := trackopstest.New(trackopstest.Options{Seed: 7, Records: 15, Silent: 0.2})
	model := map[string]map[string]string{}
	names := map[string]bool{}
	for _, c := range trackops.Collections() {
		model[c.Name] = map[string]string{}
		names[c.Name] = true
		for id, raw := range a.Snapshot(c.Name) {
			model[c.Name][id] = withoutAddresses(string(raw))
		}
	}
	seen := map[events.Action]int{}
	for range 3000 {
		m := a.Step()
		seen[m.Action]++
		_, exists := model[m.Collection][m.ID]
		if want := m.Action == events.Updated || m.Action == events.Deleted; exists != want {
			t.Fatalf("%s of %s %s, which exists: %t", m.Action, m.Collection, m.ID, exists)
		}
		if m.Action == events.Updated && model[m.Collection][m.ID] == string(m.Record) && m.Silent {
			t.Errorf("a silent change of %s %s changed nothing", m.Collection, m.ID)
		}
		if m.Action == events.Deleted {
			delete(model[m.Collection], m.ID)
			continue
		}
		model[m.Collection][m.ID] = string(m.Record)
	}
	for name := range names {
		got := a.Snapshot(name)
		if len(got) != len(model[name]) {
			t.Errorf("%s: %d records, history says %d", name, len(got), len(model[name]))
		}
		for id, raw := range got {
			if withoutAddresses(string(raw)) != model[name][id] {
				t.Errorf("%s %s:\n%s\nhistory says\n%s", name, id, raw, model[name][id])
			}
		}
	}
	for _, action := range events.Actions() {
		if seen[action] == 0 {
			t.Errorf("3000 steps without one %s", action)
		}
	}
}

func withoutAddresses(raw string) string {
	if before, _, found := strings.Cut(raw, `,"download_url"`); found {
		return before + "}"
	}
	return raw
}

func TestLiveEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := trackopstest.New(trackopstest.Options{Records: 5})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		a.Live(ctx, 0.5)
		if n := len(a.History()); n < 1600 || n > 2000 {
			t.Errorf("%d mutations in an hour at 0.5 a second, want about 1800", n)
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	a := trackopstest.New(trackopstest.Options{Records: 50, Rate: 0})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				a.Step()
				for _, c := range trackops.Collections() {
					page, err := a.Do(t.Context(), trackops.Request{Collection: c})
					if err != nil {
						t.Errorf("Do: %v", err)
					}
					for _, raw := range page.Records {
						if !json.Valid(raw) {
							t.Errorf("not JSON: %s", raw)
						}
					}
				}
				a.Snapshot("files")
			}
		})
	}
	wg.Wait()
}
