package azureml

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/amlgate/amlgate/server/memory"
)

// recording is a connection that keeps what is written to it.
type recording struct {
	net.Conn
	strings.Builder
}

func (r *recording) Write(p []byte) (int, error) { return r.Builder.Write(p) }

// A request in pieces, as large ones come over gRPC, arrives whole, and its buffer comes back.
func TestPiecesArriveWhole(t *testing.T) {
	wire := &recording{}
	c := &wholeConn{Conn: wire}
	pool := memory.NewPool(1 << 20)
	freed := 0
	pieces := [][]byte{[]byte(strings.Repeat("a", 3000)), {}, []byte("b"), []byte(strings.Repeat("c", 9000))}
	lease, err := pool.Adopt(pieces, 12001, func() { freed++ })
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("a", 3000) + "b" + strings.Repeat("c", 9000)

	first := newContent(nil, lease)
	c.body = first
	again := newContent(nil, lease) // for a second try, whatever became of the first
	_, _ = c.Write([]byte("head "))
	if n, err := c.ReadFrom(&io.LimitedReader{R: first, N: 12001}); n != 12001 || err != nil {
		t.Fatalf("%d bytes written, %v", n, err)
	}
	if got := wire.String(); got != "head "+want {
		t.Errorf("%d bytes arrived, want %d", len(got), len(want)+5)
	}
	if read, err := io.ReadAll(again); string(read) != want || err != nil {
		t.Errorf("a second try reads %d bytes, want %d, %v", len(read), len(want), err)
	}
	_, _ = first.Close(), again.Close()
	lease.Release()
	if freed != 1 || pool.Lent() != 0 {
		t.Errorf("freed %d times, %d bytes are still counted", freed, pool.Lent())
	}
}
