package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	bolt "go.etcd.io/bbolt"
)

// create makes a new state at path, which appears there whole: a crash or a full
// disk leaves at most a file named like it with ".tmp" and a number. If another
// process made one meanwhile, that stays, and its lock decides who has it.
func create(path string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("create state file: %w", err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp*") // 0600
	if err != nil {
		return err
	}
	temp := f.Name()
	err = errors.Join(f.Close(), initialise(temp))
	if err == nil {
		err = moveIn(temp, path)
	}
	if gone := os.Remove(temp); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// initialise makes the empty file at path a state without records.
func initialise(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{OpenFile: openExisting})
	if err != nil {
		return err
	}
	err = db.Update(func(b *bolt.Tx) error {
		meta, err := b.CreateBucket(metaBucket)
		if err != nil {
			return err
		}
		return errors.Join(
			meta.Put(formatKey, binary.BigEndian.AppendUint32(nil, format)),
			meta.Put(epochKey, []byte(newTag(""))))
	})
	return errors.Join(err, db.Close())
}

// moveIn gives the file at temp the name path, and leaves a file that has it.
func moveIn(temp, path string) error {
	err := os.Link(temp, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	// The file system has no links. Two first starts within microseconds would
	// both believe to have made the state there.
	return os.Rename(temp, path)
}

// openExisting opens a file for bbolt, which must not make one: a file that it
// makes is empty at first.
func openExisting(path string, flag int, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(path, flag&^os.O_CREATE, mode)
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" { // has no such call
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
