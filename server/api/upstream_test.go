package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server/azureml"
)

// fake is an upstream that gives every call the same answer.
type fake struct {
	*Scoring
	status int
	header map[string]string
	body   string

	asked atomic.Int32
	last  atomic.Pointer[http.Request] // its body is in sent
	sent  atomic.Value
}

const limit = 1 << 20 // of the fake's callers, bytes

// newFake returns the service in front of an upstream that answers status and body.
func newFake(t testing.TB, status int, header map[string]string, body string) *fake {
	t.Helper()
	f := &fake{status: status, header: header, body: body}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	client, err := azureml.NewClient(azureml.Options{BaseURL: srv.URL, MaxAnswer: 4 * limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	f.Scoring = NewScoring(client, Limits{Request: limit, Answer: limit})
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := make([]byte, r.ContentLength)
	for n := 0; n < len(body); {
		m, err := r.Body.Read(body[n:])
		if n += m; err != nil {
			break
		}
	}
	f.asked.Add(1)
	f.last.Store(r)
	f.sent.Store(string(body))
	w.Header()["Date"] = nil
	for name, value := range f.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(f.status)
	_, _ = w.Write([]byte(f.body))
}

// calling returns a context with a Call, and the Call.
func calling(t testing.TB) (context.Context, *Call) {
	t.Helper()
	call := &Call{ID: "id-1"}
	return WithCall(t.Context(), call), call
}

// failure makes a call over the json lane and returns how it fails.
func (f *fake) failure(t testing.TB) *Failure {
	t.Helper()
	ctx, _ := calling(t)
	answer, err := f.Execute(ctx, &v1.ExecuteRequest{Workspace: "w", Service: "s", Payload: &v1.ExecuteRequest_Json{Json: []byte("{}")}})
	return wantFailure(t, answer, err)
}

// wantFailure asserts that a handler returned an error and no answer.
func wantFailure[M proto.Message](t testing.TB, answer M, err error) *Failure {
	t.Helper()
	var f *Failure
	if !errors.As(err, &f) || answer.ProtoReflect().IsValid() {
		t.Fatalf("the handler returned %v, %v; want a Failure", answer, err)
	}
	return f
}

// wantDetails compares a status' details with messages, in order.
func wantDetails(t testing.TB, f *Failure, want ...proto.Message) {
	t.Helper()
	got := []proto.Message{}
	for _, d := range f.GRPCStatus().Details() {
		got = append(got, d.(proto.Message))
	}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Errorf("the details differ (-want +got):\n%s", d)
	}
}

// wantMessage compares messages; a NaN is a NaN.
func wantMessage(t testing.TB, want, got proto.Message) {
	t.Helper()
	if d := cmp.Diff(want, got, protocmp.Transform(), cmpopts.EquateNaNs()); d != "" {
		t.Errorf("the message differs (-want +got):\n%s", d)
	}
}

func wantText(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is\n\t%q, want\n\t%q", what, got, want)
	}
}
