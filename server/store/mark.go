package store

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// mark keeps the highest acknowledged revision of each bucket in a file outside the streams. A stream recovered from a
// crash is cut at its first damaged record, silently, and goes on counting from there; a stream that ends below its mark
// has lost something.
//
// The file is one short record, written in place at each acknowledgement, so that a killed process leaves it exact, and
// synced once a second and at the stop, which is all that a loss of power can take.
type mark struct {
	file *os.File

	mu        sync.Mutex
	revisions []uint64 // by the bucket's place in specs
	dirty     bool
	buf       []byte
}

// errMark is returned for a mark that cannot be read.
var errMark = errors.New("the high-water mark cannot be read")

// openMark reads a folder's mark. Fresh says that there is none; a damaged one is errMark, with a mark at zero.
func openMark(dir string) (m *mark, fresh bool, err error) {
	file, err := os.OpenFile(filepath.Join(dir, "highwater"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("--data: %w", err)
	}
	m = &mark{file: file, revisions: make([]uint64, len(specs))}
	b := make([]byte, 4<<10)
	n, _ := file.ReadAt(b, 0)
	if n == 0 {
		return m, true, nil
	}
	if !m.parse(b[:n]) {
		clear(m.revisions)
		return m, false, fmt.Errorf("--data: %s: %w", file.Name(), errMark)
	}
	return m, false, nil
}

// note takes in an acknowledged revision.
func (m *mark) note(bucket int, revision uint64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if revision > m.revisions[bucket] {
		m.revisions[bucket] = revision
		m.write()
	}
}

// set puts all revisions to what is there, after a loss was accepted.
func (m *mark) set(revisions []uint64) error {
	m.mu.Lock()
	copy(m.revisions, revisions)
	m.write()
	m.mu.Unlock()
	return m.sync()
}

// write puts the record into the file. An error shows at the next sync, which asks again. The mark is locked.
func (m *mark) write() {
	m.buf = m.buf[:0]
	for i, s := range specs {
		m.buf = fmt.Appendf(m.buf, "%s %020d\n", s.name, m.revisions[i])
	}
	m.buf = fmt.Appendf(m.buf, "crc32 %08x\n", crc32.ChecksumIEEE(m.buf))
	_, _ = m.file.WriteAt(m.buf, 0)
	m.dirty = true
}

// parse reads a record.
func (m *mark) parse(b []byte) bool {
	body, sum, ok := bytes.Cut(b, []byte("crc32 "))
	var want uint32
	if _, err := fmt.Sscanf(string(sum), "%08x\n", &want); !ok || err != nil || crc32.ChecksumIEEE(body) != want {
		return false
	}
	for line := range bytes.Lines(body) {
		name, number, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		for i, s := range specs {
			if s.name == string(name) {
				n, err := strconv.ParseUint(string(number), 10, 64)
				if err != nil {
					return false
				}
				m.revisions[i] = n
			}
		}
	}
	return true
}

// sync writes the record through to the disk.
func (m *mark) sync() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	dirty := m.dirty
	if dirty {
		m.write() // once more, should the last time have failed
	}
	m.dirty = false
	m.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := m.file.Sync(); err != nil {
		return fmt.Errorf("--data: the high-water mark: %w", err)
	}
	return nil
}

func (m *mark) close() {
	if m != nil {
		_ = m.sync()
		_ = m.file.Close()
	}
}
