package api

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/amlgate/amlgate/server/azureml"
)

func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Envelopes that are AzureML's go through to the byte, whatever they look like otherwise; the rest is put into one that
// clients can index.
func TestEnvelopes(t *testing.T) {
	const whole = `{"error":{"code":"C","message":"M","details":[{"code":"D","message":"m"}]}}`
	for _, tc := range []struct {
		name, contentType, coding, body string
		passes                          bool
		rest, message, reason           string
	}{
		{"as it should be", "application/json", "", whole, true, "", "D: m", "D"},
		{"of another type", "text/plain", "", whole, true, "", "D: m", "D"},
		{"byte order mark, blanks, more members", "text/json", "", "\ufeff \n{\"x\":[1.50],\"error\":{\"code\":\"C\",\"message\":\"M\",\"details\":[{\"code\":\"D\",\"message\":\"m\",\"y\":null}],\"innererror\":{}}}\n", true, "", "D: m", "D"},
		{"packed", "application/json", "gzip", zipped(t, whole), true, "", "D: m", "D"},
		{"identity", "application/json", "identity", whole, true, "", "D: m", "D"},
		{"no sentence of its own", "application/json", "", `{"error":{"code":"C","message":"M","details":[{"code":"D","message":""}]}}`, true, "", "D: M", "D"},
		{"several details", "application/json", "", `{"error":{"code":"C","message":"M","details":[{"code":"D","message":"m"},{"code":"E","message":"n"}]}}`, true, "", "D: m", "D"},
		{"an empty detail", "application/json", "", `{"error":{"code":"C","message":"M","details":[{}]}}`, true, "", "C: M", "C"},
		{"a null detail", "application/json", "", `{"error":{"code":"C","message":"M","details":[null]}}`, true, "", "C: M", "C"},
		{"no details", "application/json", "", `{"error":{"code":"C","message":"M"}}`, false,
			`{"error":{"code":"C","message":"M","details":[{"code":"C","target":"amlgate","message":"the upstream answered 500"}]}}`, "the upstream answered 500", "UPSTREAM_ERROR"},
		{"empty details", "application/json", "gzip", zipped(t, `{"error":{"code":"C","message":"M","details":[]}}`), false,
			`{"error":{"code":"C","message":"M","details":[{"code":"C","target":"amlgate","message":"the upstream answered 500"}]}}`, "the upstream answered 500", "UPSTREAM_ERROR"},
		{"no code", "application/json", "", `{"error":{"message":"M","details":[{"code":"D","message":"m"}]}}`, false,
			`{"error":{"code":"InternalError","message":"Execution encountered an internal error.","details":[{"code":"UnknownError","target":"amlgate","message":"the upstream answered 500 with a body of application/json that is not AzureML's error"}]}}`,
			"the upstream answered 500 with a body of application/json that is not AzureML's error", "UPSTREAM_ERROR"},
		{"packed as nobody asked for", "application/json", "br", whole, false,
			`{"error":{"code":"InternalError","message":"Execution encountered an internal error.","details":[{"code":"UnknownError","target":"amlgate","message":"the upstream answered 500 with a body of application/json that is not AzureML's error"}]}}`,
			"the upstream answered 500 with a body of application/json that is not AzureML's error", "UPSTREAM_ERROR"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			header := map[string]string{"Content-Type": tc.contentType}
			if tc.coding != "" {
				header["Content-Encoding"] = tc.coding
			}
			f := newFake(t, 500, header, tc.body).failure(t)
			wantText(t, "the message", f.Error(), tc.message)
			info := f.GRPCStatus().Details()[0].(*errdetails.ErrorInfo)
			wantText(t, "the reason", info.GetReason(), tc.reason)
			if tc.passes {
				wantText(t, "REST's body", string(f.Body), tc.body)
				wantText(t, "REST's type", f.ContentType, tc.contentType)
				wantText(t, "REST's coding", f.ContentEncoding, tc.coding)
				return
			}
			wantText(t, "REST's body", string(f.Body), tc.rest)
			wantText(t, "REST's type", f.ContentType, jsonType)
			wantText(t, "REST's coding", f.ContentEncoding, "")
		})
	}
}

// An answer without a Content-Type gets one: its body was found to be JSON.
func TestEnvelopeWithoutType(t *testing.T) {
	const body = `{"error":{"code":"C","message":"M","details":[{"code":"D","message":"m"}]}}`
	wantText(t, "REST's type", FailureOf(&azureml.Error{Kind: azureml.Answered, Status: 400, Body: []byte(body), Plain: []byte(body),
		Envelope: azureml.Envelope{Error: azureml.ErrorBody{Code: "C", Details: []azureml.ErrorDetail{{Code: "D"}}}}}).ContentType, jsonType)
}

// wantFits asserts that a status fits into trailers that grpc-java takes, 8 KiB with names and counted as HTTP/2 counts.
func wantFits(t testing.TB, f *Failure) {
	t.Helper()
	st := f.GRPCStatus().Proto()
	if n := len(st.GetMessage()); n > 1<<10 {
		t.Errorf("the message has %d bytes", n)
	}
	details := 0
	for _, d := range st.GetDetails() {
		details += proto.Size(d)
	}
	if details > 4<<10 || proto.Size(st) > 5<<10 {
		t.Errorf("the details have %d bytes, the status %d", details, proto.Size(st))
	}
	encoded := 0
	for _, b := range []byte(st.GetMessage()) {
		encoded++
		if b < ' ' || b > '~' || b == '%' {
			encoded += 2
		}
	}
	const perField = 32
	trailers := len("grpc-status") + 2 + perField + len("grpc-message") + encoded + perField + len("grpc-status-details-bin") + base64.RawStdEncoding.EncodedLen(proto.Size(st)) + perField
	if trailers > 8<<10 {
		t.Errorf("the trailers have %d bytes", trailers)
	}
	for _, d := range f.GRPCStatus().Details() {
		if err, broken := d.(error); broken {
			t.Errorf("a detail cannot be read: %v", err)
		}
	}
	if !utf8.ValidString(st.GetMessage()) {
		t.Error("the message is not UTF-8")
	}
}

// However much an upstream has to say, and in whatever letters, its error fits.
func TestLargeErrors(t *testing.T) {
	for letters, unit := range map[string]string{"ASCII": "x", "percent": "%", "Cyrillic": "ж", "CJK": "日", "emoji": "😀", "control": "\x01", "mixed": "a日%"} {
		text := strings.Repeat(unit, 5_000)
		for _, http := range []int{400, 413, 429, 500, 503} {
			for _, code := range []string{"RequestThrottled", text} {
				e := &azureml.Error{Kind: azureml.Answered, Status: http, RetryAfter: 1 << 60, Reason: text, Header: map[string][]string{"X-Ms-Request-Id": {text}}}
				e.Envelope.Error = azureml.ErrorBody{Code: text, Message: text, Details: []azureml.ErrorDetail{{Code: code, Target: text, Message: text}, {Code: text, Target: text, Message: text}}}
				for range 10 {
					e.Envelope.Error.Details = append(e.Envelope.Error.Details, e.Envelope.Error.Details[1])
				}
				f := FailureOf(e)
				wantFits(t, f)
				if !strings.HasSuffix(f.Error(), " [cut]") {
					t.Errorf("%s, %d: the message is cut, but not visibly: %q", letters, http, f.Error())
				}
				e.Envelope.Error.Details = nil
				wantFits(t, FailureOf(e))
			}
		}
		for reason := range refusals {
			wantFits(t, Refuse(reason, text, "%s", text))
			wantFits(t, Refuse(reason, "", "%s", text))
		}
	}
}

// A megabyte of error goes through over REST to the byte, and is cut over gRPC.
func TestLargeErrorOnTheWire(t *testing.T) {
	body := fmt.Sprintf(`{"error":{"code":"LibraryExecutionError","message":"M","details":[{"code":"D","target":"T","message":"%s"}]}}`, strings.Repeat("日本", (1<<20-200)/6))
	f := newFake(t, 400, nil, body).failure(t)
	wantFits(t, f)
	wantText(t, "REST's body", string(f.Body), body)
	if !strings.HasPrefix(f.Error(), "D: 日本") || !strings.HasSuffix(f.Error(), " [cut]") {
		t.Errorf("the message is %q", f.Error())
	}
	violation := f.GRPCStatus().Details()[1].(*errdetails.BadRequest).GetFieldViolations()[0]
	if d := violation.GetDescription(); len(d) < 500 || len(d) > 512 || !strings.HasSuffix(d, "日 [cut]") && !strings.HasSuffix(d, "本 [cut]") {
		t.Errorf("the description is %q", d)
	}
}

// At most four of an upstream's details travel; gRPC callers count on the first.
func TestSeveralDetails(t *testing.T) {
	f := newFake(t, 400, nil, `{"error":{"code":"C","message":"M","details":[{"code":"1","target":"a","message":"x"},{"code":"2"},{"code":"3"},{"code":"4","message":"y"},{"code":"5"}]}}`).failure(t)
	wantDetails(t, f, &errdetails.ErrorInfo{Domain: "azureml", Reason: "1", Metadata: map[string]string{"class": "C", "http_status": "400", "target": "a"}},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "a", Description: "x", Reason: "1"}, {Reason: "2"}, {Reason: "3"}, {Description: "y", Reason: "4"}}})
}

// Upstreams send what is not UTF-8, and gRPC refuses to. The characters around it survive.
func TestInvalidUTF8(t *testing.T) {
	body := "{\"error\":{\"code\":\"C\xff\",\"message\":\"M\",\"details\":[{\"code\":\"D\xc3\",\"target\":\"T\xe2\x82\",\"message\":\"m\xed\xa0\x80é\"}]}}"
	f := newFake(t, 400, map[string]string{"X-Ms-Request-Id": "up\xff-1"}, body).failure(t)
	wantText(t, "REST's body", string(f.Body), body)
	wantText(t, "the message", f.Error(), "D\ufffd: m\ufffd\ufffd\ufffdé")
	wantDetails(t, f, &errdetails.ErrorInfo{Domain: "azureml", Reason: "D\ufffd", Metadata: map[string]string{"class": "C\ufffd", "http_status": "400", "target": "T\ufffd\ufffd"}},
		&errdetails.RequestInfo{RequestId: "up\ufffd-1"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "T\ufffd\ufffd", Description: "m\ufffd\ufffd\ufffdé", Reason: "D\ufffd"}}})
	wantFits(t, f)
	wantFits(t, Refuse(InvalidField, "a\xff", "b\xff%s", "\xed\xa0\x80"))
	if f := Refuse(InvalidField, "", "\xff"); f.GRPCStatus().Code() != codes.InvalidArgument || !utf8.Valid(f.Body) {
		t.Errorf("refused as %v, %q", f.GRPCStatus(), f.Body)
	}
}

func TestCut(t *testing.T) {
	for _, tc := range []struct {
		in    string
		limit int
		want  string
	}{
		{"", 6, ""}, {"abcdefgh", 8, "abcdefgh"}, {"abcdefghi", 8, "ab [cut]"}, {"éééé", 8, "éééé"}, {"ééééx", 8, "é [cut]"}, {"xéééé", 8, "x [cut]"}, {"日本日x", 9, "日 [cut]"},
		{"日本日x", 8, " [cut]"}, {"a\xffb", 8, "a\ufffdb"}, {"\xff\xff\xff", 8, " [cut]"}, {"abcdefg", 6, " [cut]"},
	} {
		if got := cut(tc.in, tc.limit); got != tc.want || len(got) > tc.limit {
			t.Errorf("cut(%q, %d) = %q, want %q", tc.in, tc.limit, got, tc.want)
		}
	}
}
