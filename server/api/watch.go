package api

import (
	"errors"
	"net/http"

	"google.golang.org/grpc"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server/jobs"
)

// WatchJob streams a job's changes until there is a reason to end.
func (s *Jobs) WatchJob(req *v1.WatchJobRequest, stream grpc.ServerStreamingServer[v1.WatchJobResponse]) error {
	key, f := jobKey(req)
	if f != nil {
		return f
	}
	ctx := stream.Context()
	w, err := s.hub.Watch(ctx, key, credential(CallFrom(ctx).Header), req.GetCursor())
	if err != nil {
		return watchFailure(err)
	}
	defer w.Close()
	for {
		event, err := w.Next(ctx)
		if err != nil {
			return FailureOf(err)
		}
		if err := send(stream, event); err != nil {
			return err
		}
		switch event.End {
		case 0:
		case jobs.EndAccessLost:
			return Refuse(AccessLost, "", "%s", event.Message)
		default:
			return nil
		}
	}
}

// Forms of an event that many watchers share: the message, and what listeners make of it.
const (
	formMessage = iota
	FormEvent   // server-sent
	FormLine    // of JSON
	FormWire    // Protobuf
)

// Shared is a message that is sent to many watchers, and what was made of it for one of them.
type Shared struct {
	*v1.WatchJobResponse
	Memo *jobs.Memo
}

// send sends an event as a Shared, which is not changed any more: listeners know what to do with it.
func send(stream grpc.ServerStreamingServer[v1.WatchJobResponse], e jobs.Event) error {
	shared, _ := e.Memo.Get(formMessage, func() any { return &Shared{eventMessage(e), e.Memo} }).(*Shared)
	return stream.SendMsg(shared)
}

// credential is what of a watcher's header its job is read with: the key, and the id by which the upstream's log can be
// told whose reads they are. The rest is about the watch's own answer.
func credential(h http.Header) http.Header {
	out := http.Header{}
	for _, name := range []string{"Authorization", "X-Ms-Client-Request-Id"} {
		if v := h[name]; len(v) > 0 {
			out[name] = v
		}
	}
	return out
}

// watchFailure is why a watch could not be opened.
func watchFailure(err error) *Failure {
	var limit *jobs.LimitError
	var ask *askError
	switch {
	case errors.Is(err, jobs.ErrCursor):
		return Refuse(InvalidField, "cursor", "%s", err)
	case errors.As(err, &limit):
		return Refuse(TooManyWatches, "", "%s", err)
	case errors.Is(err, jobs.ErrDraining):
		return Refuse(Stopping, "", "%s; come back in a moment", err)
	case errors.As(err, &ask):
		return FailureOf(ask.error)
	case errors.Is(err, jobs.ErrGone):
		return Refuse(JobNotFound, "", "the job was removed")
	}
	return FailureOf(err)
}

// ends are the contract's words for the hub's reasons.
var ends = map[jobs.EndReason]v1.WatchEnd_Reason{
	jobs.EndTerminal:   v1.WatchEnd_REASON_TERMINAL,
	jobs.EndGone:       v1.WatchEnd_REASON_JOB_GONE,
	jobs.EndDraining:   v1.WatchEnd_REASON_DRAINING,
	jobs.EndDeadline:   v1.WatchEnd_REASON_DEADLINE,
	jobs.EndAccessLost: v1.WatchEnd_REASON_ACCESS_LOST,
}

// eventMessage returns an event as the contract has it.
func eventMessage(e jobs.Event) *v1.WatchJobResponse {
	msg := &v1.WatchJobResponse{Cursor: e.Cursor, Skipped: e.Skipped}
	switch {
	case e.Job != nil:
		msg.Event = &v1.WatchJobResponse_Job{Job: jobMessage(*e.Job)}
	case e.Heartbeat:
		msg.Event = &v1.WatchJobResponse_Heartbeat{Heartbeat: &v1.WatchHeartbeat{ObserveTime: timestamp(e.Observed), StaleReason: e.Stale}}
	default:
		msg.Event = &v1.WatchJobResponse_End{End: &v1.WatchEnd{Reason: ends[e.End], Message: e.Message}}
	}
	return msg
}
