package emulator

import (
	"net/http"
	"testing"

	"github.com/amlgate/amlgate/server/emulator/blob"
)

// newEndpoint is a blob endpoint with the published account and no container.
func newEndpoint(t testing.TB) http.Handler {
	t.Helper()
	endpoint, err := blob.New(blob.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return endpoint
}
