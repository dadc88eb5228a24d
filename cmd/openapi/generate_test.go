package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amlgate/amlgate/gen/openapi"

	"github.com/amlgate/amlgate/server/openapitest"
)

// TestDocument loads the committed document: valid OpenAPI 3.1, whose examples are what its schemas say.
func TestDocument(t *testing.T) {
	openapitest.New(t)
	if doc := string(openapi.Document); strings.Contains(doc, `"byte"`) || strings.Contains(doc, "google.rpc") {
		t.Error("a body is still described as the generator sees it: base64 or google.rpc.Status")
	}
}

// TestGenerate generates once more, into another folder and from the protos on, and finds what is committed. It runs
// the tools of go.mod and takes seconds.
func TestGenerate(t *testing.T) {
	if testing.Short() {
		t.Skip("runs buf")
	}
	root := t.TempDir()
	buf := exec.Command("go", "tool", "buf", "generate", "--output", root)
	buf.Dir = filepath.Join("..", "..")
	if output, err := buf.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	parts, err := filepath.Glob(filepath.Join(root, "gen", "openapi", "amlgate", "v1", "*"))
	if err != nil {
		t.Fatal(err)
	}
	merged, err := merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	if err := generate(root); err != nil {
		t.Fatal(err)
	}

	committed := readFolder(t, filepath.Join("..", "..", "gen", "openapi"))
	if diff := cmp.Diff(committed, readFolder(t, filepath.Join(root, "gen", "openapi"))); diff != "" {
		t.Errorf("gen/openapi is not what the protos say (-committed +generated); run go generate ./...\n%s", diff)
	}
	if err := generate(root); err == nil || !strings.Contains(err.Error(), "go tool buf generate") {
		t.Errorf("without the plugin's files: got %v, want to be told to run buf", err)
	}
	t.Run("every place", func(t *testing.T) { everyPlace(t, merged) })
}

// readFolder reads all files below a folder.
func readFolder(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, folder := map[string]string{}, os.DirFS(dir)
	err := fs.WalkDir(folder, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(folder, path)
		files[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// everyPlace takes away one place after the other that edits.yaml changes, and wants to be told which.
func everyPlace(t *testing.T, merged []byte) {
	groups, err := parseEdits(edits)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := parse(merged)
	if err != nil {
		t.Fatal(err)
	}
	operations, err := operationsOf(doc)
	if err != nil {
		t.Fatal(err)
	}
	targets := append(operations, operation{"document", doc})
	for _, g := range groups {
		for _, target := range targets {
			all := slices.Contains(g.Of, "operations") && target.id != "document"
			if !all && !slices.Contains(g.Of, target.id) {
				continue
			}
			for _, e := range g.Edits {
				if e.Add != "" {
					continue
				}
				_, err := patch(without(t, merged, target.id, e.path()), edits, components)
				if err == nil || !strings.Contains(err.Error(), target.id+": "+e.path()) {
					t.Errorf("%s without %s: got %v", target.id, e.path(), err)
				}
			}
		}
	}
}

// without is the document without one place of one target.
func without(t *testing.T, document []byte, target, path string) []byte {
	t.Helper()
	doc, err := parse(document)
	if err != nil {
		t.Fatal(err)
	}
	operations, err := operationsOf(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range append(operations, operation{"document", doc}) {
		if op.id == target {
			if err := remove(op.node, path); err != nil {
				t.Fatal(err)
			}
		}
	}
	broken, err := render(doc)
	if err != nil {
		t.Fatal(err)
	}
	return broken
}
