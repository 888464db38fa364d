package main

import (
	"crypto/hmac"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/webhook"
)

// A verification is what is known of a request's signature.
type verification struct {
	problem string // "" if the signature was made with one of the keys
	late    string // what is wrong with the time; "" if nothing is
	secret  string // name of the key that made the signature
	hint    string // what may have happened; "" if nothing is known
}

func (v verification) holds() bool { return v.problem == "" && v.late == "" }

// judge checks the signature of r, and apart from it the time.
func judge(r request, keys []signingKey, now time.Time, tolerance time.Duration) verification {
	var v verification
	signatures, problem := r.signatures()
	if problem != "" {
		v.problem = problem
		return v
	}
	v.late = r.late(now, tolerance)
	made := func(body []byte) string {
		for _, k := range keys {
			want := webhook.Signature(k.key, r.id, r.timestamp, body)
			for _, s := range signatures {
				if hmac.Equal(s, want) {
					return k.name
				}
			}
		}
		return ""
	}
	if v.secret = made(r.body); v.secret != "" {
		return v
	}
	v.problem = "no secret given makes this signature of this body"
	v.hint = "the secret is another one, or id, timestamp or body were changed on the way"
	for _, variant := range r.variants() {
		if secret := made(variant.body); secret != "" {
			v.hint = fmt.Sprintf("%s; without that, the signature is by %s: verify the bytes as they came, before anything parses them", variant.hint, secret)
			return v
		}
	}
	if suspicion := r.suspicion(); suspicion != "" {
		v.hint = suspicion
	}
	return v
}

// signatures returns those of version 1, or what is missing or malformed.
func (r request) signatures() (all [][]byte, problem string) {
	var missing []string
	for name, value := range map[string]string{"webhook-id": r.id, "webhook-timestamp": r.timestamp, "webhook-signature": r.signature} {
		if value == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, "the request has no header " + sortedList(missing)
	}
	if _, err := strconv.ParseInt(r.timestamp, 10, 64); err != nil {
		return nil, "webhook-timestamp is not in Unix seconds"
	}
	for _, one := range strings.Fields(r.signature) {
		encoded, ok := strings.CutPrefix(one, "v1,")
		if !ok {
			continue // of another version
		}
		signature, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(signature) != 32 {
			return nil, "webhook-signature is malformed: after v1, it needs the base64 of 32 bytes"
		}
		all = append(all, signature)
	}
	if len(all) == 0 {
		return nil, "webhook-signature holds no signature of version 1, as in v1,g0hM9S…"
	}
	return all, ""
}

// late says what is wrong with the time of r, or nothing.
func (r request) late(now time.Time, tolerance time.Duration) string {
	age := now.Sub(r.time()).Round(time.Second)
	switch {
	case age.Abs() <= tolerance:
		return ""
	case age > 0:
		return fmt.Sprintf("the request is %s old, more than %s: a receiver takes it for a recorded one. For a request that was saved earlier give --now %s", length(age), tolerance, r.time().UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("the request is from %s ahead, more than %s: is one of the clocks wrong?", length(age), tolerance)
}

// length writes d without its sign. A longer time between two than a Duration can
// hold comes as the longest one.
func length(d time.Duration) string {
	if d.Abs() == math.MaxInt64 {
		return "over 290 years"
	}
	return d.Abs().String()
}

// print shows v, and what r is about. What came with the request is printed as
// visible text only.
func (v verification) print(w io.Writer, r request, now time.Time) {
	switch {
	case v.problem != "":
		fmt.Fprintf(w, "the signature does not hold: %s\n", v.problem)
	case v.late != "":
		fmt.Fprintln(w, "the signature holds, but the time does not")
	default:
		fmt.Fprintln(w, "the signature holds")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, connectors.OneLine(value))
		}
	}
	line("id", r.id)
	timestamp := r.timestamp
	if _, err := strconv.ParseInt(timestamp, 10, 64); err == nil {
		timestamp += fmt.Sprintf(" (%s, %s)", r.time().UTC().Format(time.RFC3339), ago(now.Sub(r.time()).Round(time.Second)))
	}
	line("timestamp", timestamp)
	line("signed by", v.secret)
	for _, e := range r.events() {
		line("event", e)
	}
	line("body", fmt.Sprintf("%d bytes", len(r.body)))
	line("time", v.late)
	line("hint", v.hint)
	// Standard output takes it, or there is nobody to tell.
	_ = t.Flush()
}

func ago(d time.Duration) string {
	if d < 0 {
		return "in " + length(d)
	}
	return length(d) + " ago"
}

func sortedList(names []string) string {
	slices.Sort(names)
	return strings.Join(names, ", ")
}
