package jobs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// ErrCursor is returned for a cursor that is malformed or another job's.
var ErrCursor = errors.New("malformed, or another job's; a cursor comes from an event of the same job's watch")

// A cursor says which of a job's changes a watcher has seen. It is bound to the job and to the epoch in which changes
// were numbered: one of an earlier epoch is not an error, it only tells nothing.
//
//	version (1 byte) | epoch (8) | revision (8) | first bytes of SHA-256 over job and all before (8)
const (
	cursorVersion = 1
	cursorBody    = 17
	cursorSize    = cursorBody + 8
)

type epoch uint64

// of returns the epoch of one upstream's jobs.
func (e epoch) of(upstream string) epoch {
	h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(upstream), uint64(e)))
	return epoch(binary.BigEndian.Uint64(h[:]))
}

// cursor returns the cursor behind change number revision.
func (e epoch) cursor(key Key, revision uint64) string {
	b := make([]byte, 0, cursorSize)
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(e))
	b = binary.BigEndian.AppendUint64(b, revision)
	return base64.RawURLEncoding.EncodeToString(append(b, bind(key, b)...))
}

// revision reads a cursor. An empty one, and one of another epoch, is revision 0; known tells whether it is this epoch's.
func (e epoch) revision(key Key, cursor string) (revision uint64, known bool, err error) {
	if cursor == "" {
		return 0, false, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) != cursorSize || b[0] != cursorVersion || string(bind(key, b[:cursorBody])) != string(b[cursorBody:]) {
		return 0, false, ErrCursor
	}
	if epoch(binary.BigEndian.Uint64(b[1:])) != e {
		return 0, false, nil
	}
	return binary.BigEndian.Uint64(b[9:]), true, nil
}

// bind ties a cursor's bytes to a job. It guards against mistakes, not against people: a forged cursor shows nothing
// that an empty one does not.
func bind(key Key, b []byte) []byte {
	h := sha256.New()
	for _, part := range []string{key.Workspace, key.Service, key.ID} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	h.Write(b)
	return h.Sum(nil)[:cursorSize-cursorBody]
}
