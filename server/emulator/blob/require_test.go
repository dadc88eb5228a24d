package blob_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// prepared returns a folder that .ci/prepare-blob installed. seal is the file in it that must be the same as pin under
// testdata/clients.
func prepared(t *testing.T, folder, seal, pin string) string {
	t.Helper()
	root := os.Getenv("AMLGATE_CLIENTS")
	switch {
	case root == "":
		lacks(t, "Azurite and the SDKs are not prepared: run .ci/prepare-blob DIR and set AMLGATE_CLIENTS=DIR")
	case !filepath.IsAbs(root):
		t.Fatalf("AMLGATE_CLIENTS=%s: an absolute path is needed", root)
	}
	dir := filepath.Join(root, folder)
	want, err := os.ReadFile(filepath.Join("testdata", "clients", pin))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, seal)); err != nil || !bytes.Equal(got, want) {
		lacks(t, "%s was not prepared from %s as it is now: run .ci/prepare-blob %s again", dir, pin, root)
	}
	return dir
}

// lacks ends a test for what the machine does not have: skipped, or failed under AMLGATE_REQUIRE=all.
func lacks(t *testing.T, format string, args ...any) {
	t.Helper()
	switch required := os.Getenv("AMLGATE_REQUIRE"); required {
	case "":
		t.Skipf(format, args...)
	case "all":
		t.Fatalf("AMLGATE_REQUIRE=all: "+format, args...)
	default:
		t.Fatalf("AMLGATE_REQUIRE=%q is not known; it is \"all\" or unset", required)
	}
}
