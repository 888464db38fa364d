//go:build unix

package state

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	bolterrors "go.etcd.io/bbolt/errors"
)

// TestFullDisk lets the kernel refuse to make the file longer: the update fails,
// nothing of it is there, reading goes on, and so does writing once there is room.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, Options{MmapSize: 1 << 15})
	fill(t, s, "acme", 100)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ) // which would otherwise end the process
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = uint64(info.Size())
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	failures := 0
	for i := range 20 {
		err := s.Update(func(tx *Tx) error { return putMany(tx, i, 200) })
		if err != nil {
			failures++
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if failures == 0 {
		t.Fatal("the disk was never full")
	}
	stored := len(s.pendingIDs(t))
	if want := 100 + 200*(20-failures); stored != want {
		t.Errorf("%d events are in the outbox after %d of 20 updates failed, want %d", stored, failures, want)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	if err := s.Update(func(tx *Tx) error { return putMany(tx, 99, 200) }); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestMaxSize(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"), Options{MaxSize: 1 << 18})
	var err error
	for i := 0; err == nil && i < 100; i++ {
		err = s.Update(func(tx *Tx) error { return putMany(tx, i, 100) })
	}
	if !errors.Is(err, bolterrors.ErrMaxSizeReached) {
		t.Errorf("Update = %v, want %v", err, bolterrors.ErrMaxSizeReached)
	}
}

// TestFullDiskAtTheFirstStart lets a process fail to make the file, at its first
// byte and at later ones: the next start is a first one again. It is a process of
// its own, as the limit is for all that a process writes.
func TestFullDiskAtTheFirstStart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	for _, blocks := range []string{"0", "8", "32"} { // of 512 bytes
		cmd := exec.Command("sh", "-c", `ulimit -f "$0" && exec "$1"`, blocks, os.Args[0])
		cmd.Env = append(os.Environ(), writerFolder+"="+dir)
		said, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(said), "create state file") {
			t.Fatalf("with room for %s blocks the process ended with %v: %s", blocks, err, said)
		}
		if left, err := filepath.Glob(path + "*"); err != nil || len(left) != 0 {
			t.Errorf("with room for %s blocks %v is left, %v", blocks, left, err)
		}
	}
	open(t, path, Options{})
}

// putMany stores n records of a kilobyte that does not compress, and an event for
// each.
func putMany(tx *Tx, batch, n int) error {
	for i := range n {
		id := 1000*batch + i
		rec := Record{ID: fmt.Sprint(id), Document: noise(id)}
		if err := errors.Join(tx.Records("acme", "clients").Put(rec), tx.Append(event("acme", id, 1, tx.Epoch()))); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) pendingIDs(t *testing.T) (ids []string) {
	view(t, s, func(tx *Tx) {
		a := tx.account("acme")
		if _, err := a.tally(); err != nil {
			t.Fatal(err)
		}
		for p, err := range a.pendingEvents() {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, p.id)
		}
	})
	return ids
}
