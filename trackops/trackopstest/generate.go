package trackopstest

import (
	"fmt"
	"strings"
)

// A generator writes the value of a field.
type generator func(e *encoder, d *dice)

// A field of a record.
type field struct {
	name  string
	make  generator
	alive bool // random life may change it
}

func fixed(name string, g generator) field { return field{name: name, make: g} }
func alive(name string, g generator) field { return field{name: name, make: g, alive: true} }

func oneOf(choices ...string) generator {
	return func(e *encoder, d *dice) { e.str(d.pick(choices)) }
}

func integer(low, high int) generator {
	return func(e *encoder, d *dice) { e.int(int64(d.between(low, high))) }
}

// money is up to max whole units.
func money(max int) generator {
	return func(e *encoder, d *dice) { e.cents(d.between(100, max*100)) }
}

func flag(chance float64) generator {
	return func(e *encoder, d *dice) { e.flag(d.chance(chance)) }
}

func null(e *encoder, _ *dice) { e.raw("null") }

// perhaps is null in the other cases.
func perhaps(chance float64, g generator) generator {
	return func(e *encoder, d *dice) {
		if d.chance(chance) {
			g(e, d)
			return
		}
		null(e, d)
	}
}

const day = int64(24 * 3600 * 1000)

// dateAround is a date some days from the record's creation.
func dateAround(low, high int) generator {
	return func(e *encoder, d *dice) { e.date(e.created + int64(d.between(low, high))*day) }
}

// timeAround is a timestamp some days from the record's creation.
func timeAround(low, high int) generator {
	return func(e *encoder, d *dice) {
		e.time((e.created+int64(d.between(low, high))*day)/1000*1000 + int64(d.n(86400))*1000)
	}
}

// number is a printable number made from the record's id: "EXP-312".
func number(prefix string) generator {
	return func(e *encoder, _ *dice) { e.str(fmt.Sprintf("%s%d", prefix, e.id)) }
}

func object(fields ...field) generator {
	return func(e *encoder, d *dice) {
		e.raw("{")
		for _, f := range fields {
			e.name(f.name)
			f.make(e, d)
		}
		e.raw("}")
	}
}

func list(low, high int, item generator) generator {
	return func(e *encoder, d *dice) {
		e.raw("[")
		for i := range d.between(low, high) {
			if i > 0 {
				e.raw(",")
			}
			item(e, d)
		}
		e.raw("]")
	}
}

func sentences(low, high int) generator {
	all := []string{
		"Surveillance from 06:00 to 14:00, subject left the residence at 08:12.",
		"Witness was interviewed by telephone; a recorded statement follows.",
		"Vehicle registration and prior addresses were verified.",
		"Client asks for photographs of the east entrance.",
		"Subject was seen carrying boxes without visible difficulty.",
		"Background check is complete, no adverse records found.",
		"Please call before 17:00; the adjuster is out on Friday.",
		"Résumé and employment history compared with the claim.",
		"Court date was moved; the file has to be ready a week before.",
		"Neighbour canvass: three doors, one answer, nothing new.",
	}
	return func(e *encoder, d *dice) {
		var s strings.Builder
		for i := range d.between(low, high) {
			if i > 0 {
				s.WriteByte(' ')
			}
			s.WriteString(d.pick(all))
		}
		e.str(s.String())
	}
}

func firstNames() []string {
	return []string{"Miles", "Effie", "Nora", "Philip", "Vivian", "Jane", "Hercule", "Kinsey", "Lew", "Zoë", "Nancy", "Travis", "Harriet", "Sam", "José", "Velda"}
}

func lastNames() []string {
	return []string{"Archer", "Perine", "Charles", "Marlowe", "Sternwood", "Marple", "O'Hara", "Millhone", "Drew", "McGee", "Vane", "Spade", "Núñez", "Hammer", "Wade", "Lennox"}
}

func lastName() generator  { return oneOf(lastNames()...) }
func firstName() generator { return oneOf(firstNames()...) }

// person is "last, first", as the vendor's export writes names.
func person() generator {
	first, last := firstNames(), lastNames()
	return func(e *encoder, d *dice) { e.str(d.pick(last) + ", " + d.pick(first)) }
}

func company() generator {
	names := []string{"Acme", "Northwind", "Harbor", "Pinnacle", "Granite", "Lakeside", "Summit", "Beacon", "Cascade", "Liberty", "Evergreen", "Meridian"}
	kinds := []string{"Insurance", "Mutual", "Law Group", "Claims Services", "Casualty & Surety", "Legal LLP", "Underwriters", "Risk Partners"}
	return func(e *encoder, d *dice) {
		e.str(fmt.Sprintf("%s %s %d", d.pick(names), d.pick(kinds), e.id))
	}
}

func email() generator {
	return func(e *encoder, d *dice) { e.str(fmt.Sprintf("contact%d.%d@example.com", e.id, d.n(100))) }
}

func phone() generator {
	return func(e *encoder, d *dice) { e.str(fmt.Sprintf("+1 555 01%02d %04d", d.n(100), d.n(10000))) }
}

func address() []field {
	return []field{
		alive("address_1", func(e *encoder, d *dice) {
			e.str(fmt.Sprintf("%d %s Street", d.between(1, 9999), d.pick([]string{"Main", "Oak", "Harbor", "Third", "Elm", "Mission"})))
		}),
		fixed("address_2", perhaps(0.3, func(e *encoder, d *dice) { e.str(fmt.Sprintf("Suite %d", d.between(1, 900))) })),
		fixed("city", oneOf("San Francisco", "Bay City", "Los Angeles", "Sacramento", "Santa Teresa", "River Heights")),
		fixed("state", oneOf("CA", "NV", "OR", "WA")),
		fixed("zip", func(e *encoder, d *dice) { e.str(fmt.Sprintf("%05d", 90000+d.n(9999))) }),
		fixed("country", oneOf("US")),
	}
}

// customFields is an array, one entry for each definition that applies.
func customFields(names ...string) generator {
	return func(e *encoder, d *dice) {
		e.raw("[")
		for i, name := range names {
			if i > 0 {
				e.raw(",")
			}
			object(
				fixed("id", func(e *encoder, _ *dice) { e.int(int64(i + 1)) }),
				fixed("name", oneOf(name)),
				fixed("value", perhaps(0.8, oneOf("Yes", "No", "unknown", "pending", "n/a", "see notes"))),
			)(e, d)
		}
		e.raw("]")
	}
}
