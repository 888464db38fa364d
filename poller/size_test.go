//go:build !race

package poller

// How much the long tests do; less where the race detector slows them tenfold.
const (
	modelSeeds = 40
	freshHours = 2
)
