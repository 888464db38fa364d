package trackopstest

import "strings"

// A param is a documented filter of a collection.
type param struct {
	name  string
	kind  string // int, str, bool, date, ts
	field string // of the record; "" if the parameter filters nothing
	bound bound
}

// A bound says how a filter compares.
type bound int

const (
	equal bound = iota
	from        // inclusive
	to          // inclusive
)

// isUpdated and isCreated tell the filters by system time, which have an index.
func (p param) isUpdated() bool { return p.kind == "ts" && p.field == "updated_at" }
func (p param) isCreated() bool { return p.kind == "ts" && p.field == "created_at" }

// documented is the vendor's reference, one line a collection: kind:name=field.
// A date or ts is a range, so it stands for two parameters: * becomes from and
// to, and a name without one gets _from and _to.
func documented() map[string]string {
	const (
		times = " ts:created=created_at ts:updated=updated_at"
		files = "int:id str:name str:filename int:case=casefile_id str:mime_type int:created_by=created_by_id" + times
		cases = "int:id int:client=client_id int:location=client_location_id int:case_region=case_region_id" +
			" date:*=created_on date:created=created_on ts:created_*_system=created_at date:due=due_on ts:updated=updated_at" +
			" int:primary_contact=primary_contact_id int:primary_subject=primary_subject_id" +
			" str:reference_value_1 str:reference_value_2 str:reference_value_3 int:series_number bool:expand_field_values="
	)
	return map[string]string{
		"cases": cases + " int:case_status=case_status_id bool:is_request int:primary_investigator=primary_investigator_id" +
			" int:primary_manager=primary_manager_id int:primary_salesperson=primary_salesperson_id",
		"case_requests": cases,
		"case_updates": "int:id int:case=casefile_id int:access_group=access_group_id int:created_by=created_by_id int:subject=subject_id" +
			" int:thread=thread_id bool:is_valid ts:*=activity_at ts:activity=activity_at ts:validated=validated_at" + times,
		"case_contacts": "int:case=casefile_id int:assign_type=assign_type_id int:user=user_id ts:assigned=assigned_at" +
			" date:case=case_created_on int:case_type=case_type_id",
		"subjects":         "int:id int:case=casefile_id bool:is_primary str:name int:subject_type=subject_type_id" + times,
		"clients":          "int:id str:name str:account_code int:salesperson=salesperson_id int:case_manager=case_manager_id" + times,
		"client_locations": "int:id str:name int:parent=root_id int:salesperson=salesperson_id" + times,
		"client_contacts": "int:id str:last_name str:first_name str:email int:client=root_id int:client_location=client_id int:role=role_id" +
			" int:salesperson=salesperson_id bool:expand_field_values=" + times,
		"staff": "int:id str:last_name str:first_name str:email int:role=role_id bool:is_vendor bool:expand_field_values=" + times,
		"events": "int:id str:title int:calendar=calendar_id int:case=casefile_id int:subject=subject_id bool:is_allday ts:*=start_at" +
			" ts:start=start_at ts:end=end_at ts:alert=alert_at ts:alert_sent=alert_sent_at" + times,
		"files": files,
		"invoices": "int:id int:client=client_id int:location=client_location_id int:contact=contact_id int:salesperson=salesperson_id" +
			" int:case=casefile_id int:tracking_category=tracking_category_id str:status int:invoice_number str:reference_number" +
			" date:*=created_on date:created=created_on date:due=due_on date:closed=closed_on ts:created_*_system=created_at ts:updated=updated_at",
		"invoice_payments": "int:id int:client=client_id int:location=client_location_id int:invoice=invoice_id int:invoice_number" +
			" str:invoice_reference_number str:reference_number date:*=paid_on date:paid=paid_on date:invoice_created=invoice_created_on" + times,
		"expense_entries": "int:id int:expense_slip=expense_slip_id int:user=user_id int:case=casefile_id int:tracking_category=tracking_category_id" +
			" str:status int:entry_number date:*=entry_date date:date=entry_date" + times,
		"expense_slips": "int:id int:user=user_id str:status int:slip_number" + times,
		"fields":        "int:id str:name int:field_type str:field_type_tag",
	}
}

// parseParams reads a line of [documented].
func parseParams(line string) map[string]param {
	params := map[string]param{}
	for token := range strings.FieldsSeq(line) {
		kind, name, _ := strings.Cut(token, ":")
		name, target, named := strings.Cut(name, "=")
		if !named {
			target = name
		}
		p := param{name: name, kind: kind, field: target}
		if kind != "date" && kind != "ts" {
			params[name] = p
			continue
		}
		if !strings.Contains(name, "*") {
			name += "_*"
		}
		for suffix, b := range map[string]bound{"from": from, "to": to} {
			p.name, p.bound = strings.Replace(name, "*", suffix, 1), b
			params[p.name] = p
		}
	}
	return params
}
