package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// TestBackupOfALiveFile copies while answers are being stored: each copy holds
// whole answers and can be worked with.
func TestBackupOfALiveFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "state.db"), Options{})
	fill(t, s, "acme", 2000)
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := s.Update(answer); err != nil {
				done <- err
				return
			}
		}
	}()
	for i := range 5 {
		path := filepath.Join(dir, fmt.Sprintf("backup-%d.db", i))
		if err := s.Backup(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of a backup = %v, %v", info.Mode(), err)
		}
		restored := open(t, path, Options{})
		if restored.Epoch() != s.Epoch() {
			t.Errorf("epoch of the backup = %s, want %s", restored.Epoch(), s.Epoch())
		}
		view(t, restored, func(tx *Tx) {
			cursor := string(tx.Cursor("acme", "clients"))
			for i := range answerSize {
				if m, ok := tx.Records("acme", "clients").Meta(fmt.Sprint(i)); ok && fmt.Sprint(m.Revision) != cursor {
					t.Errorf("record %d has revision %d, the cursor says %s", i, m.Revision, cursor)
				}
			}
		})
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBackupOverwritesNothingAndLeavesNoRest(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "state.db"), Options{})
	path := filepath.Join(dir, "backup.db")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Backup over a file = %v, want %v", err, fs.ErrExist)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Backup(ended, filepath.Join(dir, "other.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("Backup after ctx ended = %v, want %v", err, context.Canceled)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if got, _ := os.ReadFile(path); err != nil || len(names) != 2 || string(got) != "precious" {
		t.Errorf("the folder holds %v, the file %q (%v)", names, got, err)
	}
}

// TestBackupOfADamagedStateIsNone: a copy that could not be restored must not
// look like one that could.
func TestBackupOfADamagedStateIsNone(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "state.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fill(t, s, "acme", 20)
	tamper(t, s, func(b *bolt.Tx) error {
		return newTx(b).Records("acme", "clients").created.Delete(createdKey(time.Unix(1e9+7, 0), "1007"))
	})
	if err := s.Backup(t.Context(), filepath.Join(dir, "backup.db")); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Backup = %v, want ErrCorrupt", err)
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(names) != 1 {
		t.Errorf("the folder holds %v (%v)", names, err)
	}
}
