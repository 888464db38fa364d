package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// probed probes a simulated account, in virtual time.
func probed(t *testing.T, opts trackopstest.Options, names ...string) (*probeReport, error) {
	t.Helper()
	var report *probeReport
	var err error
	synctest.Test(t, func(t *testing.T) {
		account := trackopstest.New(opts)
		collections := trackops.Collections()
		if len(names) > 0 {
			collections = slices.DeleteFunc(collections, func(c trackops.Collection) bool { return !slices.Contains(names, c.Name) })
		}
		b := newProbe(account.Do, collections, func(int, int, string) {})
		err = b.run(t.Context())
		report = b.report
		if made := len(account.Requests()); made != report.Requests || err == nil && report.Requests > b.planned {
			t.Errorf("%d requests were made, %d reported, %d planned", made, report.Requests, b.planned)
		}
	})
	return report, err
}

func reportOf(t *testing.T, r *probeReport, name string) *collectionReport {
	t.Helper()
	for _, c := range r.Collections {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no report about %s", name)
	return nil
}

func TestProbeOfAWellBehavedAccount(t *testing.T) {
	r, err := probed(t, trackopstest.Options{Records: 130, Skew: -90 * time.Second, StrictTime: true})
	if err != nil || !r.Complete || len(r.Collections) != 16 {
		t.Fatalf("probe = %v, %+v", err, r)
	}
	for _, c := range r.Collections {
		if c.List != honoured || c.Count != honoured || *c.Records != 130 || c.Single != honoured || c.Keys != "100 of 100 different" {
			t.Errorf("%s: %+v", c.Name, c)
		}
		if c.Name != "fields" && c.Name != "case_contacts" && (c.UpdatedFrom != honoured || c.CreatedTo != honoured) {
			t.Errorf("%s: updated_from %q, created_to %q", c.Name, c.UpdatedFrom, c.CreatedTo)
		}
	}
	if got := reportOf(t, r, "files").ChangesItself; !slices.Equal(got, []string{"Preview", "download_url"}) {
		t.Errorf("fields of files that change by themselves: %q", got)
	}
	if keys := reportOf(t, r, "clients").OrderKeys; !slices.Contains(keys, "id") {
		t.Errorf("clients are in order of %q, want id among them", keys)
	}
	wantErrors := []errorAnswer{{Asked: true, Status: 400, Body: "empty, or withheld"}, {Asked: true, Status: 404, Body: "empty, or withheld"}}
	if got := []errorAnswer{r.UnknownParameter, r.WrongID}; !slices.Equal(got, wantErrors) {
		t.Errorf("mistakes are answered with %v, want %v", got, wantErrors)
	}
	if *r.Paging.OneRows != 1 || *r.Paging.AboveRows != 100 || r.Paging.PastEnd != "an empty list" {
		t.Errorf("paging: %+v", r.Paging)
	}
	if want := (filterReport{honoured, honoured, honoured, honoured, honoured}); r.Filters != want {
		t.Errorf("filters: %+v", r.Filters)
	}
	if r.Clock.Ahead == nil || *r.Clock.Ahead > -89 || *r.Clock.Ahead < -91 || r.Clock.Dated != r.Requests {
		t.Errorf("clock: %+v", r.Clock)
	}
	for _, f := range r.FormatsTaken {
		want := verdict("status 400")
		if f.Format == formatName(trackops.SQL) {
			want = honoured
		}
		if f.Taken != want {
			t.Errorf("updated_from as %s: %s, want %s", f.Format, f.Taken, want)
		}
	}
	if len(r.FormatsTaken) != len(trackops.TimeFormats()) {
		t.Errorf("formats: %v", r.FormatsTaken)
	}
}

func TestProbeFindsEachTrait(t *testing.T) {
	for name, c := range map[string]struct {
		opts trackopstest.Options
		ok   func(r *probeReport, clients *collectionReport) bool
	}{
		"count refused":        {with(trackopstest.Quirks{NoCount: true}), func(_ *probeReport, c *collectionReport) bool { return c.Count == "status 400" && c.Records == nil }},
		"count ignored":        {with(trackopstest.Quirks{IgnoreCount: true}), func(_ *probeReport, c *collectionReport) bool { return c.Count == verdict(trackops.ErrIgnored.Error()) }},
		"updated_from refused": {with(trackopstest.Quirks{NoUpdatedFrom: true}), func(_ *probeReport, c *collectionReport) bool { return c.UpdatedFrom == "status 400" }},
		"updated_from ignored": {with(trackopstest.Quirks{IgnoreUpdatedFrom: true}), func(r *probeReport, c *collectionReport) bool {
			return c.UpdatedFrom == ignored && r.Filters.CountUpdated == ignored && r.Filters.UpdatedBesideCreated == ignored
		}},
		"created_to refused": {with(trackopstest.Quirks{NoCreated: true}), func(_ *probeReport, c *collectionReport) bool { return c.CreatedTo == "status 400" }},
		"created_to ignored": {with(trackopstest.Quirks{IgnoreCreated: true}), func(r *probeReport, c *collectionReport) bool {
			return c.CreatedTo == ignored && r.Filters.CreatedBesideUpdated == ignored
		}},
		"no combination": {with(trackopstest.Quirks{NoCombination: true}), func(r *probeReport, c *collectionReport) bool {
			return c.UpdatedFrom == honoured && r.Filters.UpdatedBesideCreated == "status 400" && r.Filters.CreatedBesideUpdated == "status 400"
		}},
		"not activated": {with(trackopstest.Quirks{Denied: 403}), func(r *probeReport, c *collectionReport) bool {
			return c.List == "status 403" && c.Count == "" && r.Complete
		}},
		"lenient": {trackopstest.Options{Lenient: true}, func(r *probeReport, _ *collectionReport) bool {
			return r.UnknownParameter == errorAnswer{Asked: true, Status: 200, Rows: 1}
		}},
		"large refused": {trackopstest.Options{RefuseLarge: true}, func(r *probeReport, _ *collectionReport) bool {
			return r.Paging.Above == "status 400" && r.Paging.AboveRows == nil
		}},
		"small pages":  {trackopstest.Options{MaxPerPage: 7}, func(r *probeReport, _ *collectionReport) bool { return *r.Paging.AboveRows == 7 }},
		"past the end": {trackopstest.Options{PastEnd: trackopstest.NotFoundPage}, func(r *probeReport, _ *collectionReport) bool { return r.Paging.PastEnd == "404 or null" }},
		"updated_at null": {trackopstest.Options{NullUpdated: true}, func(_ *probeReport, c *collectionReport) bool {
			return !strings.HasPrefix(c.Creation, "updated_at unset in 0")
		}},
		"order by creation": {trackopstest.Options{Sort: trackopstest.ByCreated}, func(r *probeReport, c *collectionReport) bool {
			return slices.Contains(c.OrderKeys, "created_at") && slices.Contains(r.AscendingKeys, "created_at")
		}},
		"times as numbers": {trackopstest.Options{TimeFormat: trackops.Unix}, func(_ *probeReport, c *collectionReport) bool {
			return c.TimeFormats["unix"] == 20 && c.Shape.Fields["created_at"]["integer"] == 20
		}},
		"all as text": {trackopstest.Options{AsText: true}, func(_ *probeReport, c *collectionReport) bool { return c.Shape.Fields["id"]["integer text"] == 20 }},
		"moody": {trackopstest.Options{FaultRate: 0.1, Faults: []trackopstest.Fault{{Status: 503}, {HTML: true}, {Status: 429, RetryAfter: "3"}}}, func(r *probeReport, _ *collectionReport) bool {
			return r.Complete && len(r.Failures) > 0 && len(r.RetryAfter) > 0
		}},
		"empty": {trackopstest.Options{Sizes: map[string]int{"clients": 0}}, func(_ *probeReport, c *collectionReport) bool { return c.UpdatedFrom == unclear && c.Single == "" }},
	} {
		t.Run(name, func(t *testing.T) {
			c.opts.Records = 20
			r, err := probed(t, c.opts, "clients", "fields")
			if err != nil || !c.ok(r, reportOf(t, r, "clients")) {
				raw, _ := json.MarshalIndent(r, "", " ")
				t.Errorf("probe = %v\n%s", err, raw)
			}
		})
	}
}

func with(q trackopstest.Quirks) trackopstest.Options {
	return trackopstest.Options{Quirks: map[string]trackopstest.Quirks{"clients": q}}
}

func TestProbeEndsEarly(t *testing.T) {
	r, err := probed(t, trackopstest.Options{Records: 5, FaultRate: 1, Faults: []trackopstest.Fault{{Status: 401}}})
	if err == nil || r.Complete || r.Requests != 1 || r.Ended != "status 401" {
		t.Errorf("with wrong credentials: %v, %+v", err, r)
	}
	r, err = probed(t, trackopstest.Options{Records: 5, FaultRate: 1, Faults: []trackopstest.Fault{{Reset: true}}})
	if err == nil || r.Requests != probeTries || r.Ended != noAnswer {
		t.Errorf("without an answer: %v, %+v", err, r)
	}
	down := func(context.Context, trackops.Request) (trackops.Page, error) { return trackops.Page{}, errControl }
	b := newProbe(down, trackops.Collections(), func(int, int, string) {})
	if err := b.run(t.Context()); !errors.Is(err, errControl) || b.report.Requests != 1 {
		t.Errorf("without the notifier: %v after %d requests", err, b.report.Requests)
	}
}

// TestProbeShowsNoContent puts a mark into every value of the records, and into
// keys that are content.
func TestProbeShowsNoContent(t *testing.T) {
	const mark = "Mrs-Secret"
	collections := trackops.Collections()[5:6]
	record := json.RawMessage(`{"id":"` + mark + `1","created_at":"2026-01-02 03:04:05","name":"` + mark + `","note":"https://x/` + mark +
		`","` + mark + ` b":1,"Owner":{"name":"` + mark + `","by":{"` + mark + `@example.com":["` + mark + `"]}},"list":[{"a":"` + mark + `"}]}`)
	ask := func(_ context.Context, r trackops.Request) (trackops.Page, error) {
		switch {
		case r.ID != "":
			return trackops.Page{}, fmt.Errorf("get clients %s: %w: no %s", r.ID, &fault.StatusError{Code: 404}, mark)
		case r.Collection.Query.Has("no_such_parameter"):
			return trackops.Page{}, fmt.Errorf(`list clients: %w: {"%s":"%s"}`, &fault.StatusError{Code: 400}, mark, mark)
		}
		return trackops.Page{Records: []json.RawMessage{record, record}, Count: 2}, nil
	}
	synctest.Test(t, func(t *testing.T) {
		b := newProbe(ask, collections, func(int, int, string) {})
		_ = b.run(t.Context())
		var text bytes.Buffer
		if err := b.report.write(&text); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(b.report)
		if err != nil || strings.Contains(text.String()+string(raw), "Secret") {
			t.Errorf("%v: content in\n%s\n%s", err, &text, raw)
		}
		for _, want := range []string{"Owner.by.*[]", "list[].a", "clients, newest 2 records"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("no %q in\n%s", want, &text)
			}
		}
	})
}

// TestErrorBodies takes what the client makes of an error's body apart again.
func TestErrorBodies(t *testing.T) {
	for text, want := range map[string]string{
		`{"error":"No such record 7","code":3,"Ann@example.com":null}`: "object {error text, code integer, * null}",
		`{"error":"a very long one …`:                                  "object, too long to tell",
		`"Not Found"`:                                                  "JSON text",
		`["Not Found"]`:                                                "array",
		"The page is gone":                                             "text or HTML",
	} {
		err := fmt.Errorf("get clients 7: %w: %s", &fault.StatusError{Code: 404}, text)
		if got := newErrorAnswer(err, 0); got.Body != want || got.Status != 404 {
			t.Errorf("%s is %+v, want %s", text, got, want)
		}
	}
	r := newRig(t, trackopstest.Options{})
	client, err := trackops.New(trackops.Config{BaseURL: r.env["TRACKOPS_API_URL"], Username: "ann", Token: "s3cret-token", Rate: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Do(t.Context(), trackops.Request{Collection: trackops.Collections()[0], ID: "1"})
	if got := newErrorAnswer(err, 0).String(); got != "status 404, object {error text}" {
		t.Errorf("over a socket: %s", got)
	}
}
