package azureml_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/amlgate/amlgate/server/azureml"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func hex(n int) string { return strconv.FormatInt(int64(n), 16) }

func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, text)
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Plain undoes gzip, up to a limit that holds to the byte, and no other coding.
func TestPlain(t *testing.T) {
	text := `{"a":"` + strings.Repeat("x", 92) + `"}`
	packed := zipped(t, text)
	for _, tc := range []struct {
		name, coding, body string
		limit              int64
		want               string
		kind               azureml.Kind
		reason             string
	}{
		{"no coding", "", text, 1, text, 0, ""}, // what was taken is small enough
		{"identity", "Identity", text, 1, text, 0, ""},
		{"gzip, at the limit", "gzip", packed, 100, text, 0, ""},
		{"x-gzip", " X-GZIP ", packed, 1000, text, 0, ""},
		{"two members", "gzip", packed + zipped(t, " "), 101, text + " ", 0, ""},
		{"gzip, one above", "gzip", packed, 99, "", azureml.TooLarge, "the upstream's answer unpacks to more than 99 bytes (--max-answer)"},
		{"a bomb", "gzip", zipped(t, strings.Repeat("0", 8<<20)), 1000, "", azureml.TooLarge, "the upstream's answer unpacks to more than 1000 bytes (--max-answer)"},
		{"torn", "gzip", packed[:len(packed)-9], 1000, "", azureml.Foreign, "the upstream's answer cannot be unpacked"},
		{"a wrong sum", "gzip", packed[:len(packed)-8] + "\x00\x00\x00\x00" + packed[len(packed)-4:], 1000, "", azureml.Foreign, "the upstream's answer cannot be unpacked"},
		{"no gzip", "gzip", text, 1000, "", azureml.Foreign, "the upstream's answer cannot be unpacked"},
		{"empty", "gzip", "", 1000, "", azureml.Foreign, "the upstream's answer cannot be unpacked"},
		{"another coding", "br", text, 1000, "", azureml.Foreign, "the upstream's answer cannot be unpacked"},
		{"two codings", "gzip, gzip", packed, 1000, "", azureml.Foreign, "the upstream's answer cannot be unpacked"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			answer := &azureml.Answer{Header: http.Header{"Content-Encoding": {tc.coding}, "X-Ms-Request-Id": {"up-1"}}, Body: []byte(tc.body)}
			got, err := answer.Plain(tc.limit)
			if tc.kind == 0 {
				if err != nil {
					t.Fatal(err)
				}
				wantText(t, "the body", string(got), tc.want)
				return
			}
			e := wantError(t, nil, err, tc.kind)
			wantText(t, "Reason", e.Reason, tc.reason)
			if got != nil || e.Status != 200 || e.Header.Get("X-Ms-Request-Id") != "up-1" {
				t.Errorf("Plain returned %q, %#v", got, e)
			}
		})
	}
}

// A packed answer comes to the caller as it came from the upstream.
func TestPackedAnswer(t *testing.T) {
	packed := zipped(t, okBody)
	up := answering(t, okHead+"\nContent-Encoding: gzip", packed)
	answer, err := execute(t, up.client(t))
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, "the body", string(answer.Body), packed)
	plain, err := answer.Plain(1000)
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, "the plain body", string(plain), okBody)
}
