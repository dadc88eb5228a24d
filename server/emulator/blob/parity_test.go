package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/amlgate/amlgate/server/emulator/blob"
)

// parity is a case that is run against this endpoint and against Azurite, by azblob. do tells in words what came back.
type parity struct {
	name string
	do   func(*bench) string
	want string // of both

	// azurite is what Azurite says instead, and why is the reason to differ.
	azurite, why string
}

// bench is an account, with a container of the case's own.
type bench struct {
	*testing.T
	account string // its URL
	service *azblob.Client
	in      *container.Client
	name    string // of the container
}

var (
	ctx     = context.Background()
	noRetry = azblob.ClientOptions{ClientOptions: azcore.ClientOptions{Retry: policy.RetryOptions{MaxRetries: -1}}}
)

func key(t testing.TB) *azblob.SharedKeyCredential {
	t.Helper()
	cred, err := azblob.NewSharedKeyCredential(blob.DevelopmentAccount, blob.DevelopmentKey)
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

func newBench(t *testing.T, account string, n int) *bench {
	t.Helper()
	client, err := azblob.NewClientWithSharedKeyCredential(account, key(t), &noRetry)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, account: account, service: client, name: fmt.Sprintf("case-%d", n)}
	b.in = client.ServiceClient().NewContainerClient(b.name)
	if _, err := b.in.Create(ctx, nil); err != nil {
		t.Fatalf("no container for the case: %v", said(err))
	}
	return b
}

// said is a refusal in two words: status and code.
func said(err error) string {
	if err == nil {
		return "done"
	}
	var refused *azcore.ResponseError
	if errors.As(err, &refused) {
		return fmt.Sprint(refused.StatusCode, " ", refused.ErrorCode)
	}
	return "failed: " + err.Error()
}

// put uploads a text by Put Blob.
func (b *bench) put(name, text string) {
	b.Helper()
	if _, err := b.in.NewBlockBlobClient(name).Upload(ctx, body(text), nil); err != nil {
		b.Fatalf("put %s: %v", name, said(err))
	}
}

func body(text string) io.ReadSeekCloser { return closer{bytes.NewReader([]byte(text))} }

type closer struct{ *bytes.Reader }

func (closer) Close() error { return nil }

// get fetches a URL plainly and tells status, error code, some headers and the body, if it is no XML.
func (b *bench) get(method, url string, header http.Header, tell ...string) string {
	b.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "failed: " + err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "failed: " + err.Error()
	}
	words := []string{fmt.Sprint(resp.StatusCode)}
	for _, name := range append([]string{"X-Ms-Error-Code"}, tell...) {
		if v := resp.Header.Get(name); v != "" {
			words = append(words, v)
		}
	}
	if len(text) > 0 && text[0] != '<' {
		words = append(words, string(text))
	}
	return strings.Join(words, " ")
}

// TestAzblob runs the cases against this endpoint; nothing else is needed.
func TestAzblob(t *testing.T) {
	t.Parallel()
	account := ours(t)
	for i, tt := range slices.Concat(contentCases, listCases, authCases) {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.do(newBench(t, account, i)); got != tt.want {
				t.Errorf("\ngot  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestAzurite runs the same cases against Azurite.
func TestAzurite(t *testing.T) {
	t.Parallel()
	account := azurite(t)
	for i, tt := range slices.Concat(contentCases, listCases, authCases) {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want
			if tt.azurite != "" {
				want = tt.azurite
				t.Logf("known difference: %s", tt.why)
			}
			if got := tt.do(newBench(t, account, i)); got != want {
				t.Errorf("\ngot  %s\nwant %s", got, want)
			}
		})
	}
}

// inAnHour is when the SAS of the cases end.
func inAnHour() time.Time { return time.Now().Add(time.Hour) }
