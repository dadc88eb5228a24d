package emulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
)

// The account that Azure's storage emulators have published, key and all.
const (
	developmentAccount = "devstoreaccount1"
	developmentKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// storage opens blobs: those of the emulator's own endpoint and those at hosts
// that were allowed.
type storage struct {
	own     *url.URL // as the emulator reaches its own endpoint, with the path "/"; nil if it has none
	public  *url.URL // the account there, as results write it; ends in '/'
	account string
	key     *azblob.SharedKeyCredential
	allowed map[string]bool // host:port in lower case

	near, far *http.Client // for the own endpoint, and for other hosts
}

// newStorage expects a Config that was validated.
func newStorage(cfg *Config) (*storage, error) {
	key, err := azblob.NewSharedKeyCredential(cfg.BlobAccount, cfg.BlobKey)
	if err != nil {
		return nil, err
	}
	s := &storage{account: cfg.BlobAccount, key: key}
	if s.allowed, err = allowedHosts(cfg.AllowBlobHosts); err != nil {
		return nil, err
	}
	if cfg.BlobURL != "" {
		if s.own, err = parseURL(strings.TrimSuffix(cfg.BlobURL, "/") + "/"); err != nil {
			return nil, err
		}
		s.public = s.ownRoot(s.account)
		if cfg.BlobPublicURL != "" {
			if s.public, err = parseURL(strings.TrimSuffix(cfg.BlobPublicURL, "/") + "/"); err != nil {
				return nil, err
			}
		}
	}
	s.near, s.far = newClient(&net.Dialer{}), newClient(&net.Dialer{Control: s.guard})
	return s, nil
}

func (s *storage) close() {
	s.near.CloseIdleConnections()
	s.far.CloseIdleConnections()
}

// freshContainer is where outputs go that the request gave no place. Captured
// results of AzureML had the same container and a name of the same form.
const freshContainer = "experimentoutput"

// fresh makes up a location in the emulator's own container.
func (s *storage) fresh() (location, *problem) {
	if s.own == nil {
		return location{}, noBlobEndpoint()
	}
	name := requestID()
	name += "/" + name + ".csv"
	return location{
		url: s.ownRoot(s.account).String() + freshContainer + "/" + name, key: s.key, container: freshContainer, blob: name,
		fresh: true, base: s.public.String(), relative: freshContainer + "/" + name, separator: ',',
	}, nil
}

// blobTimeout bounds each transfer of a blob, so that a host that stopped
// answering does not keep a job for ever.
const blobTimeout = 10 * time.Minute

// options has no retries: the own endpoint fails for a reason, and a job that
// fails at once is easier to understand than one that takes its time.
func (s *storage) options(far bool) azcore.ClientOptions {
	transport := s.near
	if far {
		transport = s.far
	}
	return azcore.ClientOptions{
		Transport: transport,
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}
}

func (s *storage) open(at location) (*blockblob.Client, error) {
	options := &blockblob.ClientOptions{ClientOptions: s.options(at.far)}
	if at.key == nil {
		return blockblob.NewClientWithNoCredential(at.url, options)
	}
	return blockblob.NewClientWithSharedKeyCredential(at.url, at.key, options)
}

// errTooLong says that a blob is longer than a job may read.
var errTooLong = errors.New("the blob is too long")

// read reads a whole blob of up to limit bytes.
func (s *storage) read(ctx context.Context, at location, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, blobTimeout)
	defer cancel()
	client, err := s.open(at)
	if err != nil {
		return nil, err
	}
	answer, err := client.DownloadStream(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.ContentLength != nil && *answer.ContentLength > limit {
		return nil, errTooLong
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = errTooLong
	}
	return text, err
}

// write writes a whole blob, in the place of one that is there: programs that
// are run twice name the same output twice.
func (s *storage) write(ctx context.Context, at location, text []byte) error {
	ctx, cancel := context.WithTimeout(ctx, blobTimeout)
	defer cancel()
	client, err := s.open(at)
	if err != nil {
		return err
	}
	contentType := "text/csv"
	if at.separator == '\t' {
		contentType = "text/tab-separated-values"
	}
	upload := func() error {
		_, err := client.Upload(ctx, streaming.NopCloser(bytes.NewReader(text)), &blockblob.UploadOptions{
			HTTPHeaders: &blob.HTTPHeaders{BlobContentType: &contentType},
		})
		return err
	}
	err = upload()
	// The container is made when it is missed, since an endpoint that lives in
	// memory may have lost it.
	if !at.fresh || !bloberror.HasCode(err, bloberror.ContainerNotFound) {
		return err
	}
	inside, err := container.NewClientWithSharedKeyCredential(strings.TrimSuffix(at.url, "/"+at.blob), at.key,
		&container.ClientOptions{ClientOptions: s.options(at.far)})
	if err != nil {
		return err
	}
	if _, err := inside.Create(ctx, nil); err != nil && !bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return err
	}
	return upload()
}

// A token begins to hold a little before now, for readers whose clock is slow.
// Together they are the 24 h 5 min of Microsoft's samples.
const (
	tokenBefore = 5 * time.Minute
	tokenAfter  = 24 * time.Hour
)

// token makes a query that lets anyone read the blob for a day. Where the
// request gave a token instead of a key there is nothing to sign with: the
// answer is "", since the given token may allow more than reading, and whoever
// gave it has it. That holds at the own endpoint too, where the emulator could
// sign: a token would outlive and outdo the one it was asked with.
func (at *location) token() string {
	if at.key == nil {
		return ""
	}
	now := time.Now().UTC()
	query, err := sas.BlobSignatureValues{
		StartTime: now.Add(-tokenBefore), ExpiryTime: now.Add(tokenAfter),
		Permissions:   (&sas.BlobPermissions{Read: true}).String(),
		ContainerName: at.container, BlobName: at.blob,
	}.SignWithSharedKey(at.key)
	if err != nil {
		panic(fmt.Sprintf("emulator: %v", err)) // of nothing that a request says
	}
	return "?" + query.Encode()
}

// reason says in a few words why a blob could not be read or written. The
// texts of azcore are not used: they hold URLs and whole answers.
func reason(err error) string {
	var refused *azcore.ResponseError
	switch {
	case errors.As(err, &refused) && refused.ErrorCode != "":
		return fmt.Sprintf("%s (HTTP status %d)", cut(refused.ErrorCode), refused.StatusCode)
	case errors.As(err, &refused):
		return fmt.Sprintf("HTTP status %d", refused.StatusCode)
	case errors.Is(err, errPrivate):
		return errPrivate.Error()
	case errors.Is(err, errTooLong):
		return fmt.Sprintf("it is longer than %d bytes", maxDataset)
	case errors.Is(err, context.DeadlineExceeded):
		return "the host did not answer in time"
	}
	return "the host cannot be reached or broke off"
}
