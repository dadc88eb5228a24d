package logline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amlgate/amlgate/server/logline"
	"github.com/amlgate/amlgate/server/redact"
)

// ours and slogs are loggers of one format; what they write must be the same.
func pair(format logline.Format) (ours, slogs *slog.Logger, a, b *bytes.Buffer) {
	a, b = &bytes.Buffer{}, &bytes.Buffer{}
	ours = slog.New(logline.New(a, format, slog.LevelInfo))
	if format == logline.JSON {
		return ours, slog.New(redact.Handler(slog.NewJSONHandler(b, nil))), a, b
	}
	return ours, slog.New(redact.Handler(slog.NewTextHandler(b, nil))), a, b
}

// write gives both loggers one record.
func write(t interface{ Fatal(...any) }, at time.Time, level slog.Level, msg string, attrs []slog.Attr, loggers ...*slog.Logger) {
	for _, l := range loggers {
		if !l.Enabled(context.Background(), level) {
			continue
		}
		r := slog.NewRecord(at, level, msg, 0)
		r.AddAttrs(attrs...)
		if err := l.Handler().Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
}

// texts are what words of lines may be: plain, in need of quotes, escapes or redaction, and in several languages.
var texts = rapid.OneOf(
	rapid.SampledFrom([]string{
		"", "call", "a b", "POST /workspaces/{workspace}/services/{service}/execute", "id-1", "0f.x_y:z", "a=b", `"quoted"`, `back\slash`,
		"line\nbreak", "<html>&", "größe", "\xff", "\u2028", "Bearer abc", "bearer  x", "AccountKey=abc", "https://h/c?sig=abc", "sig%3Dabc", "null",
	}),
	rapid.StringMatching(`[A-Za-z0-9._/:{} =-]{0,40}`),
	rapid.String(),
)

var values = rapid.OneOf(
	rapid.Map(texts, slog.StringValue),
	rapid.Map(rapid.Int64(), slog.Int64Value),
	rapid.Map(rapid.Int64Range(0, 5_000_000_000), func(n int64) slog.Value { return slog.Float64Value(float64(n) / 1000) }),
	rapid.Map(rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1e-3, 9e-4, 1e-7, 1, 999999, 999999.9, 1e6, 1e9, 1e20, 1e21, 1e22, math.MaxFloat64, -1}), slog.Float64Value),
	rapid.Map(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64), slog.Float64Value),
	rapid.Map(rapid.Bool(), slog.BoolValue),
	rapid.Map(texts, func(s string) slog.Value { return slog.AnyValue(errors.New(s)) }),
	rapid.Map(rapid.Int64(), func(n int64) slog.Value { return slog.DurationValue(time.Duration(n)) }),
	rapid.Map(texts, func(s string) slog.Value { return slog.GroupValue(slog.String("a", s)) }),
)

var attrs = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) slog.Attr {
	return slog.Attr{Key: texts.Draw(t, "key"), Value: values.Draw(t, "value")}
}), 0, 8)

// Every line is to the byte what slog writes behind redact.
func TestLinesAreSlogs(t *testing.T) {
	for _, format := range []logline.Format{logline.Text, logline.JSON} {
		rapid.Check(t, func(t *rapid.T) {
			ours, slogs, a, b := pair(format)
			for range rapid.IntRange(0, 3).Draw(t, "withs") {
				if rapid.IntRange(0, 5).Draw(t, "group") == 0 {
					name := texts.Draw(t, "name")
					ours, slogs = ours.WithGroup(name), slogs.WithGroup(name)
				}
				for _, with := range attrs.Draw(t, "with") {
					ours, slogs = ours.With(with), slogs.With(with)
				}
			}
			zone := time.FixedZone("", rapid.IntRange(-12, 12).Draw(t, "zone")*3600)
			at := time.Unix(rapid.Int64Range(-70_000_000_000, 260_000_000_000).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).In(zone)
			if rapid.IntRange(0, 9).Draw(t, "no time") == 0 {
				at = time.Time{}
			}
			level := rapid.SampledFrom([]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, 1, 9}).Draw(t, "level")
			write(t, at, level, texts.Draw(t, "message"), attrs.Draw(t, "attrs"), ours, slogs)
			if a.String() != b.String() {
				t.Fatalf("ours:\n%s\nslog's:\n%s", a, b)
			}
		})
	}
}

// ordinary is the line of a call that went well.
func ordinary() []slog.Attr {
	return []slog.Attr{
		slog.String("code", "OK"), slog.Int("http", 200), slog.Float64("ms", 0.123), slog.Float64("upstream_ms", 12.5),
		slog.Int("upstream_http", 200), slog.String("id", "0123456789abcdef0123456789abcdef"),
	}
}

func route(l *slog.Logger) *slog.Logger {
	return l.With("surface", "rest", "route", "POST /workspaces/{workspace}/services/{service}/execute")
}

// The ordinary line takes the short way: that it allocates less than slog's shows it.
func TestOrdinaryLinesAreCheap(t *testing.T) {
	for _, format := range []logline.Format{logline.Text, logline.JSON} {
		h := route(slog.New(logline.New(&bytes.Buffer{}, format, slog.LevelInfo))).Handler()
		r := slog.NewRecord(time.Now(), slog.LevelInfo, "call", 0)
		r.AddAttrs(ordinary()...)
		if n := testing.AllocsPerRun(100, func() { _ = h.Handle(t.Context(), r) }); n > 1 { // the buffer grows at times
			t.Errorf("format %d: %.0f allocations", format, n)
		}
	}
}

// Lines are written whole, whichever way they take.
func TestLinesDoNotMix(t *testing.T) {
	var b bytes.Buffer // of no use to two at a time: the race detector tells
	log := slog.New(logline.New(&b, logline.Text, slog.LevelInfo))
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 100 {
				if i%2 == 0 {
					log.Info("call", "id", "a")
				} else {
					log.Info("a call", "id", "a b")
				}
			}
		})
	}
	all.Wait()
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "time=") || !strings.HasSuffix(line, " id=a\n") && !strings.HasSuffix(line, ` id="a b"`+"\n") {
			t.Errorf("%q", line)
		}
	}
	if n := strings.Count(b.String(), "\n"); n != 400 {
		t.Errorf("%d lines", n)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkOrdinaryLine(b *testing.B) {
	for _, format := range []logline.Format{logline.Text, logline.JSON} {
		slogs := slog.NewTextHandler(discard{}, nil)
		for name, h := range map[string]slog.Handler{"ours": logline.New(discard{}, format, slog.LevelInfo), "slog": redact.Handler(slogs)} {
			if format == logline.JSON && name == "slog" {
				h = redact.Handler(slog.NewJSONHandler(discard{}, nil))
			}
			b.Run(fmt.Sprintf("format=%d/%s", format, name), func(b *testing.B) {
				h := route(slog.New(h)).Handler()
				b.ReportAllocs()
				for b.Loop() {
					r := slog.NewRecord(time.Now(), slog.LevelInfo, "call", 0)
					r.AddAttrs(ordinary()...)
					_ = h.Handle(b.Context(), r)
				}
			})
		}
	}
}
