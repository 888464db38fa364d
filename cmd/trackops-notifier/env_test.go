package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestVariablesOfAStruct(t *testing.T) {
	t.Parallel()
	vars, err := variables("CONNECTOR_X", &hookSettings{})
	if err != nil {
		t.Fatal(err)
	}
	want := []variable{
		{"CONNECTOR_X_URL", "", "where to post", true},
		{"CONNECTOR_X_SECRET", "", "keys to sign with", true},
		{"CONNECTOR_X_CA_FILE", "", "authorities to trust", false},
		{"CONNECTOR_X_FORMAT", "structured", "structured | binary", false},
	}
	if fmt.Sprint(vars) != fmt.Sprint(want) {
		t.Errorf("variables = %+v, want %+v", vars, want)
	}
	if _, err := variables("X", hookSettings{}); err == nil {
		t.Error("a struct that cannot be filled is taken")
	}
}

// Calls at the same time do not see each other's values.
func TestProcessAtTheSameTime(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			want := fmt.Sprint("value ", i)
			var s hookSettings
			if err := process(&s, map[string]string{"URL": want}); err != nil || s.URL != want || s.Secret != "" || s.Format != "structured" {
				t.Errorf("filled with %+v (%v), want URL %q", s, err, want)
			}
		})
	}
	wg.Wait()
}

func TestReadDuration(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"10s": 10 * time.Second, "30d": 720 * time.Hour, "1.5d": 36 * time.Hour, "1d12h30m": 36*time.Hour + 30*time.Minute, "250ms": 250 * time.Millisecond,
	} {
		if got, err := readDuration(value); got != want || err != nil {
			t.Errorf("readDuration(%q) = %v, %v, want %v", value, got, err, want)
		}
	}
	for _, value := range []string{"", "5", "d", "-1h", "0s", "1 d", "999999999d", "1w", "NaNd", "1e9d"} {
		if got, err := readDuration(value); err == nil {
			t.Errorf("readDuration(%q) = %v, want an error", value, got)
		}
	}
}

func TestReadBytes(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int64{
		"1048576": 1 << 20, "512MB": 512e6, "512mb": 512e6, "10GiB": 10 << 30, "1.5 TiB": 3 << 39, "7kB": 7000, "3K": 3000, "12B": 12,
	} {
		if got, err := readBytes(value); got != want || err != nil {
			t.Errorf("readBytes(%q) = %v, %v, want %v", value, got, err, want)
		}
	}
	for _, value := range []string{"", "GB", "-1GB", "1e9", "1XB", "1iB", "10000000TiB", strings.Repeat("9", 400)} {
		if got, err := readBytes(value); err == nil {
			t.Errorf("readBytes(%q) = %v, want an error", value, got)
		}
	}
}

func TestReadListen(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"127.0.0.1:0", ":8080", "[::1]:80", "localhost:1", "0.0.0.0:65535", "web-1.internal:80"} {
		if got, err := readListen(value); got != value || err != nil {
			t.Errorf("readListen(%q) = %q, %v", value, got, err)
		}
	}
	for _, value := range []string{"", "8080", "127.0.0.1", "::1:80", "1.2.3:80", "a b:80", "http://x:80", "x:http", "x:-1", "x:65536", "x:"} {
		if got, err := readListen(value); err == nil {
			t.Errorf("readListen(%q) = %q, want an error", value, got)
		}
	}
}

func TestSlips(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "AB", 2}, {"TYPE", "TYPE", 0}, {"TPYE", "TYPE", 1}, {"TYP", "TYPE", 1}, {"KASES", "CASES", 1}, {"ABC", "XYZ", 3}, {"RAET", "RATE", 1}} {
		if got := slips(test.a, test.b); got != test.want {
			t.Errorf("slips(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
		if got := slips(test.b, test.a); got != test.want {
			t.Errorf("slips(%q, %q) = %d, want %d", test.b, test.a, got, test.want)
		}
	}
}
