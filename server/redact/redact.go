// Package redact takes secrets out of text that is about to be logged, stored or answered. It is not a parser: it knows
// how the secrets of this field look (storage account keys, SAS signatures, bearer tokens) and cuts what follows.
package redact

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
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

// Attr returns an attribute of a log line without secrets: every text, error and other printable value passes String.
func Attr(a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(String(a.Value.String()))
	case slog.KindGroup:
		group := slices.Clone(a.Value.Group())
		for i := range group {
			group[i] = Attr(group[i])
		}
		a.Value = slog.GroupValue(group...)
	case slog.KindAny, slog.KindLogValuer:
		if text := a.Value.Resolve().String(); suspicious(text) {
			a.Value = slog.StringValue(String(text))
		}
	}
	return a
}

// clean reports whether Attr would return an attribute as it is.
func clean(a slog.Attr) bool {
	switch a.Value.Kind() {
	case slog.KindString:
		return !suspicious(a.Value.String())
	case slog.KindAny, slog.KindLogValuer, slog.KindGroup:
		return false
	}
	return true
}

// handler takes secrets out of what another handler writes.
type handler struct{ slog.Handler }

// Handler returns a slog.Handler that takes secrets out of messages and attributes before h sees them. A ReplaceAttr
// function could do the same, but costs every value of every line a detour, the time and the level too.
func Handler(h slog.Handler) slog.Handler { return handler{h} }

// Handle cleans a line. Nearly all lines are clean already and are passed on as they are.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	dirty := suspicious(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		dirty = dirty || !clean(a)
		return !dirty
	})
	if !dirty {
		return h.Handler.Handle(ctx, r)
	}
	cleaned := slog.NewRecord(r.Time, r.Level, String(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		cleaned.AddAttrs(Attr(a))
		return true
	})
	return h.Handler.Handle(ctx, cleaned)
}

// WithAttrs cleans what stands in every line once.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	cleaned := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		cleaned[i] = Attr(a)
	}
	return handler{h.Handler.WithAttrs(cleaned)}
}

// WithGroup opens a group.
func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }

// suspicious reports whether a text may hold a secret. Nearly all texts hold none and should cost little: a secret stands
// behind an equals sign, plain or escaped, or behind the word bearer and a blank.
func suspicious(s string) bool {
	if strings.ContainsAny(s, "=%") {
		lower := strings.ToLower(s)
		for _, h := range hints {
			if strings.Contains(lower, h) {
				return true
			}
		}
		return false
	}
	const word = "bearer"
	for i := 0; i+len(word) < len(s); i++ {
		if s[i]|0x20 == word[0] && strings.EqualFold(s[i:i+len(word)], word) {
			return true
		}
	}
	return false
}
