package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// Why a file was not opened; test with [errors.Is]. The text of the error names
// the file and says what to do.
var (
	ErrLocked  = errors.New("in use by another process: one process per DATA_DIR")
	ErrNewer   = errors.New("written by a newer version of this program")
	ErrCorrupt = errors.New("damaged")
)

// format is the version of the layout described in the package comment. A file
// with a greater one is refused; an older one would be converted here.
const format = 1

var (
	metaBucket = []byte("meta")
	formatKey  = []byte("format")
	epochKey   = []byte("epoch")
)

// checkFormat returns ErrNewer or ErrCorrupt for a file that this version cannot
// read.
func checkFormat(path string, b *bolt.Tx) error {
	meta := b.Bucket(metaBucket)
	if meta == nil {
		return corrupt(path, errors.New("it is the database of another program"))
	}
	v := meta.Get(formatKey)
	if len(v) != 4 || len(meta.Get(epochKey)) == 0 {
		return corrupt(path, errors.New("it has no format or no epoch"))
	}
	if has := binary.BigEndian.Uint32(v); has != format {
		return fmt.Errorf("state file %s is %w: it has format %d, this version reads %d: run the newer version again, or restore a backup from before the upgrade",
			path, ErrNewer, has, format)
	}
	return nil
}

// damaged is an ErrCorrupt with what was found.
type damaged struct {
	path  string
	found error
}

func (d *damaged) Error() string {
	return fmt.Sprintf("state file %s is %v: %v: restore a backup of it, or move it away to start over (the next start then learns all records silently)",
		d.path, ErrCorrupt, d.found)
}

func (d *damaged) Unwrap() []error { return []error{ErrCorrupt, d.found} }

func corrupt(path string, found error) error { return &damaged{path, found} }

// measure returns the size of the file at path. An empty file is ErrCorrupt, as
// bbolt would take it for a new one. One that is shorter than its newest meta page
// says is, too: bbolt would map the missing pages, and touching them kills the
// process. All other judgement is left to bbolt, which makes it under the file's
// lock.
func measure(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("open state file: %w", err)
	}
	defer f.Close()
	// The length is taken after the meta pages: a process that is writing the
	// file makes it longer before it says so.
	needed := metaLength(f)
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("open state file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("open state file: %s is not a regular file", path)
	}
	if info.Size() == 0 {
		return 0, corrupt(path, errors.New("it is empty"))
	}
	if info.Size() < needed {
		return 0, corrupt(path, fmt.Errorf("it is cut off: %d of at least %d bytes are left", info.Size(), needed))
	}
	return info.Size(), nil
}

// metaLength returns how many bytes the newest valid meta page lays claim to, or
// 0 if no meta page is valid. The second one lies at the page size, which only
// the first one tells; without that it is looked for as bbolt does.
func metaLength(f io.ReaderAt) int64 {
	first, ok := readMeta(f, 0)
	if ok {
		second, ok := readMeta(f, first.pageSize)
		if ok && second.txid > first.txid {
			return second.length()
		}
		return first.length()
	}
	for size := int64(1 << 10); size <= 1<<24; size *= 2 {
		if second, ok := readMeta(f, size); ok {
			return second.length()
		}
	}
	return 0
}

// A metaPage is what matters here of one of the two pages a bbolt file starts
// with. The layout, after a page header of 16 bytes and in the machine's byte
// order: magic, version, page size, flags (32 bits each), root page, root
// sequence, freelist page, high-water mark in pages, transaction (64 bits each),
// FNV-1a of the 56 bytes so far. It has been the same since boltdb 1.0.
type metaPage struct {
	pageSize  int64
	highWater int64
	txid      uint64
}

func (m metaPage) length() int64 { return m.pageSize * m.highWater }

func readMeta(f io.ReaderAt, at int64) (metaPage, bool) {
	const header, magic = 16, 0xED0CDAED
	var page [header + 64]byte
	if _, err := f.ReadAt(page[:], at); err != nil {
		return metaPage{}, false
	}
	m, order := page[header:], binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(m[:56]) // never fails
	if order.Uint32(m) != magic || order.Uint64(m[56:]) != sum.Sum64() {
		return metaPage{}, false
	}
	return metaPage{
		pageSize:  int64(order.Uint32(m[8:])),
		highWater: int64(order.Uint64(m[40:])),
		txid:      order.Uint64(m[48:]),
	}, true
}

// guard runs fn and turns the panics that reading a damaged file causes into an
// ErrCorrupt: faults of the mapped memory, and what isDamage recognises. Memory
// faults become panics only in this goroutine, which is why bbolt must not read
// the file in another one (it does with NoFreelistSync).
func guard(path string, isDamage func(any) bool, fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch r := recover(); {
		case r == nil:
		case isDamage(r):
			err = corrupt(path, fmt.Errorf("%v", r))
		default:
			panic(r)
		}
	}()
	return fn()
}

// damage recognises a fault of the mapped memory and bbolt's panics, which are
// all strings; those about a transaction that has ended are a mistake of the
// caller, and like any other mistake in its function they stay panics.
func damage(r any) bool {
	if _, ok := r.(interface {
		runtime.Error
		Addr() uintptr
	}); ok {
		return true
	}
	text, ok := r.(string)
	return ok && !strings.Contains(text, "tx closed") && !strings.Contains(text, "managed tx")
}

// everything is for code that runs bbolt alone.
func everything(any) bool { return true }
