package azureml

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// FuzzSkip holds the scanner against encoding/json: it accepts the same texts, except that it counts nesting from where
// it starts.
func FuzzSkip(f *testing.F) {
	for _, s := range []string{
		"", " ", "null", "true", "false", "nul", "0", "-0", "01", "-", "1.5e+3", "1.", ".5", "1e", "1E-", `""`, `"a`, `"\u00e9\ud83d"`, `"\x"`, "\"\x00\"", "\"\xff\"",
		"[]", "{}", "[1,2 ,3]", "[1,]", "[,]", "[", "]", `{"a":1,"b":[{}]}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{1:2}`, "[[[[]]]]", "{]", "[}", "[1 2]", "[]]", "\ufeff1", "1 \x00", "[{\"\":[true,null]}]\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &scanner{b: b}
		raw, err := s.skip()
		whole := err == nil && s.peek() == 0 && s.i == len(b)
		if valid := json.Valid(b); whole != valid && strings.Count(string(b), "[")+strings.Count(string(b), "{") < maxDepth {
			t.Errorf("skip: %v, stopped at %d of %d; json.Valid: %v", err, s.i, len(b), valid)
		}
		if whole && !bytes.Equal(raw, bytes.Trim(b, " \t\r\n")) {
			t.Errorf("skip returned %q", raw)
		}
		var syntax *SyntaxError
		if err != nil && (!errors.As(err, &syntax) || syntax.Offset != s.i || s.i > len(b)) {
			t.Errorf("skip: %#v, stopped at %d of %d", err, s.i, len(b))
		}
	})
}
