package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"regexp"

	"github.com/amlgate/amlgate/server/azureml"
	"github.com/amlgate/amlgate/server/jobs"
)

// What of a call may be repeated by a request id, and what becomes of a start.

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// requestOf returns the request id that a call was given, in its message or in REST's Idempotency-Key; an empty one where
// it was given none.
func requestOf(ctx context.Context, field string) (jobs.Request, *Failure) {
	id := cmp.Or(field, CallFrom(ctx).IdempotencyKey)
	if id != "" && !uuid.MatchString(id) {
		return jobs.Request{}, Refuse(InvalidField, "request_id", "a UUID is required, for example 123e4567-e89b-42d3-a456-426614174000")
	}
	return jobs.Request{ID: id}, nil
}

// named puts before a request's body what else the outcome depends on.
func named(method string, service jobs.Key, body []byte) []byte {
	return append([]byte(method+"\x00"+service.Workspace+"\x00"+service.Service+"\x00"), body...)
}

// submitOnce is submit for a request id. A job that was kept before a crash is found again by it.
func (s *Jobs) submitOnce(ctx context.Context, service jobs.Key, request jobs.Request) (string, error) {
	body := request.Body
	request.Body = named("SubmitJob", service, body)
	return s.hub.Once(ctx, request, func(ctx context.Context, name string, again bool) (string, func(), error) {
		if again {
			if key, found, err := s.hub.Submitted(ctx, name); err != nil || found {
				return key.ID, nil, err
			}
		}
		id, err := s.submit(ctx, service, body, name)
		undo := func() { s.hub.Withdraw(jobs.Key{Workspace: service.Workspace, Service: service.Service, ID: id}) }
		return id, undo, err
	})
}

// start sends a job's start upstream where that is still to be done.
func (s *Jobs) start(ctx context.Context, key jobs.Key, request string) error {
	call := CallFrom(ctx)
	return s.hub.Start(ctx, key, credential(call.Header), request, func(ctx context.Context) error {
		_, err := timed(call, func() (*azureml.Answer, error) {
			return s.upstream.StartJob(ctx, upstreamRequest(key, call.Header), key.ID)
		})
		if err != nil {
			return &askError{err}
		}
		return nil
	})
}

// startOnce is start for a request id.
func (s *Jobs) startOnce(ctx context.Context, key jobs.Key, request jobs.Request) error {
	request.Body = named("StartJob", key, request.Body)
	_, err := s.hub.Once(ctx, request, func(ctx context.Context, name string, _ bool) (string, func(), error) {
		return "", nil, s.start(ctx, key, name)
	})
	return err
}

// isRefused reports whether a start that failed can have started nothing: it never arrived, or was turned away.
func isRefused(err error) bool {
	var up *azureml.Error
	if !errors.As(err, &up) {
		return false
	}
	switch up.Kind {
	case azureml.Unreachable, azureml.Redirected, azureml.KeyRefused:
		return true
	case azureml.Answered:
		return up.Status >= 400 && up.Status < 500 && up.Status != http.StatusRequestTimeout
	}
	return false
}

// startFailure is why a job was not started.
func (s *Jobs) startFailure(ctx context.Context, key jobs.Key, err error) error {
	var started *jobs.StartedError
	var ask *askError
	switch {
	case errors.As(err, &started):
		return Refuse(JobStarted, "", "CannotStartJob: %s", started) // as the upstream's own refusal reads
	case errors.Is(err, jobs.ErrStartUnknown):
		return caused(Refuse(UpstreamTimeout, "", "%s", jobs.ErrStartUnknown), err)
	case errors.As(err, &ask):
		return s.failed(ctx, key, ask)
	}
	return onceFailure(err)
}

// onceFailure is why a call with a request id failed.
func onceFailure(err error) *Failure {
	switch {
	case errors.Is(err, jobs.ErrReused):
		return Refuse(RequestReused, "request_id", "%s", err)
	case errors.Is(err, jobs.ErrDraining):
		return watchFailure(err)
	}
	return FailureOf(err)
}
