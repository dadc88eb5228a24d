package server_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server"
	"github.com/amlgate/amlgate/server/openapitest"
)

// A story is one file of testdata/stories: a call over gRPC (grpc.request), the same over REST (rest.request), what a
// scripted upstream is asked (upstream.request) and answers (upstream.answer), and what the callers get (grpc.answer,
// rest.answer). A story without upstream.request must not reach the upstream; upstream.request.grpc stands where gRPC's
// differs. The words are the wire's own: lines end
// with LF for CRLF, Content-Length is filled in where it says so, the last line's LF is not the body's, and a packed
// answer is shown unpacked.
//
// "go test ./server -run TestStories -update" writes the answers as they are now; read the diff before you keep it.
var update = flag.Bool("update", false, "rewrite the answers in testdata/stories")

func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/stories/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			s := readStory(t, file)
			if s.has("grpc.request") {
				t.Run("grpc", func(t *testing.T) { s.check(t, "grpc", s.overGRPC) })
			}
			if s.has("rest.request") {
				t.Run("rest", func(t *testing.T) { s.check(t, "rest", s.overREST) })
			}
			if head, body, ok := strings.Cut(s.section("rest.request"), "\n\n"); ok && !*update {
				// With a deadline of its own a scoring call takes the generated route instead of the short one.
				s.set("rest.request", head+"\nGrpc-Timeout: 1H\n\n"+body)
				t.Run("rest by the generated route", func(t *testing.T) { s.check(t, "rest", s.overREST) })
			}
			if *update && !t.Failed() {
				if err := os.WriteFile(file, txtar.Format(s.archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestJobStoriesOnDisk tells the stories of jobs again, with a journal that survives.
func TestJobStoriesOnDisk(t *testing.T) {
	files, err := filepath.Glob("testdata/stories/job-*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			s := readStory(t, file)
			s.durable = true
			if s.has("grpc.request") {
				t.Run("grpc", func(t *testing.T) { s.check(t, "grpc", s.overGRPC) })
			}
			if s.has("rest.request") {
				t.Run("rest", func(t *testing.T) { s.check(t, "rest", s.overREST) })
			}
		})
	}
}

type story struct {
	archive *txtar.Archive
	durable bool
}

func readStory(t *testing.T, file string) *story {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"grpc.request", "rest.request", "upstream.request", "upstream.request.grpc", "upstream.answer", "grpc.answer", "rest.answer"}
	for _, f := range a.Files {
		if !slices.Contains(known, f.Name) {
			t.Fatalf("%s: section %q is none of %v", file, f.Name, known)
		}
	}
	return &story{archive: a}
}

func (s *story) has(name string) bool {
	return slices.ContainsFunc(s.archive.Files, func(f txtar.File) bool { return f.Name == name })
}

// section returns a section without its last line's end.
func (s *story) section(name string) string {
	for _, f := range s.archive.Files {
		if f.Name == name {
			return strings.TrimSuffix(string(f.Data), "\n")
		}
	}
	return ""
}

func (s *story) set(name, text string) {
	for i, f := range s.archive.Files {
		if f.Name == name {
			s.archive.Files[i].Data = []byte(text + "\n")
			return
		}
	}
	s.archive.Files = append(s.archive.Files, txtar.File{Name: name, Data: []byte(text + "\n")})
}

// check runs the story over one surface and compares what the upstream was asked and what the caller got.
func (s *story) check(t *testing.T, surface string, tell func(*testing.T, *server.Server) string) {
	up := newScriptedUpstream(t, s.section("upstream.answer"))
	cfg := testConfig()
	cfg.Upstream = up.url()
	if s.section("upstream.answer") == "!hang" {
		cfg.UpstreamTimeout = 50 * time.Millisecond
	}
	if s.durable {
		cfg.Store.Data = t.TempDir()
	}
	got := tell(t, start(t, cfg))
	asked := up.asked()
	name := surface + ".answer"
	want := "upstream.request"
	if s.has(want + "." + surface) {
		want += "." + surface
	}
	if *update {
		s.set(name, got)
		if len(asked) > 0 && (surface == "rest" || !s.has("rest.request") || want != "upstream.request") {
			s.set(want, asked[0])
		}
		return
	}
	if want := s.section(name); got != want {
		t.Errorf("the caller got:\n%s\nwant:\n%s", got, want)
	}
	switch {
	case !s.has(want) && len(asked) > 0:
		t.Errorf("the upstream was asked:\n%s\nand should not have been", asked[0])
	case s.has(want) && (len(asked) != 1 || asked[0] != s.section(want)):
		t.Errorf("the upstream was asked %d times:\n%s\nwant once:\n%s", len(asked), strings.Join(asked, "\n---\n"), s.section(want))
	}
}

// overREST sends the story's request as it is written and returns the answer's status, notable headers and body.
func (s *story) overREST(t *testing.T, srv *server.Server) string {
	conn, err := net.Dial("tcp", srv.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(wire(s.section("rest.request"))); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(s.section("rest.request"), " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("Content-Encoding") == "gzip" { // unpacked: how it is packed depends on the build
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	s.judge(t, resp, body)
	return resp.Status + "\n" + notable(resp.Header) + "\n" + steady(printable(oneSpellingOfLines(t, resp, body)))
}

// oneSpellingOfLines rewrites what protojson wrote, which differs from build to build on purpose; AzureML's own bytes
// stay as they are.
func oneSpellingOfLines(t *testing.T, resp *http.Response, body []byte) []byte {
	t.Helper()
	ours := bytes.Contains(body, []byte("nextPageToken")) || bytes.Contains(body, []byte(`"jobs"`)) ||
		strings.Contains(resp.Header.Get("Content-Type"), "ndjson") || strings.Contains(resp.Header.Get("Content-Type"), "event-stream")
	if !ours {
		return body
	}
	lines := strings.Split(string(body), "\n")
	for i, line := range lines {
		data, isEvent := strings.CutPrefix(line, "data: ")
		var v any
		if json.Unmarshal([]byte(data), &v) != nil {
			continue
		}
		b, _ := json.Marshal(v)
		if lines[i] = string(b); isEvent {
			lines[i] = "data: " + string(b)
		}
	}
	return []byte(strings.Join(lines, "\n"))
}

// judge holds call and answer against the OpenAPI document, unless the story says that it leaves it.
func (s *story) judge(t *testing.T, resp *http.Response, body []byte) {
	t.Helper()
	if strings.Contains(string(s.archive.Comment), "(not in the OpenAPI document)") {
		return
	}
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire(s.section("rest.request")))))
	if err != nil {
		t.Fatal(err)
	}
	document := openapitest.New(t)
	if resp.StatusCode == http.StatusOK {
		if err := document.Request(req); err != nil {
			t.Errorf("the OpenAPI document refuses the request: %v", err)
		}
	}
	if err := document.Response(req, resp.StatusCode, resp.Header, body); err != nil {
		t.Errorf("the OpenAPI document refuses the answer: %v", err)
	}
}

// notable writes the headers that a story tells, sorted; those that differ from run to run are left out.
func notable(h map[string][]string) string {
	var lines []string
	for name, values := range h {
		switch name := strings.ToLower(name); {
		case name == "date" || name == "content-length" || name == "x-ms-client-request-id":
		case name == "x-ms-request-id" && len(values[0]) == 32: // ours
		case strings.HasPrefix(name, "x-ms-"), strings.HasPrefix(name, "azureml-"), strings.HasPrefix(name, "ms-azureml-"),
			name == "content-type" && !strings.HasPrefix(values[0], "application/grpc"), name == "content-encoding", name == "retry-after",
			name == "allow", name == "connection", name == "set-cookie", name == "server":
			lines = append(lines, name+": "+strings.Join(values, ", ")+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// printable writes what is no text as Go would.
func printable(b []byte) string {
	if bytes.ContainsFunc(b, func(r rune) bool { return r == '�' || r < ' ' && r != '\n' && r != '\t' }) {
		return fmt.Sprintf("%q", b)
	}
	return string(b)
}

// overGRPC makes the story's call: method, metadata, an empty line, the message. The message is protojson, except that
// bytes are written as the text they are.
func (s *story) overGRPC(t *testing.T, srv *server.Server) string {
	head, body, _ := strings.Cut(s.section("grpc.request"), "\n\n")
	lines := strings.Split(head, "\n")
	ctx := t.Context()
	for _, line := range lines[1:] {
		k, v, _ := strings.Cut(line, ": ")
		ctx = metadata.AppendToOutgoingContext(ctx, k, v)
	}
	method := methodNamed(t, lines[0])
	req := newMessage(t, method.Input())
	fromText(t, body, req)
	var md metadata.MD
	full := fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
	if method.IsStreamingServer() {
		return s.watchOverGRPC(t, ctx, srv, full, req)
	}
	resp := newMessage(t, method.Output())
	if err := dial(t, srv).Invoke(ctx, full, req, resp, grpc.Header(&md)); err != nil {
		return status.Code(err).String() + "\n" + notable(md) + "\n" + errorText(t, err)
	}
	return codes.OK.String() + "\n" + notable(md) + "\n" + messageText(t, resp)
}

// watchOverGRPC reads a stream to its end.
func (s *story) watchOverGRPC(t *testing.T, ctx context.Context, srv *server.Server, full string, req proto.Message) string {
	stream, err := dial(t, srv).NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, full)
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.SendMsg(req)
	_ = stream.CloseSend()
	var events strings.Builder
	for {
		msg := &v1.WatchJobResponse{}
		err := stream.RecvMsg(msg)
		if err == io.EOF {
			return codes.OK.String() + "\n\n" + strings.TrimSuffix(events.String(), "\n")
		}
		if err != nil {
			return status.Code(err).String() + "\n\n" + events.String() + errorText(t, err)
		}
		events.WriteString(steady(oneSpelling(t, msg)) + "\n")
	}
}

// methodNamed finds a method of either service.
func methodNamed(t *testing.T, name string) protoreflect.MethodDescriptor {
	t.Helper()
	for _, file := range []protoreflect.FileDescriptor{v1.File_amlgate_v1_scoring_service_proto, v1.File_amlgate_v1_job_service_proto} {
		if m := file.Services().Get(0).Methods().ByName(protoreflect.Name(name)); m != nil {
			return m
		}
	}
	t.Fatalf("there is no method %q", name)
	return nil
}

func newMessage(t *testing.T, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return kind.New().Interface()
}

// steady puts a fixed word in the place of what differs from run to run: cursors, tokens and the time of now.
func steady(text string) string {
	for _, v := range varying {
		text = v.ReplaceAllString(text, "${1}*${2}")
	}
	return text
}

var varying = []*regexp.Regexp{
	regexp.MustCompile(`("(?:cursor|nextPageToken|observeTime)": ?")[^"]+(")`),
	regexp.MustCompile(`(?m)(^id: )\S+()`),
	regexp.MustCompile(`("createTime": ?")20[2-9][^"]+(")`),
}

// fromText reads a message; a "json" member is taken as the bytes themselves, or as those of a text.
func fromText(t *testing.T, text string, msg proto.Message) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		t.Fatalf("grpc.request: %v", err)
	}
	raw, ok := members["json"]
	delete(members, "json")
	rest, _ := json.Marshal(members)
	if err := protojson.Unmarshal(rest, msg); err != nil {
		t.Fatalf("grpc.request: %v", err)
	}
	if ok {
		var quoted string
		if json.Unmarshal(raw, &quoted) == nil {
			raw = []byte(quoted)
		}
		m := msg.ProtoReflect()
		m.Set(m.Descriptor().Fields().ByName("json"), protoreflect.ValueOfBytes(raw))
	}
}

// messageText writes an answer: bytes as they are, the rest as protojson in one spelling.
func messageText(t *testing.T, msg proto.Message) string {
	t.Helper()
	switch m := msg.(type) {
	case *v1.ExecuteResponse:
		if m.GetTables() == nil {
			return printable(m.GetJson())
		}
	case *v1.GetServiceSchemaResponse:
		document := string(m.GetSwaggerJson())
		m.SwaggerJson = nil
		return document + "\n" + oneSpelling(t, m)
	}
	return steady(oneSpelling(t, msg))
}

// errorText writes a status: its message, then each detail.
func errorText(t *testing.T, err error) string {
	t.Helper()
	st := status.Convert(err)
	lines := []string{st.Message()}
	for _, d := range st.Details() {
		lines = append(lines, strings.TrimPrefix(fmt.Sprintf("%T", d), "*errdetails.")+" "+oneSpelling(t, d.(proto.Message)))
	}
	return strings.Join(lines, "\n")
}

// oneSpelling writes a message as JSON that does not differ from build to build, as protojson's does on purpose.
func oneSpelling(t *testing.T, msg proto.Message) string {
	t.Helper()
	b, err := protojson.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

func dial(t *testing.T, srv *server.Server) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(srv.GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// start runs a server until the test ends, and fails the test if it does not stop well.
func start(t testing.TB, cfg server.Config) *server.Server {
	t.Helper()
	return startLogging(t, cfg, io.Discard)
}

func startLogging(t testing.TB, cfg server.Config, log io.Writer) *server.Server {
	t.Helper()
	srv, err := server.New(cfg, testLogger(log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server did not stop well: %v", err)
		}
	})
	return srv
}
