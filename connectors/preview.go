package connectors

// A Previewer is a Connector that can show what it would send.
type Previewer interface {
	// Preview returns what Deliver would send for d, as people read it and without
	// a secret. It sends nothing, and fails as Deliver does where d cannot be
	// rendered.
	Preview(d Delivery) (string, error)
}
