// Package state is the poller's memory: the records as they were last seen, how
// far each collection has been read, and the outbox of events that wait for the
// stream, all in one BoltDB file, so that an answer of Trackops is stored whole
// or not at all. It never speaks to Trackops or to the stream, and no other
// package opens the file.
//
// The file's buckets:
//
//	meta                           format, epoch
//	accounts/<account>             note, system (counter), outbox (tallies)
//	  entries                      sequence → event
//	  pending, held                sequence → what is known of its publication
//	  collections/<collection>     cursor, counts
//	    versions                   record id → header and document
//	    created                    creation time, record id → nothing
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Options says how a file is opened. The zero value is usable.
type Options struct {
	// Hold is how long an event stays in the outbox after the stream took it, so
	// that a stream which lost its latest messages gets them again. Zero removes
	// it at once.
	Hold time.Duration

	// MmapSize is the address space reserved for the file, in bytes. Growing past
	// it waits for every open read transaction. Zero is 1 GiB, or twice the size
	// of the file if that is more; it costs neither memory nor disk.
	MmapSize int

	// MaxSize is the size in bytes the file may grow to; an [Store.Update] that
	// needs more fails as on a full disk. Zero is no limit.
	MaxSize int
}

// A Store is an open state file. Its methods may be called concurrently, but
// not from inside a transaction of the same goroutine, which would deadlock.
type Store struct {
	db   *bolt.DB
	path string
	hold time.Duration

	write sync.Mutex    // one writer, from its start until known below is in step
	wake  chan struct{} // holds a token when something was appended
	drain sync.Mutex    // held by Drain, and by what must not run beside it

	known  sync.RWMutex // guards the copies of what the file says
	epoch  string
	tables map[string]tally

	broken atomic.Pointer[error] // set once the file proved damaged
}

// lockWait is how long Open waits for another process to let go of the file:
// long enough for one that is just dying, short enough to count as at once.
const lockWait = 200 * time.Millisecond

// Open opens the state file at path, and creates it and its folder when they do
// not exist: the file is for its owner only (0600), a new folder too (0700).
//
// A new file appears whole, so an empty one is damage too. The error is
// [ErrLocked] when another process has the file, [ErrNewer] when a newer version
// of this program wrote it, and [ErrCorrupt] when it cannot be read; the file is
// then left as it is. After ErrCorrupt the file may stay locked until this
// process ends.
func Open(path string, o Options) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create the folder of the state file: %w", err)
	}
	size, err := measure(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = create(path)
	}
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, hold: o.Hold, wake: make(chan struct{}, 1)}
	if err := guard(path, everything, func() error { return s.open(size, o) }); err != nil {
		return nil, err
	}
	if err := restrict(path); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// open locks and maps the file and reads what is kept in memory of it. It closes
// the file again when that fails.
func (s *Store) open(size int64, o Options) error {
	mmap := o.MmapSize
	if mmap == 0 && runtime.GOOS != "windows" { // where reserving means writing
		mmap = max(1<<30, 2*int(size))
	}
	db, err := bolt.Open(s.path, 0o600, &bolt.Options{
		Timeout:         lockWait,
		InitialMmapSize: mmap,
		MaxSize:         o.MaxSize,
		OpenFile:        openExisting,
		// A backlog that was worked off leaves many free pages; the array type
		// walks them at every allocation.
		FreelistType: bolt.FreelistMapType,
	})
	if err != nil {
		return openError(s.path, err)
	}
	s.db = db
	if err := guard(s.path, everything, s.load); err != nil {
		return errors.Join(err, db.Close())
	}
	return nil
}

// load checks the file's format, looks at every bucket and fills the copies in
// memory.
func (s *Store) load() error {
	return s.db.View(func(b *bolt.Tx) error {
		if err := checkFormat(s.path, b); err != nil {
			return err
		}
		tx := newTx(b)
		if err := tx.probe(); err != nil {
			return corrupt(s.path, err)
		}
		return s.remember(tx)
	})
}

// remember copies epoch and tallies of the whole file into memory.
func (s *Store) remember(tx *Tx) error {
	tables := make(map[string]tally)
	for _, name := range tx.accountNames() {
		t, err := tx.account(name).tally()
		if err != nil {
			return err
		}
		tables[name] = *t
	}
	s.known.Lock()
	defer s.known.Unlock()
	s.epoch, s.tables = tx.Epoch(), tables
	return nil
}

// Close waits for open transactions and closes the file. It may be called
// twice. A file that proved damaged is left to the end of the process.
func (s *Store) Close() error {
	if s.broken.Load() != nil {
		return nil
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close state file: %w", err)
	}
	return nil
}

// Epoch returns the tag that ends the ids of this state's events: random, made
// with the file, replaced by [Store.NewEpoch] only.
func (s *Store) Epoch() string {
	s.known.RLock()
	defer s.known.RUnlock()
	return s.epoch
}

// Update runs fn in a transaction that is on disk when Update returns nil, and
// that leaves no trace when fn or Update returns an error, except that an error
// while syncing leaves open whether it happened. A full disk is such an error,
// and the store stays usable. One Update runs at a time; to save syncs, put
// several answers into one. It must not be called from within another
// transaction. Tx and all that comes from it end with fn.
func (s *Store) Update(fn func(*Tx) error) error {
	s.write.Lock()
	defer s.write.Unlock()
	var tx *Tx
	complete := false
	err := s.guarded(func() error {
		return s.db.Update(func(b *bolt.Tx) error {
			tx = newTx(b)
			if err := fn(tx); err != nil {
				return err
			}
			if err := tx.finish(); err != nil {
				return err
			}
			complete = true
			return nil
		})
	})
	switch {
	case err == nil:
		s.learn(tx)
		return nil
	case complete:
		return errors.Join(fmt.Errorf("commit to the state file: %w", err), s.relearn())
	}
	return err
}

// View runs fn in a read-only transaction: it sees one state, whatever is
// written meanwhile. Keep it short: while it is open the file grows instead of
// reusing space. It must not be called from within an Update.
func (s *Store) View(fn func(*Tx) error) error {
	return s.guarded(func() error {
		return s.db.View(func(b *bolt.Tx) error {
			tx := newTx(b)
			if err := fn(tx); err != nil {
				return err
			}
			return tx.err
		})
	})
}

// guarded runs fn unless the file proved damaged, and notes when it does now.
func (s *Store) guarded(fn func() error) error {
	if err := s.broken.Load(); err != nil {
		return *err
	}
	err := guard(s.path, damage, fn)
	if fault := (*damaged)(nil); errors.As(err, &fault) {
		s.broken.Store(&err)
	}
	return err
}

// learn brings the copies in memory up to a committed transaction. The write
// lock makes transactions arrive here in their order.
func (s *Store) learn(tx *Tx) {
	s.known.Lock()
	for name, a := range tx.accounts {
		if a.table != nil {
			s.tables[name] = *a.table
		}
	}
	if tx.epoch != "" {
		s.epoch = tx.epoch
	}
	s.known.Unlock()
	if tx.appended {
		select {
		case s.wake <- struct{}{}:
		default: // a token waits already
		}
	}
}

// relearn reads the copies in memory anew: after an error of the disk the file
// alone knows whether the transaction happened.
func (s *Store) relearn() error {
	return s.guarded(func() error {
		return s.db.View(func(b *bolt.Tx) error { return s.remember(newTx(b)) })
	})
}

// openError says in the operator's words why bbolt did not open the file.
func openError(path string, err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("state file %s is %w", path, ErrLocked)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum),
		errors.Is(err, bolterrors.ErrVersionMismatch):
		return corrupt(path, err)
	}
	return fmt.Errorf("open state file: %w", err)
}

// restrict takes the file away from everybody but its owner.
func restrict(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("restrict state file: %w", err)
	}
	if runtime.GOOS == "windows" {
		return nil
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(path, 0o600); err != nil {
			return fmt.Errorf("restrict state file: %w", err)
		}
	}
	return nil
}
