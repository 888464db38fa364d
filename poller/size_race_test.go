//go:build race

package poller

const (
	modelSeeds = 12
	freshHours = 1
)
