package blob_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The official SDKs of other languages, in programs that do one list of cases and say what came of each. What they say of
// this endpoint and of Azurite must be testdata/clients/cases.txt, both times.

func TestPythonSDK(t *testing.T) {
	t.Parallel()
	dir := prepared(t, "python", "blob-requirements.txt", "python/requirements.txt")
	program := []string{filepath.Join(dir, "bin", "python"), source(t, "python/cases.py")}
	sameForBoth(t, program, nil, "")
}

func TestNodeSDK(t *testing.T) {
	t.Parallel()
	node, env := nodeSDK(t)
	// Every shape of SAS that the SDK can still make, older and newer ones.
	var shapes strings.Builder
	for _, version := range []string{"2015-04-05", "2018-03-28", "2018-11-09", "2020-10-02", "2020-12-06", "2022-11-02", "2026-04-06"} {
		shapes.WriteString("blob SAS " + version + ": hello\n")
	}
	sameForBoth(t, node, append(env, "AMLGATE_SHAPES=1"), shapes.String())
}

func nodeSDK(t *testing.T) (program, env []string) {
	t.Helper()
	dir := prepared(t, "blob-node", "package-lock.json", "node/package-lock.json")
	node, err := exec.LookPath("node")
	if err != nil {
		lacks(t, "node is not installed")
	}
	return []string{node, source(t, "node/cases.js")}, []string{"NODE_PATH=" + filepath.Join(dir, "node_modules")}
}

// source returns the absolute path of a program.
func source(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", "clients", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// sameForBoth runs a program against this endpoint and against Azurite.
func sameForBoth(t *testing.T, program, env []string, more string) {
	t.Helper()
	want, err := os.ReadFile(source(t, "cases.txt"))
	if err != nil {
		t.Fatal(err)
	}
	expected := string(want) + more
	for name, account := range map[string]string{"this endpoint": ours(t), "Azurite": azurite(t)} {
		cmd := exec.Command(program[0], program[1:]...)
		cmd.Dir = t.TempDir()
		// No proxy and no Python of the caller's gets in between.
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
			name, _, _ := strings.Cut(strings.ToUpper(v), "=")
			return strings.HasSuffix(name, "_PROXY") || strings.HasPrefix(name, "PYTHON") || strings.HasPrefix(name, "AZURE_")
		}), "AMLGATE_BLOB="+account, "NO_PROXY=*")
		cmd.Env = append(cmd.Env, env...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Errorf("%s: %v\n%s%s", name, err, stdout.String(), stderr.String())
			continue
		}
		if got := stdout.String(); got != expected {
			t.Errorf("of %s the program says\n%s\nwant\n%s", name, got, expected)
		}
	}
}

// TestPinsAgree: both programs for preparation install into one Python, so pins that both have must be the same.
func TestPinsAgree(t *testing.T) {
	t.Parallel()
	theirs, err := os.ReadFile(filepath.Join("..", "..", "testdata", "clients", "python", "requirements.txt"))
	if err != nil {
		t.Skip("nothing else is installed there")
	}
	mine, err := os.ReadFile(source(t, "python/requirements.txt"))
	if err != nil {
		t.Fatal(err)
	}
	pins := map[string]string{}
	for line := range strings.Lines(string(theirs)) {
		if name, version, ok := strings.Cut(strings.TrimSpace(line), "=="); ok {
			pins[name] = version
		}
	}
	for line := range strings.Lines(string(mine)) {
		if name, version, ok := strings.Cut(strings.TrimSpace(line), "=="); ok && pins[name] != "" && pins[name] != version {
			t.Errorf("%s is pinned to %s here and to %s in server/testdata", name, version, pins[name])
		}
	}
}
