package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is the command itself where it starts itself as one of its roles.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		main()
	}
	dir, err := os.MkdirTemp("", "benchkit-test-")
	if err != nil {
		panic(err)
	}
	built = sync.OnceValues(func() (string, error) {
		program := filepath.Join(dir, "amlgate")
		return program, exec.Command("go", "build", "-o", program, "github.com/amlgate/amlgate/cmd/amlgate").Run()
	})
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// built builds an amlgate of this tree, once for all tests.
var built func() (string, error)

// short runs the command with times too short to mean anything, and returns its folder.
func short(t *testing.T, dir string, args ...string) {
	t.Helper()
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-rounds", "1", "-seconds", "0.1", "-warmup", "10ms", "-concurrency", "4", "-amlgate", program, "-out", dir}, args...)
	if err := run(t.Context(), args, io.Discard); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestEveryTarget measures everything once and wants good answers from all of them; nginx where it is installed.
func TestEveryTarget(t *testing.T) {
	dir := t.TempDir()
	short(t, dir, "-sizes", "small,large-classic", "-amlgate-flags", "--log-format text --max-body 8000000", "-also", "old="+must(built()))
	results, err := readFile(filepath.Join(dir, "results.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"direct", "reverseproxy", "nginx", "grpc-struct", "amlgate", "amlgate-grpc-json", "amlgate-grpc-tables", "old", "old-grpc-json", "old-grpc-tables",
		"reverseproxy-tls", "nginx-tls", "amlgate-tls", "amlgate-grpc-json-tls", "amlgate-grpc-tables-tls", "old-tls", "old-grpc-json-tls", "old-grpc-tables-tls"}
	if _, err := exec.LookPath("nginx"); err != nil {
		want = append(want[:2:2], append(append([]string{}, want[3:11]...), want[12:]...)...)
	}
	if got := (table{results}).targets(); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("targets are\n%v, want\n%v", got, want)
	}
	for _, r := range results {
		if r.bad != 0 || r.p50 <= 0 || r.rss <= 0 != (r.target == "direct") {
			t.Errorf("%+v", r)
		}
	}
	if !strings.Contains(read(t, dir, "table.md"), "### large-classic\n") {
		t.Error("table.md has no table of the second size")
	}
}

func must(program string, err error) string {
	if err != nil {
		panic(err)
	}
	return program
}

// TestRoundsAdd: -more goes on where an earlier run ended.
func TestRoundsAdd(t *testing.T) {
	dir := t.TempDir()
	short(t, dir, "-only", "direct", "-sizes", "small")
	short(t, dir, "-only", "reverse*,direct", "-sizes", "small", "-more", "-rounds", "2")
	results, err := readFile(filepath.Join(dir, "results.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	rounds := ""
	for _, r := range results {
		rounds += r.target + string(rune('0'+r.round)) + " "
	}
	if rounds != "direct1 direct2 direct3 reverseproxy2 reverseproxy3 reverseproxy-tls2 reverseproxy-tls3 " {
		t.Errorf("the file has %s", rounds)
	}
}

// TestModes runs the other modes and draws the picture of what they leave.
func TestModes(t *testing.T) {
	dir := t.TempDir()
	short(t, dir, "-fixed-rate", "200", "-only", "direct,amlgate")
	if got := read(t, dir, "fixed-rate.md"); !strings.Contains(got, "| small | amlgate | ") || strings.Count(got, "\n") != 4 {
		t.Errorf("fixed-rate.md is\n%s", got)
	}
	short(t, dir, "-memory", "-sizes", "medium")
	for _, lane := range lanes {
		if got := read(t, dir, "memory.md"); !strings.Contains(got, "| medium | amlgate"+lane+" | ") {
			t.Errorf("memory.md is\n%s", got)
		}
	}
	if err := run(t.Context(), []string{"-plot", "-out", dir}, io.Discard); err == nil || !strings.Contains(err.Error(), "sweep.tsv and results.tsv are needed") {
		t.Errorf("a picture of nothing: %v", err)
	}
	short(t, dir, "-sweep", "-only", "reverseproxy,amlgate", "-seconds", "0.05")
	short(t, dir, "-only", "reverseproxy,amlgate")
	for _, name := range []string{"picture.svg", "picture.png"} {
		if err := run(t.Context(), []string{"-plot", "-out", dir, "-picture", filepath.Join(dir, name)}, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	svg := read(t, dir, "picture.svg")
	for _, text := range []string{"amlgate", "ReverseProxy", "calls a second", "p99 latency, ms", "medium, 1 to 128 calls at a time", "CPU, large", "proxy CPU a call, µs"} {
		if !strings.Contains(svg, ">"+text+"<") {
			t.Errorf("the picture does not say %q", text)
		}
	}
	if png := read(t, dir, "picture.png"); !strings.HasPrefix(png, "\x89PNG") {
		t.Error("picture.png is no PNG")
	}
}

// TestNothingStaysBehind: what was started has ended, and its files are gone.
func TestNothingStaysBehind(t *testing.T) {
	k, err := newKids()
	if err != nil {
		t.Fatal(err)
	}
	n, err := k.startRole("upstream", "upstream")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.startAmlgate("broken", must(built()), "http://"+n.address, "", "--no-such-flag"); err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("an amlgate that does not start: %v", err)
	}
	if err := k.stop(); err != nil {
		t.Fatal(err)
	}
	if n.cmd.ProcessState == nil {
		t.Error("the upstream runs on")
	}
	if _, err := os.Stat(k.dir); !os.IsNotExist(err) {
		t.Errorf("the folder: %v", err)
	}
}

func TestWrongArguments(t *testing.T) {
	dir := t.TempDir()
	for want, args := range map[string][]string{
		"-out":          {},
		"-seconds":      {"-out", dir, "-seconds", "31"},
		"NAME=FILE":     {"-out", dir, "-also", "x"},
		"no size":       {"-out", dir, "-sizes", "huge"},
		"no target":     {"-out", dir, "-only", "envoy"},
		"no such file":  {"-out", dir, "-only", "amlgate", "-amlgate", "/no/such/program"},
		"not defined":   {"-load-the-internet"},
		"results.tsv: ": {"-out", spoilt(t), "-more"},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}

// spoilt is a folder with a results.tsv that is none.
func spoilt(t *testing.T) string {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "results.tsv"), []byte("a\tb\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
