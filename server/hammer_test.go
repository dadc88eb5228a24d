package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server"
	"github.com/amlgate/amlgate/server/azureml"
)

var (
	hammerFor  = flag.Duration("hammer", 0, "how long TestHammer goes on; 0: for a fixed number of calls")
	hammerSeed = flag.Uint64("hammer-seed", 0, "what TestHammer's calls are drawn from; 0: something new")
)

// TestHammer has many callers in all lanes score at once, while callers leave and the upstream breaks off at random.
// Whoever gets an answer gets the own one, whole; whoever stays is refused only for what the upstream did or, where there
// is little room, for want of it; and nothing stays lent.
func TestHammer(t *testing.T) {
	seed := *hammerSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-hammer-seed %d", seed)
	for _, tight := range []bool{false, true} {
		name := "room"
		if tight {
			name = "little room"
		}
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Metrics = "127.0.0.1:0"
			cfg.Upstream = listening(t, func(conn net.Conn) { serveHammer(t, conn) })
			if tight {
				cfg = tightConfig(cfg.Upstream)
				cfg.MaxBody, cfg.MaxAnswer, cfg.MaxInFlight = 320<<10, 320<<10, 1280<<10
			}
			hammer(t, start(t, cfg), seed, tight)
		})
	}
}

// hammer makes the calls: a fixed number, or as many as there is time for.
func hammer(t *testing.T, srv *server.Server, seed uint64, tight bool) {
	const callers, calls = 10, 500 // callers in each lane; calls of all
	var begun atomic.Int64
	end := time.Now().Add(*hammerFor / 2) // for each of the two tests
	more := func() bool { return begun.Add(1) <= calls || *hammerFor > 0 && time.Now().Before(end) }
	lanes := map[string]func(*testing.T, *server.Server) lane{"rest": restLane, "json": jsonLane, "tables": tablesLane}
	var mu sync.Mutex
	seen := map[string]int{}
	var working sync.WaitGroup
	for i, name := range slices.Sorted(maps.Keys(lanes)) {
		for n := range callers {
			random := rand.New(rand.NewPCG(seed, uint64(i*callers+n)))
			call := lanes[name](t, srv)
			working.Go(func() {
				for more() && !t.Failed() {
					s := drawScore(random)
					got := call(s, random)
					if !s.expects(got, tight) {
						t.Errorf("%s: %+v ended with %q", name, s, got)
					}
					mu.Lock()
					seen[fmt.Sprintf("%s: upstream %s, caller %s: %s", name, s.upstream, s.caller, got)]++
					seen[name+": "+got]++
					seen["calls"]++
					mu.Unlock()
				}
			})
		}
	}
	working.Wait()
	waitNothingHeld(t, srv)
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%6d %s", seen[what], what)
	}
	for name := range lanes {
		if seen[name+": "+whole] == 0 {
			t.Errorf("%s: not one call was answered", name)
		}
	}
}

// How a call ends. Any other word is a failure of the test.
const (
	whole   = "whole"   // with the own answer
	refused = "refused" // with the upstream's own error, which names the call
	broken  = "broken"  // the upstream broke off
	noRoom  = "no room" // too many bytes in flight
	left    = "left"    // the caller did not wait for the end
)

// endings are what an upstream's conduct may lead to while the caller stays.
var endings = map[string][]string{
	"answers":        {whole},
	"chunks":         {whole},         // no length announced
	"closes":         {whole},         // nor chunks: the connection's end is the answer's
	"early":          {whole},         // answered before the request is read
	"early-and-gone": {whole, broken}, // and the rest is never read
	"tears":          {broken},        // breaks off somewhere, perhaps before the first byte
	"tears-chunks":   {broken},
	"refuses":        {refused},
}

// score is one call, which the texts that it carries tell apart from all others.
type score struct {
	id              string
	asked, answered int    // lengths of the fillers
	upstream        string // a key of endings
	caller          string // "stays" or how it leaves
}

func drawScore(r *rand.Rand) score {
	size := func() int { return 1 << (4 + r.IntN(14)) * (16 + r.IntN(22)) / 16 } // up to 300 kB, small ones as often as large
	s := score{id: fmt.Sprintf("%016x", r.Uint64()), asked: size(), answered: size(), upstream: "answers", caller: "stays"}
	if r.IntN(2) == 0 {
		conducts := slices.Sorted(maps.Keys(endings))
		s.upstream = conducts[r.IntN(len(conducts))]
	}
	if r.IntN(3) == 0 {
		s.caller = []string{"leaves early", "leaves later", "hangs up"}[r.IntN(3)]
	}
	return s
}

// expects reports whether a call may end so.
func (s score) expects(got string, tight bool) bool {
	return slices.Contains(endings[s.upstream], got) || got == left && s.caller != "stays" || got == noRoom && tight
}

// call is the text that names the call, filler one of n bytes that are nobody else's.
func (s score) call() string {
	return fmt.Sprintf("%s %d %d %s", s.id, s.asked, s.answered, s.upstream)
}

func (s score) filler(n int) string { return strings.Repeat(s.id, n/len(s.id)+1)[:n] }

func (s score) request() []byte {
	return fmt.Appendf(nil, `{"Inputs":{"input1":{"ColumnNames":["call","filler"],"Values":[["%s","%s"]]}},"GlobalParameters":{}}`, s.call(), s.filler(s.asked))
}

func (s score) answer() []byte {
	return fmt.Appendf(nil, `{"Results":{"output1":{"type":"table","value":{"ColumnNames":["call","filler"],"ColumnTypes":["String","String"],"Values":[["%s","%s"]]}}}}`, s.id, s.filler(s.answered))
}

// scoreFrom finds the call that a request, or its beginning, is.
func scoreFrom(body string) (s score, ok bool) {
	_, rest, _ := strings.Cut(body, `[["`)
	text, _, ok := strings.Cut(rest, `"`)
	n, _ := fmt.Sscanf(text, "%s %d %d %s", &s.id, &s.asked, &s.answered, &s.upstream)
	return s, ok && n == 4 && len(s.id) == 16
}

// serveHammer is the upstream: it does as each request says.
func serveHammer(t *testing.T, conn net.Conn) {
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body := make([]byte, min(256, req.ContentLength))
		if _, err := io.ReadFull(req.Body, body); err != nil {
			return // the caller left
		}
		s, ok := scoreFrom(string(body))
		if !ok {
			t.Errorf("the upstream was asked %q", body)
			return
		}
		early := strings.HasPrefix(s.upstream, "early")
		if early && (!s.answerTo(conn) || s.upstream == "early-and-gone") {
			return
		}
		rest, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		if body = append(body, rest...); !strings.Contains(string(body), `"`+s.filler(s.asked)+`"`) {
			t.Errorf("the upstream was asked %+v with another call's bytes", s)
			return
		}
		if !early && !s.answerTo(conn) {
			return
		}
	}
}

// answerTo answers a call, and reports whether the connection is to be kept.
func (s score) answerTo(conn net.Conn) bool {
	body, code := s.answer(), "200 OK"
	if s.upstream == "refuses" {
		body, code = fmt.Appendf(nil, `{"error":{"code":"BadArgument","message":"x","details":[{"code":"BadParameterValue","message":"%s"}]}}`, s.id), "400 Bad Request"
	}
	head := fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: application/json\r\n", code)
	var text string
	switch s.upstream {
	case "chunks", "tears-chunks":
		half := len(body) / 2
		text = fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", head, half, body[:half], len(body)-half, body[half:])
	case "closes":
		text = fmt.Sprintf("%sConnection: close\r\n\r\n%s", head, body)
	case "early-and-gone":
		text = fmt.Sprintf("%sConnection: close\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body)
	default:
		text = fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
	}
	tears := strings.HasPrefix(s.upstream, "tears")
	if tears {
		var n uint64
		_, _ = fmt.Sscanf(s.id, "%x", &n) // as random as anything
		text = text[:n%uint64(len(text))]
	}
	_, err := io.WriteString(conn, text)
	return err == nil && !tears && s.upstream != "closes"
}

// lane makes one call, and says how it ended.
type lane func(s score, r *rand.Rand) string

// restLane keeps a connection for as long as it is good.
func restLane(t *testing.T, srv *server.Server) lane {
	var c *connection
	t.Cleanup(func() {
		if c != nil {
			_ = c.Close()
		}
	})
	return func(s score, r *rand.Rand) string {
		if c == nil {
			conn, err := net.Dial("tcp", srv.HTTPAddr())
			if err != nil {
				return err.Error()
			}
			c = &connection{conn, bufio.NewReader(conn)}
		}
		body := s.request()
		request := append(post(len(body)), body...)
		if r.IntN(4) == 0 {
			request = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", execute, len(body), body)
		}
		if s.caller != "stays" {
			leaveREST(c, s, r, request)
			c = nil
			return left
		}
		if _, err := c.Write(request); err != nil {
			return err.Error()
		}
		resp, err := http.ReadResponse(c.r, &http.Request{Method: http.MethodPost})
		if err != nil {
			return err.Error()
		}
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			return err.Error()
		}
		return s.endedREST(resp.StatusCode, answer)
	}
}

// leaveREST closes the connection in the middle of the request, while the call is under way, or in its answer.
func leaveREST(c *connection, s score, r *rand.Rand, request []byte) {
	if r.IntN(2) == 0 {
		_ = c.Conn.(*net.TCPConn).SetLinger(0) // it is reset
	}
	switch s.caller {
	case "leaves early":
		_, _ = c.Write(request[:r.IntN(len(request))])
	case "hangs up":
		_, _ = c.Write(request)
	case "leaves later":
		_, _ = c.Write(request)
		if resp, err := http.ReadResponse(c.r, &http.Request{Method: http.MethodPost}); err == nil {
			_, _ = io.CopyN(io.Discard, resp.Body, r.Int64N(int64(s.answered)))
		}
	}
	_ = c.Close()
}

func (s score) endedREST(code int, answer []byte) string {
	if code == http.StatusOK {
		if string(answer) == string(s.answer()) {
			return whole
		}
		return fmt.Sprintf("another answer: %.200q", answer)
	}
	var e azureml.Envelope
	if err := json.Unmarshal(answer, &e); err != nil || len(e.Error.Details) == 0 {
		return fmt.Sprintf("%d %.200q", code, answer)
	}
	switch d := e.Error.Details[0]; {
	case code == 400 && d.Code == "BadParameterValue" && d.Message == s.id:
		return refused
	case code == 502 && d.Code == "UpstreamBrokeOff":
		return broken
	case code == 503 && d.Code == "TooManyBytesInFlight":
		return noRoom
	}
	return fmt.Sprintf("%d %.200q", code, answer)
}

func jsonLane(t *testing.T, srv *server.Server) lane {
	return grpcLane(t, srv, func(s score) *v1.ExecuteRequest {
		return &v1.ExecuteRequest{Workspace: "w1", Service: "s1", Payload: &v1.ExecuteRequest_Json{Json: s.request()}}
	}, func(s score, resp *v1.ExecuteResponse) bool { return string(resp.GetJson()) == string(s.answer()) })
}

func tablesLane(t *testing.T, srv *server.Server) lane {
	texts := func(name, text string) *v1.Column {
		return &v1.Column{Name: name, Values: &v1.Column_Strings{Strings: &v1.Strings{Values: []string{text}}}}
	}
	return grpcLane(t, srv, func(s score) *v1.ExecuteRequest {
		table := &v1.Table{RowCount: 1, Columns: []*v1.Column{texts("call", s.call()), texts("filler", s.filler(s.asked))}}
		return &v1.ExecuteRequest{Workspace: "w1", Service: "s1", Payload: &v1.ExecuteRequest_Tables{Tables: &v1.ScoringInput{Inputs: map[string]*v1.Table{"input1": table}}}}
	}, func(s score, resp *v1.ExecuteResponse) bool {
		columns := resp.GetTables().GetResults()["output1"].GetColumns()
		return len(columns) == 2 && slices.Equal(columns[0].GetStrings().GetValues(), []string{s.id}) &&
			slices.Equal(columns[1].GetStrings().GetValues(), []string{s.filler(s.answered)})
	})
}

// grpcLane makes its calls over one connection, but those that end with the connection over one of their own.
func grpcLane(t *testing.T, srv *server.Server, request func(score) *v1.ExecuteRequest, own func(score, *v1.ExecuteResponse) bool) lane {
	shared := dial(t, srv)
	return func(s score, r *rand.Rand) string {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		conn, leave, patience := shared, cancel, r.IntN(1000)
		switch s.caller {
		case "leaves later":
			patience *= 20
		case "hangs up":
			var err error
			if conn, err = grpc.NewClient(srv.GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
				return err.Error()
			}
			leave = func() { _ = conn.Close() }
		}
		ended := make(chan struct{})
		var leaving sync.WaitGroup
		if s.caller != "stays" {
			leaving.Go(func() {
				defer leave()
				for range patience {
					select {
					case <-ended:
						return
					default:
						runtime.Gosched()
					}
				}
			})
		}
		resp, err := v1.NewScoringServiceClient(conn).Execute(ctx, request(s), grpc.MaxCallRecvMsgSize(1<<20))
		close(ended)
		leaving.Wait()
		switch {
		case err != nil:
			return s.endedGRPC(err)
		case own(s, resp):
			return whole
		}
		return fmt.Sprintf("another answer: %.200q", resp.String())
	}
}

func (s score) endedGRPC(err error) string {
	st := status.Convert(err)
	for _, d := range st.Details() {
		info, ok := d.(*errdetails.ErrorInfo)
		switch {
		case !ok:
		case st.Code() == codes.InvalidArgument && info.GetReason() == "BadParameterValue" && strings.Contains(st.Message(), s.id):
			return refused
		case st.Code() == codes.Internal && info.GetReason() == "UPSTREAM_BROKE_OFF":
			return broken
		case st.Code() == codes.ResourceExhausted && info.GetReason() == "TOO_MANY_BYTES_IN_FLIGHT":
			return noRoom
		}
	}
	if st.Code() == codes.Canceled || s.caller == "hangs up" && st.Code() == codes.Unavailable {
		return left
	}
	return err.Error()
}
