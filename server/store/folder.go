package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gofrs/flock"
)

// folder is a data folder that is this process' alone.
type folder struct {
	path string
	lock *flock.Flock
}

// openFolder makes the folder if need be and takes it. JetStream itself does not: two servers on one folder overwrite
// each other's acknowledged records without a word.
func openFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	f := &folder{path: path, lock: flock.New(filepath.Join(path, "lock"), flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))}
	if err := f.probe(); err != nil {
		return nil, fmt.Errorf("--data: the folder cannot be written to: %w", err)
	}
	ok, err := f.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("--data %s: another process uses this folder; two would overwrite each other's records", path)
	}
	if err := f.checkFormat(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// probe writes to the folder once: JetStream would start on one it cannot write to and never become ready.
func (f *folder) probe() error {
	name := filepath.Join(f.path, ".writable")
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		return err
	}
	return os.Remove(name)
}

// checkFormat refuses what a newer amlgate wrote, before JetStream touches anything.
func (f *folder) checkFormat() error {
	name := filepath.Join(f.path, "format")
	b, err := os.ReadFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return writeSynced(name, []byte(strconv.Itoa(layout)+"\n"))
	case err != nil:
		return fmt.Errorf("--data: %w", err)
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(b)))
	switch {
	case err != nil || n < 1:
		return fmt.Errorf("--data: %s says %q, which is no format number", name, bytes.TrimSpace(b[:min(len(b), 40)]))
	case n > layout:
		return fmt.Errorf("--data: %s says format %d; this amlgate knows %d at most, a newer one wrote the folder", name, n, layout)
	}
	return nil
}

// writeSynced writes a file and its folder's entry through to the disk.
func writeSynced(name string, content []byte) error {
	part := name + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	if err := os.Rename(part, name); err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	if d, err := os.Open(filepath.Dir(name)); err == nil {
		_ = d.Sync() // not every file system can
		_ = d.Close()
	}
	return nil
}

func (f *folder) close() { _ = f.lock.Unlock() }
