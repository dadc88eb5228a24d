package server_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amlgate/amlgate/server"
)

// The tests in clients_*_test.go hold amlgate against programs that others wrote, or would write, for AzureML and for
// gRPC: real client libraries of other languages, and the bytes of those that cannot run here. The programs are in
// testdata/clients. Nothing is fetched: what a program needs besides its language is prepared beforehand by
// .ci/prepare-clients DIR and found through AMLGATE_CLIENTS=DIR.

// hashed is the answer to the guide's own example, "This is a good day", from service feature-hashing with details.
const hashed = `{"Results":{"output1":{"type":"table","value":{"ColumnNames":["Col2","Col2_HashingFeature.0","Col2_HashingFeature.1","Col2_HashingFeature.2","Col2_HashingFeature.3","Col2_HashingFeature.4","Col2_HashingFeature.5","Col2_HashingFeature.6","Col2_HashingFeature.7"],"ColumnTypes":["String","Int32","Int32","Int32","Int32","Int32","Int32","Int32","Int32"],"Values":[["This is a good day","1","1","2","2","0","2","0","1"]]}}}}`

// prepared returns the folder of what .ci/prepare-clients installed for a language. It must have been installed from the
// pins as they are now.
func prepared(t *testing.T, language string, pins ...string) string {
	t.Helper()
	root := os.Getenv("AMLGATE_CLIENTS")
	switch {
	case root == "":
		lacks(t, "%s clients are not prepared: run .ci/prepare-clients DIR and set AMLGATE_CLIENTS=DIR", language)
	case !filepath.IsAbs(root):
		t.Fatalf("AMLGATE_CLIENTS=%s: an absolute path is needed", root)
	}
	dir := filepath.Join(root, language)
	for _, name := range pins {
		want, err := os.ReadFile(client(t, language, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			lacks(t, "%s was not prepared from %s/%s as it is now: run .ci/prepare-clients %s again", dir, language, name, root)
		}
	}
	return dir
}

// client returns the absolute path of a file under testdata/clients.
func client(t *testing.T, elements ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", "clients", filepath.Join(elements...)))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// protos returns the folder of the contract.
func protos(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "proto"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// program is a foreign program.
type program struct {
	argv []string
	env  []string // besides the test's own
	dir  string   // where it runs; a new folder if empty
}

// call runs a program against a server, which it finds through AMLGATE_REST and AMLGATE_GRPC.
func (p program) call(t *testing.T, srv *server.Server) string {
	t.Helper()
	p.env = append(p.env,
		"AMLGATE_REST=http://"+srv.HTTPAddr(), "AMLGATE_GRPC="+srv.GRPCAddr(),
		// A proxy that the machine has for the world outside is not for this server.
		"no_proxy=127.0.0.1", "NO_PROXY=127.0.0.1", "no_grpc_proxy=127.0.0.1")
	return p.run(t)
}

// run runs a program to its end and returns what it printed. The test fails if it does not end well.
func (p program) run(t *testing.T) string {
	t.Helper()
	out, err := p.try(t)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// try is run for a program that may fail. What it wrote to standard error is in the error.
func (p program) try(t *testing.T) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	cmd.Env = append(os.Environ(), p.env...)
	if cmd.Dir = p.dir; p.dir == "" {
		cmd.Dir = t.TempDir()
	}
	cmd.WaitDelay = 5 * time.Second
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s", filepath.Base(p.argv[0]), err, complaint.String())
	}
	return out.String(), nil
}

// expect compares what a program printed with what it should have, by lines, so that one difference shows as one.
func expect(t *testing.T, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	line := 0
	for line < min(len(g), len(w)) && g[line] == w[line] {
		line++
	}
	t.Fatalf("from line %d on it printed\n%s\nwant\n%s", line+1, strings.Join(g[line:], "\n"), strings.Join(w[line:], "\n"))
}
