package events

import "time"

// The operational events, which ops route like any other.
const (
	CredentialsRejected Action = "credentials_rejected" // Trackops refuses the account as a whole
	SourceUnreachable   Action = "source_unreachable"   // Trackops has not answered for a while
	SourceRecovered     Action = "source_recovered"     // it answers again
	SourceSuspicious    Action = "source_suspicious"    // what it answers is not believed
	SchemaChanged       Action = "schema_changed"       // the records of a collection have another shape
	ConnectorFailing    Action = "connector_failing"    // a receiver does not take deliveries
	ConnectorRecovered  Action = "connector_recovered"  // it does again
	DeadLettered        Action = "dead_lettered"        // a connector gave up an event
)

// SystemActions lists the operational events.
func SystemActions() []Action {
	return []Action{
		CredentialsRejected, SourceUnreachable, SourceRecovered, SourceSuspicious, SchemaChanged,
		ConnectorFailing, ConnectorRecovered, DeadLettered,
	}
}

// Source is the address of an account's API, as events name it whatever address
// is really asked.
func Source(account string) string { return "https://" + account + ".viewcases.com/api/v1" }

// NewSystem returns an operational event without an id. About is what it
// concerns: the account, a collection or a connector. Number is the account's
// count of such events: no two have the same.
func NewSystem(account string, what Action, about string, number uint64, at time.Time, message string, detail map[string]any) Event {
	return Event{
		Source: Source(account),
		Data: Data{
			Account:    account,
			Collection: System,
			Action:     what,
			ID:         about,
			Revision:   number,
			ObservedAt: at.UTC().Truncate(time.Millisecond),
			Message:    message,
			Detail:     detail,
		},
	}
}
