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
	unwanted         bool      // by the filter
}

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

// dueBy says that the entry need not wait any longer.
func (e entry) dueBy(now time.Time) bool {
	return e.past == nil || e.terminal() || !e.past.next.After(now)
}

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
	loads int       // entries with a load
}

type laneState int

const (
	ready   laneState = iota // its head may be attempted
	delayed                  // its head waits for the next attempt
	busy                     // a worker has its head
)

// maxLoadBytes bounds what is kept of waiting events to save a second reading.
const maxLoadBytes = 8 << 20

// lanes is every event that waits, in lanes. Only the scheduler touches it.
type lanes struct {
	byKey   map[string]*lane
	ready   fifo[*lane]
	loaded  fifo[*lane] // ready as well, and read again: these go first
	delayed laneHeap
	waiting int // entries in all lanes
	bytes   int // of loads
}

func newLanes() *lanes { return &lanes{byKey: map[string]*lane{}} }

// add puts e in its place in the lane of key, and reports false if it is there
// already. The event that a worker has stays in front of it; one that waits for
// its next attempt does not.
func (ls *lanes) add(key string, e entry, now time.Time) bool {
	l := ls.byKey[key]
	if l == nil {
		l = &lane{key: key, state: busy}
		ls.byKey[key] = l
		ls.insert(l, 0, e)
		ls.release(l, now)
		return true
	}
	from := 0
	if l.state == busy {
		if l.queue[0].ident() == e.ident() {
			return false
		}
		from = 1
	}
	at, found := slices.BinarySearchFunc(l.queue[from:], e, entry.compare)
	if found {
		return false
	}
	if l.state == delayed {
		e.load = nil // it may be long: see postpone
	}
	ls.insert(l, from+at, e)
	if l.state == delayed && at == 0 {
		heap.Remove(&ls.delayed, l.index)
		ls.release(l, now)
	}
	return true
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

// release makes l ready, or delayed until its head is due.
func (ls *lanes) release(l *lane, now time.Time) {
	if head := l.queue[0]; !head.dueBy(now) {
		l.state, l.due = delayed, head.past.next
		heap.Push(&ls.delayed, l)
		return
	}
	l.state = ready
	ls.ready.push(l)
}

// wake makes ready what is due.
func (ls *lanes) wake(now time.Time) {
	for len(ls.delayed) > 0 && !ls.delayed[0].due.After(now) {
		l := heap.Pop(&ls.delayed).(*lane)
		l.state = ready
		ls.ready.push(l)
	}
}

// front returns the lane whose turn it is, or nil. One whose head was not due
// after all, for it came in front of the one that was, waits until it is.
func (ls *lanes) front(now time.Time) *lane {
	for {
		queue := &ls.loaded
		if queue.len() == 0 {
			queue = &ls.ready
		}
		l, ok := queue.front()
		if !ok || l.queue[0].dueBy(now) {
			return l
		}
		queue.pop()
		ls.release(l, now)
	}
}

// take gives the head of the front lane to a worker; there must be one.
func (ls *lanes) take() entry {
	queue := &ls.loaded
	if queue.len() == 0 {
		queue = &ls.ready
	}
	l := queue.pop()
	l.state = busy
	return l.queue[0]
}

// fill gives the head of l, which a worker read again, its content, and makes l
// the next in turn.
func (ls *lanes) fill(l *lane, content *load) {
	l.queue[0].load = content
	l.loads++
	ls.bytes += content.size()
	ls.order(l)
	l.state = ready
	ls.loaded.push(l)
}

// postpone takes back the head of l after a failed attempt. Nothing of l is
// kept in memory while it waits.
func (ls *lanes) postpone(l *lane, past *progress, now time.Time) {
	for i := range l.queue {
		if l.loads == 0 {
			break
		}
		ls.unload(l, i)
	}
	l.queue[0].past = past
	ls.order(l)
	ls.release(l, now)
}

// settle removes the head of l and lets the next one go.
func (ls *lanes) settle(l *lane, now time.Time) {
	ls.unload(l, 0)
	l.queue[0] = entry{}
	l.queue = l.queue[1:]
	ls.waiting--
	if len(l.queue) == 0 {
		delete(ls.byKey, l.key)
		return
	}
	ls.release(l, now)
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

// A laneHeap holds delayed lanes, the first due on top.
type laneHeap []*lane

func (h laneHeap) Len() int           { return len(h) }
func (h laneHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for package heap.
func (h *laneHeap) Push(x any) {
	l := x.(*lane)
	l.index = len(*h)
	*h = append(*h, l)
}

// Pop is for package heap.
func (h *laneHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return l
}

// A fifo is a queue whose memory follows its length.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }

func (f *fifo[T]) push(item T) { f.items = append(f.items, item) }

func (f *fifo[T]) front() (item T, ok bool) {
	if f.len() == 0 {
		return item, false
	}
	return f.items[f.head], true
}

// pop removes the front item; there must be one.
func (f *fifo[T]) pop() T {
	var none T
	item := f.items[f.head]
	f.items[f.head] = none
	f.head++
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
	} else if f.head > 64 && f.head > len(f.items)/2 {
		f.items = append(f.items[:0], f.items[f.head:]...)
		clear(f.items[len(f.items):cap(f.items)])
		f.head = 0
	}
	return item
}
