package main

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// connectorConfig is one connector, as CONNECTOR_<NAME>_ variables declare it.
type connectorConfig struct {
	Name     string // lower case with hyphens
	Kind     connectors.Kind
	Settings any // what Kind.Settings returned, filled
	Events   eventPatterns
	Filter   *connectors.Filter   // nil lets every event pass
	Mask     *connectors.Mask     // nil leaves nothing out
	Calendar *connectors.Calendar // nil tells everything at once
	Urgent   *connectors.Filter   // what the calendar does not hold up; nil is nothing
	Fallback fallbackConfig
	Rate     float64         // messages a second; 0 is unlimited
	Timeout  time.Duration   // per attempt
	Retry    []time.Duration // waits between attempts; empty for one attempt
}

// fallbackConfig says who stands in for a connector that fails.
type fallbackConfig struct {
	Name   string        // of another connector; "" for none
	After  time.Duration // of failing
	Latest bool          // only each record's latest event is caught up
}

// New makes the connector. The settings were accepted before, so an error means
// that a file they name has changed since.
func (c connectorConfig) New(env connectors.Env) (connectors.Connector, error) {
	env.Name = c.Name
	return c.Kind.New(c.Settings, env)
}

// Subjects returns the NATS subjects of the events the connector wants, before
// its filter. No two overlap.
func (c connectorConfig) Subjects(accounts []account, collections []trackops.Collection) []string {
	subdomains := make([]string, len(accounts))
	for i, a := range accounts {
		subdomains[i] = a.Subdomain
	}
	return c.Events.Subjects(subdomains, collectionNames(collections))
}

// connectorSettings are the variables that every kind of connector has.
type connectorSettings struct {
	Type   string `desc:"kind of the connector; declares it, under the name in lower case with hyphens"`
	Events string `default:"*.*" desc:"the events it gets, comma-separated: collection.action with * on each side, as clients.created,cases.*; operational events only by system.* or system.<what>"`
	Filter string `desc:"an expression over the event; what it is not true for is left out"`
	Fields string `desc:"what of the record is kept, comma-separated JSON Pointers, as /name,/contacts/*/email; unset: everything"`
	Omit   string `desc:"what of the record is left out, JSON Pointers as in FIELDS, before anything is rendered or sent"`

	Digest     string `desc:"one message for each window of time, with what differs at its end: 15m, 1h, hourly, daily@08:00, weekly@mon-08:00"`
	QuietHours string `split_words:"true" desc:"when nothing is told, as 22:00-07:00, several comma-separated; one message afterwards says what differs"`
	Timezone   string `desc:"of DIGEST and QUIET_HOURS, as Europe/Berlin; unset: UTC"`
	Urgent     string `desc:"an expression over the event; what it is true for is told at once, whatever DIGEST and QUIET_HOURS say"`

	Fallback      string `desc:"name of another connector that is given the events while this one fails"`
	FallbackAfter string `split_words:"true" desc:"how long it fails before that; unset: 10m"`
	Catchup       string `desc:"what is sent of that when it is well again: all, or latest: each record's latest event; unset: all"`

	Rate    string `desc:"messages a second at most, 0 for no limit; unset: by kind"`
	Timeout string `desc:"how long an attempt may take; unset: by kind"`
	Retry   string `desc:"the waits between attempts, comma-separated, as 5s,5m,30m,2h, or off; unset: by kind"`
}

const connectorPrefix = "CONNECTOR_"

const acceptedName = "CONNECTOR_<NAME>_TYPE with a NAME of at most 64 capital letters, digits and single underscores that begins with a letter"

var nameForm = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`)

// A declaration is one CONNECTOR_<NAME>_TYPE variable.
type declaration struct {
	name   string // as in the variable: NEW_CLIENTS
	kind   connectors.Kind
	exists bool            // there is such a kind
	fields map[string]bool // what may follow the name, less its underscore
}

func (d declaration) prefix() string { return connectorPrefix + d.name }

// label is the connector's name everywhere but in variables.
func (d declaration) label() string { return label(d.name) }

func label(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "-")) }

// connectors returns the declared connectors by name. Their events are of the
// polled collections, their templates for any that is known.
func (l *loader) connectors(kinds []connectors.Kind, known, polled []string) []connectorConfig {
	declared := l.declarations(kinds)
	var all []connectorConfig
	for _, d := range declared {
		all = append(all, l.connector(d, known, polled))
	}
	l.assign(declared)
	slices.SortFunc(all, func(a, b connectorConfig) int { return strings.Compare(a.Name, b.Name) })
	l.checkFallbacks(declared, all)
	return all
}

// declarations finds the connectors, the longest names first.
func (l *loader) declarations(kinds []connectors.Kind) []declaration {
	var declared []declaration
	for _, variable := range l.under(connectorPrefix) {
		name, ok := strings.CutSuffix(strings.TrimPrefix(variable, connectorPrefix), "_TYPE")
		if !ok || l.isField(variable, kinds) {
			continue
		}
		if !nameForm.MatchString(name) || len(name) > 64 {
			l.report(variable, "declares no connector: "+quote(name)+" is not a name", acceptedName)
			l.unreadable[variable] = true
			continue
		}
		d := declaration{name: name, fields: kindFields(kinds...)}
		if i := slices.IndexFunc(kinds, func(k connectors.Kind) bool { return k.Name == l.env[variable] }); i >= 0 {
			d.kind, d.exists, d.fields = kinds[i], true, kindFields(kinds[i])
		} else {
			l.report(variable, quote(l.env[variable])+" is not a kind of connector", kindNames(kinds))
		}
		declared = append(declared, d)
	}
	slices.SortStableFunc(declared, func(a, b declaration) int { return len(b.name) - len(a.name) })
	return declared
}

// isField reports whether variable ends in _TYPE and is a field of a connector all
// the same: CONNECTOR_CRM_CONTENT_TYPE beside CONNECTOR_CRM_TYPE=webhook, unless
// its value is a kind and declares crm-content.
func (l *loader) isField(variable string, kinds []connectors.Kind) bool {
	field := false
	for _, k := range kinds {
		if l.env[variable] == k.Name {
			return false
		}
		for name := range fieldNames(k.Settings()) {
			owner, ok := strings.CutSuffix(variable, "_"+name)
			field = field || ok && l.env[owner+"_TYPE"] == k.Name
		}
	}
	return field
}

// kindFields lists what may follow a connector's name in a variable, for any of
// the kinds.
func kindFields(kinds ...connectors.Kind) map[string]bool {
	fields := fieldNames(&connectorSettings{})
	for _, k := range kinds {
		maps.Copy(fields, fieldNames(k.Settings()))
	}
	return fields
}

// fieldNames lists the variables of spec without a prefix, with their _FILE forms.
func fieldNames(spec any) map[string]bool {
	fields := make(map[string]bool)
	vars, err := variables("", spec)
	if err != nil {
		return fields // fill reports it
	}
	for _, v := range vars {
		fields[v.Name] = true
		if v.Secret {
			fields[v.Name+"_FILE"] = true
		}
	}
	return fields
}

func kindNames(kinds []connectors.Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// connector reads one connector's variables.
func (l *loader) connector(d declaration, known, polled []string) connectorConfig {
	var s connectorSettings
	l.fill(d.prefix(), &s)
	at := func(field string) string { return d.prefix() + "_" + field }
	c := connectorConfig{
		Name:    d.label(),
		Kind:    d.kind,
		Events:  l.readPatterns(at("EVENTS"), s.Events, polled),
		Rate:    d.kind.Rate,
		Timeout: d.kind.Timeout,
		Retry:   d.kind.Retry,
	}
	if s.Rate != "" {
		c.Rate = parse(l, at("RATE"), s.Rate, "a number of messages a second, 0 for no limit", readRate)
	}
	if s.Timeout != "" {
		c.Timeout = parse(l, at("TIMEOUT"), s.Timeout, "a duration above zero, as 30s", readDuration)
	}
	if s.Retry != "" {
		c.Retry = parse(l, at("RETRY"), s.Retry, "durations above zero, comma-separated, as 5s,5m,30m,2h, or off", readDurations)
	}
	if s.Filter != "" {
		c.Filter = parse(l, at("FILTER"), s.Filter, "an expression over the event that is true or false", readFilter)
	}
	c.Mask = l.mask(d.prefix(), s)
	c.Calendar = l.calendar(d.prefix(), s)
	if s.Urgent != "" {
		c.Urgent = parse(l, at("URGENT"), s.Urgent, "an expression over the event that is true or false", readFilter)
	}
	if s.Urgent != "" && s.Digest == "" && s.QuietHours == "" {
		l.report(at("URGENT"), "set without DIGEST and QUIET_HOURS: everything is told at once", "one of them beside it, or neither")
	}
	c.Fallback = l.fallback(d.prefix(), s)
	if d.exists {
		c.Settings = d.kind.Settings()
		l.fill(d.prefix(), c.Settings)
		l.construct(d.prefix(), c, known)
	}
	return c
}

func readRate(value string) (float64, error) {
	rate, err := readNumber(value)
	if err == nil && rate < 0 {
		err = fmt.Errorf("%s is below 0", quote(value))
	}
	return rate, err
}

// readFilter compiles an expression. The error of the compiler says the place in
// its first line, and shows it in the next ones.
func readFilter(expression string) (*connectors.Filter, error) {
	filter, err := connectors.CompileFilter(expression)
	if err != nil {
		problem, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "filter: "), "\n")
		return nil, errors.New("does not compile: " + problem)
	}
	return filter, nil
}

// construct lets the kind check its settings, by making a connector that is
// never used.
func (l *loader) construct(prefix string, c connectorConfig, known []string) {
	_, err := c.New(connectors.Env{Stdout: nowhere{}, Collections: known})
	mistakes := connectors.SettingErrors(err)
	for _, m := range mistakes {
		l.report(join(prefix, m.Setting), m.Problem, m.Accepted)
	}
	if err != nil && len(mistakes) == 0 {
		l.report(prefix+"_TYPE", "settings are refused: "+err.Error(), "settings that the kind "+c.Kind.Name+" takes")
	}
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Color() bool                 { return false }

// assign marks the variables that belong to a connector, and reports those that
// can be read as two. A variable belongs to the longest declared name; where a
// shorter one would give a known field, nobody can tell which was meant.
func (l *loader) assign(declared []declaration) {
	for _, variable := range l.under(connectorPrefix) {
		var readings []declaration
		for _, d := range declared { // the longest first
			field, ok := strings.CutPrefix(variable, d.prefix()+"_")
			if ok && (len(readings) == 0 || d.fields[field]) {
				readings = append(readings, d)
			}
		}
		if len(readings) == 0 {
			continue
		}
		first := strings.TrimPrefix(variable, readings[0].prefix()+"_")
		if len(readings) == 1 {
			if readings[0].fields[first] {
				l.known[variable] = true
			}
			continue
		}
		var texts []string
		for _, d := range readings {
			texts = append(texts, strings.TrimPrefix(variable, d.prefix()+"_")+" of the connector "+d.label())
		}
		l.known[variable] = true
		l.report(variable, "can be read as "+strings.Join(texts, " or as "), "connectors whose names do not begin with one another: rename one")
	}
}
