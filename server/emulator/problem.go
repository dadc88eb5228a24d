package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// class is a heading of AzureML's error table: the status, and the code and
// sentence that stand in the envelope itself. Sentences are verbatim.
type class struct {
	status  int
	code    string
	message string
}

var (
	badArgument        = class{http.StatusBadRequest, "BadArgument", "Invalid argument provided."}
	badUserArgument    = class{http.StatusBadRequest, "BadUserArgument", "Invalid user argument provided."}
	invalidOperation   = class{http.StatusBadRequest, "InvalidOperation", "The request is invalid in the current context."}
	unauthorized       = class{http.StatusUnauthorized, "Unauthorized", "Request is unauthorized to access resource."}
	notFound           = class{http.StatusNotFound, "NotFound", "Resource not found."}
	requestTimeout     = class{http.StatusRequestTimeout, "RequestTimeout", "The operation could not be completed within the permitted time."}
	memoryQuota        = class{http.StatusRequestEntityTooLarge, "MemoryQuotaViolation", "The model had exceeded the memory quota assigned to it."}
	internalError      = class{http.StatusInternalServerError, "InternalError", "Execution encountered an internal error."}
	serviceUnavailable = class{http.StatusServiceUnavailable, "ServiceUnavailable", "Service is temporarily unavailable."}

	// The table knows neither a wrong verb nor an over-long body (its 413 is
	// about the model's memory), and no source shows what AzureML answered to
	// them. The first gets a class of our own; the second stays in the class
	// that clients know for a bad request, under the status HTTP has for it.
	methodNotAllowed = class{http.StatusMethodNotAllowed, "MethodNotAllowed", "The resource does not support this method."}
	bodyTooLarge     = class{http.StatusRequestEntityTooLarge, badArgument.code, badArgument.message}
)

// problem is a refusal: a class and the one entry of its details, which
// clients read first and crash without.
type problem struct {
	class
	detail  string // the detail's code
	because string // the detail's message
}

// because makes the class's problem with a detail code and a message.
func (c class) because(code, format string, args ...any) *problem {
	return &problem{class: c, detail: code, because: fmt.Sprintf(format, args...)}
}

// envelope is the problem as AzureML's JSON.
func (p *problem) envelope() []byte {
	type detail struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	type body struct {
		Code    string   `json:"code"`
		Message string   `json:"message"`
		Details []detail `json:"details"`
	}
	return marshal(map[string]body{
		"error": {Code: p.code, Message: p.message, Details: []detail{{p.detail, p.because}}},
	})
}

// invalidBody is the problem of a body that is no execute request at all. The
// official sentence comes first, verbatim; at is a byte offset in the body.
func invalidBody(at int, format string, args ...any) *problem {
	return badArgument.because("RequestBodyInvalid",
		"No request body provided or error in deserializing the request body. Byte %d: %s.", at, fmt.Sprintf(format, args...))
}

// inputParse is the problem of a cell or a row that does not fit its columns.
func inputParse(format string, args ...any) *problem {
	return badUserArgument.because("InputParseError",
		"Parsing of input vector failed.  Verify the input vector has the correct number of columns and data types.  Additional details: %s.", fmt.Sprintf(format, args...))
}

// inputMismatch is the problem of columns that the service does not have, or
// that the request lacks.
func inputMismatch(format string, args ...any) *problem {
	return badUserArgument.because("InputMismatchError",
		"Input data does not match input port schema. %s.", fmt.Sprintf(format, args...))
}

// missingInput is the problem of a request without any input.
func missingInput() *problem {
	return badArgument.because("MissingRequestInput",
		"The web service expects an input, but no input was provided. Ensure valid inputs are provided based on the published input ports in the model and try again.")
}

// invalidNames is the problem of inputs that the service does not have.
func invalidNames(unknown []string) *problem {
	return badArgument.because("InvalidInputNames",
		"Invalid service input name(s) specified in the request: %s. Please map the input data to the correct service inputs and try again.", list(unknown))
}

// Text of the request that an error repeats is cut, or a 4 MB cell would come
// back as a 4 MB error.
const (
	maxShownRunes = 64
	maxShownNames = 8
)

// cut shortens a text for an error message, visibly.
func cut(text string) string {
	runes := 0
	for i := range text {
		if runes == maxShownRunes {
			return text[:i] + "..."
		}
		runes++
	}
	return text
}

// list joins names for an error message and counts those it leaves out.
func list(names []string) string {
	shown := make([]string, 0, maxShownNames)
	for _, name := range names[:min(len(names), maxShownNames)] {
		shown = append(shown, cut(name))
	}
	text := strings.Join(shown, ", ")
	if more := len(names) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// marshal is json.Marshal without the escapes for HTML, which would spoil the
// query string in a path of swagger.json. It is for values that always encode.
func marshal(v any) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("emulator: %v", err))
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
