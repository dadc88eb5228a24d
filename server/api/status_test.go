package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amlgate/amlgate/server/azureml"
)

// official is AzureML's table of errors, from Microsoft's page "Azure Machine Learning Studio REST API Error Codes": each
// class with its HTTP status and sentence, and its detail codes. Behind it stands what gRPC callers get. Classes without
// codes of their own have those seen in captures, or the class' name.
var official = []struct {
	http            int
	class, sentence string
	code            codes.Code
	details         string
}{
	{400, "BadArgument", "Invalid argument provided.", codes.InvalidArgument,
		"BadParameterValue BadSubscriptionId BadVersionCall BatchJobInputsNotSpecified BatchJobInputsTooManySpecified BlobNameTooLong BlobNotFound ContainerIsEmpty ContainerSegmentInvalid " +
			"ContainerValidationFailed DataTypeNotSupported DuplicateInputInBatchCall ExpiryTimeInThePast IncompleteSettings InputBlobRelativeLocationInvalid InvalidBlob InvalidBlobConnectionString " +
			"InvalidBlobExtension InvalidInputNames InvalidOutputOverrideName InvalidQueryParameter MissingInputBlobInformation MissingJobId MissingKeys MissingModelPackage MissingOutputOverrideSpecification " +
			"MissingRequestInput MissingRequiredGlobalParameters MissingRequiredOutputOverrides MissingWebServiceGroupId MissingWebServiceId MissingWebServicePackage MissingWorkspaceId ModelConfigurationInvalid " +
			"ModelPackageIdInvalid RequestBodyInvalid RequestIsEmpty UnexpectedParameter UnknownError UserParameterInvalid WebServiceConcurrentRequestRequirementInvalid WebServiceIdInvalid " +
			"WebServiceTooManyConcurrentRequestRequirement WebServiceTypeInvalid"},
	{400, "BadUserArgument", "Invalid user argument provided.", codes.InvalidArgument,
		"InputMismatchError InputParseError MissingRequiredGlobalParameters UnexpectedParameter UserParameterInvalid"},
	{400, "InvalidOperation", "The request is invalid in the current context.", codes.FailedPrecondition, "CannotStartJob IncompatibleModel MultipleInputsNotAllowed"},
	{400, "LibraryExecutionError", "Module execution encountered an internal library error.", codes.InvalidArgument, "FailedToEvaluateRScript TableSchemaColumnCountMismatch"},
	{400, "ModuleExecutionError", "Module execution encountered an error.", codes.InvalidArgument, "ModuleExecutionError"},
	{400, "WebServicePackageError", "Invalid web service package. Verify the web service package provided is correct and try again.", codes.FailedPrecondition, "FormatError RuntimesError ValidationError"},
	{401, "Unauthorized", "Request is unauthorized to access resource.", codes.Unauthenticated, "AdminRequestUnauthorized ManagementRequestUnauthorized ScoreRequestUnauthorized"},
	{404, "NotFound", "Resource not found.", codes.NotFound, "ModelPackageNotFound WebServiceIdNotFoundInWorkspace WebServiceNotFound WorkspaceNotFound"},
	{408, "RequestTimeout", "The operation could not be completed within the permitted time.", codes.Canceled, "RequestCanceled"},
	{408, "RequestTimeout", "The operation could not be completed within the permitted time.", codes.DeadlineExceeded, "ScoreRequestTimeout"},
	{409, "Conflict", "Resource already exists.", codes.AlreadyExists, "ModelOutputMetadataMismatch"},
	{413, "MemoryQuotaViolation", "The model had exceeded the memory quota assigned to it.", codes.ResourceExhausted, "OutOfMemoryLimit"},
	{500, "InternalError", "Execution encountered an internal error.", codes.Internal,
		"AdminAuthenticationFailed BackendArgumentError BackendBadRequest ClusterConfigBlobMisconfigured ContainerProcessTerminatedWithSystemError ContainerProcessTerminatedWithUnknownError ContainerValidationFailed " +
			"DeleteWebServiceResourceFailed ExceptionDeserializationError FailedGettingApiDocument FailedStoringWebService InvalidMemoryConfiguration InvalidResourceCacheConfiguration InvalidResourceDownloadConfiguration " +
			"InvalidWebServiceResources MissingTaskInstance ModelPackageInvalid ModuleExecutionFailed ModuleLoadFailed ModuleObjectCloneFailed OutputConversionFailed PortDataTypeNotSupported ResourceDownload ResourceLoadFailed " +
			"ServiceUrisNotFound SwaggerGeneration UnexpectedScoreStatus UnknownBackendErrorResponse UnknownError UnknownJobStatusCode UnknownModuleError UpdateWebServiceResourceFailed WebServiceGroupNotFound " +
			"WebServicePackageInvalid WorkerAuthorizationFailed WorkerUnreachable"},
	{500, "InternalErrorSystemLowOnMemory", "Execution encountered an internal error. System low on memory. Please try again.", codes.Internal, "InternalErrorSystemLowOnMemory"},
	{500, "ModelPackageFormatError", "Invalid model package. Verify the model package provided is correct and try again.", codes.Internal, "ModelPackageFormatError"},
	{500, "WebServicePackageInternalError", "Invalid web service package. Verify the web package provided is correct and try again.", codes.Internal, "ModuleError"},
	{503, "InitializingContainers", "The request cannot execute as the containers are being initialized.", codes.Unavailable, "InitializingContainers"},
	{503, "ServiceUnavailable", "Service is temporarily unavailable.", codes.Unavailable, "NoMoreResources TooManyHostsBeingInitialized TooManyHostsBeingInitializedPerModel"},
	{503, "ServiceUnavailable", "Service is temporarily unavailable.", codes.ResourceExhausted, "RequestThrottled TooManyConcurrentRequests"},
	{504, "GatewayTimeout", "The operation could not be completed within the permitted time.", codes.DeadlineExceeded, "BackendInitializationTimeout BackendScoreTimeout"},
}

// AzureML's errors over both surfaces: REST gets status and body as they came, gRPC the row's code and all that the
// envelope tells.
func TestOfficialErrors(t *testing.T) {
	head := map[string]string{"Content-Type": "application/json;odata=x", "X-Ms-Request-Id": "up-1", "Retry-After": "7"}
	for _, row := range official {
		for detail := range strings.FieldsSeq(row.details) {
			t.Run(row.class+"/"+detail, func(t *testing.T) {
				body := fmt.Sprintf("{ \"error\":{\"code\":%q,\r\n\"message\":%q, \"details\":[{\"code\":%q,\"target\":\"Score Model\",\"message\":\"What exactly.\"}]}}\n", row.class, row.sentence, detail)
				f := newFake(t, row.http, head, body).failure(t)
				if f.HTTP != row.http || f.RetryAfter != 7*time.Second || f.Allow != "" || f.ContentEncoding != "" {
					t.Errorf("REST: %d, retry after %s, Allow %q, coding %q", f.HTTP, f.RetryAfter, f.Allow, f.ContentEncoding)
				}
				wantText(t, "REST's body", string(f.Body), body)
				wantText(t, "REST's type", f.ContentType, head["Content-Type"])
				if got := status.Code(f); got != row.code || f.Code() != row.code.String() {
					t.Errorf("gRPC: %s, want %s", got, row.code)
				}
				wantText(t, "the message", f.Error(), detail+": What exactly.")
				details := []proto.Message{
					&errdetails.ErrorInfo{Domain: "azureml", Reason: detail, Metadata: map[string]string{"class": row.class, "http_status": fmt.Sprint(row.http), "target": "Score Model"}},
					&errdetails.RequestInfo{RequestId: "up-1"},
				}
				switch row.code {
				case codes.ResourceExhausted:
					details = append(details, &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: "upstream", Description: detail}}}, &errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)})
				case codes.Unavailable:
					details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)})
				case codes.InvalidArgument:
					details = append(details, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "Score Model", Description: "What exactly.", Reason: detail}}})
				}
				wantDetails(t, f, details...)
			})
		}
	}
}

// own is how amlgate's own errors look over both surfaces.
var own = map[Reason]struct {
	code            codes.Code
	http            int
	class, detail   string
	sentence, field string // field is what gRPC's details name, besides ErrorInfo
}{
	"INVALID_FIELD":            {codes.InvalidArgument, 400, "BadArgument", "BadParameterValue", "Invalid argument provided.", "BadRequest"},
	"BAD_API_VERSION":          {codes.InvalidArgument, 400, "BadArgument", "BadVersionCall", "Invalid argument provided.", "BadRequest"},
	"INVALID_QUERY_PARAMETER":  {codes.InvalidArgument, 400, "BadArgument", "InvalidQueryParameter", "Invalid argument provided.", "BadRequest"},
	"INVALID_HEADER":           {codes.InvalidArgument, 400, "BadArgument", "BadParameterValue", "Invalid argument provided.", "BadRequest"},
	"REQUEST_TORN":             {codes.InvalidArgument, 400, "BadArgument", "RequestBodyInvalid", "Invalid argument provided.", "BadRequest"},
	"REQUEST_TOO_LARGE":        {codes.ResourceExhausted, 413, "RequestBodyTooLarge", "RequestBodyTooLarge", "The request body is too large.", "QuotaFailure"},
	"ROUTE_NOT_FOUND":          {codes.NotFound, 404, "NotFound", "RouteNotFound", "Resource not found.", "BadRequest"},
	"METHOD_NOT_ALLOWED":       {codes.Unimplemented, 405, "MethodNotAllowed", "MethodNotAllowed", "The method is not allowed for this resource.", "BadRequest"},
	"NOT_IMPLEMENTED":          {codes.Unimplemented, 501, "NotImplemented", "NotImplemented", "The operation is not implemented.", "BadRequest"},
	"ANSWER_NOT_TABLE":         {codes.FailedPrecondition, 400, "InvalidOperation", "AnswerNotTable", "The request is invalid in the current context.", "BadRequest"},
	"SCHEMA_NOT_PUBLISHED":     {codes.FailedPrecondition, 404, "NotFound", "SchemaNotPublished", "Resource not found.", "BadRequest"},
	"NO_CREDENTIAL":            {codes.Unauthenticated, 401, "Unauthorized", "ScoreRequestUnauthorized", "Request is unauthorized to access resource.", "BadRequest"},
	"JOB_NOT_FOUND":            {codes.NotFound, 404, "NotFound", "JobNotFound", "Resource not found.", "BadRequest"},
	"ACCESS_LOST":              {codes.PermissionDenied, 403, "Unauthorized", "ScoreRequestUnauthorized", "Request is unauthorized to access resource.", "BadRequest"},
	"TOO_MANY_WATCHES":         {codes.ResourceExhausted, 429, "ServiceUnavailable", "TooManyWatches", "Service is temporarily unavailable.", "QuotaFailure"},
	"TOO_MANY_BYTES_IN_FLIGHT": {codes.ResourceExhausted, 503, "ServiceUnavailable", "TooManyBytesInFlight", "Service is temporarily unavailable.", "QuotaFailure"},
	"STOPPING":                 {codes.Unavailable, 503, "ServiceUnavailable", "Stopping", "Service is temporarily unavailable.", "BadRequest"},
	"CANCELLED":                {codes.Canceled, 408, "RequestTimeout", "RequestCanceled", "The operation could not be completed within the permitted time.", "BadRequest"},
	"DEADLINE_EXCEEDED":        {codes.DeadlineExceeded, 504, "GatewayTimeout", "BackendScoreTimeout", "The operation could not be completed within the permitted time.", "BadRequest"},
	"UPSTREAM_TIMEOUT":         {codes.DeadlineExceeded, 504, "GatewayTimeout", "BackendScoreTimeout", "The operation could not be completed within the permitted time.", "BadRequest"},
	"UPSTREAM_UNREACHABLE":     {codes.Unavailable, 503, "ServiceUnavailable", "UpstreamUnreachable", "Service is temporarily unavailable.", "BadRequest"},
	"UPSTREAM_BROKE_OFF":       {codes.Internal, 502, "BadGateway", "UpstreamBrokeOff", "The upstream did not answer as AzureML does.", "BadRequest"},
	"UPSTREAM_NOT_AZUREML":     {codes.Internal, 502, "BadGateway", "UpstreamNotAzureML", "The upstream did not answer as AzureML does.", "BadRequest"},
	"UPSTREAM_REDIRECTED":      {codes.Internal, 502, "BadGateway", "UpstreamRedirected", "The upstream did not answer as AzureML does.", "BadRequest"},
	"ANSWER_TOO_LARGE":         {codes.ResourceExhausted, 502, "BadGateway", "AnswerTooLarge", "The upstream did not answer as AzureML does.", "BadRequest"},
	"UNEXPECTED":               {codes.Internal, 500, "InternalError", "UnknownError", "Execution encountered an internal error.", "BadRequest"},
	"JOB_STARTED":              {codes.FailedPrecondition, 400, "InvalidOperation", "CannotStartJob", "The request is invalid in the current context.", "BadRequest"},
	"REQUEST_ID_REUSED":        {codes.AlreadyExists, 409, "InvalidOperation", "RequestIdReused", "The request is invalid in the current context.", "BadRequest"},
	"KEY_INVALID":              {codes.Unauthenticated, 401, "Unauthorized", "ScoreRequestUnauthorized", "Request is unauthorized to access resource.", "BadRequest"},
	"JOURNAL_FULL":             {codes.ResourceExhausted, 503, "ServiceUnavailable", "JournalFull", "Service is temporarily unavailable.", "QuotaFailure"},
	"JOURNAL_UNAVAILABLE":      {codes.Unavailable, 503, "ServiceUnavailable", "JournalUnavailable", "Service is temporarily unavailable.", "BadRequest"},
	"UPSTREAM_REFUSED_KEY":     {codes.Internal, 502, "BadGateway", "UpstreamRefusedKey", "The upstream did not answer as AzureML does.", "BadRequest"},
}

func TestOwnErrors(t *testing.T) {
	for reason := range refusals {
		if _, ok := own[reason]; !ok {
			t.Errorf("%s has no row in this test", reason)
		}
	}
	for reason, row := range own {
		for field, message := range map[string]string{"": "7% of <it>", "in\"put": "in\"put: 7% of <it>"} {
			f := Refuse(reason, field, "%d%% of %s", 7, "<it>")
			if f.GRPCStatus().Code() != row.code || f.HTTP != row.http || f.RetryAfter != 0 || f.Cause != nil {
				t.Errorf("%s: %s, %d, %s, %v", reason, f.Code(), f.HTTP, f.RetryAfter, f.Cause)
			}
			wantText(t, "the message", f.Error(), message)
			wantText(t, "REST's type", f.ContentType, "application/json; charset=utf-8")
			quoted := strings.NewReplacer(`"`, `\"`, "<", `\u003c`, ">", `\u003e`).Replace(message)
			wantText(t, "REST's body", string(f.Body), fmt.Sprintf(`{"error":{"code":%q,"message":%q,"details":[{"code":%q,"target":"amlgate","message":"%s"}]}}`, row.class, row.sentence, row.detail, quoted))
			details := []proto.Message{&errdetails.ErrorInfo{Domain: "amlgate", Reason: string(reason)}}
			switch {
			case row.field == "QuotaFailure":
				details = append(details, &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: "request", Description: "7% of <it>"}}})
			case field != "":
				details = append(details, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: "7% of <it>"}}})
			}
			wantDetails(t, f, details...)
		}
	}
}

// A reason without a row is a fault of ours, and shown as one.
func TestUnknownReason(t *testing.T) {
	f := Refuse("NO_SUCH_REASON", "", "x")
	if f.GRPCStatus().Code() != codes.Internal || f.HTTP != 500 {
		t.Errorf("%s, %d", f.Code(), f.HTTP)
	}
}

// sentences are AzureML's, by class.
var sentences = map[string]string{
	"BadArgument": "Invalid argument provided.", "Unauthorized": "Request is unauthorized to access resource.", "NotFound": "Resource not found.",
	"RequestTimeout": "The operation could not be completed within the permitted time.", "GatewayTimeout": "The operation could not be completed within the permitted time.",
	"ServiceUnavailable": "Service is temporarily unavailable.", "InternalError": "Execution encountered an internal error.",
}

// bare is how an error answer that is none of AzureML's looks: the status alone decides.
var bare = []struct {
	http          int
	code          codes.Code
	class, detail string
}{
	{400, codes.InvalidArgument, "BadArgument", "UnknownError"}, {401, codes.Unauthenticated, "Unauthorized", "ScoreRequestUnauthorized"}, {402, codes.FailedPrecondition, "BadArgument", "UnknownError"},
	{403, codes.PermissionDenied, "Unauthorized", "ScoreRequestUnauthorized"}, {404, codes.NotFound, "NotFound", "WebServiceNotFound"}, {405, codes.Unimplemented, "BadArgument", "UnknownError"},
	{408, codes.DeadlineExceeded, "RequestTimeout", "ScoreRequestTimeout"}, {409, codes.AlreadyExists, "BadArgument", "UnknownError"}, {412, codes.FailedPrecondition, "BadArgument", "UnknownError"},
	{413, codes.ResourceExhausted, "BadArgument", "UnknownError"}, {415, codes.InvalidArgument, "BadArgument", "UnknownError"}, {418, codes.FailedPrecondition, "BadArgument", "UnknownError"},
	{422, codes.InvalidArgument, "BadArgument", "UnknownError"}, {424, codes.Internal, "BadArgument", "UnknownError"}, {429, codes.ResourceExhausted, "ServiceUnavailable", "RequestThrottled"},
	{440, codes.FailedPrecondition, "BadArgument", "UnknownError"}, {499, codes.FailedPrecondition, "BadArgument", "UnknownError"}, {500, codes.Internal, "InternalError", "UnknownError"},
	{501, codes.Unimplemented, "InternalError", "UnknownError"}, {502, codes.Unavailable, "ServiceUnavailable", "NoMoreResources"}, {503, codes.Unavailable, "ServiceUnavailable", "NoMoreResources"},
	{504, codes.DeadlineExceeded, "GatewayTimeout", "BackendScoreTimeout"}, {509, codes.Internal, "InternalError", "UnknownError"}, {599, codes.Internal, "InternalError", "UnknownError"}, {999, codes.Internal, "InternalError", "UnknownError"},
}

func TestBareStatuses(t *testing.T) {
	for _, row := range bare {
		for contentType, body := range map[string]string{"text/html": "<html>Bearer hunter2</html>", "application/json": `{"error":{"code":400,"message":"Input Data Error."}}`} {
			f := newFake(t, row.http, map[string]string{"Content-Type": contentType, "X-Ms-Request-Id": "up-1", "Retry-After": "7"}, body).failure(t)
			if f.GRPCStatus().Code() != row.code || f.HTTP != row.http || f.RetryAfter != 7*time.Second {
				t.Errorf("%d: %s, %d, retry after %s", row.http, f.Code(), f.HTTP, f.RetryAfter)
			}
			message := fmt.Sprintf("the upstream answered %d with a body of %s that is not AzureML's error", row.http, contentType)
			wantText(t, "the message", f.Error(), message)
			wantText(t, "REST's type", f.ContentType, "application/json; charset=utf-8")
			details := []proto.Message{&errdetails.ErrorInfo{Domain: "amlgate", Reason: "UPSTREAM_ERROR", Metadata: map[string]string{"class": row.class, "http_status": fmt.Sprint(row.http)}}, &errdetails.RequestInfo{RequestId: "up-1"}}
			if row.code == codes.ResourceExhausted {
				details = append(details, &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: "upstream", Description: row.detail}}})
			}
			if row.code == codes.ResourceExhausted || row.code == codes.Unavailable {
				details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)})
			}
			wantDetails(t, f, details...)
			wantText(t, "REST's body", string(f.Body), fmt.Sprintf(`{"error":{"code":%q,"message":%q,"details":[{"code":%q,"target":"amlgate","message":%q}]}}`, row.class, sentences[row.class], row.detail, message))
		}
	}
}

// Every way in which an exchange can fail has its reason.
func TestKinds(t *testing.T) {
	cause := errors.New("cause")
	for kind, reason := range map[azureml.Kind]Reason{azureml.Unreachable: UpstreamDown, azureml.TimedOut: UpstreamTimeout, azureml.Broken: UpstreamBroken, azureml.Foreign: UpstreamForeign,
		azureml.Redirected: UpstreamRedirected, azureml.TooLarge: AnswerTooLarge} {
		f := FailureOf(fmt.Errorf("wrapped: %w", &azureml.Error{Kind: kind, Status: 200, Reason: "why", Err: cause}))
		if f.GRPCStatus().Code() != own[reason].code || f.HTTP != own[reason].http || f.Cause != cause || !errors.Is(f, cause) {
			t.Errorf("%s: %s, %d, %v", reason, f.Code(), f.HTTP, f.Cause)
		}
		wantText(t, "the message", f.Error(), "why")
		wantDetails(t, f, &errdetails.ErrorInfo{Domain: "amlgate", Reason: string(reason)})
	}
}

// Errors of all origins become Failures, and texts that are not for callers stay inside.
func TestFailureOf(t *testing.T) {
	const unexpected = "an unexpected error; the log has it under this call's x-ms-client-request-id"
	refused := Refuse(RouteNotFound, "", "x")
	if got := FailureOf(fmt.Errorf("wrapped: %w", refused)); got != refused {
		t.Errorf("a Failure becomes another: %v", got)
	}
	for name, tc := range map[string]struct {
		err     error
		reason  Reason
		message string
	}{
		"cancelled":          {fmt.Errorf("inner: %w", context.Canceled), Cancelled, "the caller cancelled the call; it may have run"},
		"deadline":           {context.DeadlineExceeded, DeadlineExceeded, "the caller's deadline passed; the call may still be running"},
		"any":                {errors.New("inner"), Unexpected, unexpected},
		"grpc unimplemented": {status.Error(codes.Unimplemented, "unknown method X"), NotImplemented, "unknown method X"},
		"grpc too large":     {status.Error(codes.ResourceExhausted, "larger than max"), RequestTooLarge, "larger than max"},
		"grpc cancelled":     {status.Error(codes.Canceled, "inner"), Cancelled, "the caller cancelled the call; it may have run"},
		"grpc deadline":      {status.Error(codes.DeadlineExceeded, "inner"), DeadlineExceeded, "the caller's deadline passed; the call may still be running"},
		"gateway's argument": {status.Error(codes.InvalidArgument, "strconv.ParseBool: inner"), InvalidField, "the request cannot be read; check its query and headers (Grpc-Timeout among them)"},
		"grpc unknown":       {status.Error(codes.Unknown, "inner"), Unexpected, unexpected},
		"grpc internal":      {fmt.Errorf("wrapped: %w", status.Error(codes.Internal, "inner")), Unexpected, unexpected},
	} {
		f := FailureOf(tc.err)
		if f.GRPCStatus().Code() != own[tc.reason].code || f.HTTP != own[tc.reason].http {
			t.Errorf("%s: %s, %d", name, f.Code(), f.HTTP)
		}
		wantText(t, name+": the message", f.Error(), tc.message)
		if shown := f.GRPCStatus().String() + string(f.Body); strings.Contains(shown, "inner") {
			t.Errorf("%s: the cause is shown: %s", name, shown)
		}
		if tc.message == unexpected && (f.Cause == nil || !strings.Contains(f.Cause.Error(), "inner")) {
			t.Errorf("%s: the log does not get the cause: %v", name, f.Cause)
		}
	}
}
