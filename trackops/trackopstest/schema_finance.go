package trackopstest

func financeSchemas() []schema {
	onCase := []reference{
		{field: "casefile_id", nested: "Casefile", target: "cases"},
		{field: "client_id", nested: "Client", target: "clients", via: "casefile_id"},
	}
	byUser := []reference{{field: "user_id", nested: "User", target: "staff"}}
	return []schema{
		{
			name: "invoices", firstID: 4001, weight: 3, title: "formatted_invoice_number",
			business: "created_on", isDate: true, spread: [2]int{-15, 0}, refs: onCase,
			fields: []field{
				fixed("invoice_number", func(e *encoder, _ *dice) { e.int(e.id) }),
				fixed("formatted_invoice_number", number("INV-")),
				fixed("reference_number", perhaps(0.4, number("PO "))),
				alive("status", oneOf("draft", "open", "sent", "partial_paid", "paid")),
				alive("due_on", dateAround(14, 60)),
				fixed("closed_on", null),
				alive("subtotal", money(4000)),
				fixed("tax", money(300)),
				alive("balance", money(4000)),
				fixed("tracking_category_id", integer(1, 5)),
				fixed("InvoiceItems", list(1, 4, object(
					fixed("id", integer(1, 99999)),
					fixed("description", oneOf("Surveillance", "Mileage", "Report", "Database search")),
					fixed("quantity", integer(1, 20)),
					fixed("rate", money(120)),
				))),
			},
		},
		{
			name: "invoice_payments", firstID: 8001, weight: 1.5, title: "",
			business: "paid_on", isDate: true, spread: [2]int{-15, 0},
			refs: []reference{
				{field: "invoice_id", nested: "Invoice", target: "invoices"},
				{field: "client_id", nested: "Client", target: "clients", via: "invoice_id"},
			},
			fields: []field{
				fixed("amount", money(4000)),
				alive("reference_number", number("CHK-")),
				fixed("payment_method", oneOf("check", "ach", "card", "wire")),
				alive("notes", sentences(0, 1)),
			},
		},
		{
			name: "expense_entries", firstID: 10001, weight: 5, title: "formatted_entry_number",
			business: "entry_date", isDate: true, spread: [2]int{-15, 0},
			refs: append(byUser[:1:1], onCase[0]),
			fields: []field{
				fixed("entry_number", func(e *encoder, _ *dice) { e.int(e.id) }),
				fixed("formatted_entry_number", number("EXP-")),
				alive("status", oneOf("pending", "approved", "declined", "committed", "voided")),
				fixed("tracking_category_id", integer(1, 5)),
				alive("ExpenseDetails", list(1, 3, object(
					fixed("id", integer(1, 99999)),
					fixed("notes", sentences(1, 1)),
					fixed("rate", money(120)),
					fixed("quantity", oneOf("1", "2", "7.5", "10", "64")),
					fixed("total", money(900)),
					fixed("FinanceItem", object(
						fixed("id", integer(1, 30)),
						fixed("expense_alias", oneOf("Mileage", "Surveillance", "Report", "Tolls")),
					)),
				))),
			},
		},
		{
			name: "expense_slips", firstID: 11001, weight: 0.8, title: "formatted_slip_number",
			business: "slip_date", isDate: true, spread: [2]int{-15, 0}, refs: byUser,
			fields: []field{
				fixed("slip_number", func(e *encoder, _ *dice) { e.int(e.id) }),
				fixed("formatted_slip_number", number("SLIP-")),
				alive("status", oneOf("pending", "partial_paid", "paid", "voided")),
				alive("total", money(2000)),
			},
		},
	}
}
