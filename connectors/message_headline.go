package connectors

import (
	"slices"
	"strings"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// tell puts what happened into the words of the record's collection: Lead, Gist
// and Icon. It speaks only of fields that are there.
func (m *Message) tell(r record) {
	d := m.Event.Data
	gist := r.surroundings(d.Collection)
	sum := ""
	if isFinance(d.Collection) {
		sum = r.first("total", "amount", "balance")
	}
	switch d.Action {
	case events.Created:
		m.Lead = "New " + lowerFirst(m.Noun)
		if d.Collection == "invoice_payments" {
			m.Lead, m.Icon = "Payment received", "💰"
		}
		gist = append(gist, sum)
	case events.Updated:
		m.Lead = m.Noun + " " + m.Verb
		if d.Collection == "case_updates" {
			m.Lead = m.Noun + " changed" // "update updated" reads badly
		}
		gist = m.turn(gist, r)
	default:
		m.Lead = m.Noun + " " + m.Verb
		gist = append(gist, sum)
	}
	gist = slices.DeleteFunc(gist, func(s string) bool { return s == "" })
	m.Gist = OneLine(strings.Join(gist, ", "))
}

// turn tells the change that the others follow from, if there is one: a new
// status, or an update that clients may see from now on.
func (m *Message) turn(gist []string, r record) []string {
	for _, c := range m.Changes {
		lead := statusLeads[c.To]
		switch {
		case m.Event.Data.Collection == "case_updates" && (c.Path == "/is_valid" && c.To == "yes" || c.Path == "/validated_at" && isNothing(c.From)):
			m.Lead, m.Icon = m.Noun+" validated", "✅"
		case c.Path == "/status" && lead != "" && isFinance(m.Event.Data.Collection):
			m.Lead = m.Noun + " " + lead
			if lead == "paid" {
				m.Icon = "💰"
				gist = append(gist, m.paid(r))
			}
		case c.Path == "/status" || strings.HasSuffix(c.Path, "Status/name") && strings.Count(c.Path, "/") == 2:
			m.Lead = m.Noun + " status changed"
			gist = append([]string{c.From + " → " + c.To}, gist...)
		default:
			continue
		}
		m.told = c.Path
		return gist
	}
	return gist
}

// isNothing reports whether a value of a [Changed] says that there was none.
func isNothing(s string) bool { return s == "(null)" || s == "(not set)" || s == "(empty)" }

// statusLeads are the values of status that Trackops documents for invoices,
// expense entries and payment slips, as news.
var statusLeads = map[string]string{
	"sent": "sent", "paid": "paid", "partial_paid": "partly paid",
	"approved": "approved", "declined": "declined", "voided": "voided", "committed": "committed",
}

func isFinance(collection string) bool {
	return slices.Contains([]string{"invoices", "invoice_payments", "expense_entries", "expense_slips"}, collection)
}

// paid is the sum of what was paid: the whole, or else what was open before.
func (m *Message) paid(r record) string {
	if sum := r.first("total", "amount"); sum != "" {
		return sum
	}
	for _, c := range m.Changes {
		if _, isAmount := amount(strings.ReplaceAll(c.From, ",", "")); c.Path == "/balance" && isAmount {
			return c.From
		}
	}
	return ""
}

// surroundings name what a record belongs to.
func (r record) surroundings(collection string) []string {
	var links [][2]string // a word, and the field of a nested copy
	switch collection {
	case "client_contacts":
		links = [][2]string{{"of", "ClientLocation"}, {"of", "Client"}}
	case "client_locations":
		links = [][2]string{{"of", "Client"}}
	case "invoice_payments":
		links = [][2]string{{"invoice", "Invoice"}, {"from", "Client"}}
	case "expense_entries", "expense_slips":
		links = [][2]string{{"of", "User"}, {"case", "Casefile"}}
	case "case_updates", "files":
		links = [][2]string{{"case", "Casefile"}, {"by", "CreatedBy"}}
	case "cases", "case_requests", "invoices":
		links = [][2]string{{"for", "Client"}}
	default:
		links = [][2]string{{"case", "Casefile"}}
	}
	var out []string
	for _, l := range links {
		if name := r.first(l[1]); name != "" {
			out = append(out, l[0]+" "+name)
		}
	}
	return out
}
