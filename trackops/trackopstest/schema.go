package trackopstest

// A schema is what the records of a collection look like. The vendor shows no
// answer of the API; names and shapes follow its documented parameters, the
// fields its create calls take, and its export example.
type schema struct {
	name     string
	firstID  int64
	weight   float64 // share in random life
	title    string  // the field that copies of the record in others show as name
	business string  // the date or time users see as the record's own
	isDate   bool    // business is a date, not a timestamp
	spread   [2]int  // days of business around the creation
	refs     []reference
	fields   []field
}

// A reference is a link to another record: an id and a nested copy.
type reference struct {
	field  string // "client_id"
	nested string // "Client"
	target string // collection; "" for an id of no collection
	via    string // the field of an earlier reference whose record links to ours
}

func schemas() []schema {
	return append(append(caseSchemas(), peopleSchemas()...), financeSchemas()...)
}

func caseFields(prefix string) []field {
	return []field{
		fixed("formatted_case_number", number(prefix)),
		fixed("series_number", integer(1, 99999)),
		fixed("case_type_id", integer(1, 12)),
		fixed("case_region_id", integer(1, 6)),
		alive("case_status_id", integer(1, 9)),
		alive("CaseStatus", object(fixed("id", integer(1, 9)), fixed("name", oneOf("New", "Assigned", "Active", "On hold", "Report due", "Closed")))),
		alive("due_on", dateAround(7, 60)),
		fixed("reference_value_1", number("CLM-")),
		fixed("reference_value_2", perhaps(0.4, number("PO "))),
		fixed("reference_value_3", null),
		alive("case_location", oneOf("San Francisco", "Bay City", "Los Angeles", "Sacramento", "Santa Teresa")),
		alive("notes", sentences(1, 3)),
		fixed("admin_notes", perhaps(0.3, sentences(1, 1))),
		alive("budget_money", money(9000)),
		alive("budget_hours", integer(2, 80)),
		fixed("case_services_list", list(0, 3, integer(1, 20))),
		fixed("custom_fields", customFields("Claim type", "Jurisdiction")),
	}
}

func caseSchemas() []schema {
	links := []reference{
		{field: "primary_contact_id", nested: "PrimaryContact", target: "client_contacts"},
		{field: "client_location_id", nested: "ClientLocation", target: "client_locations", via: "primary_contact_id"},
		{field: "client_id", nested: "Client", target: "clients", via: "client_location_id"},
		{field: "primary_investigator_id", nested: "PrimaryInvestigator", target: "staff"},
	}
	return []schema{
		{
			name: "cases", firstID: 1, weight: 6, title: "formatted_case_number",
			business: "created_on", isDate: true, spread: [2]int{-20, 0}, refs: links,
			fields: append(caseFields("C-"), fixed("is_request", flag(0))),
		},
		{
			name: "case_requests", firstID: 5_000_001, weight: 3, title: "formatted_case_number",
			business: "created_on", isDate: true, spread: [2]int{-5, 0}, refs: links[:3],
			fields: append(caseFields("R-"), fixed("is_request", flag(1))),
		},
		{
			name: "case_updates", firstID: 20001, weight: 12, title: "",
			business: "activity_at", spread: [2]int{-10, 0},
			refs: []reference{
				{field: "casefile_id", nested: "Casefile", target: "cases"},
				{field: "created_by_id", nested: "CreatedBy", target: "staff"},
			},
			fields: []field{
				fixed("access_group_id", integer(1, 5)),
				alive("is_valid", flag(0.6)),
				alive("validated_at", perhaps(0.6, timeAround(0, 5))),
				alive("body", sentences(2, 6)),
			},
		},
		{
			name: "case_contacts", weight: 1.5,
			business: "assigned_at", spread: [2]int{0, 0},
			refs: []reference{
				{field: "casefile_id", nested: "Casefile", target: "cases"},
				{field: "user_id", nested: "User", target: "staff"},
				{field: "assign_type_id"},
			},
			fields: []field{
				fixed("case_type_id", integer(1, 12)),
				alive("is_primary", flag(0.3)),
				alive("notify", flag(0.7)),
			},
		},
		{
			name: "subjects", firstID: 3001, weight: 4, title: "name",
			business: "identified_at", spread: [2]int{-3, 0},
			refs: []reference{{field: "casefile_id", nested: "Casefile", target: "cases"}},
			fields: append([]field{
				fixed("name", person()),
				fixed("subject_type_id", integer(1, 4)),
				fixed("is_primary", flag(0.7)),
				alive("is_pinned", flag(0.1)),
				alive("phone", phone()),
				alive("custom_fields", customFields("Employer", "Vehicle", "Height", "Identifying marks")),
			}, address()...),
		},
		{
			name: "events", firstID: 7001, weight: 4, title: "title",
			business: "start_at", spread: [2]int{-10, 45},
			refs: []reference{
				{field: "casefile_id", nested: "Casefile", target: "cases"},
				{field: "user_id", nested: "User", target: "staff"},
			},
			fields: []field{
				alive("title", oneOf("Surveillance", "Interview", "Court", "Report due", "Site visit", "Call the client")),
				fixed("calendar_id", integer(1, 4)),
				alive("end_at", timeAround(0, 50)),
				fixed("alert_at", perhaps(0.5, timeAround(-1, 0))),
				fixed("alert_sent_at", null),
				alive("is_allday", flag(0.2)),
				alive("notes", sentences(0, 2)),
			},
		},
		{
			name: "files", firstID: 9001, weight: 4, title: "name",
			business: "uploaded_at", spread: [2]int{0, 0},
			refs: []reference{
				{field: "casefile_id", nested: "Casefile", target: "cases"},
				{field: "created_by_id", nested: "CreatedBy", target: "staff"},
			},
			fields: []field{
				alive("name", oneOf("Surveillance video", "Final report", "Statement", "Photographs", "Invoice copy", "Police report")),
				fixed("filename", func(e *encoder, d *dice) { number(d.pick([]string{"video-", "report-", "photo-"}))(e, d) }),
				fixed("mime_type", oneOf("application/pdf", "video/mp4", "image/jpeg")),
				fixed("filesize", integer(10_000, 90_000_000)),
				alive("is_private", flag(0.2)),
				alive("description", sentences(0, 2)),
			},
		},
		{
			name: "fields", firstID: 1, weight: 0.1, title: "name",
			business: "defined_at", spread: [2]int{0, 0},
			fields: []field{
				alive("name", oneOf("Claim type", "Jurisdiction", "Employer", "Vehicle", "Height", "Date of loss", "Policy number")),
				fixed("field_type", integer(1, 15)),
				fixed("field_type_tag", oneOf("INPUT", "SELECT", "DATE", "YESNO", "NUMBER", "ADDRESS")),
				alive("is_required", flag(0.3)),
				fixed("options", list(0, 3, oneOf("Yes", "No", "unknown"))),
			},
		},
	}
}
