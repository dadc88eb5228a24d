package redact_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/amlgate/amlgate/server/redact"
)

func TestString(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"nothing here", "nothing here"},
		{"a signature, a keyhole and a bearer of news", "a signature, a keyhole and a bearer [redacted] news"},
		{"DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2VjcmV0==;EndpointSuffix=x", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=[redacted];EndpointSuffix=x"},
		{"https://a/b?sv=1&sig=abc%2Fdef&se=2", "https://a/b?sv=1&sig=[redacted]&se=2"},
		{"?SIG=abc", "?SIG=[redacted]"},
		{`{"h":"bearer   abc=="}`, `{"h":"bearer   [redacted]"}`},
		{"?subscription-key=abc&x=1", "?subscription-key=[redacted]&x=1"},
		{"SharedAccessSignature=sv%3D1", "SharedAccessSignature=[redacted]"},
	} {
		if got := redact.String(tc.in); got != tc.want {
			t.Errorf("String(%q) = %q, want %q", tc.in, got, tc.want)
		}
		if got := string(redact.Bytes([]byte(tc.in))); got != tc.want {
			t.Errorf("Bytes(%q) = %q, want %q", tc.in, got, tc.want)
		}
	}
}

func TestHandlerCoversTextErrorsAndGroups(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(redact.Handler(slog.NewTextHandler(&out, nil))).With("always", "sig=hunter2").WithGroup("h")
	log.Info("msg AccountKey=hunter2", "text", "sig=hunter2", "err", errors.New("Bearer hunter2"),
		slog.Group("g", "inner", "AccountKey=hunter2"), "n", 3)
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("a secret reached the log: %s", out.String())
	}
	if got := strings.Count(out.String(), "[redacted]"); got != 5 {
		t.Errorf("%d places redacted, want 5: %s", got, out.String())
	}
}
