package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// maxKey is the longest key taken from a file, in bytes; AzureML's have some 90.
const maxKey = 4 << 10

// keyAge is how old what was read from a key's file may be when the key is used.
const keyAge = time.Second

// keyFile is a key in a file that may be replaced at any time, as mounted secrets are. While the file has no good key, the
// last one counts. It is looked at when the key is used, and so needs no goroutine.
type keyFile struct {
	flag, file string
	log        *slog.Logger
	key        atomic.Pointer[string]

	mu     sync.Mutex
	looked time.Time // when the file was read, well or not
	wrong  string    // what is wrong with it, as it was logged
}

// openKeyFile reads a key for the first time, when there must be a good one.
func openKeyFile(flag, file string, log *slog.Logger) (*keyFile, error) {
	key, err := readKey(flag, file)
	if err != nil {
		return nil, err
	}
	k := &keyFile{flag: flag, file: file, log: log, looked: time.Now()}
	k.key.Store(&key)
	return k, nil
}

// get returns the key. One caller at a time looks at the file; the others go on with what is known.
func (k *keyFile) get() string {
	if k.mu.TryLock() {
		if time.Since(k.looked) >= keyAge {
			k.look()
			k.looked = time.Now()
		}
		k.mu.Unlock()
	}
	return *k.key.Load()
}

// look reads the file again, and logs what is new about it. No line has a key. The file is locked.
func (k *keyFile) look() {
	key, err := readKey(k.flag, k.file)
	switch {
	case err != nil:
		if k.wrong != err.Error() {
			k.log.Error("a key file cannot be read again; the key from before counts", "error", err)
		}
		k.wrong = err.Error()
		return
	case key != *k.key.Load():
		k.key.Store(&key)
		k.log.Info("a key file has changed; its new key counts from now on", "flag", k.flag, "file", k.file)
	case k.wrong != "":
		k.log.Info("a key file can be read again; its key is the same", "flag", k.flag, "file", k.file)
	}
	k.wrong = ""
}

// readKey reads a key from a file: its text without blanks at either end.
func readKey(flag, file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	b = bytes.TrimSpace(b)
	if len(b) == 0 || len(b) > maxKey || bytes.ContainsFunc(b, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s %s: one key is wanted, of at most %d printable characters without blanks", flag, file, maxKey)
	}
	return string(b), nil
}
