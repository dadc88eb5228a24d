package emulator

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
)

// wire carries requests to a handler without a network, so that synctest sees
// when everything waits.
type wire struct{ http.Handler }

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	to := r.Clone(r.Context())
	to.RequestURI, to.Host = r.URL.RequestURI(), r.URL.Host
	to.Header = http.Header{}
	for name, values := range r.Header { // azcore's are not canonical
		to.Header[http.CanonicalHeaderKey(name)] = values
	}
	if to.Body == nil {
		to.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	w.ServeHTTP(recorder, to)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return recorder.Result(), nil
}

// bench is an emulator with a blob endpoint and a storage library's client.
type bench struct {
	*Emulator
	t     testing.TB
	path  string         // of the service
	blobs *azblob.Client // with the account's key
}

const (
	blobURL    = "http://127.0.0.1:10000"
	goodInput  = "Col2\nThis is a good day\n"
	goodOutput = "Col2,Col2_HashingFeature.0,Col2_HashingFeature.1,Col2_HashingFeature.2,Col2_HashingFeature.3,Col2_HashingFeature.4,Col2_HashingFeature.5,Col2_HashingFeature.6,Col2_HashingFeature.7\n" +
		"This is a good day,1,1,2,2,0,2,0,1\n"
	development = "DefaultEndpointsProtocol=https;AccountName=" + developmentAccount + ";AccountKey=" + developmentKey
)

// inBench runs a test on a bench, in a bubble. around, if any, stands before
// the blob endpoint for the jobs; the test's own client is not disturbed.
func inBench(t *testing.T, cfg Config, around func(http.Handler) http.Handler, test func(t *testing.T, b *bench)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := newEndpoint(t)
		if cfg.BlobURL == "" {
			cfg.BlobURL = blobURL
		}
		e := mustNew(t, cfg)
		t.Cleanup(e.Close)
		handler := endpoint
		if around != nil {
			handler = around(endpoint)
		}
		e.runner.storage.near.Transport = wire{handler}
		e.runner.storage.far.Transport = wire{http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			t.Errorf("the job opened %s", r.URL)
		})}
		b := &bench{Emulator: e, t: t, path: hashingPath, blobs: newBlobClient(t, wire{endpoint}, blobURL)}
		b.makeContainer("data")
		b.put("data", "in.csv", goodInput)
		test(t, b)
	})
}

func newBlobClient(t testing.TB, transport http.RoundTripper, url string) *azblob.Client {
	t.Helper()
	key, err := azblob.NewSharedKeyCredential(developmentAccount, developmentKey)
	if err != nil {
		t.Fatal(err)
	}
	client, err := azblob.NewClientWithSharedKeyCredential(url+"/"+developmentAccount+"/", key, &azblob.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: &http.Client{Transport: transport}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (b *bench) makeContainer(name string) {
	b.t.Helper()
	if _, err := b.blobs.CreateContainer(context.Background(), name, nil); err != nil && !bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		b.t.Fatal(err)
	}
}

func (b *bench) put(container, name, text string) {
	b.t.Helper()
	if _, err := b.blobs.UploadBuffer(context.Background(), container, name, []byte(text), nil); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) get(container, name string) string {
	b.t.Helper()
	answer, err := b.blobs.DownloadStream(context.Background(), container, name, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// byAccount is a reference by connection string, as JSON.
func byAccount(path string) string {
	return string(marshal(object{{"ConnectionString", development}, {"RelativeLocation", path}, {"BaseLocation", nil}, {"SasBlobToken", nil}}))
}

// goodOrder reads data/in.csv and writes data/out.csv.
var goodOrder = `{"Inputs":{"input1":` + byAccount("data/in.csv") + `},"Outputs":{"output1":` + byAccount("/data/out.csv") + `},"GlobalParameters":{}}`

func (b *bench) send(method, path, body string) *httptest.ResponseRecorder {
	return send(b.Emulator, newRequest(method, b.path+path, body))
}

// submit returns the id of a new job.
func (b *bench) submit(body string) string {
	b.t.Helper()
	w := b.send("POST", "/jobs?api-version=2.0", body)
	id := strings.Trim(w.Body.String(), `"`)
	if w.Code != 200 || w.Body.String() != `"`+id+`"` || !jobIDPattern.MatchString(id) {
		b.t.Fatalf("submit: status %d: %s", w.Code, w.Body)
	}
	return id
}

func (b *bench) start(id string) {
	b.t.Helper()
	if w := b.send("POST", "/jobs/"+id+"/start?api-version=2.0", "{}"); w.Code != 200 || w.Body.Len() != 0 {
		b.t.Fatalf("start: status %d: %s", w.Code, w.Body)
	}
}

// started submits a job and starts it.
func (b *bench) started(body string) string {
	b.t.Helper()
	id := b.submit(body)
	b.start(id)
	return id
}

func (b *bench) remove(id string) {
	b.t.Helper()
	if w := b.send("DELETE", "/jobs/"+id, ""); w.Code != 204 || w.Body.Len() != 0 {
		b.t.Fatalf("delete: status %d: %s", w.Code, w.Body)
	}
}

// answer is a status answer, read strictly.
type jobAnswer struct {
	StatusCode string
	Results    map[string]struct {
		ConnectionString                             *string
		RelativeLocation, BaseLocation, SasBlobToken string
	}
	Details                       *string
	CreatedAt, StartTime, EndTime string
}

func (b *bench) status(id string) jobAnswer {
	b.t.Helper()
	return jobAnswerOf(b.t, b.send("GET", "/jobs/"+id+"?api-version=2.0", ""))
}

func jobAnswerOf(t testing.TB, w *httptest.ResponseRecorder) (a jobAnswer) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(w.Body.String()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil || w.Code != 200 {
		t.Fatalf("status: %d (%v): %s", w.Code, err, w.Body)
	}
	return a
}

// wantState waits until nothing moves and looks at jobs.
func (b *bench) wantState(want string, ids ...string) {
	b.t.Helper()
	synctest.Wait()
	for i, id := range ids {
		if got := b.status(id).StatusCode; got != want {
			b.t.Errorf("job %d is %s, want %s", i, got, want)
		}
	}
}

// fetch opens a result as every client does: three texts, one behind the
// other, and no header.
func (b *bench) fetch(a jobAnswer, output string, transport http.RoundTripper) (int, string) {
	b.t.Helper()
	at := a.Results[output]
	r, err := http.NewRequest("GET", at.BaseLocation+at.RelativeLocation+at.SasBlobToken, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
