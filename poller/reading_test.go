package poller

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A listing is a collection as a server lists it: creation times by id, in an
// order of the server's own.
type listing struct {
	created []time.Time // zero: the record has none
	order   []int
}

// page returns the ids of one page of a window. A record without a creation time
// is listed only where there is no bound.
func (l listing) page(from, to time.Time, number int) []int {
	var ids []int
	for _, id := range l.order {
		c := l.created[id]
		bounded := !from.IsZero() || !to.IsZero()
		if bounded && c.IsZero() || !from.IsZero() && c.Before(from.Truncate(time.Second)) || !to.IsZero() && c.After(to.Truncate(time.Second)) {
			continue
		}
		ids = append(ids, id)
	}
	start := min((number-1)*pageSize, len(ids))
	return ids[start:min(start+pageSize, len(ids))]
}

// read performs a whole reading and returns what it saw and how many questions
// it took. change, if not nil, is called between questions.
func (l *listing) read(t interface{ Fatalf(string, ...any) }, r reading, counted bool, change func(*listing)) (map[int]bool, int) {
	seen := make(map[int]bool)
	questions := 0
	for !r.Done {
		if questions++; questions > 20*len(l.created)/pageSize+200 {
			t.Fatalf("the reading does not end: %+v", r)
		}
		from, to := r.bounds()
		ids := l.page(from, to, max(r.Page, 1))
		times := make([]time.Time, len(ids))
		for i, id := range ids {
			seen[id] = true
			times[i] = l.created[id]
		}
		left := -1
		if counted {
			left = max(0, len(l.created)-len(seen))
		}
		r.answered(times, len(ids) >= pageSize, left)
		if change != nil {
			change(l)
		}
	}
	return seen, questions
}

var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// drawListing draws a collection: bursts, gaps of years, shared seconds.
func drawListing(t *rapid.T) listing {
	var l listing
	at := epoch
	for range rapid.IntRange(0, 12).Draw(t, "stretches") {
		gap := rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "gap")
		for range rapid.IntRange(0, 150).Draw(t, "records") {
			at = at.Add(gap)
			l.created = append(l.created, at)
		}
		at = at.Add(time.Duration(rapid.IntRange(0, 3*365*24).Draw(t, "pause")) * time.Hour)
	}
	l.order = make([]int, len(l.created))
	for i := range l.order {
		l.order[i] = len(l.order) - 1 - i // newest first
	}
	switch rapid.SampledFrom([]string{"newest first", "oldest first", "any"}).Draw(t, "order") {
	case "oldest first":
		slices.Reverse(l.order)
	case "any":
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		rng.Shuffle(len(l.order), func(i, j int) { l.order[i], l.order[j] = l.order[j], l.order[i] })
	}
	return l
}

func TestReadingSeesEveryRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawListing(t)
		if rapid.Bool().Draw(t, "undated") {
			for i := range l.created {
				if i%7 == 0 {
					l.created[i] = time.Time{}
				}
			}
		}
		r := reading{Pages: rapid.Bool().Draw(t, "no windows")}
		seen, _ := l.read(t, r, rapid.Bool().Draw(t, "counted"), nil)
		for id, c := range l.created {
			if !seen[id] && !c.IsZero() {
				t.Fatalf("record %d, created %s, was not seen", id, c)
			}
		}
	})
}

// A record that exists throughout is seen, whatever is deleted or added while
// the windows are read, and in whatever order the server lists.
func TestReadingByWindowsLosesNothingToOtherWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawListing(t)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed of changes"), 0))
		gone := make(map[int]bool)
		change := func(l *listing) {
			if len(l.order) > 0 {
				at := rng.IntN(len(l.order))
				gone[l.order[at]] = true
				l.order = slices.Delete(l.order, at, at+1)
			}
			l.created = append(l.created, epoch.Add(20*365*24*time.Hour))
			l.order = slices.Insert(l.order, 0, len(l.created)-1)
		}
		before := len(l.created)
		dense := densest(l.created) // a page of one moment is walked by pages, which may lose
		seen, _ := l.read(t, reading{}, false, change)
		for id := range before {
			if dense <= pageSize*9/10 && !gone[id] && !seen[id] {
				t.Fatalf("record %d of %d, created %s, was not seen", id, before, l.created[id])
			}
		}
	})
}

// densest returns how many records share a stretch of the narrowest window.
func densest(created []time.Time) int {
	most := 0
	for i := range created {
		n := 0
		for _, c := range created[i:] {
			if c.Sub(created[i]) <= narrowest+2*resolution {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

func TestReadingCost(t *testing.T) {
	for _, test := range []struct {
		name    string
		records int
		gap     time.Duration
		counted bool
		most    int
	}{
		{"nothing", 0, time.Hour, true, 1},
		{"one page", 99, time.Hour, true, 1},
		{"230 clients", 230, time.Hour, true, 5},
		{"230 clients that cannot be counted", 230, time.Hour, false, 6},
		{"230 clients of one import", 230, 0, true, 6},
		{"50,000 records", 50_000, time.Minute, true, 580},
	} {
		t.Run(test.name, func(t *testing.T) {
			var l listing
			for i := range test.records {
				l.created = append(l.created, epoch.Add(time.Duration(i)*test.gap))
				l.order = append(l.order, test.records-1-i)
			}
			seen, questions := l.read(t, reading{}, test.counted, nil)
			if len(seen) != test.records || questions > test.most {
				t.Errorf("saw %d of %d records in %d questions, want all in at most %d", len(seen), test.records, questions, test.most)
			}
		})
	}
}
