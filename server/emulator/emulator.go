package emulator

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Emulator answers AzureML's classic request/response protocol. It is an
// http.Handler and safe for concurrent use. Nothing runs in the background but
// jobs that were started; Close ends them.
type Emulator struct {
	cfg      Config
	key      [sha256.Size]byte
	services map[string]*deployment
	runner   *runner
	calls    atomic.Int64 // execute calls whose body was read
	admitted atomic.Int64 // those that got a slot
}

// deployment is a service with what it needs to be called.
type deployment struct {
	*service
	swagger []byte
	slots   chan struct{} // one element a running execute call
	jobs    *jobs
}

// Close cancels the jobs that are queued or run, and returns when nothing of
// them is left. Calls are answered as before, but no job can be submitted or
// started any more.
func (e *Emulator) Close() {
	for _, d := range e.services {
		d.jobs.close()
	}
	e.runner.close()
}

// answer is what goes back to the client. Handlers return it instead of
// writing, so that faults and headers have one place each.
type answer struct {
	status  int
	body    []byte
	code    string // the detail code of a refusal, for the log
	header  [2]string
	cut     bool // send half and cut the connection
	dropped bool // send nothing and cut the connection
}

// refuse turns a problem into its answer.
func refuse(p *problem) answer {
	return answer{status: p.status, body: p.envelope(), code: p.detail}
}

// ServeHTTP answers one request. It panics with http.ErrAbortHandler, which is
// how a handler has net/http cut a connection, when a call hangs or its answer
// is cut by Config.Faults, and when the client went away before its answer.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start, id := time.Now(), requestID()
	to, known := parsePath(r.URL.EscapedPath())
	if to.operation == opStart {
		// Otherwise net/http would wait for the rest of a body that nobody looks
		// at before it answers; a Node client was seen to never end it. Where it
		// is not supported there is no such waiting.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	a := e.respond(r, to, known)
	// Neither the URL nor the body is logged: both may hold secrets.
	e.cfg.Logger.LogAttrs(r.Context(), slog.LevelInfo, "request",
		slog.String("method", cut(r.Method)),
		slog.String("operation", to.operation),
		slog.String("service", to.knownService(e)),
		slog.Int("status", a.status),
		slog.String("code", a.code),
		slog.Int("bytes", len(a.body)),
		slog.Bool("cut", a.cut || a.dropped),
		slog.String("request_id", id),
		slog.Duration("took", time.Since(start)))
	write(w, r, id, a)
}

func write(w http.ResponseWriter, r *http.Request, id string, a answer) {
	if a.dropped {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	if a.status != http.StatusNoContent {
		h.Set("Content-Type", "application/json; charset=utf-8")
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	h.Set("X-Ms-Request-Id", id)
	// net/http sets Date by itself, but not every ResponseWriter is its own.
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if a.header[0] != "" {
		h.Set(a.header[0], a.header[1])
	}
	w.WriteHeader(a.status)
	switch {
	case r.Method == http.MethodHead:
	case a.cut:
		// Errors are of no interest on a connection that is cut anyway.
		_, _ = w.Write(a.body[:len(a.body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	default:
		_, _ = w.Write(a.body) // fails when the client is gone: nobody to tell
	}
}

// respond finds the operation and checks verb, key, workspace and service, in
// this order: without the key nobody learns which services exist.
func (e *Emulator) respond(r *http.Request, to target, known bool) answer {
	if !known {
		// The official table has no code for an unknown path.
		return refuse(notFound.because("ResourceNotFound",
			"There is nothing at this path. Verify that it is /workspaces/{workspace}/services/{service}/execute, .../jobs, .../jobs/{job}, .../jobs/{job}/start or .../swagger.json and try again."))
	}
	if verbs := operations[to.operation]; !slices.Contains(verbs, r.Method) {
		allow := strings.Join(verbs, ", ")
		a := refuse(methodNotAllowed.because("MethodNotAllowed", "Allowed here: %s.", allow))
		a.header = [2]string{"Allow", allow}
		return a
	}
	if to.operation != opSwagger && !e.authorized(r.Header.Get("Authorization")) {
		a := refuse(unauthorized.because("ScoreRequestUnauthorized", "Invalid credentials provided."))
		a.header = [2]string{"Www-Authenticate", "Bearer"}
		return a
	}
	if to.workspace != e.cfg.Workspace {
		return refuse(notFound.because("WorkspaceNotFound", "Workspace not found. Verify the workspace Id is correct and try again."))
	}
	d := e.services[to.service]
	if d == nil {
		return refuse(notFound.because("WebServiceNotFound", "Web service not found. Verify the web service Id is correct and try again."))
	}
	switch to.operation {
	case opSwagger:
		return answer{status: http.StatusOK, body: d.swagger}
	case opExecute:
		return e.execute(r, d)
	}
	return e.batch(r, d, to)
}

// authorized reports whether an Authorization header holds the key. Clients
// write the scheme in any case and put one blank or two. The digests are
// compared, since comparing the keys themselves would tell their length.
func (e *Emulator) authorized(header string) bool {
	words := strings.Fields(header)
	if len(words) != 2 || !strings.EqualFold(words[0], "Bearer") {
		return false
	}
	given := sha256.Sum256([]byte(words[1]))
	return subtle.ConstantTimeCompare(given[:], e.key[:]) == 1
}

const (
	opExecute = "execute"
	opSwagger = "swagger.json"
	opJobs    = "jobs"
	opJob     = "jobs/{job}"
	opStart   = "jobs/{job}/start"
)

// operations maps what stands behind the service in a path to the verbs it
// allows.
var operations = map[string][]string{
	opExecute: {http.MethodPost},
	opSwagger: {http.MethodGet, http.MethodHead},
	opJobs:    {http.MethodPost},
	opJob:     {http.MethodGet, http.MethodHead, http.MethodDelete},
	opStart:   {http.MethodPost},
}

// target is what a path names.
type target struct{ workspace, service, operation, job string }

// parsePath reads /workspaces/{ws}/services/{svc}/{operation}. Fixed words are
// taken in any case and one trailing slash is accepted, as ASP.NET did; ids
// are exact. It works on the escaped path, so no id is found by an escape.
func parsePath(escaped string) (target, bool) {
	parts := strings.Split(strings.TrimSuffix(escaped, "/"), "/")
	if len(parts) < 6 || parts[0] != "" || !strings.EqualFold(parts[1], "workspaces") || !strings.EqualFold(parts[3], "services") {
		return target{}, false
	}
	to := target{workspace: parts[2], service: parts[4]}
	operation := parts[5:]
	if len(operation) > 1 && strings.EqualFold(operation[0], opJobs) {
		to.job, operation[1] = operation[1], "{job}"
	}
	to.operation = strings.ToLower(strings.Join(operation, "/"))
	if operations[to.operation] == nil {
		return target{}, false
	}
	return to, true
}

// knownService is the service's id if there is such a service, so that the log
// repeats no text that a client chose.
func (t target) knownService(e *Emulator) string {
	if e.services[t.service] == nil {
		return ""
	}
	return t.service
}

// requestID makes the GUID of x-ms-request-id: 122 random bits and the marks
// of version 4.
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, says its documentation
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
