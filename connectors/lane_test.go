package connectors

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestFifoIsAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q fifo[int]
		var model []int
		for i := range rapid.IntRange(0, 2000).Draw(t, "steps") {
			if i%7 < rapid.IntRange(2, 5).Draw(t, "push below") || len(model) == 0 {
				q.push(i)
				model = append(model, i)
				continue
			}
			if got := q.pop(); got != model[0] {
				t.Fatalf("pop = %d, want %d", got, model[0])
			}
			model = model[1:]
		}
		front, ok := q.front()
		if q.len() != len(model) || ok != (len(model) > 0) || ok && front != model[0] {
			t.Fatalf("%d items, front %d; want %v", q.len(), front, model)
		}
	})
}

// TestLanesKeepTheirOrder drives the lanes as the scheduler does and checks that
// what is given out is the lane's oldest, and that the accounts are right.
func TestLanesKeepTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ls, now := newLanes(), time.Unix(0, 0)
		var out []*lane
		waits := map[string]map[ident]bool{}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1:
				key := fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "record"))
				e := entry{sequence: uint64(rapid.IntRange(1, 30).Draw(t, "sequence")), load: &load{body: []byte("x")}}
				if waits[key] == nil {
					waits[key] = map[ident]bool{}
				}
				if added := ls.add(key, e, now); added == waits[key][e.ident()] {
					t.Fatalf("add(%s, %d) = %v", key, e.sequence, added)
				}
				waits[key][e.ident()] = true
			case 2:
				if ls.front(now) == nil {
					continue
				}
				l := ls.front(now)
				_, e := ls.take()
				for id := range waits[l.key] {
					if id.sequence < e.sequence {
						t.Fatalf("took %d of %s in front of %d", e.sequence, l.key, id.sequence)
					}
				}
				out = append(out, l)
			case 3:
				now = now.Add(time.Second)
				ls.wake(now)
			case 4:
				if len(out) == 0 {
					continue
				}
				l := out[0]
				out = out[1:]
				switch head := l.queue[0]; {
				case head.load == nil:
					ls.fill(l, &load{body: []byte("x")})
				case rapid.Bool().Draw(t, "fails"):
					ls.postpone(l, &progress{next: now.Add(5 * time.Second)}, now)
				default:
					delete(waits[l.key], head.ident())
					ls.settle(l, now)
				}
			}
			checkAccounts(t, ls, waits)
		}
	})
}

func checkAccounts(t *rapid.T, ls *lanes, waits map[string]map[ident]bool) {
	waiting, bytes := 0, 0
	for key, l := range ls.byKey {
		loads := 0
		for _, e := range l.queue {
			if e.load != nil {
				loads++
				bytes += e.load.size()
			}
		}
		if waiting += len(l.queue); len(l.queue) == 0 || len(l.queue) != len(waits[key]) || loads != l.loads {
			t.Fatalf("lane %s holds %d events and %d contents, want %d and %d", key, len(l.queue), l.loads, len(waits[key]), loads)
		}
	}
	if waiting != ls.waiting || bytes != ls.bytes {
		t.Fatalf("%d events and %d bytes, counted as %d and %d", waiting, bytes, ls.waiting, ls.bytes)
	}
}

func TestContentIsKeptOnlyWhileItIsLittle(t *testing.T) {
	ls := newLanes()
	for i := range uint64(100) {
		ls.add(fmt.Sprint(i), entry{sequence: i, load: &load{body: make([]byte, 1<<20)}}, time.Now())
	}
	if ls.bytes > maxLoadBytes || ls.bytes == 0 || ls.waiting != 100 {
		t.Errorf("%d bytes of %d events, want at most %d of 100", ls.bytes, ls.waiting, maxLoadBytes)
	}
}

func TestMemoryForgetsWhatCannotComeAgain(t *testing.T) {
	m := newMemory()
	for i := range uint64(10) {
		learn(t, m, Note{EventID: fmt.Sprint("e", i), Sequence: i, Outcome: Delivered})
	}
	learn(t, m, Note{EventID: "e1", Sequence: 1, Replay: 4, Outcome: Delivered})
	if settled, _ := m.recall("e1", entry{sequence: 1, replay: 9}); settled || len(m.settled) != 11 {
		t.Errorf("a replay is taken for settled, or it made %d of 11 go", 11-len(m.settled))
	}
	if settled, _ := m.recall("new", entry{sequence: 6}); settled {
		t.Error("a new event is taken for settled")
	}
	if len(m.settled) != 5 {
		t.Errorf("%d remembered after the stream began at 6, want 6 to 9 and the replay", len(m.settled))
	}
	for id, e := range map[string]entry{"e7": {sequence: 7}, "e1": {sequence: 1, replay: 4}, "e9": {sequence: 3}} {
		if settled, _ := m.recall(id, e); !settled {
			t.Errorf("%s is not known as settled", id)
		}
	}
}

func learn(t *testing.T, m *memory, n Note) {
	t.Helper()
	raw, err := encodeJSON(n)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.learn(raw); err != nil {
		t.Fatal(err)
	}
}

func TestMemoryOfAttempts(t *testing.T) {
	m := newMemory()
	learn(t, m, Note{EventID: "e", Sequence: 1, Attempt: 1, Outcome: Failed, Status: 429, Next: time.Now()})
	learn(t, m, Note{EventID: "e", Sequence: 1, Attempt: 1, Outcome: Failed, Status: 429, Next: time.Now()})
	if p := m.failed[digestOf("e", 0)]; p.spent != 0 || p.throttled != 2 {
		t.Errorf("%d spent, %d times throttled, want 0 and 2", p.spent, p.throttled)
	}
	learn(t, m, Note{EventID: "e", Sequence: 1, Outcome: Delivered})
	learn(t, m, Note{EventID: "e", Sequence: 1, Outcome: Diverted}) // both at the same moment
	if settled, _ := m.recall("e", entry{sequence: 1}); !settled || len(m.failed) != 0 {
		t.Errorf("settled %v, %d kept", settled, len(m.failed))
	}
}

func TestThrottlingIsCountedInARow(t *testing.T) {
	p := &progress{}
	for i, code := range []int{429, 429, 500, 429} {
		p.advance(&try{status: code}, verdict{wait: time.Second}, time.Now())
		if want := []int{1, 2, 0, 1}[i]; p.throttled != want {
			t.Errorf("%d in a row after answer %d, want %d", p.throttled, i+1, want)
		}
	}
}

func TestMemoryRejectsWhatIsNoNote(t *testing.T) {
	if err := newMemory().learn([]byte("{")); err == nil {
		t.Error("learn({) = nil, want an error")
	}
}

func TestSettledSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, model := newSettledSet(), map[ident]bool{}
		for range 200 {
			id := ident{rapid.Uint64Range(0, 300).Draw(t, "sequence"), rapid.Uint64Range(0, 1).Draw(t, "replay")}
			if s.has(id) != model[id] {
				t.Fatalf("has(%v) = %v", id, s.has(id))
			}
			switch rapid.IntRange(0, 8).Draw(t, "step") {
			case 0, 1, 2, 3:
				s.add(id)
				model[id] = true
			case 4:
				s.cut(id.sequence)
				for one := range model {
					if one.replay == 0 && one.sequence >= id.sequence {
						delete(model, one)
					}
				}
			}
		}
	})
}

func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "two\nlines\r": "two lines ", "bad \xff": "bad \ufffd",
		strings.Repeat("é", 300): strings.Repeat("é", 300),
		strings.Repeat("é", 301): strings.Repeat("é", 299) + "…",
	} {
		if got := clip(in); got != want || utf8.RuneCountInString(got) > 300 {
			t.Errorf("clip(%q) = %q, want %q", in, got, want)
		}
	}
}
