// Package openapitest judges HTTP traffic by the project's OpenAPI document. It is for tests, of whatever package, and
// serves nothing.
package openapitest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/amlgate/amlgate/gen/openapi"
)

// Surface judges requests and answers.
type Surface struct {
	router  routers.Router
	options *openapi3filter.Options
}

// load reads and validates the document once.
var load = sync.OnceValues(func() (*Surface, error) {
	doc, err := openapi3.NewLoader().LoadFromData(openapi.Document)
	if err != nil {
		return nil, err
	}
	router, err := legacy.NewRouter(doc) // validates, examples included
	if err != nil {
		return nil, err
	}
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.JSONBodyDecoder) // of one line
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.PlainBodyDecoder)
	return &Surface{router, &openapi3filter.Options{
		SkipSettingDefaults:               true, // or the request would be changed
		RejectWhenRequestBodyNotSpecified: true,
		AuthenticationFunc: func(_ context.Context, in *openapi3filter.AuthenticationInput) error {
			if in.RequestValidationInput.Request.Header.Get("Authorization") == "" {
				return errors.New("no Authorization")
			}
			return nil
		},
	}}, nil
})

// New returns the document's judge.
func New(t *testing.T) *Surface {
	t.Helper()
	s, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// input finds the operation that serves r.
func (s *Surface) input(r *http.Request) (*openapi3filter.RequestValidationInput, error) {
	route, params, err := s.router.FindRoute(r)
	if err != nil {
		return nil, err
	}
	return &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route, Options: s.options,
	}, nil
}

// Request tells what the document has against a request. The body can be read again afterwards.
func (s *Surface) Request(r *http.Request) error {
	in, err := s.input(r)
	if err != nil {
		return err
	}
	return openapi3filter.ValidateRequest(r.Context(), in)
}

// Response tells what the document has against the answer to r, which itself need not be valid.
func (s *Surface) Response(r *http.Request, status int, header http.Header, body []byte) error {
	in, err := s.input(r)
	if err != nil {
		return err
	}
	documented := in.Route.Operation.Responses.Status(status)
	if documented != nil && len(documented.Value.Content) == 0 && len(body) > 0 {
		return fmt.Errorf("status %d has a body and should not", status)
	}
	bodies := [][]byte{body}
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if media == "application/x-ndjson" {
		bodies = bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	}
	for _, b := range bodies {
		// openapi3filter reads one JSON value and does not look at what follows.
		if len(b) > 0 && strings.HasSuffix(media, "json") && !json.Valid(b) {
			return fmt.Errorf("%.100q is not JSON", b)
		}
		answer := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: in, Status: status, Header: header, Options: s.options,
		}
		if err := openapi3filter.ValidateResponse(r.Context(), answer.SetBodyBytes(b)); err != nil {
			return err
		}
	}
	return nil
}
