package trackops

import "net/url"

// Collections returns the sixteen collections that the vendor documents
// (https://support.trackops.com, Developer API), in a fresh slice.
func Collections() []Collection {
	return []Collection{
		withSystemFilter(Collection{
			Name: "cases", Path: "cases", UpdatedFrom: true,
			// Without it, case requests would be listed twice.
			Query: url.Values{"is_request": {"false"}},
		}),
		withSystemFilter(Collection{Name: "case_requests", Path: "case/requests", UpdatedFrom: true}),
		withFilter(Collection{Name: "case_updates", Path: "case/updates", UpdatedFrom: true}),
		{
			Name: "case_contacts", Path: "case/contacts",
			Composite: [][]string{
				{"casefile_id", "case_id", "case"},
				{"user_id", "user"},
				{"assign_type_id", "assign_type"},
			},
		},
		withFilter(Collection{Name: "subjects", Path: "subjects", UpdatedFrom: true}),
		withFilter(Collection{Name: "clients", Path: "clients", UpdatedFrom: true}),
		withFilter(Collection{Name: "client_locations", Path: "client/locations", UpdatedFrom: true}),
		withFilter(Collection{Name: "client_contacts", Path: "client/contacts", UpdatedFrom: true}),
		withFilter(Collection{Name: "staff", Path: "staff", UpdatedFrom: true}),
		withFilter(Collection{Name: "events", Path: "events", UpdatedFrom: true}),
		// The secure download address is valid for 15 minutes.
		withFilter(Collection{Name: "files", Path: "files", UpdatedFrom: true, VolatileURLs: true}),
		withSystemFilter(Collection{Name: "invoices", Path: "invoices", UpdatedFrom: true}),
		withFilter(Collection{Name: "invoice_payments", Path: "invoice/payments", UpdatedFrom: true}),
		withFilter(Collection{Name: "expense_entries", Path: "expense/entries", UpdatedFrom: true}),
		withFilter(Collection{Name: "expense_slips", Path: "expense/slips", UpdatedFrom: true}),
		{Name: "fields", Path: "fields"},
	}
}

// Lookup returns the documented collection of that name.
func Lookup(name string) (Collection, bool) {
	for _, c := range Collections() {
		if c.Name == name {
			return c, true
		}
	}
	return Collection{}, false
}

func withFilter(c Collection) Collection {
	c.CreatedFrom, c.CreatedTo = "created_from", "created_to"
	return c
}

// withSystemFilter is for the collections whose plain created_from is a date
// that users set.
func withSystemFilter(c Collection) Collection {
	c.CreatedFrom, c.CreatedTo = "created_from_system", "created_to_system"
	return c
}
