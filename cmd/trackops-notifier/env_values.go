package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The functions here read one value each. Their errors follow the variable's
// name and quote the value: they are for variables that are not secret.

// quote shows a value in a message.
func quote(value string) string {
	const most = 60
	if r := []rune(value); len(r) > most {
		value = string(r[:most]) + "…"
	}
	return strconv.Quote(value)
}

// list splits a comma-separated value; an empty item is none.
func list(value string) []string {
	var items []string
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// readList refuses a list without an item, as "," is.
func readList(value string) ([]string, error) {
	items := list(value)
	if value != "" && len(items) == 0 {
		return nil, errors.New("lists nothing")
	}
	return items, nil
}

func readNumber(value string) (float64, error) {
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, fmt.Errorf("%s is not a number", quote(value))
	}
	return n, nil
}

var days = regexp.MustCompile(`([0-9]*\.?[0-9]+)d`)

// readDuration reads a positive duration as Go writes them, and days: 30d, 1d12h.
func readDuration(value string) (time.Duration, error) {
	hours := days.ReplaceAllStringFunc(value, func(d string) string {
		n, err := strconv.ParseFloat(strings.TrimSuffix(d, "d"), 64)
		if err != nil {
			return d
		}
		return strconv.FormatFloat(24*n, 'f', -1, 64) + "h"
	})
	d, err := time.ParseDuration(hours)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s is not a duration", quote(value))
	case d <= 0:
		return 0, fmt.Errorf("%s is not above zero", quote(value))
	}
	return d, nil
}

// readDurations reads a list of durations, or "off" for an empty one.
func readDurations(value string) ([]time.Duration, error) {
	all := []time.Duration{}
	if value == "off" {
		return all, nil
	}
	items, err := readList(value)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		d, err := readDuration(item)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

var size = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([KMGT]?)(I?)B?$`)

// readBytes reads a size: 1073741824, 512MB, 10GiB.
func readBytes(value string) (int64, error) {
	part := size.FindStringSubmatch(strings.ToUpper(value))
	if part == nil || part[2] == "" && part[3] != "" {
		return 0, fmt.Errorf("%s is not a size", quote(value))
	}
	n, err := strconv.ParseFloat(part[1], 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not a size", quote(value))
	}
	base := 1000.0
	if part[3] != "" {
		base = 1024
	}
	n *= math.Pow(base, float64(strings.Index("BKMGT", cmp.Or(part[2], "B"))))
	if n >= math.MaxInt64 {
		return 0, fmt.Errorf("%s is too large", quote(value))
	}
	return int64(n), nil
}

const acceptedListen = `host:port, as 127.0.0.1:8080 (port 0 picks a free one), or "off"`

// readListen checks an address to listen on; "off" gives "".
func readListen(value string) (string, error) {
	if value == "off" {
		return "", nil
	}
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		return "", fmt.Errorf("%s is not an address with a port", quote(value))
	}
	if !isHost(host) {
		return "", fmt.Errorf("%s has no valid host", quote(value))
	}
	if !isPort(port) {
		return "", fmt.Errorf("%s has no valid port", quote(value))
	}
	return value, nil
}

var hostname = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\.?)+$`)

// isHost accepts a host to listen on: "" is every interface.
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return true
	}
	return hostname.MatchString(host) && strings.Trim(host, "0123456789.") != ""
}

func isPort(port string) bool {
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}

// isLoopback reports whether only this machine reaches host.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
