package emulator

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// These tests have real connections on every side. What else they need is
// prepared by .ci/prepare-blob DIR and found through AMLGATE_CLIENTS=DIR.

// endpoints are where blobs may lie, by name.
var endpoints = map[string]func(t *testing.T) string{
	"ours": func(t *testing.T) string {
		srv := httptest.NewServer(newEndpoint(t))
		t.Cleanup(srv.Close)
		return srv.URL
	},
	"Azurite": azurite,
}

// onNetwork runs a test once for each endpoint.
func onNetwork(t *testing.T, test func(t *testing.T, b *bench, url, blobs string)) {
	t.Helper()
	t.Parallel()
	for name, listen := range endpoints {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blobs := listen(t)
			e := mustNew(t, Config{BlobURL: blobs})
			t.Cleanup(e.Close)
			srv := httptest.NewServer(e)
			t.Cleanup(srv.Close)
			transport := &http.Transport{}
			t.Cleanup(transport.CloseIdleConnections)
			b := &bench{Emulator: e, t: t, path: hashingPath, blobs: newBlobClient(t, transport, blobs)}
			b.makeContainer("data")
			test(t, b, srv.URL, blobs)
		})
	}
}

// A job with all that storage has to do with it: keys and tokens on both
// sides, a container that is not there yet, results opened by anyone.
func TestJobOnNetwork(t *testing.T) {
	onNetwork(t, func(t *testing.T, b *bench, _, blobs string) {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		for _, name := range []string{"in.csv", "ein Täg/100% +&.csv"} {
			b.put("data", name, goodInput)
			escaped := "data/" + escapeName(name)
			token := b.sign("data", name, "r")
			for _, input := range []string{byAccount("/data/" + name), byURL(blobs+"/devstoreaccount1/", escaped, token)} {
				for _, outputs := range []string{`null`, `{"output1":` + byAccount("data/out of "+name) + `}`} {
					id := b.started(`{"Inputs":{"input1":` + input + `},"Outputs":` + outputs + `}`)
					if status, text := b.fetch(b.ended(id), "output1", transport); status != 200 || text != goodOutput {
						t.Errorf("%s: %d %q", name, status, text)
					}
				}
			}
		}
		id := b.started(`{"Input":` + byAccount("data/in.csv") + `,"Output":` + byURL(blobs+"/devstoreaccount1/", "data/by token.csv", b.sign("data", "by token.csv", "cw")) + `}`)
		if a := b.ended(id); a.StatusCode != "Finished" || b.get("data", "by token.csv") != goodOutput {
			t.Errorf("by token: %+v", a)
		}
		for path, want := range map[string]string{"data/none.csv": "BlobNotFound", "none/none.csv": "ContainerNotFound"} {
			a := b.ended(b.started(`{"Input":` + byAccount(path) + `}`))
			if a.Details == nil || !strings.Contains(*a.Details, path+": "+want+" (HTTP status 404)") {
				t.Errorf("%s: %+v", path, a)
			}
		}
	})
}

// A start call is answered while its body goes on, as that of a Node client
// does for ever.
func TestEndlessStart(t *testing.T) {
	t.Parallel()
	e := mustNew(t, Config{BlobURL: blobURL, Faults: Faults{JobHang: true}})
	t.Cleanup(e.Close)
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	b := &bench{Emulator: e, t: t, path: hashingPath}
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s/jobs/%s/start HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer demo-key\r\nTransfer-Encoding: chunked\r\n\r\n", b.path, b.submit(goodOrder))
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Errorf("%q, %v", line, err)
	}
}

// ended asks until a job has ended.
func (b *bench) ended(id string) jobAnswer {
	b.t.Helper()
	for {
		a := b.status(id)
		if state(a.StatusCode).ended() {
			return a
		}
		runtime.Gosched()
	}
}

// TestGuidesProgram runs the batch sample that Microsoft's guide prints.
func TestGuidesProgram(t *testing.T) {
	onNetwork(t, func(t *testing.T, b *bench, url, blobs string) {
		python := filepath.Join(prepared(t, "python", "blob-requirements.txt", "python/requirements.txt"), "bin", "python")
		dir := t.TempDir()
		input, output := filepath.Join(dir, "mydata.csv"), filepath.Join(dir, "myresults.csv")
		if err := os.WriteFile(input, []byte(goodInput), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "clients", "bes.py"))
		cmd.Env = append(os.Environ(), "AMLGATE_REST="+url, "STORAGE_ACCOUNT="+developmentAccount, "STORAGE_KEY="+developmentKey,
			"STORAGE_URL="+blobs+"/"+developmentAccount, "STORAGE_CONTAINER=data", "INPUT_FILE="+input, "OUTPUT_FILE="+output,
			"no_proxy=127.0.0.1", "NO_PROXY=127.0.0.1")
		said, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		t.Logf("it said\n%s", said)
		for _, want := range []string{"Uploaded the input", "status:Finished", "finished!", "BaseLocation: " + blobs + "/devstoreaccount1/\n", "RelativeLocation: data/myresultsblob.csv\n", "have been written to the file"} {
			if !strings.Contains(string(said), want) {
				t.Errorf("it did not say %q", want)
			}
		}
		if got, err := os.ReadFile(output); err != nil || string(got) != goodOutput {
			t.Errorf("%v: %q", err, got)
		}
	})
}

// prepared returns a folder that .ci/prepare-blob installed. seal is the file
// in it that must be the same as pin, which the blob endpoint's tests have.
func prepared(t *testing.T, folder, seal, pin string) string {
	t.Helper()
	root := os.Getenv("AMLGATE_CLIENTS")
	if root == "" {
		lacks(t, "Azurite and the SDKs are not prepared: run .ci/prepare-blob DIR and set AMLGATE_CLIENTS=DIR")
	}
	want, err := os.ReadFile(filepath.Join("blob", "testdata", "clients", pin))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, folder)
	if got, err := os.ReadFile(filepath.Join(dir, seal)); err != nil || !bytes.Equal(got, want) {
		lacks(t, "%s was not prepared from %s as it is now: run .ci/prepare-blob %s again", dir, pin, root)
	}
	return dir
}

// lacks ends a test for what the machine does not have: skipped, or failed
// under AMLGATE_REQUIRE=all.
func lacks(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("AMLGATE_REQUIRE") == "all" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

var listening = regexp.MustCompile(`successfully listens on (http://127\.0\.0\.1:\d+)`)

// azurite starts Azurite's blob service on a free port of loopback, in memory.
// The version check is off, since azblob is newer than Azurite.
func azurite(t *testing.T) string {
	t.Helper()
	dir := prepared(t, "blob-node", "package-lock.json", "node/package-lock.json")
	cmd := exec.Command("node", filepath.Join(dir, "node_modules", "azurite", "dist", "src", "blob", "main.js"),
		"--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		lacks(t, "node cannot be started: %v", err)
	}
	said, log := bufio.NewReader(out), ""
	for {
		line, err := said.ReadString('\n')
		if log += line; err != nil {
			t.Fatal(fmt.Errorf("Azurite did not start: %w, %w\n%s", err, cmd.Wait(), log))
		}
		if m := listening.FindStringSubmatch(line); m != nil {
			drained := make(chan bool)
			go func() { // or a full pipe would stop it
				_, _ = io.Copy(io.Discard, said)
				close(drained)
			}()
			t.Cleanup(func() {
				_ = cmd.Process.Signal(syscall.SIGTERM)
				<-drained
				_ = cmd.Wait()
			})
			return m[1]
		}
	}
}
