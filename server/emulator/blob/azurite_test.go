package blob_test

import (
	"bufio"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/amlgate/amlgate/server/emulator/blob"
)

// ours starts an endpoint and returns its account's URL.
func ours(t *testing.T) string {
	t.Helper()
	e, err := blob.New(blob.Config{})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	return srv.URL + "/" + blob.DevelopmentAccount
}

var listening = regexp.MustCompile(`successfully listens on (http://127\.0\.0\.1:\d+)`)

// azurite starts Azurite's blob service on a free port of loopback, in a folder that goes with the test, and returns its
// account's URL. The version check is off, since azblob is newer than Azurite.
func azurite(t *testing.T) string {
	t.Helper()
	dir := prepared(t, "blob-node", "package-lock.json", "node/package-lock.json")
	node, err := exec.LookPath("node")
	if err != nil {
		lacks(t, "node is not installed")
	}
	cmd := exec.Command(node, filepath.Join(dir, "node_modules", "azurite", "dist", "src", "blob", "main.js"),
		"--blobHost", "127.0.0.1", "--blobPort", "0", "--location", t.TempDir(), "--silent", "--skipApiVersionCheck", "--disableTelemetry")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	var log strings.Builder
	for said.Scan() {
		log.WriteString(said.Text() + "\n")
		if m := listening.FindStringSubmatch(said.Text()); m != nil {
			go func() { // or a full pipe would stop it
				for said.Scan() {
				}
			}()
			t.Cleanup(func() {
				_ = cmd.Process.Signal(syscall.SIGTERM)
				_ = cmd.Wait()
			})
			return m[1] + "/" + blob.DevelopmentAccount
		}
	}
	_ = cmd.Wait()
	t.Fatalf("Azurite did not start:\n%s", log.String())
	return ""
}
