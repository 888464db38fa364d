package diff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"
)

// record800 is a record of about 800 bytes as Trackops' lists have them: 25
// fields, one of them a nested copy of another record.
const record800 = `{"id":104217,"client_number":"CL-2026-0417","name":"Meridian Casualty & Surety","client_type_id":3,"status":"active","email":"claims@meridian-casualty.example","phone":"+1 312 555 0142","fax":null,"address":"233 South Wacker Drive","address2":"Suite 4400","city":"Chicago","state":"IL","zip":"60606","country":"US","website":null,"default_rate":95.50,"balance":-1240.75,"tax_exempt":false,"is_company":true,"notes":"Prefers reports as PDF; call before any field work. Invoices go to the regional office with the purchase order number on them.","tags":["insurance","workers comp"],"created_by_id":17,"created_at":"2024-02-11T15:04:05Z","updated_at":"2026-11-20T08:12:44Z","User":{"id":17,"first_name":"Dana","last_name":"Okafor","email":"dana@agency.example","title":"Case manager"}}`

// record2400 is a record of about 2.4 kB, with 30 custom fields.
func record2400() []byte {
	var b bytes.Buffer
	b.WriteString(record800[:len(record800)-1])
	b.WriteString(`,"custom_fields":[`)
	for i := range 30 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"name":"Field %d","value":"value %d"}`, 900+i, i, i*i)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

func BenchmarkScan(b *testing.B) {
	rules, err := NewRules([]string{"/updated_at"}, false)
	if err != nil {
		b.Fatal(err)
	}
	raw, names := []byte(record800), []string{"id", "created_at", "updated_at"}
	values := make([][]byte, len(names))
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rules.Scan(raw, names, values); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScanAndDecode says how many times as fast a scan is as encoding/json
// decoding the same record: the two take turns in one loop, so that what else
// the machine does hits both.
func BenchmarkScanAndDecode(b *testing.B) {
	raw, rules := []byte(record800), new(Rules)
	names := []string{"id", "created_at", "updated_at"}
	values := make([][]byte, len(names))
	scan := func() error {
		_, err := rules.Scan(raw, names, values)
		return err
	}
	decode := func() error {
		var m map[string]any
		return json.Unmarshal(raw, &m)
	}
	var scans, decodes []float64
	for b.Loop() {
		scans = append(scans, microseconds(b, scan))
		decodes = append(decodes, microseconds(b, decode))
	}
	slices.Sort(scans)
	slices.Sort(decodes)
	s, d := scans[len(scans)/2], decodes[len(decodes)/2]
	b.ReportMetric(s, "µs/scan")
	b.ReportMetric(d, "µs/decode")
	b.ReportMetric(d/s, "decode/scan")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkClean(b *testing.B) {
	rules, err := NewRules([]string{"/updated_at"}, true)
	if err != nil {
		b.Fatal(err)
	}
	raw := []byte(record800)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rules.Clean(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChanges(b *testing.B) {
	from := record2400()
	to := bytes.Replace(from, []byte(`"value 144"`), []byte(`"other"`), 1)
	to = bytes.Replace(to, []byte(`"status":"active"`), []byte(`"status":"on hold"`), 1)
	b.SetBytes(int64(len(from) + len(to)))
	b.ReportAllocs()
	for b.Loop() {
		changes, err := Changes(from, to)
		if err != nil || len(changes) != 2 {
			b.Fatalf("%d changes, %v; want 2", len(changes), err)
		}
	}
}

// microseconds returns the mean duration of 100 calls of f.
func microseconds(b *testing.B, f func() error) float64 {
	const calls = 100
	start := time.Now()
	for range calls {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
	return float64(time.Since(start).Nanoseconds()) / calls / 1000
}
