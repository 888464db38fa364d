package connectors

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// An entry is an event on its way: its place in the stream, and its content only
// while that is at hand.
type entry struct {
	sequence, replay uint64
	at               int64 // when the stream took it, Unix nanoseconds
	subject          string
	load             *load     // nil: to be read again when its turn comes
	past             *progress // nil before the first attempt
	release          int64     // Unix nanoseconds: not told before
	window           *Window   // of its digest; nil: it is told by itself
	fate             fate
	solo             bool // it spoiled a delivery of several
	diverted         bool // the fallback was given it
	lent             bool // it is of another connector that fails: it is not passed on
}

// A fate says that an entry is not sent, and what becomes of it instead.
type fate byte

const (
	wanted   fate = iota
	unwanted      // by the filter
	omitted       // nothing of the change is left by the mask
	void          // the fallback told it, and a later one tells more
	aged          // it left the stream
)

// leftOut says that the connector is never to be sent the entry.
func (f fate) leftOut() bool { return f == unwanted || f == omitted }

func (e entry) ident() ident { return ident{e.sequence, e.replay} }

// stored is the entry as package bus knows it.
func (e entry) stored() events.Stored {
	ev := events.Stored{Sequence: e.sequence, Replay: e.replay, Subject: e.subject, At: time.Unix(0, e.at).UTC()}
	if e.load != nil {
		ev.Body = e.load.body
	}
	return ev
}

// terminal says that the entry gets no further attempt.
func (e entry) terminal() bool { return e.past != nil && e.past.reason != "" }

// sendable says that the entry is to be attempted.
func (e entry) sendable() bool { return e.fate == wanted && !e.terminal() }

// gathers says that the entry is told with the others of its window.
func (e entry) gathers() bool { return e.window != nil && e.sendable() && !e.solo }

// isOf says that the entry is of the window w; nil is none.
func (e entry) isOf(w *Window) bool {
	return e.window == w || e.window != nil && w != nil && *e.window == *w
}

// due is when the entry need not wait any longer.
func (e entry) due() time.Time {
	if !e.sendable() {
		return time.Time{}
	}
	at := time.Unix(0, e.release)
	if e.past != nil && e.past.next.After(at) {
		return e.past.next
	}
	return at
}

// dueBy says that the entry need not wait any longer at the time now.
func (e entry) dueBy(now time.Time) bool { return !e.due().After(now) }

// compare orders entries as they are sent: by sequence, a replay after the original.
func (e entry) compare(o entry) int {
	return cmp.Or(cmp.Compare(e.sequence, o.sequence), cmp.Compare(e.replay, o.replay))
}

// A load is the content of an event. The event is empty when the body could not
// be decoded.
type load struct {
	body  []byte
	event events.Event
}

// size is about what a load costs: the decoded event repeats most of the body.
func (l *load) size() int { return 2*len(l.body) + 512 }

// A lane is the events of one record that wait, oldest first. It lives as long
// as it holds one.
type lane struct {
	key   string
	queue []entry
	state laneState
	due   time.Time // of a delayed lane
	index int       // in the heap of delayed lanes
	out   int       // of a busy lane: how many entries, from the head on, a worker has
	loads int       // entries with a load
}

type laneState int

const (
	ready    laneState = iota // its head may be attempted
	delayed                   // its head waits for the next attempt, or for its window to end
	gathered                  // its head waits for the others of its window
	held                      // its head waits until the connector is well
	busy                      // a worker has its head, and perhaps some that follow
)

// maxLoadBytes bounds what is kept of waiting events to save a second reading.
const maxLoadBytes = 8 << 20

// lanes is every event that waits, in lanes. Only the scheduler touches it.
type lanes struct {
	byKey   map[string]*lane
	ready   fifo[*lane]
	loaded  fifo[*lane] // ready as well, and go first: read again, or not to be sent
	delayed laneHeap
	held    fifo[*lane]
	groups  map[Window]*fifo[*lane] // gathered; none is empty
	waiting int                     // entries in all lanes
	bytes   int                     // of loads
}

func newLanes() *lanes {
	return &lanes{byKey: map[string]*lane{}, groups: map[Window]*fifo[*lane]{}}
}

// add puts e in its place in the lane of key, and reports false if it is there
// already. What a worker has stays in front of it; what waits for its next attempt
// does not.
func (ls *lanes) add(key string, e entry, now time.Time) bool {
	l := ls.byKey[key]
	if l == nil {
		l = &lane{key: key, state: busy}
		ls.byKey[key] = l
		if !e.dueBy(now) {
			e.load = nil
		}
		ls.insert(l, 0, e)
		ls.release(l, now)
		return true
	}
	at, found := slices.BinarySearchFunc(l.queue[l.out:], e, entry.compare)
	if found || l.carries(e.ident()) {
		return false
	}
	if l.state == delayed || l.state == held {
		e.load = nil // it may be long: see postpone
	}
	ls.insert(l, l.out+at, e)
	if l.state == delayed && at == 0 {
		heap.Remove(&ls.delayed, l.index)
		ls.release(l, now)
	}
	return true
}

// carries reports whether a worker has the entry.
func (l *lane) carries(id ident) bool {
	return slices.ContainsFunc(l.queue[:l.out], func(e entry) bool { return e.ident() == id })
}

// find returns the entry if it waits in the lane of key and no worker has it, or nil.
func (ls *lanes) find(key string, id ident) *entry {
	l := ls.byKey[key]
	if l == nil {
		return nil
	}
	at := slices.IndexFunc(l.queue[l.out:], func(e entry) bool { return e.ident() == id })
	if at < 0 {
		return nil
	}
	return &l.queue[l.out+at]
}

// insert keeps the content of e only while all that is kept is little.
func (ls *lanes) insert(l *lane, at int, e entry) {
	if e.load != nil && ls.bytes+e.load.size() > maxLoadBytes {
		e.load = nil
	}
	l.queue = slices.Insert(l.queue, at, e)
	ls.waiting++
	if e.load != nil {
		l.loads++
		ls.bytes += e.load.size()
	}
}

// release gives l, which is in no queue, its place: ready, gathered with the
// others of its head's window, or delayed until its head is due.
func (ls *lanes) release(l *lane, now time.Time) {
	head := l.queue[0]
	l.out = 0
	switch {
	case !head.dueBy(now):
		l.state, l.due = delayed, head.due()
		heap.Push(&ls.delayed, l)
	case head.gathers():
		l.state = gathered
		if ls.groups[*head.window] == nil {
			ls.groups[*head.window] = &fifo[*lane]{}
		}
		ls.groups[*head.window].push(l)
	case !head.sendable():
		l.state = ready
		ls.loaded.push(l)
	default:
		l.state = ready
		ls.ready.push(l)
	}
}

// wake gives a place to what is due.
func (ls *lanes) wake(now time.Time) {
	for len(ls.delayed) > 0 && !ls.delayed[0].due.After(now) {
		ls.release(heap.Pop(&ls.delayed).(*lane), now)
	}
}

// hold puts the front lane aside; there must be one.
func (ls *lanes) hold() {
	l := ls.popFront()
	for i := range l.queue {
		ls.unload(l, i)
	}
	l.state = held
	ls.held.push(l)
}

// unhold lets go what was held.
func (ls *lanes) unhold(now time.Time) {
	for ls.held.len() > 0 {
		ls.release(ls.held.pop(), now)
	}
}

// hasten makes due what waits for its next attempt because the connector failed.
// What was refused for its own sake keeps its schedule, and so does what a worker
// may have.
func (ls *lanes) hasten(now time.Time) {
	for _, l := range ls.byKey {
		if l.state == busy {
			continue
		}
		for _, e := range l.queue {
			if p := e.past; p != nil && len(p.tries) > 0 && !isAlive(p.tries[len(p.tries)-1].status) && p.next.After(now) {
				p.next = now
			}
		}
	}
	waiting := ls.delayed
	ls.delayed = nil
	for _, l := range waiting {
		ls.release(l, now)
	}
}

// hurry makes an urgent event, and what waits in front of it in its lane for a
// window to end, a window of its own that ends now. What was attempted is tried
// again as it was.
func (ls *lanes) hurry(key string, urgent entry, now time.Time) {
	l := ls.byKey[key]
	if l == nil {
		return
	}
	n := slices.IndexFunc(l.queue, func(e entry) bool { return e.ident() == urgent.ident() }) + 1
	from := l.out
	for from < n && (l.queue[from].window == nil || l.queue[from].past != nil) {
		from++
	}
	if from >= n {
		return // nothing waits in front of it
	}
	w := &Window{From: time.Unix(0, l.queue[from].at).UTC(), To: time.Unix(0, urgent.at).UTC()}
	for i := from; i < n; i++ {
		l.queue[i].window, l.queue[i].release = w, 0
	}
	if l.state == delayed {
		heap.Remove(&ls.delayed, l.index)
		ls.release(l, now)
	}
}

// front returns the lane whose turn it is, or nil. One whose head is not to be sent
// now or by itself, for it came in front of the one that is, finds its place.
func (ls *lanes) front(now time.Time) *lane {
	for {
		queue := &ls.loaded
		if queue.len() == 0 {
			queue = &ls.ready
		}
		l, ok := queue.front()
		if !ok || l.queue[0].dueBy(now) && !l.queue[0].gathers() {
			return l
		}
		queue.pop()
		ls.release(l, now)
	}
}

// popFront takes the front lane out of its queue; there must be one.
func (ls *lanes) popFront() *lane {
	queue := &ls.loaded
	if queue.len() == 0 {
		queue = &ls.ready
	}
	return queue.pop()
}

// take gives the head of the front lane to a worker; there must be one.
func (ls *lanes) take() (*lane, entry) {
	l := ls.popFront()
	l.state, l.out = busy, 1
	return l, l.queue[0]
}

// fill gives the head of l, which a worker read again, its content, and makes l
// the next in turn.
func (ls *lanes) fill(l *lane, content *load) {
	l.queue[0].load = content
	l.loads++
	ls.bytes += content.size()
	ls.order(l)
	l.state, l.out = ready, 0
	ls.loaded.push(l)
}

// postpone takes back the head of l after a failed attempt. Nothing of l is
// kept in memory while it waits.
func (ls *lanes) postpone(l *lane, past *progress, now time.Time) {
	l.queue[0].past = past
	ls.giveBack(l, now)
}

// giveBack takes l back from a worker, with all its entries.
func (ls *lanes) giveBack(l *lane, now time.Time) {
	for i := range l.queue {
		if l.loads == 0 {
			break
		}
		ls.unload(l, i)
	}
	ls.order(l)
	ls.release(l, now)
}

// settle removes the head of l and lets the next one go.
func (ls *lanes) settle(l *lane, now time.Time) {
	ls.remove(l, 0)
	if len(l.queue) > 0 {
		ls.release(l, now)
	}
}

// remove takes an entry out of l, and l out of the world if it was the last.
func (ls *lanes) remove(l *lane, i int) {
	ls.unload(l, i)
	if i == 0 {
		l.queue[0] = entry{}
		l.queue = l.queue[1:]
	} else {
		l.queue = slices.Delete(l.queue, i, i+1)
	}
	ls.waiting--
	if len(l.queue) == 0 {
		delete(ls.byKey, l.key)
	}
}

// order puts the head of l, which a worker gives back, behind what came in
// front of it meanwhile: an older event that an operator asked for again.
func (ls *lanes) order(l *lane) {
	head := l.queue[0]
	at, _ := slices.BinarySearchFunc(l.queue[1:], head, entry.compare)
	copy(l.queue, l.queue[1:1+at])
	l.queue[at] = head
}

func (ls *lanes) unload(l *lane, i int) {
	if content := l.queue[i].load; content != nil {
		ls.bytes -= content.size()
		l.loads--
		l.queue[i].load = nil
	}
}
