package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// open opens a store that is checked and closed when the test ends.
func open(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, s) })
	return s
}

func shut(t interface {
	Helper()
	Error(...any)
}, s *Store) {
	t.Helper()
	if s.db.Path() == "" { // closed already
		return
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// event makes an event as the poller does.
func event(account string, record, revision int, epoch string) events.Encoded {
	e, err := events.Event{Data: events.Data{
		Account: account, Collection: "clients", Action: events.Updated,
		ID: fmt.Sprint(record), Revision: uint64(revision),
		ObservedAt: time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC),
		Record:     []byte(fmt.Sprintf(`{"id":%d,"name":"Spade & Archer","visits":12.50}`, record)),
	}}.Stamp(epoch).Encode()
	if err != nil {
		panic(err)
	}
	return e
}

// fill stores n records and an event for each.
func fill(t testing.TB, s *Store, account string, n int) {
	t.Helper()
	err := s.Update(func(tx *Tx) error {
		r := tx.Records(account, "clients")
		for i := range n {
			rec := Record{
				ID: fmt.Sprint(1000 + i), Revision: 1, Created: time.Unix(int64(1e9+i), 0),
				Document: []byte(strings.Repeat(fmt.Sprintf(`{"id":%d}`, i), 40)),
			}
			if err := errors.Join(r.Put(rec), tx.Append(event(account, 1000+i, 1, tx.Epoch()))); err != nil {
				return err
			}
		}
		return tx.SetCursor(account, "clients", []byte(`{"page":1}`))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenMakesAPrivateFileWithAnEpochThatStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "state.db")
	s := open(t, path, Options{})
	for name, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("mode of %s = %v, %v, want %v", filepath.Base(name), info.Mode().Perm(), err, want)
		}
	}
	epoch := s.Epoch()
	if len(epoch) != 6 || strings.Trim(epoch, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		t.Errorf("epoch = %q, want six of [a-z2-7]", epoch)
	}
	shut(t, s)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	if s.Epoch() != epoch {
		t.Errorf("epoch after reopening = %q, want %q", s.Epoch(), epoch)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a file that others could read was opened and left so: %v, %v", info.Mode(), err)
	}
	if other := open(t, filepath.Join(t.TempDir(), "state.db"), Options{}); other.Epoch() == epoch {
		t.Error("two states have the same epoch")
	}
}

func TestOpenRefusesAFileInUseAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	open(t, path, Options{})
	start := time.Now()
	_, err := Open(path, Options{})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "state.db is in use by another process: one process per DATA_DIR") {
		t.Errorf("second Open = %v, want ErrLocked", err)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("second Open took %v", d)
	}
}

// TestOpenOfBrokenFiles goes through what can be at the place of a state file.
// The file must be as before afterwards.
func TestOpenOfBrokenFiles(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.db")
	s := open(t, good, Options{MmapSize: 1 << 15})
	fill(t, s, "acme", 500)
	shut(t, s)
	image, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	needed, _ := readMeta(strings.NewReader(string(image)), 0)
	if second, _ := readMeta(strings.NewReader(string(image)), int64(page)); second.txid > needed.txid {
		needed = second
	}
	garbage := func(from, to int) []byte {
		b := append([]byte(nil), image...)
		for i := from; i < to; i++ {
			b[i] = byte(i*7 + 13)
		}
		return b
	}
	for name, c := range map[string]struct {
		image []byte
		want  error
	}{
		"whole":                    {image, nil},
		"empty":                    {nil, ErrCorrupt},
		"a byte":                   {image[:1], ErrCorrupt},
		"one page":                 {image[:page], ErrCorrupt},
		"two pages":                {image[:2*page], ErrCorrupt},
		"half":                     {image[:len(image)/2/page*page], ErrCorrupt},
		"one byte short":           {image[:needed.length()-1], ErrCorrupt},
		"exactly what is needed":   {image[:needed.length()], nil},
		"text":                     {[]byte(strings.Repeat("not a database\n", 2000)), ErrCorrupt},
		"zeros":                    {make([]byte, len(image)), ErrCorrupt},
		"first meta page garbage":  {garbage(0, page), nil},
		"second meta page garbage": {garbage(page, 2*page), nil},
		"both meta pages garbage":  {garbage(0, 2*page), ErrCorrupt},
		"all pages garbage":        {garbage(2*page, len(image)), ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			if err := os.WriteFile(path, c.image, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(path, Options{})
			if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Fatalf("Open = %v, want %v", err, c.want)
			}
			if err == nil {
				fill(t, s, "acme", 1) // two transactions write both meta pages anew
				fill(t, s, "acme", 1)
				shut(t, s)
				return
			}
			if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "restore a backup") || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("Open = %v, which does not say what to do", err)
			}
			if left, err := os.ReadFile(path); err != nil || string(left) != string(c.image) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
}

// TestNoGarbagePageEndsTheProcess overwrites each page in turn: opening or
// checking has to find it, by an error.
func TestNoGarbagePageEndsTheProcess(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.db")
	s := open(t, good, Options{})
	fill(t, s, "acme", 40)
	shut(t, s)
	image, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	meta, _ := readMeta(strings.NewReader(string(image)), 0)
	for _, keep := range []int{0, 16} { // with and without the page's header
		for n := 2; n < int(meta.highWater); n++ {
			b := append([]byte(nil), image[:int(meta.highWater)*page]...)
			for i := n*page + keep; i < (n+1)*page; i++ {
				b[i] = byte(i*31) | 1
			}
			path := filepath.Join(t.TempDir(), "state.db")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(path, Options{})
			if err != nil {
				if !errors.Is(err, ErrCorrupt) {
					t.Errorf("page %d: Open = %v, want ErrCorrupt", n, err)
				}
				continue
			}
			if err := s.Check(); err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("page %d: Check = %v, want ErrCorrupt", n, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestFileThatVanishesUnderneathIsAnError: pages that are gone are an error of the
// transaction that touches them, and of every one after it.
func TestFileThatVanishesUnderneathIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, "acme", 500)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	read := func(tx *Tx) error { tx.Records("acme", "clients").Meta("1200"); return nil }
	for range 2 {
		if err := s.View(read); !errors.Is(err, ErrCorrupt) {
			t.Errorf("View = %v, want ErrCorrupt", err)
		}
		if err := s.Update(read); !errors.Is(err, ErrCorrupt) {
			t.Errorf("Update = %v, want ErrCorrupt", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestFirstStartsAtTheSameTime: one of them has the state, whatever they do in
// between, and no file is left of the others' attempts.
func TestFirstStartsAtTheSameTime(t *testing.T) {
	for range 10 {
		path := filepath.Join(t.TempDir(), "state.db")
		stores, errs := make(chan *Store, 8), make(chan error, 8)
		for range 8 {
			go func() {
				s, err := Open(path, Options{})
				stores <- s
				errs <- err
			}()
		}
		var winners []*Store
		for range 8 {
			if err := <-errs; err != nil && !errors.Is(err, ErrLocked) {
				t.Errorf("Open = %v, want a store or ErrLocked", err)
			}
			if s := <-stores; s != nil {
				winners = append(winners, s)
			}
		}
		if len(winners) != 1 {
			t.Fatalf("%d processes have the state, want 1", len(winners))
		}
		epoch := winners[0].Epoch()
		shut(t, winners[0])
		if s := open(t, path, Options{}); s.Epoch() != epoch {
			t.Errorf("the file has the epoch %s, and its process had %s", s.Epoch(), epoch)
		}
		onlyFile(t, path)
	}
}

// onlyFile checks that path is alone in its folder.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	all, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(all) != 1 || all[0].Name() != filepath.Base(path) {
		t.Errorf("the folder holds %v, %v, want %s alone", all, err, filepath.Base(path))
	}
}

func TestOpenRefusesANewerFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{})
	tamper(t, s, func(b *bolt.Tx) error {
		return b.Bucket(metaBucket).Put(formatKey, binary.BigEndian.AppendUint32(nil, format+1))
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path, Options{})
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "format 2") || !strings.Contains(err.Error(), "run the newer version") {
		t.Errorf("Open = %v, want ErrNewer and what to do", err)
	}
}

func TestOpenRefusesAnotherProgramsDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(b *bolt.Tx) error { _, err := b.CreateBucket([]byte("theirs")); return err })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Open = %v, want ErrCorrupt", err)
	}
}

// tamper changes the file behind the store's back.
func tamper(t testing.TB, s *Store, fn func(*bolt.Tx) error) {
	t.Helper()
	if err := s.db.Update(fn); err != nil {
		t.Fatal(err)
	}
}

func TestAFailedUpdateLeavesNoTrace(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{})
	fill(t, s, "acme", 3)
	refused := errors.New("refused")
	err := s.Update(func(tx *Tx) error {
		err := errors.Join(tx.Records("acme", "clients").Put(Record{ID: "new"}), tx.Append(event("acme", 1, 1, tx.Epoch())))
		return errors.Join(err, tx.SetAccountNote("acme", []byte("1")), refused)
	})
	if !errors.Is(err, refused) {
		t.Fatalf("Update = %v, want %v", err, refused)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a panic of the caller's was swallowed")
			}
		}()
		_ = s.Update(func(tx *Tx) error {
			if err := tx.Records("acme", "clients").Put(Record{ID: "new"}); err != nil {
				return err
			}
			panic(errors.New("a mistake"))
		})
	}()
	if pending, _, _ := s.Backlog("acme"); pending != 3 {
		t.Errorf("%d pending, want 3", pending)
	}
	view(t, s, func(tx *Tx) {
		if live, _ := tx.Records("acme", "clients").Len(); live != 3 || tx.AccountNote("acme") != nil {
			t.Errorf("%d records, note %s", live, tx.AccountNote("acme"))
		}
	})
}

func view(t testing.TB, s *Store, fn func(*Tx)) {
	t.Helper()
	if err := s.View(func(tx *Tx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestCursorsNotesAndCounters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{})
	err := s.Update(func(tx *Tx) error {
		if tx.Cursor("acme", "clients") != nil || tx.AccountNote("acme") != nil {
			t.Error("a new state has a cursor or a note")
		}
		err := errors.Join(tx.SetCursor("acme", "clients", []byte(`{"a":1}`)), tx.SetAccountNote("acme", []byte(`{"b":2}`)))
		for want := range uint64(3) {
			n, e := tx.NextSystem("acme")
			if n != want+1 {
				t.Errorf("NextSystem = %d, want %d", n, want+1)
			}
			err = errors.Join(err, e)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	s = open(t, path, Options{})
	view(t, s, func(tx *Tx) {
		if c, n := string(tx.Cursor("acme", "clients")), string(tx.AccountNote("acme")); c != `{"a":1}` || n != `{"b":2}` {
			t.Errorf("cursor %s, note %s", c, n)
		}
		if tx.Cursor("acme", "cases") != nil || tx.Cursor("other", "clients") != nil {
			t.Error("a cursor shows elsewhere")
		}
		if live, dead := tx.Records("acme", "clients").Len(); live != 0 || dead != 0 {
			t.Error("a cursor counts as records")
		}
	})
	err = s.Update(func(tx *Tx) error {
		if n, _ := tx.NextSystem("acme"); n != 4 {
			t.Errorf("NextSystem after reopening = %d, want 4", n)
		}
		return tx.SetCursor("acme", "clients", []byte("{"))
	})
	if err == nil {
		t.Error("a cursor that is not JSON was stored")
	}
}
