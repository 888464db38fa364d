package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// An eventPattern chooses events; "*" on a side is all there are, less the
// operational events, which only the collection "system" names.
type eventPattern struct {
	Collection string
	Action     events.Action
}

// eventPatterns choose what any of them chooses.
type eventPatterns []eventPattern

// String writes the patterns as the variable has them.
func (p eventPatterns) String() string {
	items := make([]string, len(p))
	for i, one := range p {
		items[i] = one.Collection + "." + string(one.Action)
	}
	return strings.Join(items, ",")
}

func actionsOf(collection string) []events.Action {
	if collection == events.System {
		return events.SystemActions()
	}
	return events.Actions()
}

// Subjects returns the NATS subjects of the chosen events of the accounts'
// collections. No message matches two of them: JetStream refuses a consumer
// whose filters overlap.
func (p eventPatterns) Subjects(accounts, collections []string) []string {
	var subjects []string
	for _, account := range accounts {
		for _, collection := range append(slices.Clone(collections), events.System) {
			wanted := p.actions(collection)
			if len(wanted) == len(actionsOf(collection)) {
				wanted = []events.Action{"*"}
			}
			for _, action := range wanted {
				subjects = append(subjects, events.Subject(account, collection, action))
			}
		}
	}
	return subjects
}

// actions returns the actions that are wanted of a collection.
func (p eventPatterns) actions(collection string) []events.Action {
	var wanted []events.Action
	for _, action := range actionsOf(collection) {
		if p.match(collection, action) {
			wanted = append(wanted, action)
		}
	}
	return wanted
}

func (p eventPatterns) match(collection string, action events.Action) bool {
	return slices.ContainsFunc(p, func(one eventPattern) bool {
		return (one.Collection == collection || one.Collection == "*" && collection != events.System) &&
			(one.Action == "*" || one.Action == action)
	})
}

// readPatterns reads the value of the _EVENTS variable name against the
// collections that are polled.
func (l *loader) readPatterns(name, value string, polled []string) eventPatterns {
	items := parse(l, name, value, "collection.action, comma-separated, * for any on each side", readList)
	var patterns eventPatterns
	for _, item := range items {
		p, err := readPattern(item, polled)
		if err != nil {
			l.report(name, err.Problem, err.Accepted)
			continue
		}
		patterns = append(patterns, p)
	}
	return patterns
}

// readPattern returns a mistake that lacks its variable.
func readPattern(item string, polled []string) (eventPattern, *mistake) {
	collection, action, ok := strings.Cut(item, ".")
	if !ok || collection == "" || action == "" || strings.Contains(action, ".") {
		return eventPattern{}, &mistake{
			Problem:  quote(item) + " is not collection.action",
			Accepted: "clients.created, clients.*, *.created, *.* and the like",
		}
	}
	if collection != "*" && collection != events.System && !slices.Contains(polled, collection) {
		return eventPattern{}, &mistake{
			Problem:  fmt.Sprintf("%s names the collection %s, which is not polled", quote(item), quote(collection)),
			Accepted: "*, " + events.System + ", or a collection that is polled: " + strings.Join(polled, ", "),
		}
	}
	actions := actionsOf(collection)
	if action != "*" && !slices.Contains(actions, events.Action(action)) {
		return eventPattern{}, &mistake{
			Problem:  fmt.Sprintf("%s names the action %s, which does not exist there", quote(item), quote(action)),
			Accepted: "*, " + joinActions(actions),
		}
	}
	return eventPattern{collection, events.Action(action)}, nil
}

func joinActions(actions []events.Action) string {
	names := make([]string, len(actions))
	for i, a := range actions {
		names[i] = string(a)
	}
	return strings.Join(names, ", ")
}
