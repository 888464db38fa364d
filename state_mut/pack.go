package state

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/s2"
)

// Documents and events are compressed with s2 and a built-in dictionary.
// Measured on records of 920 bytes, one at a time (BenchmarkCompression):
//
//	                    bytes   compress   decompress
//	s2                   699     1.1 µs       0.3 µs
//	s2 with dictionary   460     1.7 µs       0.5 µs
//	zstd                 543     7.0 µs       2.6 µs
//	zstd with dictionary 384    10.0 µs       3.3 µs
//
// The whole of storing a record takes some 10 µs: zstd would double it to save
// 76 bytes.

// dictionary holds the names that Trackops' records and our events are made of,
// the commonest last. It is part of the file format: a file can be read only
// with the dictionary it was written with, so another one needs another flag.
const dictionary = `{"id":,"series_number":"","case_type_id":,"primary_contact_id":,"case_region_id":,"company_location_id":,"created_on":"2026-","due_on":"2026-","reference_value_1":"","reference_value_2":"","reference_value_3":"","case_location":"","notes":"","scheduling_notes":"","admin_notes":"","budget_money":"0.00","budget_hours":"0","case_services_list":[],"case_flags_list":[],"subject_type_id":,"is_primary":true,"is_pinned":false,"access_group_id":,"activity_at":"2026-","is_valid":true,"validated_at":null,"thread_id":,"created_by":,"account_code":"","website":"https://www.","email_invoice":"","has_invoice_reminders":false,"root_id":,"parent_id":,"address_1":"","address_2":"","city":"","state":"","zip":"","country":"US","phone":"","role_id":,"salesperson_id":,"case_manager_id":,"is_vendor":false,"first_name":"","middle_name":"","last_name":"","email":"@example.com","entry_number":,"formatted_entry_number":"","entry_date":"2026-","rate":"","quantity":"","total":"","expense_alias":"Mileage","slip_number":,"invoice_id":,"invoice_number":"","reference_number":"","amount":"","paid_on":"2026-","closed_on":null,"calendar_id":,"title":"","is_allday":false,"start_at":"2026-","end_at":"2026-","alert_at":null,"alert_sent_at":null,"filename":"","mime_type":"application/pdf","size":,"field_type_tag":"","assign_type_id":,"assigned_at":"2026-","status":"pending","status":"partial_paid","status":"approved","Casefile":{"id":,"case_number":""},"CaseType":{"id":,"name":""},"CaseStatus":{"id":,"name":""},"CaseRegion":{"id":,"name":""},"ClientLocation":{"id":,"name":""},"PrimaryContact":{"id":,"name":""},"Subject":{"id":,"name":""},"ExpenseDetails":[{"id":1,"FinanceItem":{"id":,"name":""}}],"custom_fields":[{"id":,"value":""}],"CustomFields":[{"id":,"value":""},{"id":,"value":""}],"User":{"id":,"name":""},"Client":{"id":,"name":""},"tags":[],{"specversion":"1.0","id":"","source":"https://.viewcases.com/api/v1/clients","type":"com.trackops.clients.updated","subject":"trackops..created","time":"2026-11-23T09:30:00Z","datacontenttype":"application/json","data":{"account":"","collection":"case_updates","action":"created","id":"","revision":1,"observed_at":"2026-11-23T09:30:00.12Z","not_before":"2026-11-23T","not_after":"2026-11-23T","changes":[{"path":"/updated_at","from":"2026-","to":"2026-"},{"path":"/","from":"","to":""}],"record":{"id":,"user_id":,"casefile_id":,"subject_id":,"event_id":,"client_id":,"description":"","name":"","is_active":true,"deleted_at":null,"created_at":"2026-01-01 00:00:00","updated_at":"2026-01-01T00:00:00Z"}`

// dict is made once; encoding and decoding with it may run concurrently.
var dict = s2.MakeDict([]byte(dictionary), []byte(`{"id":`))

// maxPacked is the largest size that is compressed: a bound for what a damaged
// length can make unpack allocate.
const maxPacked = 16 << 20

// pack compresses b into scratch, or returns b itself where that saves nothing.
// It returns the room, perhaps grown, for the next call.
func pack(b, scratch []byte) (stored []byte, packed bool, room []byte) {
	if len(b) < 16 || len(b) > maxPacked {
		return b, false, scratch
	}
	if n := s2.MaxEncodedLen(len(b)); cap(scratch) < n {
		scratch = make([]byte, n)
	}
	out := dict.Encode(scratch[:cap(scratch)], b)
	if len(out) >= len(b) {
		return b, false, scratch
	}
	return out, true, scratch
}

// unpack undoes pack. The result is a copy, nil if it is empty.
func unpack(stored []byte, packed bool) ([]byte, error) {
	if len(stored) == 0 {
		return nil, nil
	}
	if !packed {
		return bytes.Clone(stored), nil
	}
	if n, err := s2.DecodedLen(stored); err != nil || n > maxPacked {
		return nil, errShort
	}
	b, err := dict.Decode(nil, stored)
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return b, nil
}
