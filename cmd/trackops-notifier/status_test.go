package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func operatorStatus(t *testing.T, r *rig, total int) {
	out, errs, err := r.command("status")
	if err != nil || errs != "" {
		t.Fatalf("status = %v, %q", err, errs)
	}
	for _, want := range []string{"Account acme", "one more collection would add", "clients", "NATS    embedded, connected", "screen", "Outbox  0 waiting", ", ready"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	checkWidth(t, out)
	raw, _, err := r.command("status", "--json")
	var s statusReport
	if err == nil {
		err = json.Unmarshal([]byte(raw), &s)
	}
	if err != nil || len(s.Collections) != 1 || s.Collections[0].Records != total || s.Collections[0].Account != "acme" || !s.Ready || s.Accounts[0].RequestsPerSecond != 1 {
		t.Errorf("status --json = %v\n%s", err, raw)
	}
	noSecrets(t, out+raw)
}

func checkWidth(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > tableWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// TestStatusFitsTheScreen draws the longest of everything.
func TestStatusFitsTheScreen(t *testing.T) {
	now := time.Now()
	later := now.Add(time.Hour + 40*time.Second)
	long := 99e9
	c := collectionStatus{
		collectionReady: collectionReady{Account: strings.Repeat("a", 63), Name: strings.Repeat("n", 60), State: "baseline", Records: 123_456_789,
			LastError: "\x1b[31m" + strings.Repeat("it went wrong again ", 20) + strings.Repeat("x", 300), Overdue: true},
		Expected: 200_000_000, Age: &long, Next: long, PerHour: 123456, Predicted: long, Measured: &long, Sweep: 1, Verified: &now, Suspects: 12_345_678,
		Braked: "48,000 of 50,000 records are missing at once", Refused: []string{"count", "updated_from"}, IgnoreFields: []string{"/views", "/Owner/seen"},
	}
	s := statusReport{
		Version: strings.Repeat("v", 100), Accounts: []accountStatus{{c.Account, 0.123456, long}}, Collections: []collectionStatus{c},
		Outbox: outboxStatus{Pending: 1_000_000, Held: 1_000_000, Oldest: &now}, NATS: natsStatus{Error: strings.Repeat("no servers available ", 20)},
		Connectors: []connectorReady{{Name: strings.Repeat("c", 80), Kind: "webhook", State: "delivering", Pending: 1e12, Dead: 1e9, LastError: "\x1b[31m" + strings.Repeat("status 500 ", 30)},
			{Name: "crm", Kind: "webhook", State: "open", Since: &now, NextProbe: &later, Reason: "\x1b[31m" + strings.Repeat("status 503 ", 30)},
			{Name: "erp", Kind: "webhook", State: "open", Since: &now, NextProbe: &now, Reason: "status 500"}},
	}
	var out bytes.Buffer
	if err := s.write(&out, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	checkWidth(t, out.String())
	for _, want := range []string{"deletions are held back: 48,000 of", "--account aaa", "does not take: count, updated_from", "_IGNORE=/views,/Owner/seen", "overdue", "not ready", "the oldest for 60m", "crm: only probed, since it fails for 60m", "status 503 ; next probe in 40s", "erp: only probed, since it fails for 60m: status 500; the next event is the next probe"} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if strings.ContainsRune(out.String(), '\x1b') {
		t.Error("an error's control characters reach the terminal")
	}
}

func TestShortDurations(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0.0s", 0.04: "0.0s", 9.6: "9.6s", 42: "42s", 99: "99s", 720: "12m", 7 * 3600: "7h", 12 * 86400: "12d", -1: "0.0s"} {
		if got := short(seconds); got != want {
			t.Errorf("short(%g) = %q, want %q", seconds, got, want)
		}
	}
}
