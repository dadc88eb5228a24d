package server

import (
	"bytes"
	"context"
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server/api"
)

// TestRoutesAreTheContracts holds the front door's table against the HTTP rules in the protos: the same paths and verbs,
// and every parameter that the generated mux would take.
func TestRoutesAreTheContracts(t *testing.T) {
	want := map[string]string{}
	for _, file := range []protoreflect.FileDescriptor{v1.File_amlgate_v1_scoring_service_proto, v1.File_amlgate_v1_job_service_proto} {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				m := methods.Get(j)
				method, path, body := rule(t, m)
				want[method+" "+path] = strings.Join(queryOf(m, path, body), " ")
			}
		}
	}
	got := map[string]string{}
	for _, rt := range routes {
		for _, v := range rt.verbs {
			query := append([]string{"api-version"}, v.query...)
			slices.Sort(query)
			got[v.method+" "+rt.template] = strings.Join(query, " ")
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("the front door has\n%v\nthe contract\n%v", got, want)
	}
}

func rule(t *testing.T, m protoreflect.MethodDescriptor) (method, path, body string) {
	t.Helper()
	r, ok := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	if !ok {
		t.Fatalf("%s has no HTTP rule", m.FullName())
	}
	switch p := r.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return "GET", p.Get, r.GetBody()
	case *annotations.HttpRule_Post:
		return "POST", p.Post, r.GetBody()
	case *annotations.HttpRule_Delete:
		return "DELETE", p.Delete, r.GetBody()
	}
	t.Fatalf("%s has a rule of another kind", m.FullName())
	return "", "", ""
}

// queryOf lists the fields of a request that are neither in the path nor a payload, by their names in a query.
// request_id is a header over REST.
func queryOf(m protoreflect.MethodDescriptor, path, body string) []string {
	var names []string
	for i := range m.Input().Fields().Len() {
		f := m.Input().Fields().Get(i)
		name := string(f.Name())
		if strings.Contains(path, "{"+name+"}") || f.ContainingOneof() != nil || name == body || name == "request_id" {
			continue
		}
		if strings.Contains(f.JSONName(), "-") { // named for REST on purpose
			name = f.JSONName()
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestPanicBecomesAnError(t *testing.T) {
	var log bytes.Buffer
	chain := []grpc.UnaryServerInterceptor{checkCredential, recovered(slog.New(slog.NewTextHandler(&log, nil)))}
	ctx := api.WithCall(context.Background(), &api.Call{ID: "id-1"})
	method := behind(chain, nil, "/m", func(context.Context, *v1.GetJobRequest) (*v1.GetJobResponse, error) { panic("boom at 0xdead") })
	_, err := method(ctx, &v1.GetJobRequest{})
	if status.Code(err).String() != "Internal" || strings.Contains(err.Error(), "boom") {
		t.Errorf("the caller gets %v", err)
	}
	for _, want := range []string{"id-1", "boom at 0xdead", "inside_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q: %s", want, log.String())
		}
	}
}

// TestRecoveryIsLast: whatever comes later in the chain would not see a panic as an error.
func TestRecoveryIsLast(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler)}
	chain := s.chain()
	last := chain[len(chain)-1]
	_, err := last(context.Background(), nil, &grpc.UnaryServerInfo{}, func(context.Context, any) (any, error) { panic("x") })
	var f *api.Failure
	if !errors.As(err, &f) {
		t.Errorf("the last link does not recover: %v", err)
	}
}

// floors says how high a package stands; imports go from higher to lower floors only. Each number has room below it.
var floors = map[string]int{
	"cmd/amlgate": 90, "cmd/benchkit": 90, "cmd/openapi": 90, "cmd/internal/load": 85,
	"server": 80, "server/api": 70,
	"server/jobs":    50,
	"server/azureml": 40, "server/emulator": 40, "server/store": 40,
	"server/redact": 10, "server/logline": 15, "server/memory": 10, "server/openapitest": 20, "server/emulator/blob": 20,
	"gen/amlgate/v1": 0, "gen/openapi": 0, "proto": 0,
}

// forbidden are imports that a room does without, and why.
var forbidden = map[string]map[string]string{
	"server/azureml":  {"google.golang.org/grpc": "it knows HTTP only", "google.golang.org/protobuf": "it knows HTTP only", "github.com/amlgate/amlgate/gen": "the contract is api's"},
	"server/jobs":     {"google.golang.org/grpc": "it knows neither surface", "google.golang.org/protobuf": "it knows neither surface", "github.com/amlgate/amlgate/server/azureml": "the upstream is a function to it"},
	"server/store":    {"google.golang.org/grpc": "it knows bytes only", "github.com/amlgate/amlgate/": "what the bytes mean is its callers' business"},
	"server/emulator": {"google.golang.org/grpc": "it is an AzureML", "github.com/amlgate/amlgate/": "a test bench that shares code shares its mistakes"},
}

// TestImportsOnlyFall reads every package's imports, and that each package says what it is.
func TestImportsOnlyFall(t *testing.T) {
	const module = "github.com/amlgate/amlgate/"
	documented := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			if err == nil && d.IsDir() && path != ".." && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		room := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), ".."+string(os.PathSeparator)))
		floor, known := floors[room]
		if !known {
			t.Errorf("package %s has no floor", room)
		}
		documented[room] = documented[room] || file.Doc != nil || strings.HasSuffix(path, ".pb.go")
		if strings.HasSuffix(path, "_test.go") {
			return nil
		}
		for _, spec := range file.Imports {
			name := strings.Trim(spec.Path.Value, `"`)
			for prefix, why := range forbidden[room] {
				if strings.HasPrefix(name, prefix) {
					t.Errorf("%s imports %s; %s", path, name, why)
				}
			}
			if ours, ok := strings.CutPrefix(name, module); ok && floors[ours] >= floor {
				t.Errorf("%s imports %s, which does not stand below it", path, ours)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for room := range floors {
		if !documented[room] && room != "proto" {
			t.Errorf("package %s does not say what it is", room)
		}
	}
}
