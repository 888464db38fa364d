package trackopstest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

func serve(t testing.TB, a *trackopstest.Account) string {
	t.Helper()
	server := httptest.NewServer(a.Handler())
	t.Cleanup(server.Close)
	return server.URL + trackopstest.BasePath
}

func newClient(t testing.TB, base string, cfg trackops.Config) *trackops.Client {
	t.Helper()
	cfg.BaseURL, cfg.Username = base, "demo"
	if cfg.Rate == 0 {
		cfg.Rate, cfg.AllowFast = 100_000, true
	}
	if cfg.Token == "" {
		cfg.Token = "token"
	}
	c, err := trackops.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// outcome is what a caller can tell of an answer.
type outcome struct {
	records           string
	count, pages      int
	status            int
	after             time.Duration
	kind              string
	unsupported, gone bool
}

func outcomeOf(page trackops.Page, err error) outcome {
	o := outcome{count: page.Count, pages: page.Pages, status: fault.Status(err), unsupported: trackops.IsUnsupported(err), gone: trackops.IsNotFound(err)}
	var texts []string
	for _, raw := range page.Records {
		texts = append(texts, withoutAddresses(string(raw)))
	}
	o.records = strings.Join(texts, "\n")
	o.after, _ = fault.After(err)
	for name, kind := range map[string]error{
		"truncated": trackops.ErrTruncated, "not json": trackops.ErrNotJSON, "unexpected": trackops.ErrUnexpected,
		"ignored": trackops.ErrIgnored, "reset": syscall.ECONNRESET,
	} {
		if errors.Is(err, kind) {
			o.kind = name
		}
	}
	if err != nil && o.kind == "" && o.status == 0 {
		o.kind = err.Error()
	}
	return o
}

// The same account answers alike in process and over a socket, also with faults.
func TestInProcessAnswersAreTheClients(t *testing.T) {
	opts := trackopstest.Options{
		Seed: 3, Records: 130, PastEnd: trackopstest.NotFoundPage, Ties: 0.3,
		Quirks: map[string]trackopstest.Quirks{"staff": {NoCount: true}, "fields": {Denied: 403}, "subjects": {IgnoreCount: true}},
	}
	local, remote := trackopstest.New(opts), trackopstest.New(opts)
	client := newClient(t, serve(t, remote), trackops.Config{})
	now := time.Now()
	requests := []trackops.Request{
		{}, {Page: 2}, {Page: 3}, {Page: 2, Asc: true, PerPage: 7}, {Count: true}, {ID: "999999999"},
		{CreatedFrom: now.Add(-300 * 24 * time.Hour), CreatedTo: now.Add(-200 * 24 * time.Hour)},
		{UpdatedFrom: now.Add(-100 * 24 * time.Hour)}, {Count: true, UpdatedFrom: now.Add(-100 * 24 * time.Hour)},
	}
	for _, c := range trackops.Collections() {
		all := requests
		if known := local.IDs(c.Name); len(known) > 0 {
			all = append(all, trackops.Request{ID: known[3]})
		}
		for _, r := range all {
			r.Collection = c
			compare(t, local, client, r)
		}
	}
	for _, f := range []trackopstest.Fault{
		{Status: 503, RetryAfter: "7"}, {Status: 429}, {Status: 404}, {HTML: true}, {HTML: true, Status: 502}, {Cut: true}, {Reset: true},
		{Body: `{"error":"x"}`}, {Body: `[1]`}, {Body: `[{},`}, {Body: "null"},
	} {
		for _, r := range []trackops.Request{{}, {Page: 2}, {Count: true}, {ID: local.IDs("clients")[0]}} {
			r.Collection = collection(t, "clients")
			local.Fail(f)
			remote.Fail(f)
			compare(t, local, client, r)
		}
	}
	for i, entry := range local.Requests() {
		if other := remote.Requests()[i]; entry.Path != other.Path || entry.Query != other.Query || entry.Status != other.Status {
			t.Errorf("request %d: %+v in process, %+v over HTTP", i, entry, other)
		}
	}
}

func compare(t *testing.T, local *trackopstest.Account, client *trackops.Client, r trackops.Request) {
	t.Helper()
	page, localErr := local.Do(t.Context(), r)
	inProcess := outcomeOf(page, localErr)
	page, err := client.Do(t.Context(), r)
	if overHTTP := outcomeOf(page, err); overHTTP != inProcess {
		t.Errorf("%s: in process %+v (%v), over HTTP %+v (%v)", r, inProcess, localErr, overHTTP, err)
	}
}

func TestCredentials(t *testing.T) {
	a := trackopstest.New(trackopstest.Options{Records: 1, Username: "demo", Token: "right"})
	base := serve(t, a)
	r := trackops.Request{Collection: collection(t, "clients")}
	if _, err := newClient(t, base, trackops.Config{Token: "wrong"}).Do(t.Context(), r); fault.Status(err) != 401 {
		t.Errorf("wrong token: %v, want 401", err)
	}
	if _, err := newClient(t, base, trackops.Config{Token: "right"}).Do(t.Context(), r); err != nil {
		t.Errorf("right token: %v", err)
	}
}

func TestFaultsAreUsedAsOftenAsAsked(t *testing.T) {
	a := trackopstest.New(trackopstest.Options{Records: 1})
	clients, staff := trackops.Request{Collection: collection(t, "clients")}, trackops.Request{Collection: collection(t, "staff")}
	a.Fail(trackopstest.Fault{Collection: "clients", Status: 500, Times: 2}, trackopstest.Fault{Status: 502, Times: -1})
	statuses := func(r trackops.Request) (all []int) {
		for range 3 {
			_, err := a.Do(t.Context(), r)
			all = append(all, fault.Status(err))
		}
		return all
	}
	if got := statuses(clients); got[0] != 500 || got[1] != 500 || got[2] != 502 {
		t.Errorf("clients: %v, want 500 twice and then 502", got)
	}
	if got := statuses(staff); got[2] != 502 {
		t.Errorf("staff: %v, want 502 for ever", got)
	}
	a.Heal()
	do(t, a, staff)
	random := trackopstest.New(trackopstest.Options{Records: 1, FaultRate: 0.5, Faults: []trackopstest.Fault{{Status: 500}, {HTML: true}}})
	failed := 0
	for range 200 {
		if _, err := random.Do(t.Context(), staff); err != nil {
			failed++
		}
	}
	if failed < 60 || failed > 140 {
		t.Errorf("%d of 200 requests failed at a rate of a half", failed)
	}
}

func TestSlowAnswerRunsIntoTheTimeout(t *testing.T) {
	a := trackopstest.New(trackopstest.Options{Records: 1})
	a.Fail(trackopstest.Fault{Delay: time.Hour})
	client := newClient(t, serve(t, a), trackops.Config{Timeout: 30 * time.Millisecond})
	if _, err := client.Do(t.Context(), trackops.Request{Collection: collection(t, "clients")}); !errors.Is(err, trackops.ErrTimeout) {
		t.Errorf("error %v, want ErrTimeout", err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	a := trackopstest.New(trackopstest.Options{Records: 1})
	go func() { done <- a.Serve(ctx, l) }()
	resp, err := http.Get(trackopstest.URL(l.Addr().String()) + "/clients")
	check(t, err)
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.HasPrefix(string(text), "[{") {
		t.Errorf("answer %s, %v", text, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve = %v, want nil after its context ended", err)
	}
}
