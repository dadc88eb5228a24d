package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk that fills up: new work is refused before, and when it is full the store fails for good instead of standing
// still; what was acknowledged is there after a restart with room.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		if os.Getenv("AMLGATE_REQUIRE") == "all" {
			t.Fatalf("AMLGATE_REQUIRE=all: a small disk cannot be mounted here: %v", err)
		}
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	s := open(t, Config{Data: filepath.Join(dir, "data")})
	kept := 0
	value := []byte(strings.Repeat("v", 32<<10))
	put := func() error {
		_, err := s.Jobs().Create(t.Context(), fmt.Sprint("k", kept), value)
		if err == nil {
			kept++
		}
		return err
	}
	for put() == nil && kept < 100 {
	}
	ballast := filepath.Join(dir, "ballast")
	var st unix.Statfs_t
	_ = unix.Statfs(dir, &st)
	if err := os.WriteFile(ballast, make([]byte, int(st.Bavail)*int(st.Bsize)-256<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	s.judge(filepath.Join(dir, "data"), nil)
	if err := s.Full(); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("nearly full: %v", err)
	}
	var err error
	for err == nil {
		err = put()
	}
	<-s.Failed()
	if s.Err() == nil || s.Ready() || !strings.Contains(s.Err().Error(), "restart") {
		t.Errorf("%v, after %v", s.Err(), err)
	}
	s.Close()
	_ = os.Remove(ballast)
	s = open(t, Config{Data: filepath.Join(dir, "data")})
	for i := range kept {
		if get(t, s.Jobs(), fmt.Sprint("k", i)) != string(value) {
			t.Fatalf("k%d of %d is gone", i, kept)
		}
	}
	s.Close()
}
