package server

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server/api"
	"github.com/amlgate/amlgate/server/jobs"
	"github.com/amlgate/amlgate/server/memory"
)

// cut returns a message in pieces, as a transport hands it on; seed says where it is cut.
func cut(data []byte, seed uint64) mem.BufferSlice {
	r := rand.New(rand.NewPCG(seed, 1))
	var out mem.BufferSlice
	for len(data) > 0 {
		n := 1 + r.IntN(len(data))
		if r.IntN(3) == 0 {
			n = min(n, 1+r.IntN(4))
		}
		out = append(out, mem.SliceBuffer(data[:n:n]))
		data = data[n:]
	}
	return out
}

// spelled writes unknown fields with each number in its shortest form: the codec may shorten one that it passes over.
func spelled(unknown []byte) []byte {
	var out []byte
	for len(unknown) > 0 {
		number, kind, n := protowire.ConsumeTag(unknown)
		unknown = unknown[n:]
		out = protowire.AppendTag(out, number, kind)
		switch kind {
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(unknown)
			out, unknown = protowire.AppendVarint(out, v), unknown[n:]
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(unknown)
			out, unknown = protowire.AppendBytes(out, v), unknown[n:]
		default:
			n := protowire.ConsumeFieldValue(number, kind, unknown)
			out, unknown = append(out, unknown[:n]...), unknown[n:]
		}
	}
	return out
}

func encoded(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzExecuteRequest reads any bytes, in any pieces, as proto.Unmarshal does.
func FuzzExecuteRequest(f *testing.F) {
	asJSON := encoded(f, &v1.ExecuteRequest{Workspace: "w", Service: "s", ApiVersion: "2.0", Details: true, Format: "swagger", Payload: &v1.ExecuteRequest_Json{Json: []byte(`{"Inputs":{}}`)}})
	asTables := encoded(f, &v1.ExecuteRequest{Workspace: "w", Service: "s", Payload: &v1.ExecuteRequest_Tables{Tables: &v1.ScoringInput{Inputs: map[string]*v1.Table{
		"input1": {RowCount: 1, Columns: []*v1.Column{{Name: "a", Values: &v1.Column_Doubles{Doubles: &v1.Doubles{Values: []float64{1}}}}}}}}}})
	onlyJSON := encoded(f, &v1.ExecuteRequest{Payload: &v1.ExecuteRequest_Json{Json: bytes.Repeat([]byte("x"), 3000)}})
	emptyTables := encoded(f, &v1.ExecuteRequest{Payload: &v1.ExecuteRequest_Tables{Tables: &v1.ScoringInput{}}})
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for i, seed := range [][]byte{
		{}, asJSON, asTables, onlyJSON, emptyTables,
		join(asJSON, asJSON), join(asJSON, onlyJSON), join(asJSON, asTables), join(asTables, asJSON), join(emptyTables, asJSON), join(asJSON, emptyTables), join(asTables, asTables),
		join(asJSON, []byte{0x78, 0x01}), join([]byte{0x7a, 0x02, 'a', 'b'}, asJSON), join(asJSON, []byte{0xf8, 0x80, 0x00, 0x81, 0x00}), // unknown fields
		join(asJSON, []byte{0x7b, 0x08, 0x01, 0x7c}), join(asJSON, []byte{0x7b}), join(asJSON, []byte{0x7c}), // groups
		join(asJSON, []byte{0x7d, 1, 2, 3, 4}), join(asJSON, []byte{0x79, 1, 2, 3, 4, 5, 6, 7, 8}), // fixed
		asJSON[:len(asJSON)-1], asJSON[:3], asTables[:len(asTables)/2],
		{0x32, 0xff, 0xff, 0xff, 0xff, 0x0f}, {0x32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, {0x0a, 0x80, 0x80, 0x80, 0x80, 0x08},
		{0x32, 0x00}, {0x30, 0x01}, {0x38, 0x01}, {0x00, 0x01}, {0x06}, {0x07}, {0x0a, 0x01, 0xff}, // an empty JSON, wrong kinds, field 0, no UTF-8
		join([]byte{0x0a, 0x90, 0x4e}, bytes.Repeat([]byte("w"), 10_000), asJSON), // a long id
		join(bytes.Repeat([]byte{0x0a, 0x02, 'w', 'w'}, 1500), asJSON),            // many of them
	} {
		f.Add(seed, uint64(i))
	}
	pool := memory.NewPool(1 << 30)
	c := newCodec(pool, 1<<20)
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		if len(data) > 1<<20 {
			t.Skip()
		}
		var want, got v1.ExecuteRequest
		wantErr := proto.Unmarshal(data, &want)
		in := &incoming{msg: &got}
		pieces := bytes.Clone(data)
		err := c.Unmarshal(cut(pieces, seed), in)
		clear(pieces) // the transport uses its buffers again at once
		switch {
		case in.refused != nil:
			t.Fatalf("refused: %v", in.refused)
		case (err == nil) != (wantErr == nil):
			t.Fatalf("% x: %v, want %v", data, err, wantErr)
		case err == nil:
			for _, m := range []*v1.ExecuteRequest{&want, &got} {
				m.ProtoReflect().SetUnknown(spelled(m.ProtoReflect().GetUnknown()))
			}
			if !proto.Equal(&got, &want) {
				t.Fatalf("% x is\n%v, want\n%v", data, &got, &want)
			}
		}
		in.lease.Release()
		if pool.Lent() != 0 {
			t.Fatalf("%d bytes stay lent", pool.Lent())
		}
	})
}

// A request that there is no room for, or that is too large, is refused and keeps nothing.
func TestRequestsAreRefusedUnread(t *testing.T) {
	jsonLane := func(n int) proto.Message {
		return &v1.ExecuteRequest{Payload: &v1.ExecuteRequest_Json{Json: make([]byte, n)}}
	}
	tables := &v1.ExecuteRequest{Payload: &v1.ExecuteRequest_Tables{Tables: &v1.ScoringInput{Inputs: map[string]*v1.Table{strings.Repeat("n", 90_000): {}}}}}
	for name, tc := range map[string]struct {
		msg   proto.Message
		limit int
		says  string
	}{
		"no room for JSON":   {jsonLane(90_000), 1 << 20, "--max-in-flight"},
		"no room for tables": {tables, 1 << 20, "--max-in-flight"},
		"too large":          {jsonLane(90_000), 90_000, "--max-message"},
	} {
		pool := memory.NewPool(100_000) // new calls have three quarters of it
		in := &incoming{msg: &v1.ExecuteRequest{}}
		if err := newCodec(pool, tc.limit).Unmarshal(cut(encoded(t, tc.msg), 1), in); err != nil || in.refused == nil || !strings.Contains(in.refused.Error(), tc.says) {
			t.Errorf("%s: %v, %v", name, err, in.refused)
		}
		if in.lease != nil || pool.Lent() != 0 {
			t.Errorf("%s: %d bytes stay lent", name, pool.Lent())
		}
	}
}

// Answers are written as proto.Marshal writes them, from where they lie or copied, and their buffer goes back when the
// transport is done with them.
func TestAnswersAreWrittenAsEver(t *testing.T) {
	pool := memory.NewPool(1 << 30)
	c := newCodec(pool, 1<<20)
	for _, size := range []int{0, 1, 127, 128, 4 << 10, leastLoan - 1, leastLoan, leastLoan + 1, 16 << 10, 20_000, 300_000} {
		for _, unpacked := range []bool{false, true} { // unpacked answers are the garbage collector's, beside a buffer or without
			lease, err := pool.Lend(max(size, 1))
			if err != nil {
				t.Fatal(err)
			}
			for i := range lease.B {
				lease.B[i] = byte('a' + i%26)
			}
			text := lease.B[:size]
			if unpacked {
				text = bytes.Clone(text)
			}
			msg := &v1.ExecuteResponse{Payload: &v1.ExecuteResponse_Json{Json: text}}
			want := encoded(t, msg)
			data, err := c.Marshal(&outgoing{msg, lease, &rpc{conn: &grpcConn{}}})
			if err != nil {
				t.Fatal(err)
			}
			if got := data.Materialize(); !bytes.Equal(got, want) {
				t.Errorf("an answer of %d bytes is written as %d, want %d, or they differ", size, len(got), len(want))
			}
			if lent := pool.Lent() > 0; size >= leastLoan && !unpacked && !lent {
				t.Errorf("the buffer of an answer of %d bytes went back before it was written", size)
			}
			data.Free()
			if pool.Lent() != 0 {
				t.Errorf("the buffer of an answer of %d bytes stays lent", size)
			}
		}
		msg := &v1.ExecuteResponse{Payload: &v1.ExecuteResponse_Json{Json: make([]byte, size)}}
		data, err := c.Marshal(&outgoing{msg: msg, rpc: &rpc{conn: &grpcConn{}}})
		if err != nil || !bytes.Equal(data.Materialize(), encoded(t, msg)) {
			t.Errorf("an answer of %d bytes without a buffer: %v, or it differs", size, err)
		}
	}
}

// answerOf is an answer with a table of one column, cells long.
func answerOf(name string, cells int) *v1.ExecuteResponse {
	values := make([]float64, cells)
	for i := range values {
		values[i] = float64(i) / 8
	}
	table := &v1.Table{RowCount: uint32(cells), Columns: []*v1.Column{{Name: name, Values: &v1.Column_Doubles{Doubles: &v1.Doubles{Values: values}}}}}
	return &v1.ExecuteResponse{Payload: &v1.ExecuteResponse_Tables{Tables: &v1.ScoringOutput{Results: map[string]*v1.Table{"o": table}}}}
}

// Answers of tables are written over the JSON they came from, where that has about their size, and else into a buffer of
// their own. It goes back when the transport is done with it.
func TestTablesAreWrittenAsEver(t *testing.T) {
	pool := memory.NewPool(1 << 30)
	c := newCodec(pool, 1<<20)
	for _, cells := range []int{0, 1, leastLoan/8 - 9, leastLoan / 8, 5000, 50_000} {
		for _, room := range []int{0, 1, 8*cells - 1, 9*cells + 100, 30*cells + 20_000} { // 0: unpacked, or the garbage collector's
			out := &outgoing{msg: answerOf("c", cells), rpc: &rpc{conn: &grpcConn{}}}
			want := encoded(t, out.msg)
			if room > 0 {
				out.lease, _ = pool.Lend(room)
			}
			over := out.lease
			fits := over != nil && cap(over.B) >= len(want) && cap(over.B) <= 2*len(want)
			if f := c.write(out); f != nil {
				t.Fatal(f)
			}
			if len(want) >= leastLoan && (out.lease == over) != fits {
				t.Errorf("%d bytes beside a buffer of %d: it is written over: %v, want %v", len(want), room, !fits, fits)
			}
			data, err := c.Marshal(out)
			if err != nil || !bytes.Equal(data.Materialize(), want) {
				t.Fatalf("%d cells beside a buffer of %d: %v, or they are written differently", cells, room, err)
			}
			if lent := pool.Lent(); (lent > 0) != (len(want) >= leastLoan) || lent > 2*int64(len(want)) {
				t.Errorf("%d bytes are lent for an answer of %d that is to be written", lent, len(want))
			}
			data.Free()
			if pool.Lent() != 0 {
				t.Errorf("the buffer of an answer of %d bytes stays lent", len(want))
			}
		}
	}
}

// An answer of tables that cannot be written is refused, in words of its own where there is no room, and keeps nothing.
func TestTablesThatCannotBeWritten(t *testing.T) {
	for name, tc := range map[string]struct {
		msg  *v1.ExecuteResponse
		room int64
		says string
	}{
		"no room":   {answerOf("c", 5000), 42_000, "too many bytes are in flight for the answer (--max-in-flight); the call has run"},
		"too large": {answerOf("c", 5000), 20_000, "more than may be in flight at all (--max-in-flight); the call has run"},
		"not UTF-8": {answerOf("\xff", 5000), 1 << 20, "unexpected"},
	} {
		pool := memory.NewPool(tc.room)
		other, err := pool.Lend(1)
		if err != nil {
			t.Fatal(err)
		}
		lease, err := pool.Lend(3000) // the JSON
		if err != nil {
			t.Fatal(err)
		}
		f := newCodec(pool, 1<<20).write(&outgoing{msg: tc.msg, lease: lease})
		if f == nil || !strings.Contains(f.Error(), tc.says) {
			t.Errorf("%s: %v", name, f)
		}
		if other.Release(); pool.Lent() != 0 {
			t.Errorf("%s: %d bytes stay lent", name, pool.Lent())
		}
	}
}

// Where there is no room for a buffer of its own size, an answer that has a larger one is written into that.
func TestTablesKeepTheRoomTheyHave(t *testing.T) {
	pool := memory.NewPool(256 << 10)
	lease, err := pool.Lend(256 << 10)
	if err != nil {
		t.Fatal(err)
	}
	out := &outgoing{msg: answerOf("c", 5000), lease: lease}
	if f := newCodec(pool, 1<<20).write(out); f != nil || out.lease != lease {
		t.Errorf("%v, or it lies elsewhere", f)
	}
}

// A loan ends once, whoever ends it: the transport, the end of its call, or that of its connection.
func TestLoanEndsOnce(t *testing.T) {
	for name, end := range map[string]func(*rpc, *loan){
		"written":                       func(_ *rpc, l *loan) { l.Put(nil) },
		"written, then closed":          func(c *rpc, l *loan) { l.Put(nil); c.conn.close(); l.forget() },
		"closed, then written":          func(c *rpc, l *loan) { c.conn.close(); l.Put(nil) },
		"given up, closed, and written": func(c *rpc, l *loan) { l.forget(); c.conn.close(); l.Put(nil) },
	} {
		pool := memory.NewPool(1 << 20)
		lease, err := pool.Lend(5000)
		if err != nil {
			t.Fatal(err)
		}
		c := &rpc{conn: &grpcConn{}}
		end(c, c.lend(lease))
		if pool.Lent() != 0 || len(c.conn.loans) != 0 {
			t.Errorf("%s: %d bytes are lent, the connection holds %d loans", name, pool.Lent(), len(c.conn.loans))
		}
	}
}

// An answer that the transport will not write is not waited for: its call had ended with an error, or its stream was over
// when it was queued. Any other is the transport's until it is written.
func TestLoansOfCallsThatEnded(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		ctx  context.Context
		what stats.RPCStats
		lent bool
	}{
		"ended well":              {t.Context(), &stats.End{}, true},
		"ended with an error":     {t.Context(), &stats.End{Error: status.Error(codes.Canceled, "given up")}, false},
		"queued":                  {t.Context(), &stats.OutPayload{}, true},
		"queued behind its end":   {over, &stats.OutPayload{}, false},
		"another event, given up": {over, &stats.OutHeader{}, true},
	} {
		pool := memory.NewPool(1 << 20)
		lease, err := pool.Lend(5000)
		if err != nil {
			t.Fatal(err)
		}
		c := &rpc{conn: &grpcConn{}, method: "/m"}
		l := c.lend(lease)
		a := &accessLog{log: slog.New(slog.DiscardHandler), metrics: newMetrics(nil)}
		a.HandleRPC(context.WithValue(tc.ctx, rpcKey{}, c), tc.what)
		if (pool.Lent() > 0) != tc.lent {
			t.Errorf("%s: %d bytes are lent", name, pool.Lent())
		}
		l.Put(nil)
		if pool.Lent() != 0 {
			t.Errorf("%s: %d bytes are lent in the end", name, pool.Lent())
		}
	}
}

// An event is encoded once for all who are told it, as the standard codec does.
func TestEventsAreEncodedOnce(t *testing.T) {
	c := newCodec(memory.NewPool(1<<20), 1<<20)
	msg := &v1.WatchJobResponse{Cursor: "c1", Event: &v1.WatchJobResponse_Job{Job: &v1.Job{JobId: "j1"}}}
	want, err := proto.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	for _, memo := range []*jobs.Memo{nil, {}} {
		event := &api.Shared{WatchJobResponse: msg, Memo: memo}
		var bytes [2][]byte
		for i := range bytes {
			data, err := c.Marshal(event)
			if err != nil || len(data) != 1 || string(data[0].ReadOnlyData()) != string(want) {
				t.Fatalf("%v, %v; want %q", data, err, want)
			}
			bytes[i] = data[0].ReadOnlyData()
			data.Free()
		}
		if once := &bytes[0][0] == &bytes[1][0]; once != (memo != nil) {
			t.Errorf("encoded once: %v, with a memo: %v", once, memo != nil)
		}
	}
}
