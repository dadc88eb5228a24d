// Package redact takes secrets out of text that is about to be logged, stored or answered. It is not a parser: it knows
// how the secrets of this field look (storage account keys, SAS signatures, bearer tokens) and cuts what follows.
package redact

import (
	"log/slog"
	"net/http"
	"regexp"
	"strings"
)

// mark stands where a secret was.
const mark = "[redacted]"

// secrets matches a name and the secret behind it. The value of a SAS signature ends at '&', that of a connection string
// at ';'; both end at blanks and quotes, and a JSON escape may stand before either.
var secrets = regexp.MustCompile(`(?i)(AccountKey=|SharedAccessKey=|SharedAccessSignature=|\bsig=|\bsig%3D|subscription-key=|Bearer[ \t]+)[^&;"'\s\\<>]+`)

// hints are lower-case pieces of which every secret has one: without them a text is clean and costs no regexp.
var hints = []string{"key=", "sig", "bearer"}

// String returns s with every secret in it replaced. A text without secrets is returned as it is.
func String(s string) string {
	if !suspicious(s) {
		return s
	}
	return secrets.ReplaceAllString(s, "${1}"+mark)
}

// Bytes is String for bytes; it returns b itself where there is nothing to take out.
func Bytes(b []byte) []byte {
	if !suspicious(string(b)) {
		return b
	}
	return secrets.ReplaceAll(b, []byte("${1}"+mark))
}

// Header is String for the values of an HTTP header; it changes h and returns it.
func Header(h http.Header) http.Header {
	for _, values := range h {
		for i, v := range values {
			values[i] = String(v)
		}
	}
	return h
}

// Attr is a slog ReplaceAttr function: every text, error and other printable value passes String.
func Attr(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(String(a.Value.String()))
	case slog.KindAny:
		// The level and the time are values too; they have kinds of their own or print short.
		if text := a.Value.String(); suspicious(text) {
			a.Value = slog.StringValue(String(text))
		}
	}
	return a
}

func suspicious(s string) bool {
	lower := strings.ToLower(s)
	for _, h := range hints {
		if strings.Contains(lower, h) {
			return true
		}
	}
	return false
}
