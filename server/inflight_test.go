package server_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server"
)

// scrape reads /metrics.
func scrape(t *testing.T, srv *server.Server) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + srv.MetricsAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %v", resp.Status, err)
	}
	return string(b)
}

var gauge = regexp.MustCompile(`(?m)^amlgate_in_flight_bytes (\S+)$`)

// inFlight reads the gauge of bytes held.
func inFlight(t *testing.T, srv *server.Server) float64 {
	t.Helper()
	found := gauge.FindStringSubmatch(scrape(t, srv))
	if found == nil {
		t.Fatal("/metrics does not tell amlgate_in_flight_bytes")
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// waitNothingHeld returns when the gauge reads 0: a call's buffers go back a moment after its answer is read.
func waitNothingHeld(t *testing.T, srv *server.Server) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); inFlight(t, srv) != 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%v bytes stay counted", inFlight(t, srv))
		}
	}
}

// tightConfig has as little room as can be: 2 MiB for requests of 512 KiB and answers of as many.
func tightConfig(upstream string) server.Config {
	cfg := testConfig()
	cfg.Upstream, cfg.Metrics = upstream, "127.0.0.1:0"
	cfg.MaxBody, cfg.MaxAnswer, cfg.MaxInFlight = 512<<10, 512<<10, 2<<20
	return cfg
}

// TestBytesInFlightAreBounded fills the room with calls that the upstream holds, and is refused over both surfaces until
// they are let go.
func TestBytesInFlightAreBounded(t *testing.T) {
	h := newHolding(t)
	srv := start(t, tightConfig(h.url))
	client := v1.NewScoringServiceClient(dial(t, srv))
	request := func() *v1.ExecuteRequest {
		return &v1.ExecuteRequest{Workspace: "w1", Service: "s1", Payload: &v1.ExecuteRequest_Json{Json: make([]byte, 512<<10)}}
	}
	var held sync.WaitGroup
	for n := range 3 { // new calls have three quarters: 1.5 MiB
		if n == 1 {
			c := connect(t, srv)
			held.Go(func() {
				if resp, body := c.exchange(t, append(post(512<<10), make([]byte, 512<<10)...)); resp.StatusCode != 200 {
					t.Errorf("a call that was let in: %s %s", resp.Status, body)
				}
			})
		} else {
			held.Go(func() {
				if _, err := client.Execute(t.Context(), request()); err != nil {
					t.Errorf("a call that was let in: %v", err)
				}
			})
		}
		<-h.came
	}
	if n := inFlight(t, srv); n != 3*512<<10 {
		t.Errorf("%v bytes are in flight, want 1.5 MiB", n)
	}

	tables := &v1.ExecuteRequest{Workspace: "w1", Service: "s1", Payload: &v1.ExecuteRequest_Tables{Tables: &v1.ScoringInput{}}}
	for name, req := range map[string]*v1.ExecuteRequest{"json": request(), "tables": tables} {
		_, err := client.Execute(t.Context(), req)
		st := status.Convert(err)
		if st.Code() != codes.ResourceExhausted || !strings.Contains(st.Message(), "--max-in-flight") || !strings.Contains(st.Message(), "nothing ran") {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if info, ok := st.Details()[0].(*errdetails.ErrorInfo); !ok || info.GetReason() != "TOO_MANY_BYTES_IN_FLIGHT" || info.GetDomain() != "amlgate" {
			t.Errorf("%s: %v", name, st.Details())
		}
	}
	c := connect(t, srv)
	for range 2 { // the refusal leaves the connection good
		resp, body := c.exchange(t, append(post(2), "{}"...))
		if d := envelope(t, resp, body); resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" || d.Code != "TooManyBytesInFlight" || !strings.Contains(d.Message, "--max-in-flight") {
			t.Errorf("REST: %s %v %+v", resp.Status, resp.Header, d)
		}
	}
	chunked := "POST " + execute + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
	if resp, body := c.exchange(t, []byte(chunked)); resp.StatusCode != 503 {
		t.Errorf("REST in chunks: %s %s", resp.Status, body)
	}

	close(h.let)
	held.Wait()
	waitNothingHeld(t, srv)
	if _, err := client.Execute(t.Context(), request()); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if resp, body := c.exchange(t, append(post(2), "{}"...)); resp.StatusCode != 200 {
		t.Errorf("with room again over REST: %s %s", resp.Status, body)
	}
	waitNothingHeld(t, srv)
}

// answeringUpstream gives every call the same answer.
func answeringUpstream(t *testing.T, body string) string {
	t.Helper()
	return newScriptedUpstream(t, "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: auto\n\n"+body).url()
}

// TestAnswersNobodyReads drops callers while their answers are queued, several times as much as there is room for: none
// of it stays counted.
func TestAnswersNobodyReads(t *testing.T) {
	asTables := proto.CloneOf(scoreNothing)
	asTables.Payload = &v1.ExecuteRequest_Tables{Tables: &v1.ScoringInput{}}
	text := strings.Repeat("x", 400<<10)
	answer := `{"Results":{"o":{"type":"table","value":{"ColumnNames":["c"],"Values":[["` + text + `"]]}}}}`
	t.Run("json", func(t *testing.T) {
		nobodyReads(t, scoreNothing, answer, func(resp *v1.ExecuteResponse) bool { return string(resp.GetJson()) == answer })
	})
	t.Run("tables", func(t *testing.T) {
		nobodyReads(t, asTables, answer, func(resp *v1.ExecuteResponse) bool {
			return resp.GetTables().GetResults()["o"].GetColumns()[0].GetStrings().GetValues()[0] == text
		})
	})
}

func nobodyReads(t *testing.T, req *v1.ExecuteRequest, answer string, right func(*v1.ExecuteResponse) bool) {
	for name, drop := range map[string]func(*testing.T, *server.Server, *v1.ExecuteRequest){
		"a stream that is reset":           resetStreams,
		"a connection that is closed":      closeConnections,
		"a connection over REST":           closeREST,
		"a client's own way of giving up":  cancelCalls,
		"a stream reset before its answer": resetEarly,
	} {
		t.Run(name, func(t *testing.T) {
			srv := start(t, tightConfig(answeringUpstream(t, answer)))
			drop(t, srv, req)
			waitNothingHeld(t, srv)
			resp, err := v1.NewScoringServiceClient(dial(t, srv)).Execute(t.Context(), req, grpc.MaxCallRecvMsgSize(1<<20))
			if err != nil || !right(resp) {
				t.Errorf("a call that reads its answer: %v", err)
			}
			waitNothingHeld(t, srv)
		})
	}
}

// TestTablesThatFindNoRoom has an answer that is small as JSON and larger than all room as a message: the caller learns that
// the call has run, and nothing stays counted.
func TestTablesThatFindNoRoom(t *testing.T) {
	row := "[" + strings.Repeat("1,", 999) + "1],"
	rows := strings.TrimSuffix(strings.Repeat(row, 400), ",") // 800 kB, and 3.2 MB as doubles
	cfg := tightConfig(answeringUpstream(t, `{"Results":{"o":{"type":"table","value":{"Values":[`+rows+`]}}}}`))
	cfg.MaxBody, cfg.MaxAnswer = 64<<10, 960<<10
	srv := start(t, cfg)
	client := v1.NewScoringServiceClient(dial(t, srv))
	_, err := client.Execute(t.Context(), &v1.ExecuteRequest{Workspace: "w1", Service: "s1", Payload: &v1.ExecuteRequest_Tables{Tables: &v1.ScoringInput{}}})
	if st := status.Convert(err); st.Code() != codes.ResourceExhausted || !strings.Contains(st.Message(), "--max-in-flight") || !strings.Contains(st.Message(), "the call has run") {
		t.Errorf("%v", err)
	}
	waitNothingHeld(t, srv)
}

// h2 is a client that speaks HTTP/2 frame by frame, with the smallest of windows: answers stay queued at the server.
type h2 struct {
	conn   net.Conn
	framer *http2.Framer
	block  strings.Builder
	hpack  *hpack.Encoder
	next   uint32
}

func newH2(t testing.TB, srv *server.Server) *h2 {
	t.Helper()
	conn, err := net.Dial("tcp", srv.GRPCAddr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &h2{conn: conn, framer: http2.NewFramer(conn, bufio.NewReader(conn)), next: 1}
	c.hpack = hpack.NewEncoder(&c.block)
	_, _ = io.WriteString(conn, http2.ClientPreface)
	_ = c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
	return c
}

// execute sends a scoring call and returns its stream.
func (c *h2) execute(t *testing.T, req *v1.ExecuteRequest) uint32 {
	t.Helper()
	return c.call(t, v1.ScoringService_Execute_FullMethodName, req)
}

// call sends a call and returns its stream.
func (c *h2) call(t testing.TB, method string, req proto.Message) uint32 {
	t.Helper()
	id := c.next
	c.next += 2
	c.block.Reset()
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", "a"}, {"authorization", "Bearer k1"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		_ = c.hpack.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte(c.block.String()), EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	msg, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.framer.WriteData(id, true, append([]byte{0, 0, 0, 0, byte(len(msg))}, msg...)); err != nil {
		t.Fatal(err)
	}
	return id
}

// await reads until some of the stream's answer has come, so that the rest is queued.
func (c *h2) await(t testing.TB, id uint32) {
	t.Helper()
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = c.framer.WritePing(true, f.Data)
			}
		case *http2.DataFrame:
			if f.StreamID == id && len(f.Data()) > 0 {
				return
			}
		case *http2.HeadersFrame:
			if f.StreamEnded() {
				t.Fatal("the call was refused")
			}
		}
	}
}

const dropped = 30 // of 400 KiB: six times the room

func resetStreams(t *testing.T, srv *server.Server, req *v1.ExecuteRequest) {
	c := newH2(t, srv)
	for range dropped {
		id := c.execute(t, req)
		c.await(t, id)
		if inFlight(t, srv) == 0 {
			t.Error("an answer that is queued does not count")
		}
		_ = c.framer.WriteRSTStream(id, http2.ErrCodeCancel)
		waitNothingHeld(t, srv)
	}
}

func resetEarly(t *testing.T, srv *server.Server, req *v1.ExecuteRequest) {
	c := newH2(t, srv)
	for range dropped {
		_ = c.framer.WriteRSTStream(c.execute(t, req), http2.ErrCodeCancel)
	}
}

func closeConnections(t *testing.T, srv *server.Server, req *v1.ExecuteRequest) {
	for range dropped / 3 {
		c := newH2(t, srv)
		for range 3 {
			c.await(t, c.execute(t, req))
		}
		_ = c.conn.Close()
		waitNothingHeld(t, srv)
	}
}

func closeREST(t *testing.T, srv *server.Server, _ *v1.ExecuteRequest) {
	for range dropped {
		c := connect(t, srv)
		_ = c.Conn.(*net.TCPConn).SetReadBuffer(1)
		_, _ = c.Write(append(post(2), "{}"...))
		if _, err := c.r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
}

func cancelCalls(t *testing.T, srv *server.Server, req *v1.ExecuteRequest) {
	client := dial(t, srv)
	for range dropped {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := client.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, v1.ScoringService_Execute_FullMethodName)
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.SendMsg(req)
		_, _ = stream.Header() // the answer is behind it
		cancel()
	}
}
