package server_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

// listening is an upstream that serves each connection with a function, and returns its URL. When the test ends it closes
// all connections and waits for the functions.
func listening(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			serving.Go(func() {
				serve(conn)
				_ = conn.Close()
				mu.Lock()
				delete(open, conn)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return "http://" + l.Addr().String()
}

// cannedUpstream answers every request with 200 and the same body, and allocates nothing for it.
func cannedUpstream(t testing.TB, body []byte) string {
	t.Helper()
	answer := append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n", len(body)), body...)
	return listening(t, func(conn net.Conn) {
		r := bufio.NewReaderSize(conn, 64<<10)
		for skipMessage(r, "POST ") == nil {
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	})
}

// rawCaller sends the same request again and again over one connection, and allocates nothing for it.
type rawCaller struct {
	conn    net.Conn
	r       *bufio.Reader
	request []byte
}

func newRawCaller(t testing.TB, addr string, body []byte) *rawCaller {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &rawCaller{conn, bufio.NewReaderSize(conn, 64<<10), append(post(len(body)), body...)}
}

// call makes a call; anything but a whole answer of 200 is an error.
func (c *rawCaller) call() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	return skipMessage(c.r, "HTTP/1.1 200 ")
}

// skipMessage reads a message that begins with what is wanted and tells its length.
func skipMessage(r *bufio.Reader, want string) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte(want)) {
		return fmt.Errorf("a message begins with %q, want %q", line, want)
	}
	length := -1
	for len(line) > 2 {
		if line, err = r.ReadSlice('\n'); err != nil {
			return err
		}
		const name = "content-length:"
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			length = 0
			for _, digit := range bytes.TrimSpace(line[len(name):]) {
				length = 10*length + int(digit-'0')
			}
		}
	}
	if length < 0 {
		return errors.New("a message does not tell its length")
	}
	_, err = r.Discard(length)
	return err
}

// scoringWork is a request in both forms, and an answer with the same cells.
type scoringWork struct {
	name          string
	request       []byte
	tables        *v1.ScoringInput
	answer        []byte
	columns, rows int
}

// scoringWorks are a text, and tables of numbers in two sizes.
func scoringWorks() []scoringWork {
	return []scoringWork{newScoringWork("small", 1, 1), newScoringWork("medium", 100, 20), newScoringWork("large", 1000, 50)}
}

func newScoringWork(name string, rows, columns int) scoringWork {
	names, types := make([]string, columns), make([]string, columns)
	lines := make([][]string, rows)
	table := &v1.Table{RowCount: uint32(rows)}
	for i := range columns {
		names[i], types[i] = strconv.Quote("column"+strconv.Itoa(i)), `"Double"`
		if columns == 1 {
			types[i] = `"String"`
			lines[0] = []string{`"This is a good day"`}
			table.Columns = append(table.Columns, &v1.Column{Name: "column0", Values: &v1.Column_Strings{Strings: &v1.Strings{Values: []string{"This is a good day"}}}})
			continue
		}
		var cells []float64
		for row := range rows {
			cell := float64((row*7919+i*104729)%20_000_000-10_000_000) / 10_000 // decimals as people write them
			cells = append(cells, cell)
			lines[row] = append(lines[row], strconv.FormatFloat(cell, 'f', -1, 64))
		}
		table.Columns = append(table.Columns, &v1.Column{Name: "column" + strconv.Itoa(i), Values: &v1.Column_Doubles{Doubles: &v1.Doubles{Values: cells}}})
	}
	values := make([]string, rows)
	for row := range lines {
		values[row] = "[" + strings.Join(lines[row], ",") + "]"
	}
	heads, cells := strings.Join(names, ","), strings.Join(values, ",")
	return scoringWork{
		name: name, rows: rows, columns: columns,
		request: fmt.Appendf(nil, `{"Inputs":{"input1":{"ColumnNames":[%s],"Values":[%s]}},"GlobalParameters":{}}`, heads, cells),
		tables:  &v1.ScoringInput{Inputs: map[string]*v1.Table{"input1": table}},
		answer: fmt.Appendf(nil, `{"Results":{"output1":{"type":"table","value":{"ColumnNames":[%s],"ColumnTypes":[%s],"Values":[%s]}}}}`,
			heads, strings.Join(types, ","), cells),
	}
}
