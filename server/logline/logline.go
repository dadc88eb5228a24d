// Package logline is the slog.Handler behind amlgate's logs: it keeps secrets out of them, and writes ordinary lines at
// a fraction of what slog's own handlers take, to the byte as those would; a Gatherer has them written together. It is not a log library: levels, attributes
// and loggers are slog's, and so is every line with anything unusual in it.
package logline

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/amlgate/amlgate/server/redact"
)

// Format is how lines look.
type Format int

// The formats are slog's.
const (
	Text Format = iota
	JSON
)

// handler writes lines whose every value needs neither quotes nor redaction, and hands others to whole.
type handler struct {
	whole  slog.Handler // writes any line
	w      *writer
	format Format
	odd    bool   // the logger has groups, or attributes that only whole can write
	prefix []byte // the logger's attributes, written
}

// New returns a handler that writes lines of at least level to w, one Write a line, one at a time. Secrets, as package
// redact knows them, are taken out of messages and values. Where w is a Gatherer, warnings and errors have it write at once.
func New(w io.Writer, format Format, level slog.Leveler) slog.Handler {
	one := &writer{w: w}
	options := &slog.HandlerOptions{Level: level}
	h := &handler{w: one, format: format}
	if format == JSON {
		h.whole = redact.Handler(slog.NewJSONHandler(one, options))
	} else {
		h.whole = redact.Handler(slog.NewTextHandler(one, options))
	}
	return h
}

// writer keeps lines apart.
type writer struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(p)
}

// flush has lines written that are held.
func (w *writer) flush() error {
	if g, ok := w.w.(*Gatherer); ok {
		return g.Flush()
	}
	return nil
}

func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.whole.Enabled(ctx, l) }

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{whole: h.whole.WithGroup(name), w: h.w, format: h.format, odd: true}
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := &handler{whole: h.whole.WithAttrs(attrs), w: h.w, format: h.format, odd: h.odd, prefix: slices.Clip(h.prefix)}
	for _, a := range attrs {
		var ok bool
		if next.prefix, ok = h.format.attr(next.prefix, a, true); !ok {
			next.odd = true
		}
	}
	return next
}

// lines are buffers that lines are written in.
var lines = sync.Pool{New: func() any { return new([512]byte) }}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	err := h.write(ctx, r)
	if r.Level >= slog.LevelWarn {
		return cmp.Or(err, h.w.flush())
	}
	return err
}

func (h *handler) write(ctx context.Context, r slog.Record) error {
	if h.odd || r.Time.IsZero() {
		return h.whole.Handle(ctx, r)
	}
	room := lines.Get().(*[512]byte)
	defer lines.Put(room)
	b, ok := h.format.head(room[:0], &r)
	if ok {
		b = append(b, h.prefix...)
		r.Attrs(func(a slog.Attr) bool {
			b, ok = h.format.attr(b, a, false)
			return ok
		})
	}
	if !ok {
		return h.whole.Handle(ctx, r)
	}
	if h.format == JSON {
		b = append(b, '}')
	}
	_, err := h.w.Write(append(b, '\n'))
	return err
}

// head appends what stands before a line's attributes.
func (f Format) head(b []byte, r *slog.Record) (_ []byte, ok bool) {
	at, level := r.Time.Round(0), r.Level.String()
	if !plain(r.Message, false) || at.Year() < 0 || at.Year() > 9999 {
		return b, false
	}
	if f == JSON {
		b = at.AppendFormat(append(b, `{"time":"`...), time.RFC3339Nano)
		b = append(append(b, `","level":"`...), level...)
		b = append(append(b, `","msg":"`...), r.Message...)
		return append(b, '"'), true
	}
	b = append(b, "time="...)
	start := len(b)
	b = at.Truncate(time.Millisecond).Add(time.Millisecond/10).AppendFormat(b, time.RFC3339Nano) // a format that is fast, but drops zeros at the end
	const millis = len("2006-01-02T15:04:05.000")
	b = append(b[:start+millis], b[start+millis+1:]...)
	b = append(append(b, " level="...), level...)
	return append(append(b, " msg="...), r.Message...), true
}

// attr appends an attribute, unless only slog's own handlers can write it. Text may be quoted where that costs nothing,
// in what a logger writes once.
func (f Format) attr(b []byte, a slog.Attr, quote bool) (_ []byte, ok bool) {
	if !plain(a.Key, false) {
		return b, false
	}
	if f == JSON {
		b = append(append(append(b, `,"`...), a.Key...), `":`...)
	} else {
		b = append(append(append(b, ' '), a.Key...), '=')
	}
	switch a.Value.Kind() {
	case slog.KindString:
		s := a.Value.String()
		if !plain(s, quote) || quote && redact.String(s) != s {
			return b, false
		}
		if f == JSON || !plain(s, false) {
			return append(append(append(b, '"'), s...), '"'), true
		}
		return append(b, s...), true
	case slog.KindInt64:
		return strconv.AppendInt(b, a.Value.Int64(), 10), true
	case slog.KindFloat64:
		v := a.Value.Float64()
		if !(v == 0 && !math.Signbit(v) || v >= 1e-3 && v < 1e6) { // beyond, the two formats write numbers differently
			return b, false
		}
		return strconv.AppendFloat(b, v, 'f', -1, 64), true
	}
	return b, false
}

// plain reports whether a text, not empty, stands for itself: without quotes, or between them where blanks are allowed.
// No secret is plain: it stands behind an equals sign or a blank.
func plain(s string, blanks bool) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c-'0' <= 9, c|0x20 >= 'a' && c|0x20 <= 'z', c == '.', c == '_', c == '-', c == '/', c == ':', c == '{', c == '}':
		case c == ' ' && blanks:
		default:
			return false
		}
	}
	return s != ""
}
