package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server/api"
)

// stallTimeout is how long one write to a watcher may take before the connection is given up: a watcher costs little
// while it does not read, but not nothing.
const stallTimeout = time.Minute

// watch serves WatchJob over REST: server-sent events for those who accept them, otherwise a line of JSON an event. The
// generated mux cannot stream to a server in the same process, so this stands in its place, on the same mux.
func (s *surface) watch(w http.ResponseWriter, r *http.Request, path map[string]string) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	call := api.CallFrom(ctx)
	ctx, err := runtime.AnnotateIncomingContext(ctx, s.mux, r, v1.JobService_WatchJob_FullMethodName) // Grpc-Timeout
	if err != nil {
		fail(w, call, api.FailureOf(err))
		return
	}
	cursor, f := resumeAt(r.Form.Get("cursor"), call.LastEventID)
	if f != nil {
		fail(w, call, f)
		return
	}
	stream := &restStream{ctx: ctx, w: w, call: call, control: http.NewResponseController(w), events: acceptsEvents(call.Header.Values("Accept"))}
	err = s.jobs.WatchJob(&v1.WatchJobRequest{
		Workspace: path["workspace"], Service: path["service"], JobId: path["job_id"],
		ApiVersion: r.Form.Get("api-version"), Cursor: cursor,
	}, stream)
	switch {
	case err == nil || errors.Is(err, errHeadOnly):
	case stream.begun: // the status is sent, and an End says why
		call.Failure = api.FailureOf(err)
	default:
		fail(w, call, api.FailureOf(err))
	}
}

// resumeAt returns the cursor of a watch, which browsers send as Last-Event-ID when they come back.
func resumeAt(query, header string) (string, *api.Failure) {
	if query != "" && header != "" && query != header {
		return "", api.Refuse(api.InvalidQuery, "cursor", "differs from Last-Event-ID; give one, or the same")
	}
	if query == "" {
		return header, nil
	}
	return query, nil
}

// acceptsEvents reports whether a caller asks for server-sent events.
func acceptsEvents(accept []string) bool {
	for _, v := range accept {
		for part := range strings.SplitSeq(v, ",") {
			media, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(media), "text/event-stream") {
				return true
			}
		}
	}
	return false
}

// restStream is a WatchJob stream that ends in an HTTP answer.
type restStream struct {
	grpc.ServerStream // nil: nothing else of it is used

	ctx     context.Context
	w       http.ResponseWriter
	call    *api.Call
	control *http.ResponseController
	events  bool // server-sent events, not lines
	begun   bool
}

// Context is the request's.
func (s *restStream) Context() context.Context { return s.ctx }

// SetHeader has nothing to do: what is told over REST stands in the Call.
func (s *restStream) SetHeader(metadata.MD) error { return nil }

// Send is not used: events come as messages that are shared.
func (s *restStream) Send(msg *v1.WatchJobResponse) error {
	return s.SendMsg(&api.Shared{WatchJobResponse: msg})
}

// SendMsg writes one event and flushes it.
func (s *restStream) SendMsg(event any) error {
	shared, ok := event.(*api.Shared)
	if !ok {
		return fmt.Errorf("a watch does not send %T", event)
	}
	msg := shared.WatchJobResponse
	if !s.begun && !s.begin(msg) {
		return nil
	}
	if s.call.HeadOnly {
		return errHeadOnly
	}
	form, write := api.FormLine, asLine
	if s.events {
		form, write = api.FormEvent, asEvent
	}
	text, _ := shared.Memo.Get(form, func() any { return write(msg) }).([]byte)
	_ = s.control.SetWriteDeadline(time.Now().Add(stallTimeout))
	if _, err := s.w.Write(text); err != nil {
		return errors.Join(context.Canceled, err)
	}
	err := s.control.Flush()
	// Over HTTP/2 a deadline that passes ends the stream even where nothing is being written.
	_ = s.control.SetWriteDeadline(time.Time{})
	return err
}

// asEvent is a message as server-sent events have it.
func asEvent(msg *v1.WatchJobResponse) []byte {
	b := []byte("id: " + msg.GetCursor() + "\nevent: " + eventName(msg) + "\ndata: ")
	return append(append(b, asLine(msg)...), '\n')
}

// asLine is a message as a line of JSON.
func asLine(msg *v1.WatchJobResponse) []byte {
	b, _ := protojson.Marshal(msg) // its texts are UTF-8: they came as JSON
	return append(b, '\n')
}

// errHeadOnly ends the watch of a HEAD, whose answer has no more to come.
var errHeadOnly = errors.New("only the head was asked for")

// begin writes the answer's head. A watcher that comes back with a job's last cursor gets 204 and nothing else: an
// EventSource would otherwise come back for ever.
func (s *restStream) begin(first *v1.WatchJobResponse) bool {
	s.begun = true
	h := s.w.Header()
	head(h, s.call)
	h.Set("Cache-Control", "no-store")
	if first.GetEnd().GetReason() == v1.WatchEnd_REASON_TERMINAL {
		s.w.WriteHeader(http.StatusNoContent)
		return false
	}
	h.Set("X-Accel-Buffering", "no")
	if s.events {
		h.Set("Content-Type", "text/event-stream")
	} else {
		h.Set("Content-Type", "application/x-ndjson")
	}
	s.w.WriteHeader(http.StatusOK)
	if s.events {
		_, _ = s.w.Write([]byte("retry: 1000\n\n"))
	}
	return true
}

// eventName is an event's name as server-sent events have it.
func eventName(msg *v1.WatchJobResponse) string {
	switch msg.GetEvent().(type) {
	case *v1.WatchJobResponse_Job:
		return "job"
	case *v1.WatchJobResponse_Heartbeat:
		return "heartbeat"
	}
	return "end"
}
