package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amlgate/amlgate/server/azureml"
	"github.com/amlgate/amlgate/server/redact"
	"github.com/amlgate/amlgate/server/store"
)

// The domains of ErrorInfo: who says so.
const (
	DomainAzureML = "azureml" // the upstream; reasons are its own codes, verbatim
	DomainAmlgate = "amlgate" // this service; reasons are the Reason constants
)

// Texts travel in trailers, and grpc-java refuses headers beyond 8 KiB: bytes, after which a text is cut.
const (
	maxMessage = 1 << 10
	maxDetail  = 1 << 10
	maxTrailer = 8000 // of a status' values together; names and HTTP/2's own count take the rest
)

// Reason says what amlgate itself refuses or finds broken; each has its row in refusals.
type Reason string

// The reasons.
const (
	InvalidField       Reason = "INVALID_FIELD"
	BadAPIVersion      Reason = "BAD_API_VERSION"
	InvalidQuery       Reason = "INVALID_QUERY_PARAMETER"
	InvalidHeader      Reason = "INVALID_HEADER"
	RequestTorn        Reason = "REQUEST_TORN"
	RequestTooLarge    Reason = "REQUEST_TOO_LARGE"
	RouteNotFound      Reason = "ROUTE_NOT_FOUND"
	MethodNotAllowed   Reason = "METHOD_NOT_ALLOWED"
	NotImplemented     Reason = "NOT_IMPLEMENTED"
	AnswerNotTable     Reason = "ANSWER_NOT_TABLE"
	SchemaNotPublished Reason = "SCHEMA_NOT_PUBLISHED"
	NoCredential       Reason = "NO_CREDENTIAL"
	JobNotFound        Reason = "JOB_NOT_FOUND"
	AccessLost         Reason = "ACCESS_LOST"
	TooManyWatches     Reason = "TOO_MANY_WATCHES"
	NoRoom             Reason = "TOO_MANY_BYTES_IN_FLIGHT"
	Stopping           Reason = "STOPPING"
	JobStarted         Reason = "JOB_STARTED"
	RequestReused      Reason = "REQUEST_ID_REUSED"
	KeyInvalid         Reason = "KEY_INVALID"
	JournalFull        Reason = "JOURNAL_FULL"
	JournalDown        Reason = "JOURNAL_UNAVAILABLE"
	Cancelled          Reason = "CANCELLED"
	DeadlineExceeded   Reason = "DEADLINE_EXCEEDED"
	UpstreamTimeout    Reason = "UPSTREAM_TIMEOUT"
	UpstreamDown       Reason = "UPSTREAM_UNREACHABLE"
	UpstreamBroken     Reason = "UPSTREAM_BROKE_OFF"
	UpstreamForeign    Reason = "UPSTREAM_NOT_AZUREML"
	UpstreamRedirected Reason = "UPSTREAM_REDIRECTED"
	UpstreamKey        Reason = "UPSTREAM_REFUSED_KEY"
	AnswerTooLarge     Reason = "ANSWER_TOO_LARGE"
	Unexpected         Reason = "UNEXPECTED"
)

// surface is how an error looks over gRPC and over REST.
type surface struct {
	Code codes.Code
	HTTP int
	// Class and Detail are error.code and details[0].code of AzureML's envelope, Message is error.message. Those that
	// AzureML's own table has are taken from there; the others are ours.
	Class, Detail, Message string
}

// AzureML's sentences for its classes.
const (
	badArgument  = "Invalid argument provided."
	unauthorized = "Request is unauthorized to access resource."
	notFound     = "Resource not found."
	timeout      = "The operation could not be completed within the permitted time."
	unavailable  = "Service is temporarily unavailable."
	internal     = "Execution encountered an internal error."
	invalidNow   = "The request is invalid in the current context."
	badGateway   = "The upstream did not answer as AzureML does."
)

// refusals is the table of amlgate's own errors.
var refusals = map[Reason]surface{
	InvalidField:       {codes.InvalidArgument, 400, "BadArgument", "BadParameterValue", badArgument},
	BadAPIVersion:      {codes.InvalidArgument, 400, "BadArgument", "BadVersionCall", badArgument},
	InvalidQuery:       {codes.InvalidArgument, 400, "BadArgument", "InvalidQueryParameter", badArgument},
	InvalidHeader:      {codes.InvalidArgument, 400, "BadArgument", "BadParameterValue", badArgument},
	RequestTorn:        {codes.InvalidArgument, 400, "BadArgument", "RequestBodyInvalid", badArgument},
	RequestTooLarge:    {codes.ResourceExhausted, 413, "RequestBodyTooLarge", "RequestBodyTooLarge", "The request body is too large."},
	RouteNotFound:      {codes.NotFound, 404, "NotFound", "RouteNotFound", notFound},
	MethodNotAllowed:   {codes.Unimplemented, 405, "MethodNotAllowed", "MethodNotAllowed", "The method is not allowed for this resource."},
	NotImplemented:     {codes.Unimplemented, 501, "NotImplemented", "NotImplemented", "The operation is not implemented."},
	AnswerNotTable:     {codes.FailedPrecondition, 400, "InvalidOperation", "AnswerNotTable", invalidNow},
	SchemaNotPublished: {codes.FailedPrecondition, 404, "NotFound", "SchemaNotPublished", notFound},
	NoCredential:       {codes.Unauthenticated, 401, "Unauthorized", "ScoreRequestUnauthorized", unauthorized},
	JobNotFound:        {codes.NotFound, 404, "NotFound", "JobNotFound", notFound},
	AccessLost:         {codes.PermissionDenied, 403, "Unauthorized", "ScoreRequestUnauthorized", unauthorized},
	TooManyWatches:     {codes.ResourceExhausted, 429, "ServiceUnavailable", "TooManyWatches", unavailable},
	NoRoom:             {codes.ResourceExhausted, 503, "ServiceUnavailable", "TooManyBytesInFlight", unavailable},
	Stopping:           {codes.Unavailable, 503, "ServiceUnavailable", "Stopping", unavailable},
	JobStarted:         {codes.FailedPrecondition, 400, "InvalidOperation", "CannotStartJob", invalidNow},
	RequestReused:      {codes.AlreadyExists, 409, "InvalidOperation", "RequestIdReused", invalidNow},
	KeyInvalid:         {codes.Unauthenticated, 401, "Unauthorized", "ScoreRequestUnauthorized", unauthorized},
	JournalFull:        {codes.ResourceExhausted, 503, "ServiceUnavailable", "JournalFull", unavailable},
	JournalDown:        {codes.Unavailable, 503, "ServiceUnavailable", "JournalUnavailable", unavailable},
	Cancelled:          {codes.Canceled, 408, "RequestTimeout", "RequestCanceled", timeout},
	DeadlineExceeded:   {codes.DeadlineExceeded, 504, "GatewayTimeout", "BackendScoreTimeout", timeout},
	UpstreamTimeout:    {codes.DeadlineExceeded, 504, "GatewayTimeout", "BackendScoreTimeout", timeout},
	UpstreamDown:       {codes.Unavailable, 503, "ServiceUnavailable", "UpstreamUnreachable", unavailable},
	UpstreamBroken:     {codes.Internal, 502, "BadGateway", "UpstreamBrokeOff", badGateway},
	UpstreamForeign:    {codes.Internal, 502, "BadGateway", "UpstreamNotAzureML", badGateway},
	UpstreamRedirected: {codes.Internal, 502, "BadGateway", "UpstreamRedirected", badGateway},
	UpstreamKey:        {codes.Internal, 502, "BadGateway", "UpstreamRefusedKey", badGateway},
	AnswerTooLarge:     {codes.ResourceExhausted, 502, "BadGateway", "AnswerTooLarge", badGateway},
	Unexpected:         {codes.Internal, 500, "InternalError", "UnknownError", internal},
}

// upstreamKinds tells which reason a failed exchange is.
var upstreamKinds = map[azureml.Kind]Reason{
	azureml.Unreachable: UpstreamDown,
	azureml.TimedOut:    UpstreamTimeout,
	azureml.Broken:      UpstreamBroken,
	azureml.Foreign:     UpstreamForeign,
	azureml.Redirected:  UpstreamRedirected,
	azureml.TooLarge:    AnswerTooLarge,
	azureml.NoRoom:      NoRoom,
	azureml.KeyRefused:  UpstreamKey,
}

// answers is the table of the upstream's own errors: the first row that fits an answer's status, class and detail code
// gives the gRPC code; an empty class or detail fits any. REST passes status and body on as they came. The classes and
// codes are those of Microsoft's table "Machine Learning Module/Web Service Error Codes"; an answer with none of them is
// judged by its status and gets an envelope of that row's class.
var answers = []struct {
	Status        int
	Class, Detail string
	Code          codes.Code
}{
	{400, "InvalidOperation", "", codes.FailedPrecondition},
	{400, "WebServicePackageError", "", codes.FailedPrecondition},
	// BadArgument, BadUserArgument, and what a module makes of the data: AzureML counts it as the caller's.
	{400, "", "", codes.InvalidArgument},
	{401, "", "", codes.Unauthenticated},
	{403, "", "", codes.PermissionDenied},
	{404, "", "", codes.NotFound},
	{405, "", "", codes.Unimplemented},
	{408, "", "RequestCanceled", codes.Canceled},
	{408, "", "", codes.DeadlineExceeded},
	{409, "", "", codes.AlreadyExists},
	{412, "", "", codes.FailedPrecondition},
	{413, "", "", codes.ResourceExhausted}, // of a model's memory; of a proxy's body limit
	{415, "", "", codes.InvalidArgument},
	{422, "", "", codes.InvalidArgument},
	{424, "", "", codes.Internal}, // today's endpoints: the model's own code failed
	{429, "", "", codes.ResourceExhausted},
	{501, "", "", codes.Unimplemented},
	{502, "", "", codes.Unavailable},
	{503, "", "RequestThrottled", codes.ResourceExhausted},
	{503, "", "TooManyConcurrentRequests", codes.ResourceExhausted},
	{503, "", "", codes.Unavailable},
	{504, "", "", codes.DeadlineExceeded},
}

// byStatus gives the class for an answer that carries no envelope.
var byStatus = map[int]surface{
	400: {Class: "BadArgument", Detail: "UnknownError", Message: badArgument},
	401: {Class: "Unauthorized", Detail: "ScoreRequestUnauthorized", Message: unauthorized},
	403: {Class: "Unauthorized", Detail: "ScoreRequestUnauthorized", Message: unauthorized},
	404: {Class: "NotFound", Detail: "WebServiceNotFound", Message: notFound},
	408: {Class: "RequestTimeout", Detail: "ScoreRequestTimeout", Message: timeout},
	429: {Class: "ServiceUnavailable", Detail: "RequestThrottled", Message: unavailable},
	500: {Class: "InternalError", Detail: "UnknownError", Message: internal},
	502: {Class: "ServiceUnavailable", Detail: "NoMoreResources", Message: unavailable},
	503: {Class: "ServiceUnavailable", Detail: "NoMoreResources", Message: unavailable},
	504: {Class: "GatewayTimeout", Detail: "BackendScoreTimeout", Message: timeout},
}

// answerCode finds an answer's row.
func answerCode(httpStatus int, class, detail string) codes.Code {
	for _, row := range answers {
		if row.Status == httpStatus && (row.Class == "" || row.Class == class) && (row.Detail == "" || row.Detail == detail) {
			return row.Code
		}
	}
	if httpStatus >= 500 {
		return codes.Internal
	}
	return codes.FailedPrecondition
}

// Failure is an error as both surfaces show it. No secret is in it, except in Cause, which only the log sees and
// redacts.
type Failure struct {
	// HTTP is the status over REST, Body the envelope. Allow is set with 405.
	HTTP  int
	Body  []byte
	Allow string

	// ContentType is the body's, application/json unless the upstream's own answer is passed on.
	ContentType, ContentEncoding string

	// RetryAfter is how long to wait, 0 where nothing is known.
	RetryAfter time.Duration

	// Cause is what went wrong inside; it never reaches a caller.
	Cause error

	status *status.Status
}

// Error returns what the caller is told.
func (f *Failure) Error() string { return f.status.Message() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// GRPCStatus is how grpc-go finds the status of an error.
func (f *Failure) GRPCStatus() *status.Status { return f.status }

// Code is the gRPC code in words, for the log.
func (f *Failure) Code() string { return f.status.Code().String() }

// Refuse returns a Failure of amlgate's own. Field names what is wrong with the request; it may be empty.
func Refuse(reason Reason, field, format string, args ...any) *Failure {
	field, text := redact.String(field), redact.String(fmt.Sprintf(format, args...))
	sf, ok := refusals[reason]
	if !ok {
		sf = refusals[Unexpected]
	}
	message := text
	if field != "" {
		message = field + ": " + text
	}
	message = cut(message, maxMessage)
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Domain: DomainAmlgate, Reason: string(reason)}}
	switch {
	case reason == RequestTooLarge || reason == TooManyWatches || reason == NoRoom || reason == JournalFull:
		details = append(details, &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: "request", Description: cut(text, maxDetail)}}})
	case field != "":
		details = append(details, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: cut(field, maxDetail), Description: cut(text, maxDetail)}}})
	}
	return &Failure{
		HTTP:        sf.HTTP,
		ContentType: jsonType,
		Body:        envelope(sf, DomainAmlgate, message),
		status:      withDetails(sf.Code, message, details...),
	}
}

const jsonType = "application/json; charset=utf-8"

// envelope writes AzureML's error body. Target is "amlgate" on errors that AzureML did not send.
func envelope(sf surface, target, message string) []byte {
	b, _ := json.Marshal(azureml.Envelope{Error: azureml.ErrorBody{
		Code:    sf.Class,
		Message: sf.Message,
		Details: []azureml.ErrorDetail{{Code: sf.Detail, Target: target, Message: message}},
	}})
	return b
}

// FailureOf returns any error as a Failure: one that is none yet is the upstream's, the caller's own end, a status of
// grpc-go or the gateway, or else a fault of ours, of which the caller learns nothing.
func FailureOf(err error) *Failure {
	var f *Failure
	var up *azureml.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &up):
		return ofUpstream(up)
	case errors.Is(err, store.ErrFull):
		return caused(Refuse(JournalFull, "", "no room for new jobs; those there are go on"), err)
	case errors.Is(err, store.ErrUnavailable):
		return caused(Refuse(JournalDown, "", "the journal does not answer; what was asked for may have happened upstream"), err)
	case errors.Is(err, context.Canceled):
		return caused(Refuse(Cancelled, "", "the caller cancelled the call; it may have run"), err)
	case errors.Is(err, context.DeadlineExceeded):
		return caused(Refuse(DeadlineExceeded, "", "the caller's deadline passed; the call may still be running"), err)
	}
	if st, ok := status.FromError(err); ok {
		return ofStatus(st)
	}
	return caused(Refuse(Unexpected, "", "an unexpected error; the log has it under this call's x-ms-client-request-id"), err)
}

func caused(f *Failure, err error) *Failure {
	f.Cause = err
	return f
}

// ofStatus turns what grpc-go and the generated gateway refuse into a Failure. Their texts name Go's functions and are
// not passed on, except that of an RPC which does not exist here.
func ofStatus(st *status.Status) *Failure {
	switch st.Code() {
	case codes.Unimplemented:
		return Refuse(NotImplemented, "", "%s", st.Message())
	case codes.ResourceExhausted: // a message beyond grpc.MaxRecvMsgSize
		return Refuse(RequestTooLarge, "", "%s", st.Message())
	case codes.Canceled:
		return Refuse(Cancelled, "", "the caller cancelled the call; it may have run")
	case codes.DeadlineExceeded:
		return Refuse(DeadlineExceeded, "", "the caller's deadline passed; the call may still be running")
	case codes.InvalidArgument:
		return caused(Refuse(InvalidField, "", "the request cannot be read; check its query and headers (Grpc-Timeout among them)"), st.Err())
	}
	return caused(Refuse(Unexpected, "", "an unexpected error; the log has it under this call's x-ms-client-request-id"), st.Err())
}

// ofUpstream turns a failed upstream call into a Failure.
func ofUpstream(e *azureml.Error) *Failure {
	if e.Kind != azureml.Answered {
		f := Refuse(upstreamKinds[e.Kind], "", "%s", e.Reason)
		f.Cause = e.Err
		return f
	}
	sf, domain, text := surface{HTTP: e.Status}, DomainAzureML, ""
	body, details := e.Envelope.Error, []azureml.ErrorDetail(nil)
	if body.Code != "" && len(body.Details) > 0 {
		sf.Class, sf.Detail, sf.Message, details = body.Code, cmp.Or(body.Details[0].Code, body.Code), body.Message, body.Details
		text = body.Details[0].Message
	} else {
		sf, domain, text = statusSurface(e), DomainAmlgate, e.Reason
	}
	sf.Code = answerCode(e.Status, sf.Class, sf.Detail)
	if domain == DomainAzureML {
		if text == "" {
			text = sf.Message // many of AzureML's details have no sentence of their own
		}
		text = sf.Detail + ": " + text
	}
	message := cut(redact.String(text), maxMessage)
	f := &Failure{HTTP: e.Status, RetryAfter: e.RetryAfter, status: withDetails(sf.Code, message, upstreamDetails(e, sf, domain, details)...)}
	switch passed := withoutSecrets(e.Plain); {
	case domain == DomainAmlgate:
		f.ContentType, f.Body = jsonType, envelope(sf, DomainAmlgate, message)
	case !bytes.Equal(passed, e.Plain):
		f.ContentType, f.Body = jsonType, passed
	default:
		f.ContentType, f.ContentEncoding, f.Body = cmp.Or(e.Header.Get("Content-Type"), jsonType), e.Header.Get("Content-Encoding"), e.Body
	}
	return f
}

// statusSurface is the class for an answer without a whole envelope. A code and message without details are kept; those
// of another shape (today's endpoints write numbers for codes) are not.
func statusSurface(e *azureml.Error) surface {
	sf, ok := byStatus[e.Status]
	switch {
	case ok:
	case e.Status >= 500:
		sf = byStatus[500]
	default:
		sf = byStatus[400]
	}
	if said := e.Envelope.Error; said.Code != "" {
		sf.Class, sf.Message = redact.String(said.Code), redact.String(said.Message)
		sf.Detail = sf.Class
	}
	sf.HTTP = e.Status
	return sf
}

// upstreamDetails returns the gRPC error details for an upstream's answer.
func upstreamDetails(e *azureml.Error, sf surface, domain string, list []azureml.ErrorDetail) []protoadapt.MessageV1 {
	info := &errdetails.ErrorInfo{Domain: domain, Reason: cut(redact.String(sf.Detail), 128), Metadata: map[string]string{
		"class": cut(redact.String(sf.Class), 128), "http_status": fmt.Sprint(e.Status),
	}}
	if domain == DomainAmlgate {
		info.Reason = "UPSTREAM_ERROR"
	}
	if len(list) > 0 && list[0].Target != "" {
		info.Metadata["target"] = cut(redact.String(list[0].Target), 256)
	}
	details := []protoadapt.MessageV1{info}
	if id := requestID(e.Header); id != "" {
		details = append(details, &errdetails.RequestInfo{RequestId: cut(redact.String(id), 128)})
	}
	switch {
	case sf.Code == codes.ResourceExhausted:
		details = append(details, &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{
			Subject: "upstream", Description: cut(redact.String(sf.Detail), 256)}}})
		fallthrough
	case sf.Code == codes.Unavailable:
		if e.RetryAfter > 0 {
			details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
		}
	case sf.Code == codes.InvalidArgument:
		violations := &errdetails.BadRequest{}
		for _, d := range list[:min(len(list), 4)] {
			violations.FieldViolations = append(violations.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field: cut(redact.String(d.Target), 128), Description: cut(redact.String(d.Message), 512), Reason: cut(redact.String(d.Code), 128)})
		}
		if len(list) > 0 {
			details = append(details, violations)
		}
	}
	return details
}

// requestID returns the upstream's id of a call.
func requestID(h http.Header) string { return h.Get("X-Ms-Request-Id") }

// withDetails builds a status that fits into its trailers. Details that cannot be packed are left out rather than hide
// the status.
func withDetails(code codes.Code, message string, details ...protoadapt.MessageV1) *status.Status {
	st := status.New(code, message)
	if full, err := st.WithDetails(details...); err == nil {
		st = full
	}
	if short := maxMessage / 3; len(message) > short && trailerSize(st) > maxTrailer {
		return withDetails(code, cut(message, short), details...)
	}
	return st
}

// trailerSize is how long the values of a status are on the wire. The message travels twice: with the details in base64,
// and alone, where all that is no printable ASCII takes three bytes.
func trailerSize(st *status.Status) int {
	n := base64.RawStdEncoding.EncodedLen(proto.Size(st.Proto()))
	for _, c := range []byte(st.Message()) {
		n++
		if c < ' ' || c > '~' || c == '%' {
			n += 2
		}
	}
	return n
}

// cut shortens a text to at most limit bytes, visibly and between characters. What is not UTF-8 becomes U+FFFD, since
// Protobuf takes nothing else.
func cut(s string, limit int) string {
	if !utf8.ValidString(s) {
		s = string([]rune(s))
	}
	if len(s) <= limit {
		return s
	}
	const mark = " [cut]"
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
