package trackopstest

func peopleSchemas() []schema {
	user := []field{
		fixed("last_name", lastName()),
		fixed("first_name", firstName()),
		alive("email", email()),
		alive("phone", phone()),
		fixed("role_id", integer(1, 6)),
		alive("is_active", flag(0.95)),
		alive("notes", sentences(0, 1)),
		fixed("custom_fields", customFields("Licence", "Languages")),
	}
	return []schema{
		{
			name: "clients", firstID: 1001, weight: 3, title: "name",
			business: "signed_on", isDate: true, spread: [2]int{-30, 0},
			refs: []reference{{field: "salesperson_id", nested: "Salesperson", target: "staff"}},
			fields: append([]field{
				alive("name", company()),
				fixed("account_code", number("AC")),
				alive("website", perhaps(0.6, oneOf("https://www.example.com/", "https://www.example.net/claims", "https://www.example.org/"))),
				alive("email_invoice", email()),
				alive("has_invoice_reminders", flag(0.5)),
				alive("notes", sentences(0, 3)),
				alive("credit_limit", money(50_000)),
				fixed("custom_fields", customFields("Industry", "Billing cycle")),
			}, address()...),
		},
		{
			name: "client_locations", firstID: 2001, weight: 1.5, title: "name",
			business: "opened_on", isDate: true, spread: [2]int{-30, 0},
			refs: []reference{{field: "root_id", nested: "Client", target: "clients"}},
			fields: append([]field{
				fixed("name", oneOf("Headquarters", "Claims office", "North branch", "Legal department", "East branch")),
				fixed("is_primary", flag(0.5)),
				alive("email_invoice", email()),
				alive("phone", phone()),
			}, address()...),
		},
		{
			name: "client_contacts", firstID: 6001, weight: 2, title: "name",
			business: "hired_on", isDate: true, spread: [2]int{-300, 0},
			refs: []reference{
				{field: "client_id", nested: "ClientLocation", target: "client_locations"},
			},
			fields: append([]field{fixed("name", person())}, user...),
		},
		{
			name: "staff", firstID: 1, weight: 0.7, title: "name",
			business: "hired_on", isDate: true, spread: [2]int{-300, 0},
			fields: append([]field{
				fixed("name", person()),
				fixed("is_vendor", flag(0.2)),
				fixed("company_location_id", integer(1, 3)),
			}, user...),
		},
	}
}
