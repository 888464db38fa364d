package poller

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// freshCollections are the fifteen collections of the measurement, the busiest
// first.
var freshCollections = []string{
	"case_updates", "files", "expense_entries", "cases", "events", "subjects", "invoices", "clients",
	"client_contacts", "case_requests", "invoice_payments", "client_locations", "expense_slips", "staff", "fields",
}

// A load is how often each collection changes, in changes a second, at a time.
type load struct {
	name string
	rate func(i int, at time.Duration) float64
}

// zipf are the mean rates: 240 changes an hour over all, shared by 1/rank^1.5.
func zipf(i int) float64 {
	sum := 0.0
	for k := range freshCollections {
		sum += math.Pow(float64(k+1), -1.5)
	}
	return 240. / 3600 * math.Pow(float64(i+1), -1.5) / sum
}

func loads() []load {
	return []load{
		{"stationary", func(i int, _ time.Duration) float64 { return zipf(i) }},
		{"office hours", func(i int, at time.Duration) float64 {
			if at%(4*time.Hour) < 2*time.Hour { // two hours of work, two of rest
				return 1.9 * zipf(i)
			}
			return 0.1 * zipf(i)
		}},
		{"bursts", func(i int, at time.Duration) float64 {
			slot := uint64(at/(5*time.Minute))*1000 + uint64(i)
			if rand.New(rand.NewPCG(slot, 7)).Float64() < 0.02 {
				return 25 * zipf(i)
			}
			return 0.66 * zipf(i)
		}},
	}
}

// TestFreshness measures how long changes take to be found: the real poller on
// the simulator, in virtual time, at one request a second. It prints, and
// asserts only that every change was found.
//
//	go test -run Freshness -v ./poller
func TestFreshness(t *testing.T) {
	for _, l := range loads() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { measure(t, l) })
		})
	}
}

const freshWarm = time.Hour

// freshLong is how long changes are measured: long enough for a mean that can be
// compared where somebody reads it.
func freshLong() time.Duration {
	if testing.Verbose() {
		return 12 * time.Hour
	}
	return freshHours * time.Hour
}

// A happening is one change made to the account.
type happening struct {
	at         time.Time
	collection int
	id         string
	action     events.Action
}

// fleeting reports whether the record was deleted within two minutes: created
// and deleted between two polls, it was never seen.
func (h happening) fleeting(after []happening) bool {
	return slices.ContainsFunc(after, func(o happening) bool {
		return o.collection == h.collection && o.id == h.id && o.action == events.Deleted && o.at.Sub(h.at) < 2*time.Minute
	})
}

func measure(t *testing.T, l load) {
	sizes := make(map[string]int)
	for _, c := range freshCollections {
		sizes[c] = 250
	}
	sizes["fields"] = 60 // definitions of custom fields: a list that fits a page
	w := newWorld(t, 42, trackopstest.Options{Sizes: sizes, Keep: 1}, freshCollections...)
	w.start()
	w.await(10 * time.Minute)
	made := w.live(l, freshWarm+freshLong())
	time.Sleep(15 * time.Minute)
	w.crash() // what follows reads what the poller wrote
	found := w.delays(made)
	measured := make(map[events.Action][]float64)
	var polled []float64
	var when []happening
	for i, h := range made {
		if h.at.Sub(made[0].at) < freshWarm {
			continue
		}
		if found[i] < 0 && h.fleeting(made[i:]) {
			continue
		}
		if found[i] < 0 {
			t.Errorf("%s of %s %s was not found", h.action, freshCollections[h.collection], h.id)
			continue
		}
		measured[h.action] = append(measured[h.action], found[i])
		if h.action != events.Deleted {
			polled, when = append(polled, found[i]), append(when, h)
		}
	}
	report(t, w, l, measured, polled, when, made[0].at)
}

// live makes the account change for a time, as l says.
func (w *world) live(l load, length time.Duration) []happening {
	w.t.Helper()
	var made []happening
	start := time.Now()
	const step = 250 * time.Millisecond
	for at := time.Duration(0); at < length; at += step {
		for i := range freshCollections {
			if w.rng.Float64() < l.rate(i, at)*step.Seconds() {
				made = append(made, w.happen(i))
			}
		}
		time.Sleep(time.Until(start.Add(at + step)))
	}
	return made
}

func (w *world) happen(i int) happening {
	w.t.Helper()
	name := freshCollections[i]
	h := happening{at: time.Now(), collection: i, action: events.Updated}
	ids := w.account.IDs(name)
	var err error
	switch chance := w.rng.Float64(); {
	case chance < 0.30 || len(ids) < 50:
		h.action = events.Created
		h.id, err = w.account.Create(name, nil)
	case chance < 0.35:
		h.action, h.id = events.Deleted, ids[w.rng.IntN(len(ids))]
		err = w.account.Delete(name, h.id)
	default:
		h.id = ids[w.rng.IntN(len(ids))]
		err = w.account.Change(name, h.id, nil)
	}
	must(w.t, err)
	return h
}

// delays returns how long each happening took to be told, in seconds; negative
// if it never was. A change that another one overtook is told with that one.
func (w *world) delays(made []happening) []float64 {
	type key struct{ collection, id string }
	told := make(map[key][]events.Data)
	for _, e := range w.events {
		k := key{e.Data.Collection, e.Data.ID}
		told[k] = append(told[k], e.Data)
	}
	delays := make([]float64, len(made))
	for i, h := range made {
		delays[i] = -1
		for _, d := range told[key{freshCollections[h.collection], h.id}] {
			if !d.ObservedAt.Before(h.at.Truncate(time.Millisecond)) && (h.action != events.Deleted || d.Action == events.Deleted) {
				delays[i] = d.ObservedAt.Sub(h.at).Seconds()
				break
			}
		}
	}
	return delays
}

func report(t *testing.T, w *world, l load, measured map[events.Action][]float64, polled []float64, when []happening, start time.Time) {
	var out strings.Builder
	fmt.Fprintf(&out, "%s: %d collections, 1 request a second, %s after %s\n", l.name, len(freshCollections), freshLong(), freshWarm)
	for _, a := range []events.Action{events.Created, events.Updated, events.Deleted} {
		fmt.Fprintf(&out, "  %-8s %s\n", a, summarise(measured[a]))
	}
	fmt.Fprintf(&out, "  %-8s %s\n", "polls", summarise(polled))
	turn, truth := inTurn(when, start), byTrueRates(l, when, start)
	fmt.Fprintf(&out, "  in turn  %s\n  true λ   %s\n", summarise(turn), summarise(truth))
	fmt.Fprintf(&out, "  lower bound %.2f s at the full budget (stationary load only), oldest poll %s of %s allowed\n",
		lowerBound(), w.oldest().Round(time.Second), w.poller.maxAge())
	fmt.Fprintf(&out, "  requests: %s\n", w.shares())
	share := w.share(kindIncremental) + w.share(kindHead)
	fmt.Fprintf(&out, "  polls are at %.2f × the bound for their %.0f %% of the budget (%.2f × for all of it), %.2f × the rule with true rates, and %.2f × better than in turn",
		mean(polled)*share/lowerBound(), 100*share, mean(polled)/lowerBound(), mean(polled)/mean(truth), mean(turn)/mean(polled))
	t.Log(out.String())
}

// lowerBound is (Σ√λ)²/(2RΣλ): no schedule finds changes sooner on average. R is
// the pace that is really kept, one request a second less its margin.
func lowerBound() float64 {
	var roots, sum float64
	for i := range freshCollections {
		roots += math.Sqrt(zipf(i))
		sum += zipf(i)
	}
	return roots * roots / (2 * sum) * paceMargin
}

// oldest is the longest time that lay between two polls of one collection.
func (w *world) oldest() time.Duration {
	var longest time.Duration
	for _, s := range w.poller.watches {
		longest = max(longest, s.longest)
	}
	return longest
}

// share is the part of the requests that jobs of kind k took.
func (w *world) share(k kind) float64 {
	total := 0
	for _, n := range w.spent {
		total += n
	}
	return float64(w.spent[string(k)]) / float64(total)
}

// shares says what the requests were spent on.
func (w *world) shares() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(w.spent)) {
		parts = append(parts, fmt.Sprintf("%s %.1f %%", k, 100*w.share(kind(k))))
	}
	return strings.Join(parts, ", ")
}

// inTurn is what polling in turn would have taken for the same happenings.
func inTurn(when []happening, start time.Time) []float64 {
	n := float64(len(freshCollections))
	delays := make([]float64, len(when))
	for i, h := range when {
		at := h.at.Sub(start).Seconds() - float64(h.collection)
		delays[i] = math.Ceil(at/n)*n - at
	}
	return delays
}

// byTrueRates is what the same rule would have taken had it known the rates and
// had nothing else to do.
func byTrueRates(l load, when []happening, start time.Time) []float64 {
	delays := make([]float64, len(when))
	last := make([]float64, len(freshCollections))
	open := make([][]int, len(freshCollections))
	next := 0
	for at := 0.0; next < len(when) || slices.ContainsFunc(open, func(o []int) bool { return len(o) > 0 }); at++ {
		for next < len(when) && when[next].at.Sub(start).Seconds() <= at {
			open[when[next].collection] = append(open[when[next].collection], next)
			next++
		}
		best, worth := 0, -1.0
		for i := range freshCollections {
			a := at - last[i]
			if v := l.rate(i, time.Duration(at*float64(time.Second))) * a * (a + 1); v > worth {
				best, worth = i, v
			}
		}
		for _, i := range open[best] {
			delays[i] = at - when[i].at.Sub(start).Seconds()
		}
		last[best], open[best] = at, nil
	}
	return delays
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(max(1, len(v)))
}

func summarise(v []float64) string {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%5d: mean %6.2f s, p95 %6.2f s, max %6.2f s", len(v), mean(v), v[len(v)*95/100], v[len(v)-1])
}
