package trackopstest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

func TestUnknownParametersAndBadValues(t *testing.T) {
	a := trackopstest.New(trackopstest.Options{Records: 1, StrictTime: true})
	for query, want := range map[string]int{
		"x=1": 400, "page=0": 400, "per_page=a": 400, "dir=up": 400, "mode=sum": 400, "is_request=maybe": 400,
		"created_from=2024-01-02": 0, "created_from=yesterday": 400, "updated_from=2024-01-02+00:00:00": 0,
		"updated_from=2024-01-02T00:00:00Z": 400, "created_from_system=2024-01-02+00:00:00": 0, "client=x": 400,
	} {
		server := trackops.Collection{Name: "cases", Path: "cases", Query: map[string][]string{}}
		name, value, _ := strings.Cut(strings.ReplaceAll(query, "+", " "), "=")
		server.Query[name] = []string{value}
		r := trackops.Request{Collection: server}
		if name == "page" || name == "per_page" || name == "dir" || name == "mode" {
			continue // the client sets these; asked over HTTP below
		}
		if _, err := a.Do(t.Context(), r); fault.Status(err) != want {
			t.Errorf("%s: %v, want %d", query, err, want)
		}
	}
	server := serve(t, a)
	for _, query := range []string{"page=0", "per_page=a", "dir=up", "mode=sum", "page=1&page=2"} {
		resp, err := http.Get(server + "/clients?" + query)
		check(t, err)
		resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("%s: %d, want 400", query, resp.StatusCode)
		}
	}
	for path, want := range map[string]int{"/nothing": 404, "/clients/": 404, "/": 404, "/case/requests": 200, "/case": 404} {
		resp, err := http.Get(server + path)
		check(t, err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestQuirks(t *testing.T) {
	now := time.Now()
	clients := collection(t, "clients")
	count := trackops.Request{Collection: clients, Count: true}
	updated := trackops.Request{Collection: clients, UpdatedFrom: now.Add(time.Hour)}
	created := trackops.Request{Collection: clients, CreatedFrom: now.Add(time.Hour)}
	both := trackops.Request{Collection: clients, UpdatedFrom: now, CreatedFrom: now}
	for name, tc := range map[string]struct {
		quirks  trackopstest.Quirks
		request trackops.Request
		refused bool
		records int
	}{
		"no count":             {trackopstest.Quirks{NoCount: true}, count, true, 0},
		"no updated_from":      {trackopstest.Quirks{NoUpdatedFrom: true}, updated, true, 0},
		"no created_from":      {trackopstest.Quirks{NoCreated: true}, created, true, 0},
		"no combination":       {trackopstest.Quirks{NoCombination: true}, both, true, 0},
		"no combination, one":  {trackopstest.Quirks{NoCombination: true}, updated, false, 0},
		"count ignored":        {trackopstest.Quirks{IgnoreCount: true}, count, true, 0},
		"updated_from ignored": {trackopstest.Quirks{IgnoreUpdatedFrom: true}, updated, false, 5},
		"created_from ignored": {trackopstest.Quirks{IgnoreCreated: true}, created, false, 5},
		"none":                 {trackopstest.Quirks{}, both, false, 0},
	} {
		a := trackopstest.New(trackopstest.Options{Records: 5})
		a.SetQuirks("clients", tc.quirks)
		page, err := a.Do(t.Context(), tc.request)
		if trackops.IsUnsupported(err) != tc.refused || len(page.Records) != tc.records {
			t.Errorf("%s: %d records, %v", name, len(page.Records), err)
		}
	}
	a := trackopstest.New(trackopstest.Options{Records: 5, Quirks: map[string]trackopstest.Quirks{"*": {Denied: 403}, "clients": {}}})
	if _, err := a.Do(t.Context(), trackops.Request{Collection: collection(t, "staff")}); !trackops.IsDenied(err) {
		t.Errorf("not activated: %v, want 403", err)
	}
	do(t, a, count)
}

func TestPagesPastTheEndAndPageSizes(t *testing.T) {
	clients := collection(t, "clients")
	for _, past := range []trackopstest.PastEnd{trackopstest.EmptyPage, trackopstest.NotFoundPage, trackopstest.NullPage} {
		a := trackopstest.New(trackopstest.Options{Records: 100, PastEnd: past})
		if got := do(t, a, trackops.Request{Collection: clients, Page: 2}); len(got.Records) != 0 {
			t.Errorf("%s: %d records past the end", past, len(got.Records))
		}
	}
	a := trackopstest.New(trackopstest.Options{Records: 100, MaxPerPage: 30})
	if got := do(t, a, trackops.Request{Collection: clients}); len(got.Records) != 30 {
		t.Errorf("cut pages: %d records, want 30", len(got.Records))
	}
	a = trackopstest.New(trackopstest.Options{Records: 200, RefuseLarge: true})
	if _, err := a.Do(t.Context(), trackops.Request{Collection: clients, PerPage: 101}); !trackops.IsUnsupported(err) {
		t.Errorf("per_page=101: %v, want 400", err)
	}
	a = trackopstest.New(trackopstest.Options{Records: 200})
	if got := do(t, a, trackops.Request{Collection: clients, PerPage: 150}); len(got.Records) != 100 {
		t.Errorf("per_page=150: %d records, want 100", len(got.Records))
	}
}

func TestRestoreDeleteAndSilentChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, old := range []bool{false, true} {
			a := trackopstest.New(trackopstest.Options{Records: 3, OldUpdated: old})
			clients := collection(t, "clients")
			id := a.IDs("clients")[1]
			get := func() trackops.Key {
				return keys(t, clients, do(t, a, trackops.Request{Collection: clients, ID: id}).Records)[0]
			}
			before := get()
			time.Sleep(time.Minute)
			check(t, a.ChangeSilently("clients", id, map[string]any{"name": "Quiet", "notes": trackopstest.Omit{}}))
			if got := get(); got.Updated != before.Updated {
				t.Errorf("a silent change moved updated_at to %s", got.Updated)
			}
			raw := string(a.Snapshot("clients")[id])
			if !strings.Contains(raw, `"name":"Quiet"`) || strings.Contains(raw, `"notes"`) {
				t.Errorf("the change is not in %s", raw)
			}
			check(t, a.Delete("clients", id))
			if _, err := a.Do(t.Context(), trackops.Request{Collection: clients, ID: id}); !trackops.IsNotFound(err) {
				t.Errorf("get of a deleted record: %v, want 404", err)
			}
			if got := do(t, a, trackops.Request{Collection: clients, Count: true}).Count; got != 2 {
				t.Errorf("count after a deletion = %d, want 2", got)
			}
			if a.Delete("clients", id) == nil || a.Change("clients", id, nil) == nil {
				t.Error("a deleted record was changed")
			}
			check(t, a.Restore("clients", id))
			if got := get(); got.Updated.Equal(before.Updated) != old {
				t.Errorf("updated_at of a restored record = %s, was %s; OldUpdated %t", got.Updated, before.Updated, old)
			}
			check(t, a.Change("clients", id, nil))
			if got := get(); !got.Updated.After(before.Updated) {
				t.Errorf("updated_at after a change = %s", got.Updated)
			}
			var actions []events.Action
			for _, m := range a.History() {
				actions = append(actions, m.Action)
			}
			if fmt.Sprint(actions) != "[updated deleted restored updated]" {
				t.Errorf("history %v", actions)
			}
		}
	})
}

func TestLagSkewAndLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := trackopstest.New(trackopstest.Options{Records: 3, Lag: 10 * time.Second, Skew: -time.Hour, Latency: 2 * time.Second})
		clients := collection(t, "clients")
		id := create(t, a, "clients", nil)
		check(t, a.Change("clients", id, map[string]any{"name": "Second"}))
		start := time.Now()
		page := do(t, a, trackops.Request{Collection: clients, Count: true})
		if took := time.Since(start); took != 2*time.Second || page.Count != 3 {
			t.Errorf("count = %d after %s, want 3 after 2s", page.Count, took)
		}
		if got := page.Date.Sub(start); got > -time.Hour+2*time.Second || got < -time.Hour {
			t.Errorf("Date is %s from our clock, want an hour behind", got)
		}
		time.Sleep(8 * time.Second)
		got := do(t, a, trackops.Request{Collection: clients, ID: id})
		if !strings.Contains(string(got.Records[0]), "Second") {
			t.Errorf("after the lag: %s", got.Records[0])
		}
		if h := a.History()[0]; h.Visible.Sub(h.At) != 10*time.Second {
			t.Errorf("visible %s after it was written, want 10s", h.Visible.Sub(h.At))
		}
	})
}

func TestCreationMayLeaveUpdatedNull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := trackopstest.New(trackopstest.Options{NullUpdated: true})
		start := time.Now()
		id := create(t, a, "clients", nil)
		updated := trackops.Request{Collection: collection(t, "clients"), UpdatedFrom: start.Add(-time.Hour)}
		if got := do(t, a, updated); len(got.Records) != 0 {
			t.Errorf("updated_from finds a record without updated_at: %s", got.Records)
		}
		check(t, a.Change("clients", id, nil))
		if got := do(t, a, updated); len(got.Records) != 1 {
			t.Errorf("updated_from finds %d changed records, want 1", len(got.Records))
		}
	})
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, asDate := range []bool{false, true} {
			a := trackopstest.New(trackopstest.Options{Records: 1, Rate: 1, RetryAfter: 5 * time.Second, RetryAfterDate: asDate})
			r := trackops.Request{Collection: collection(t, "clients")}
			do(t, a, r)
			time.Sleep(999 * time.Millisecond)
			_, err := a.Do(t.Context(), r)
			if after, _ := fault.After(err); !trackops.IsThrottled(err) || after != 5*time.Second {
				t.Errorf("second request after 0.999s: %v, wait %s, want 429 and 5s", err, after)
			}
			time.Sleep(time.Millisecond)
			do(t, a, r)
			log := a.Requests()
			if len(log) != 3 || log[1].Status != 429 || log[2].Status != 200 || log[0].Path != "clients" || log[2].At.Sub(log[0].At) != time.Second {
				t.Errorf("log of requests: %+v", log)
			}
		}
	})
}
