package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
)

// Target is a service as a Run calls it.
type Target struct {
	// call makes one call on behalf of a worker, numbered from 0; ctx ends it early.
	call func(ctx context.Context, worker int) Outcome

	// abort ends the calls under way where ctx alone does not.
	abort func()

	close func()
}

// Close closes the target's connections.
func (t *Target) Close() { t.close() }

// answers checks answers. It keeps the last one that was checked in full; one that equals it needs no second check.
type answers struct {
	known atomic.Pointer[[]byte]
	check func([]byte) error
}

// wrong says what is wrong with an answer, nil for nothing.
func (a *answers) wrong(answer []byte) error {
	if known := a.known.Load(); known != nil && bytes.Equal(*known, answer) {
		return nil
	}
	if err := a.check(answer); err != nil {
		return err
	}
	answer = bytes.Clone(answer)
	a.known.Store(&answer)
	return nil
}

// checkJSON wants one whole JSON object.
func checkJSON(answer []byte) error {
	answer = bytes.TrimSpace(bytes.TrimPrefix(answer, []byte("\xef\xbb\xbf")))
	switch {
	case len(answer) == 0:
		return errors.New("an empty body")
	case answer[0] != '{' || !json.Valid(answer):
		return errors.New("no whole JSON object")
	}
	return nil
}

// checkMessage wants an ExecuteResponse in the lane that was asked for.
func checkMessage(tables bool) func([]byte) error {
	return func(message []byte) error {
		var resp v1.ExecuteResponse
		if err := proto.Unmarshal(message, &resp); err != nil {
			return errors.New("no ExecuteResponse")
		}
		if !tables {
			return checkJSON(resp.GetJson())
		}
		if resp.GetTables() == nil {
			return errors.New("no tables")
		}
		for name, table := range resp.GetTables().GetResults() {
			for i, c := range table.GetColumns() {
				if n := cells(c); n != int(table.GetRowCount()) {
					return fmt.Errorf("table %q, column %d has %d cells for %d rows", name, i, n, table.GetRowCount())
				}
			}
		}
		return nil
	}
}

func cells(c *v1.Column) int {
	switch v := c.GetValues().(type) {
	case *v1.Column_Doubles:
		return len(v.Doubles.GetValues())
	case *v1.Column_Int64S:
		return len(v.Int64S.GetValues())
	case *v1.Column_Strings:
		return len(v.Strings.GetValues())
	case *v1.Column_Bools:
		return len(v.Bools.GetValues())
	}
	return 0
}
