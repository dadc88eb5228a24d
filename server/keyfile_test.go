package server

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A key's file is read again when it has changed; while it has no good key, the last good one counts. The log says what
// happened, once, and no key.
func TestKeyFilesAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		file := filepath.Join(t.TempDir(), "key")
		write := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("hunter1")
		k, err := openKeyFile("--caller-key-file", file, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			change    func()
			key, says string
		}{
			{func() {}, "hunter1", ""},
			{func() { write("hunter2\n") }, "hunter2", "has changed"},
			{func() { write("") }, "hunter2", "one key is wanted"},
			{func() {}, "hunter2", ""},
			{func() { write("hunter3 hunter4") }, "hunter2", ""}, // the same is wrong with it
			{func() { _ = os.Remove(file) }, "hunter2", "no such file"},
			{func() { write("hunter2") }, "hunter2", "can be read again"},
			{func() { _ = os.Remove(file) }, "hunter2", "no such file"},
			{func() { write(" hunter5 ") }, "hunter5", "has changed"},
			{func() { write("hunter6") }, "hunter6", "has changed"},
		} {
			before := k.get()
			step.change()
			if got := k.get(); got != before {
				t.Errorf("%q was read within a second", got)
			}
			time.Sleep(keyAge)
			if got := k.get(); got != step.key {
				t.Errorf("the key is %q, want %q", got, step.key)
			}
			lines := log.String()
			log.Reset()
			if !strings.Contains(lines, step.says) || (step.says == "") != (lines == "") || strings.Count(lines, "\n") > 1 || strings.Contains(lines, "hunter") {
				t.Errorf("%s: the log says %q, want %q", step.key, lines, step.says)
			}
		}
	})
}
