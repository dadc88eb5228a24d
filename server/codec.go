package server

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	protobuf "google.golang.org/protobuf/proto"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server/api"
	"github.com/amlgate/amlgate/server/memory"
)

// codec reads and writes native gRPC's messages. Scoring's JSON is passed on from where the transport put it, and sent
// back from where the upstream's answer lies; answers of tables are written into a buffer that is lent. All else is the
// standard codec's.
type codec struct {
	encoding.CodecV2
	buffers *memory.Pool
	limit   int // of a message, bytes
}

func newCodec(buffers *memory.Pool, limit int) *codec {
	return &codec{encoding.GetCodecV2(proto.Name), buffers, limit}
}

// incoming is a request being read. Unlike an error of the codec, which grpc-go would turn into one of its own, a refusal
// noted here reaches the caller as it is.
type incoming struct {
	msg     any
	lease   *memory.Buffer // what the message's bytes lie in, nil for none
	refused *api.Failure
}

// outgoing is an answer whose JSON lies in a buffer of ours, or which was written into one already.
type outgoing struct {
	msg   *v1.ExecuteResponse // nil where it is written
	lease *memory.Buffer
	rpc   *rpc
}

// Unmarshal reads a message.
func (c *codec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*incoming)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	if n := data.Len(); n > c.limit {
		in.refused = api.Refuse(api.RequestTooLarge, "", "the message has %d bytes; allowed are %d (--max-message)", n, c.limit)
		return nil
	}
	if req, ok := in.msg.(*v1.ExecuteRequest); ok {
		return c.execute(data, req, in)
	}
	return c.CodecV2.Unmarshal(data, in.msg)
}

// jsonField is ExecuteRequest.json, answerField ExecuteResponse.json.
const (
	jsonField   = 6
	answerField = 1
)

// errUnusual sends a message to the standard decoder.
var errUnusual = errors.New("not the json lane")

// execute reads a scoring request.
func (c *codec) execute(data mem.BufferSlice, req *v1.ExecuteRequest, in *incoming) error {
	r := data.Reader()
	rest, err := c.split(data, r, in)
	_ = r.Close()
	switch {
	case in.refused != nil:
		return nil
	case err != nil || in.lease == nil:
		// Tables, an empty message, or something that is the standard decoder's to judge.
		in.lease.Release()
		in.lease = nil
		return c.whole(data, req, in)
	}
	if err := protobuf.Unmarshal(rest, req); err != nil {
		return err
	}
	req.Payload = &v1.ExecuteRequest_Json{Json: in.lease.B} // nothing where it lies in pieces
	return nil
}

// split takes the JSON out of a message and returns all other fields.
func (c *codec) split(data mem.BufferSlice, r *mem.Reader, in *incoming) (rest []byte, err error) {
	for r.Remaining() > 0 {
		tag, err := binary.ReadUvarint(r)
		if err != nil {
			return nil, err
		}
		number, kind := protowire.DecodeTag(tag)
		if kind != protowire.BytesType && kind != protowire.VarintType || number == jsonField && in.lease != nil {
			return nil, errUnusual
		}
		n, err := binary.ReadUvarint(r) // a field's length, or its value
		if err != nil {
			return nil, err
		}
		if kind == protowire.BytesType && (n > uint64(r.Remaining()) || number != jsonField && n > 1<<10) {
			return nil, errUnusual
		}
		if number == jsonField && kind == protowire.BytesType {
			if in.lease, err = c.take(data, r, int(n)); errors.Is(err, memory.ErrFull) {
				in.refused = api.Full()
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		rest = protowire.AppendVarint(protowire.AppendVarint(rest, tag), n)
		if kind == protowire.BytesType {
			if len(rest) > 4<<10 {
				return nil, errUnusual
			}
			from := len(rest)
			rest = slices.Grow(rest, int(n))[:from+int(n)]
			if _, err := io.ReadFull(r, rest[from:]); err != nil {
				return nil, err
			}
			if number == tablesField {
				return nil, errUnusual // which of the two counts depends on their order
			}
		}
	}
	return rest, nil
}

const tablesField = 7

// leastAdopted is the size from which a request's JSON stays where the transport put it. Below it a copy costs less than
// the bookkeeping.
const leastAdopted = 32 << 10

// take takes the next n bytes of a message: a copy, or where they are many the transport's buffers themselves.
func (c *codec) take(data mem.BufferSlice, r *mem.Reader, n int) (*memory.Buffer, error) {
	if n < leastAdopted {
		b, err := c.buffers.Admit(n)
		if err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(r, b.B); err != nil {
			b.Release()
			return nil, err
		}
		return b, nil
	}
	pieces, err := r.Peek(n, nil)
	if err != nil {
		return nil, err
	}
	held := slices.Clone(data)
	held.Ref()
	b, err := c.buffers.Adopt(pieces, n, held.Free)
	if err != nil {
		held.Free()
		return nil, err
	}
	_, err = r.Discard(n)
	return b, err
}

// whole reads a message from one piece, which is given back at once: the decoder copies what it keeps.
func (c *codec) whole(data mem.BufferSlice, req *v1.ExecuteRequest, in *incoming) error {
	b, err := c.buffers.Admit(data.Len())
	if err != nil {
		in.refused = api.Full()
		return nil
	}
	defer b.Release()
	data.CopyTo(b.B)
	return protobuf.Unmarshal(b.B, req)
}

// leastLoan is the size from which an answer is sent from where it lies. Below it a copy costs less than the bookkeeping.
const leastLoan = 4 << 10

// write writes an answer of tables ahead of Marshal, whose errors grpc-go would turn into its own, and over the JSON that
// they were read from: they hold nothing of it, and waiting to be read the answer takes one buffer, not two. The standard
// codec would take one of 1 MiB for any answer of more than 32 KiB, and clear that first.
func (c *codec) write(out *outgoing) *api.Failure {
	if _, ok := out.msg.GetPayload().(*v1.ExecuteResponse_Tables); !ok {
		return nil
	}
	n := protobuf.Size(out.msg)
	if n < leastLoan {
		return nil
	}
	if f := c.makeRoom(out, n); f != nil {
		return f
	}
	wire, err := protobuf.MarshalOptions{UseCachedSize: true}.MarshalAppend(out.lease.B[:0], out.msg)
	if err != nil {
		out.lease.Release()
		return api.FailureOf(err)
	}
	out.msg, out.lease.B = nil, wire
	return nil
}

// makeRoom has an answer lie in a buffer of n bytes: its own, unless that is too small or more than twice as large.
func (c *codec) makeRoom(out *outgoing, n int) *api.Failure {
	if room := out.lease; room != nil && cap(room.B) >= n {
		if cap(room.B) > 2*n {
			if smaller, err := c.buffers.Lend(n); err == nil {
				room.Release()
				out.lease = smaller
			}
		}
		return nil
	}
	out.lease.Release() // there may be no room for both
	var err error
	out.lease, err = c.buffers.Lend(n)
	switch {
	case err == nil:
		return nil
	case int64(n) > c.buffers.Limit():
		return api.Refuse(api.NoRoom, "", "the answer's tables have %d bytes, more than may be in flight at all (--max-in-flight); the call has run", n)
	}
	return api.Refuse(api.NoRoom, "", "too many bytes are in flight for the answer (--max-in-flight); the call has run")
}

// Marshal writes a message.
func (c *codec) Marshal(v any) (mem.BufferSlice, error) {
	out, ok := v.(*outgoing)
	if !ok {
		if event, ok := v.(*api.Shared); ok {
			return c.event(event)
		}
		return c.CodecV2.Marshal(v)
	}
	if out.msg == nil {
		return mem.BufferSlice{mem.NewBuffer(&out.lease.B, out.rpc.lend(out.lease))}, nil
	}
	answer, ok := out.msg.GetPayload().(*v1.ExecuteResponse_Json)
	if !ok || len(answer.Json) < leastLoan {
		defer out.lease.Release()
		return c.CodecV2.Marshal(out.msg)
	}
	head := protowire.AppendTag(make([]byte, 0, 16), answerField, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(answer.Json)))
	if out.lease == nil { // unpacked by us
		return mem.BufferSlice{mem.SliceBuffer(head), mem.SliceBuffer(answer.Json)}, nil
	}
	return mem.BufferSlice{mem.SliceBuffer(head), mem.NewBuffer(&answer.Json, out.rpc.lend(out.lease))}, nil
}

// event writes an event, once for all who are told it: its bytes are never changed, and nobody has to give them back.
func (c *codec) event(e *api.Shared) (mem.BufferSlice, error) {
	wire, _ := e.Memo.Get(api.FormWire, func() any {
		b, err := protobuf.Marshal(e.WatchJobResponse)
		return written{mem.SliceBuffer(b), err}
	}).(written)
	return mem.BufferSlice{wire.data}, wire.err
}

type written struct {
	data mem.Buffer
	err  error
}

// loan is an answer's buffer in grpc-go's hands, which gives it back when it was written, but forgets it where a call was
// given up or a connection broke. Then it is not lent again, since it may still be read.
type loan struct {
	lease *memory.Buffer
	conn  *grpcConn
	ended atomic.Bool
}

// Get is never called.
func (l *loan) Get(int) *[]byte { return nil }

// Put gives the buffer back.
func (l *loan) Put(*[]byte) {
	if l.ended.CompareAndSwap(false, true) {
		l.conn.remove(l)
		l.lease.Release()
	}
}

// forget ends a loan that will not come back.
func (l *loan) forget() {
	if l.ended.CompareAndSwap(false, true) {
		l.conn.remove(l)
		l.lease.Forget()
	}
}

// grpcConn is a connection and the loans that its transport holds.
type grpcConn struct {
	mu    sync.Mutex
	loans map[*loan]struct{}
}

type connKey struct{}

func (c *grpcConn) remove(l *loan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.loans, l)
}

// close forgets what the transport still held when its connection ended.
func (c *grpcConn) close() {
	c.mu.Lock()
	left := c.loans
	c.loans = nil
	c.mu.Unlock()
	for l := range left {
		l.forget()
	}
}

// lend hands an answer's buffer to the transport of the call's connection.
func (c *rpc) lend(lease *memory.Buffer) *loan {
	l := &loan{lease: lease, conn: c.conn}
	c.loan = l
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	if c.conn.loans == nil {
		c.conn.loans = make(map[*loan]struct{})
	}
	c.conn.loans[l] = struct{}{}
	return l
}

// lent returns a service whose unary methods read and write through the codec's buffers.
func (c *codec) lent(desc grpc.ServiceDesc) *grpc.ServiceDesc {
	desc.Methods = slices.Clone(desc.Methods)
	for i := range desc.Methods {
		generated := desc.Methods[i].Handler
		desc.Methods[i].Handler = func(server any, ctx context.Context, decode func(any) error, chain grpc.UnaryServerInterceptor) (any, error) {
			call := api.CallFrom(ctx)
			resp, err := generated(server, ctx, func(v any) error {
				in := incoming{msg: v}
				err := decode(&in)
				call.Request = in.lease
				if in.refused != nil {
					return in.refused
				}
				return err
			}, chain)
			answer, isExecute := resp.(*v1.ExecuteResponse)
			if err != nil || !isExecute {
				return resp, err
			}
			out := &outgoing{answer, call.TakeAnswer(), rpcFrom(ctx)}
			if f := c.write(out); f != nil {
				call.Failure = f
				return nil, f
			}
			return out, nil
		}
	}
	return &desc
}
