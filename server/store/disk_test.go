package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSurvivesARestartAndACrash(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, Config{Data: dir})
	for i := range 100 {
		create(t, s.Jobs(), fmt.Sprint("k", i), "v")
	}
	secret, epoch := s.Secret(), s.Epoch(s.Jobs())
	image := crashed(t, dir)
	s.Close()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v, want mode 0700", info, err)
	}
	for name, folder := range map[string]string{"stopped": dir, "killed": image} {
		s := open(t, Config{Data: folder})
		for i := range 100 {
			if get(t, s.Jobs(), fmt.Sprint("k", i)) != "v" {
				t.Fatalf("%s: k%d is gone", name, i)
			}
		}
		if s.Secret() != secret || s.Epoch(s.Jobs()) != epoch {
			t.Errorf("%s: another secret or epoch", name)
		}
		s.Close()
	}
	other := open(t, Config{Data: t.TempDir()})
	if other.Secret() == secret || other.Epoch(other.Jobs()) == epoch {
		t.Error("two stores share a secret or an epoch")
	}
}

func TestOneProcessAFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Data: dir})
	if _, err := Open(background, Config{Data: dir}, nil); err == nil || !strings.Contains(err.Error(), "--data "+dir+": another process") {
		t.Errorf("a second one: %v", err)
	}
	s.Close()
	open(t, Config{Data: dir})
}

func TestReadOnlyFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if os.WriteFile(filepath.Join(dir, "x"), nil, 0o600) == nil {
		// The superuser writes everywhere: a file in the folder's place must do.
		dir = filepath.Join(dir, "file")
		_ = os.WriteFile(dir, nil, 0o400)
	}
	if _, err := Open(background, Config{Data: dir}, nil); err == nil || !strings.HasPrefix(err.Error(), "--data: ") {
		t.Errorf("%v", err)
	}
}

func TestNewerFormat(t *testing.T) {
	dir := t.TempDir()
	open(t, Config{Data: dir}).Close()
	for content, says := range map[string]string{"2\n": "a newer one wrote the folder", "x": "no format number"} {
		_ = os.WriteFile(filepath.Join(dir, "format"), []byte(content), 0o600)
		if _, err := Open(background, Config{Data: dir}, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// Each damage loses acknowledged records, and each is noticed, told and accepted on demand only.
func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"last record cut": func(t *testing.T, dir string) {
			file := block(t, dir, jobsBucket)
			info, _ := os.Stat(file)
			_ = os.Truncate(file, info.Size()-3)
		},
		"one bit": func(t *testing.T, dir string) {
			file := block(t, dir, jobsBucket)
			b, _ := os.ReadFile(file)
			b[len(b)/2] ^= 4
			_ = os.WriteFile(file, b, 0o600)
		},
		"streams gone": func(t *testing.T, dir string) { _ = os.RemoveAll(filepath.Join(dir, "jetstream")) },
		"mark gone":    func(t *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, "highwater")) },
		"mark damaged": func(t *testing.T, dir string) {
			_ = os.WriteFile(filepath.Join(dir, "highwater"), []byte("amlgate_jobs 00000000000000000001\ncrc32 00000000\n"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, Config{Data: dir})
			for i := range 1000 {
				create(t, s.Jobs(), fmt.Sprint("k", i), strings.Repeat("v", 100))
			}
			epoch := s.Epoch(s.Jobs())
			image := crashed(t, dir)
			s.Close()
			damage(t, image)
			_, err := Open(background, Config{Data: image}, nil)
			if err == nil || !strings.Contains(err.Error(), "--accept-loss") || !strings.Contains(err.Error(), "has lost records") {
				t.Fatalf("started: %v", err)
			}
			t.Log(err)
			var log lines
			s, err = Open(background, Config{Data: image, AcceptLoss: true}, log.logger())
			if err != nil {
				t.Fatal(err)
			}
			if s.Epoch(s.Jobs()) == epoch || !strings.Contains(log.String(), "missing=") {
				t.Errorf("the epoch is the old one, or nothing is said: %s", log.String())
			}
			create(t, s.Jobs(), "new", "v")
			s.Close()
			open(t, Config{Data: image}).Close() // accepted once, it is no longer missing
		})
	}
}

func TestFullBucketRefusesNewWorkFirst(t *testing.T) {
	before := specs[1].bytes
	specs[1].bytes = 256 << 10
	defer func() { specs[1].bytes = before }()
	s := open(t, Config{})
	value := make([]byte, 8<<10)
	var refused error
	for i := range 100 {
		if _, refused = s.Jobs().Create(t.Context(), fmt.Sprint("k", i), value); refused != nil {
			break
		}
	}
	if !errors.Is(refused, ErrFull) || !strings.Contains(refused.Error(), jobsBucket) {
		t.Errorf("%v", refused)
	}
	if err := s.fullBucket(); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), jobsBucket) {
		t.Errorf("%v", err)
	}
	if s.Err() != nil {
		t.Errorf("a full bucket fails the store: %v", s.Err())
	}
}
