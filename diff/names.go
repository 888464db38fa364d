package diff

import (
	"bytes"

	"github.com/cespare/xxhash/v2"
)

// maxSmall is how many members an object may have to be handled without a map.
const maxSmall = 64

// A nameSet finds members of the same name in one object. It is made for many
// small objects one after the other, and holds for large and hostile ones.
type nameSet struct {
	table  [2 * maxSmall]uint8 // places in names, plus 1
	names  [][]byte
	hashes []uint64
	large  map[string]struct{}
}

// reset empties the set and makes room for n names.
func (s *nameSet) reset(n int) {
	s.large = nil
	if n > maxSmall {
		s.large = make(map[string]struct{}, n)
		return
	}
	clear(s.table[:])
	s.names, s.hashes = s.names[:0], s.hashes[:0]
}

// add adds a name, which must not change before the next reset, and says
// whether it was new.
func (s *nameSet) add(name []byte) bool {
	if s.large != nil {
		n := len(s.large)
		s.large[string(name)] = struct{}{}
		return len(s.large) > n
	}
	hash := xxhash.Sum64(name)
	slot := hash % uint64(len(s.table))
	for ; s.table[slot] != 0; slot = (slot + 1) % uint64(len(s.table)) {
		i := s.table[slot] - 1
		if s.hashes[i] == hash && bytes.Equal(s.names[i], name) {
			return false
		}
	}
	s.names, s.hashes = append(s.names, name), append(s.hashes, hash)
	s.table[slot] = uint8(len(s.names))
	return true
}
