package trackopstest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
	"pgregory.net/rapid"
)

// A scenario is an account's past and one question about its present.
type scenario struct {
	options trackopstest.Options
	name    string
	waits   []int // seconds before each step of its life
	request trackops.Request
	// updatedAgo, fromAgo and toAgo are the request's filters, in seconds; below 0 none.
	updatedAgo, fromAgo, toAgo int
}

func drawScenario(t *rapid.T) scenario {
	name := rapid.SampledFrom([]string{"clients", "cases", "case_contacts", "invoices"}).Draw(t, "collection")
	ago := rapid.IntRange(-30*3600, 30*3600)
	c, _ := trackops.Lookup(name)
	return scenario{
		name: name,
		options: trackopstest.Options{
			Seed: rapid.Uint64().Draw(t, "seed"), Records: rapid.IntRange(0, 40).Draw(t, "records"),
			Sort: rapid.SampledFrom([]trackopstest.Sort{trackopstest.ByID, trackopstest.ByCreated, trackopstest.ByBusiness}).Draw(t, "sort"),
			Ties: 0.5, Span: 24 * time.Hour, NullUpdated: rapid.Bool().Draw(t, "null updated"),
			OldUpdated: rapid.Bool().Draw(t, "old updated"), Weights: map[string]float64{name: 1}, Silent: 0.3,
		},
		waits:      rapid.SliceOfN(rapid.IntRange(0, 600), 0, 60).Draw(t, "waits"),
		request:    trackops.Request{Collection: c, PerPage: rapid.IntRange(1, 20).Draw(t, "per page"), Asc: rapid.Bool().Draw(t, "asc")},
		updatedAgo: ago.Draw(t, "updated"), fromAgo: ago.Draw(t, "from"), toAgo: ago.Draw(t, "to"),
	}
}

// Every window, count and page agrees with reading the snapshot record by record,
// whatever happened before.
func TestQueriesAgreeWithTheSnapshot(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawScenario(rt)
		problem := ""
		synctest.Test(t, func(t *testing.T) { problem = s.run(t) })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func (s scenario) run(t *testing.T) (problem string) {
	a := trackopstest.New(s.options)
	for _, wait := range s.waits {
		time.Sleep(time.Duration(wait) * time.Second)
		a.Step()
	}
	if known := a.IDs(s.name); len(known) > 0 { // back and forth
		for _, at := range []time.Time{time.Now().Add(-time.Hour), time.Now(), time.Now().Add(-time.Hour)} {
			check(t, a.Change(s.name, known[0], map[string]any{"updated_at": at}))
		}
	}
	if known := a.IDs(s.name); len(known) > 1 {
		check(t, a.Change(s.name, known[1], nil))
		check(t, a.Delete(s.name, known[1]))
	}
	var all []trackops.Key
	snapshot := a.Snapshot(s.name)
	for _, id := range a.IDs(s.name) {
		all = append(all, keys(t, s.request.Collection, []json.RawMessage{snapshot[id]})...)
	}
	r := s.ask(all)
	var want []string
	for id, raw := range snapshot {
		if k := keys(t, r.Collection, []json.RawMessage{raw})[0]; matches(r, k) {
			want = append(want, id)
		}
	}
	var got []trackops.Key
	for r.Page = 1; ; r.Page++ {
		page := do(t, a, r)
		got = append(got, keys(t, r.Collection, page.Records)...)
		if len(page.Records) < r.PerPage {
			break
		}
	}
	if problem := s.disorder(got); problem != "" {
		return problem
	}
	var found []string
	for _, k := range got {
		found = append(found, k.ID)
	}
	slices.Sort(want)
	slices.Sort(found)
	if !slices.Equal(found, want) {
		return fmt.Sprintf("%+v: found %v, want %v", r, found, want)
	}
	r.Page, r.Count = 0, true
	if count := do(t, a, r); count.Count != len(want) || count.Pages != (len(want)+r.PerPage-1)/r.PerPage {
		return fmt.Sprintf("count %d in %d pages, want %d", count.Count, count.Pages, len(want))
	}
	return ""
}

// ask makes the request. Every second bound is exactly the time of a record.
func (s scenario) ask(all []trackops.Key) trackops.Request {
	at := func(ago int) time.Time {
		if ago < 0 {
			return time.Time{}
		}
		if ago%2 == 0 && len(all) > 0 {
			return all[ago%len(all)].Created
		}
		return time.Now().Add(-time.Duration(ago) * time.Second).Truncate(time.Second)
	}
	r := s.request
	if r.Collection.UpdatedFrom {
		r.UpdatedFrom = at(s.updatedAgo)
	}
	if r.Collection.CreatedFrom != "" {
		r.CreatedFrom, r.CreatedTo = at(s.fromAgo), at(s.toAgo)
	}
	return r
}

func matches(r trackops.Request, k trackops.Key) bool {
	return (r.UpdatedFrom.IsZero() || !k.Updated.IsZero() && !k.Updated.Before(r.UpdatedFrom)) &&
		(r.CreatedFrom.IsZero() || !k.Created.Before(r.CreatedFrom)) &&
		(r.CreatedTo.IsZero() || !k.Created.After(r.CreatedTo))
}

// disorder reports two records in the wrong order, as far as their keys tell.
func (s scenario) disorder(got []trackops.Key) string {
	if s.options.Sort == trackopstest.ByBusiness || s.name == "case_contacts" {
		return ""
	}
	for i := 1; i < len(got); i++ {
		x, y := got[i-1], got[i]
		if !s.request.Asc {
			x, y = y, x
		}
		idX, _ := strconv.Atoi(x.ID)
		idY, _ := strconv.Atoi(y.ID)
		if s.options.Sort == trackopstest.ByID && idX >= idY || s.options.Sort == trackopstest.ByCreated && x.Created.After(y.Created) {
			return fmt.Sprintf("%+v before %+v, asc %t", got[i-1], got[i], s.request.Asc)
		}
	}
	return ""
}

func TestBusinessOrderAndBackDating(t *testing.T) {
	a := trackopstest.New(trackopstest.Options{Records: 30, Sort: trackopstest.ByBusiness})
	old := create(t, a, "invoices", map[string]any{"created_on": "1999-01-02"})
	next := create(t, a, "invoices", map[string]any{"created_on": "2040-01-02"})
	c := collection(t, "invoices")
	got := ids(t, c, do(t, a, trackops.Request{Collection: c}).Records)
	if got[0] != next || got[len(got)-1] != old {
		t.Errorf("newest %s, oldest %s; want %s, %s", got[0], got[len(got)-1], next, old)
	}
	check(t, a.Change("invoices", old, map[string]any{"created_on": "2041-01-02"}))
	if got := ids(t, c, do(t, a, trackops.Request{Collection: c}).Records); got[0] != old {
		t.Errorf("newest after a change of its date: %s, want %s", got[0], old)
	}
}

func TestLargeIDsKeepTheirDigits(t *testing.T) {
	a := trackopstest.New(trackopstest.Options{Records: 3, IDs: 9_007_199_254_740_993, AsText: true})
	c := collection(t, "clients")
	got := ids(t, c, do(t, a, trackops.Request{Collection: c}).Records)
	if len(got) != 3 || got[2] != "9007199254741994" {
		t.Errorf("ids %v", got)
	}
	do(t, a, trackops.Request{Collection: c, ID: got[0]})
}

// A page, a window and a count of a large collection cost about as much as of a
// small one.
func BenchmarkLargeAccount(b *testing.B) {
	const size = 1_000_000
	start := time.Now()
	a := trackopstest.New(trackopstest.Options{Sizes: map[string]int{"clients": size}})
	b.Logf("%d records in %s", size, time.Since(start))
	c := collection(b, "clients")
	known := a.IDs("clients")
	middle := keys(b, c, do(b, a, trackops.Request{Collection: c, ID: known[size/2]}).Records)[0].Created
	window := trackops.Request{Collection: c, CreatedFrom: middle, CreatedTo: middle.Add(2 * time.Hour)}
	for name, r := range map[string]trackops.Request{
		"head":    {Collection: c},
		"deep":    {Collection: c, Page: 7000},
		"window":  window,
		"count":   {Collection: c, Count: true, CreatedTo: middle},
		"updated": {Collection: c, UpdatedFrom: time.Now().Add(-time.Hour)},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				do(b, a, r)
			}
		})
	}
	b.Run("change", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if err := a.Change("clients", known[i%size], nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("delete and restore", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if err := a.Delete("clients", known[i%size]); err != nil {
				b.Fatal(err)
			}
			if err := a.Restore("clients", known[i%size]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// The log of updates is thinned now and then; nothing current may go with it.
func TestManyChangesOfOneRecordHideNoOther(t *testing.T) {
	a := trackopstest.New(trackopstest.Options{Records: 20, NullUpdated: true})
	c := collection(t, "clients")
	known := a.IDs("clients")
	start := time.Now().Truncate(time.Second)
	for _, id := range known {
		check(t, a.Change("clients", id, nil))
	}
	for i := range 3000 {
		check(t, a.Change("clients", known[0], map[string]any{"updated_at": start.Add(time.Duration(i) * time.Second)}))
		if got := do(t, a, trackops.Request{Collection: c, UpdatedFrom: start, Count: true}).Count; got != 20 {
			t.Fatalf("after %d changes updated_from finds %d records, want all 20", i+1, got)
		}
	}
}

func BenchmarkPageOverHTTP(b *testing.B) {
	a := trackopstest.New(trackopstest.Options{Records: 10_000})
	client := newClient(b, serve(b, a), trackops.Config{})
	for _, name := range []string{"clients", "cases", "files"} {
		c := collection(b, name)
		b.Run(name, func(b *testing.B) {
			size := 0
			for i := 0; b.Loop(); i++ {
				page, err := client.Do(b.Context(), trackops.Request{Collection: c, Page: 1 + i%100})
				if err != nil {
					b.Fatal(err)
				}
				size = 0
				for _, r := range page.Records {
					size += len(r)
				}
			}
			b.ReportMetric(float64(size)/100, "bytes/record")
		})
	}
}
