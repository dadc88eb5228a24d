package server_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// stubsPrint is what every language's gRPC client prints: tables there and back with missing cells in every kind of
// vector, the json lane, and two errors with their details.
func stubsPrint(t *testing.T) string {
	t.Helper()
	want, err := os.ReadFile(client(t, "grpc.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(want)
}

// contract lists the protos that stubs are generated from: amlgate's own, and with google also our declaration of
// google.api.
func contract(t *testing.T, google bool) []string {
	t.Helper()
	patterns := []string{"amlgate/v1/*.proto"}
	if google {
		patterns = append(patterns, "google/api/*.proto")
	}
	var names []string
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(protos(t), filepath.FromSlash(pattern)))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		for _, file := range files {
			name, err := filepath.Rel(protos(t), file)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, filepath.ToSlash(name))
		}
	}
	return names
}

// TestPythonStubs scores through stubs that grpcio-tools generates, in both arrangements that people use: google.api from
// Google's own package alone, and generated beside the stubs although that package is installed too.
func TestPythonStubs(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	for name, google := range map[string]bool{"google.api installed": false, "google.api generated": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stubs := t.TempDir()
			program{argv: slices.Concat(
				[]string{interpreter, "-m", "grpc_tools.protoc", "-I" + protos(t), "--python_out=" + stubs, "--grpc_python_out=" + stubs},
				contract(t, google))}.run(t)
			got := program{
				argv: []string{interpreter, client(t, "python", "grpc_client.py")},
				env:  []string{"PYTHONPATH=" + stubs},
			}.call(t, start(t, testConfig()))
			expect(t, got, stubsPrint(t))
		})
	}
}

// TestPythonPool loads our declaration of google.api and Google's into one process. Python's descriptor pool takes two
// files of one name only if they are the same; the file options are what makes ours the same, as leaving them out shows.
func TestPythonPool(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	generate := func(from string) string {
		out := t.TempDir()
		program{argv: []string{interpreter, "-m", "grpc_tools.protoc", "-I" + from, "--python_out=" + out,
			"google/api/http.proto", "google/api/annotations.proto"}}.run(t)
		return out
	}
	load := func(order ...string) (string, error) {
		return program{
			argv: slices.Concat([]string{interpreter, client(t, "python", "pool.py")}, order),
			env:  []string{"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=upb"}, // the usual one; that in pure Python lets anything pass
		}.try(t)
	}
	ours, bare := generate(protos(t)), generate(withoutOptions(t))
	for _, order := range [][]string{{ours, "installed"}, {"installed", ours}} {
		if got, err := load(order...); err != nil || got != "both loaded\n" {
			t.Errorf("%v: %s%v", order, got, err)
		}
	}
	if _, err := load(bare, "installed"); err == nil || !strings.Contains(err.Error(), "duplicate file name google/api/http.proto") {
		t.Errorf("without file options: %v; want a refusal, or else the options are not needed any more", err)
	}
}

// withoutOptions returns a copy of our google/api without file options.
func withoutOptions(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "google", "api"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"http.proto", "annotations.proto"} {
		text, err := os.ReadFile(filepath.Join(protos(t), "google", "api", name))
		if err != nil {
			t.Fatal(err)
		}
		lines := slices.DeleteFunc(bytes.SplitAfter(text, []byte("\n")), func(line []byte) bool { return bytes.HasPrefix(line, []byte("option ")) })
		if err := os.WriteFile(filepath.Join(root, "google", "api", name), bytes.Join(lines, nil), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestNodeStubs scores through stubs that ts-proto generates for @grpc/grpc-js, type-checked.
func TestNodeStubs(t *testing.T) {
	t.Parallel()
	needs(t, "node")
	packages := filepath.Join(prepared(t, "node", "package.json", "package-lock.json"), "node_modules")
	java := prepared(t, "java", "pom.xml") // has the only protoc that is not Python's
	dir := t.TempDir()
	if err := os.Symlink(packages, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"grpc_client.ts", "tsconfig.json"} {
		text, err := os.ReadFile(client(t, "node", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "gen"), 0o700); err != nil {
		t.Fatal(err)
	}
	program{dir: dir, argv: slices.Concat([]string{
		filepath.Join(java, "bin", "protoc"), "-I" + protos(t), "-I" + filepath.Join(java, "include"),
		"--plugin=" + filepath.Join("node_modules", ".bin", "protoc-gen-ts_proto"), "--ts_proto_out=gen",
		"--ts_proto_opt=outputServices=grpc-js,oneof=unions,forceLong=bigint,env=node,esModuleInterop=true",
		"google/rpc/status.proto", "google/rpc/error_details.proto"}, contract(t, false))}.run(t)
	program{dir: dir, argv: []string{filepath.Join("node_modules", ".bin", "tsc"), "--project", "."}}.run(t)
	got := program{dir: dir, argv: []string{"node", filepath.Join("out", "grpc_client.js")}}.call(t, start(t, testConfig()))
	expect(t, got, stubsPrint(t))
}

// TestJavaStubs scores through stubs that protoc and grpc-java generate; google.api is Google's, which grpc-java brings.
func TestJavaStubs(t *testing.T) {
	t.Parallel()
	needs(t, "java", "javac")
	java := prepared(t, "java", "pom.xml")
	jars := filepath.Join(java, "lib", "*")
	dir := t.TempDir()
	program{dir: dir, argv: slices.Concat([]string{
		filepath.Join(java, "bin", "protoc"), "-I" + protos(t), "-I" + filepath.Join(java, "include"),
		"--plugin=" + filepath.Join(java, "bin", "protoc-gen-grpc-java"), "--java_out=.", "--grpc-java_out=."}, contract(t, false))}.run(t)
	sources, err := filepath.Glob(filepath.Join(dir, "io", "github", "amlgate", "v1", "*.java"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("nothing was generated: %v", err)
	}
	program{dir: dir, argv: slices.Concat([]string{"javac", "-proc:none", "-nowarn", "-cp", jars, "-d", ".", client(t, "java", "GrpcClient.java")}, sources)}.run(t)
	got := program{dir: dir, argv: []string{"java", "-cp", "." + string(os.PathListSeparator) + jars, "GrpcClient"}}.call(t, start(t, testConfig()))
	expect(t, got, stubsPrint(t))
}
