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

// words are texts of all kinds: plain, in need of quotes, escapes or redaction, and in several languages.
var words = []string{
	"call", "", "a b", "POST /workspaces/{workspace}/services/{service}/execute", "id-1", "0f.x_y:z", "a=b", "a%b", `"quoted"`, `back\slash`,
	"line\nbreak", "tab\t", "<html>", "&", "größe", "\xff", "\u2028", "\x7f", "Bearer abc", "bearer  x", "bearer", "AccountKey=abc", "https://h/c?sig=abc",
	"sig%3Dabc", "null", "true", "12", "-1", "[a]", "{a}", "a,b", "a;b", "a'b", "a+b", "a~b", "a@b", "a#b", "a(b)", "a|b", "a^b", "a`b", "a!b", "a*b", "a$b",
}

// numbers are where the ways to write them part.
var numbers = []float64{
	0, math.Copysign(0, -1), 1e-3, 9.99e-4, 1e-4, 9e-5, 1e-6, 9e-7, 1e-7, 0.1, 0.123, 1, 12.5, 999999, 999999.9, 999999.999, 1e6, 1234567.891, 1e9, 1e20, 1e21, 1e22,
	math.MaxFloat64, math.SmallestNonzeroFloat64, -1, math.Inf(1), math.NaN(),
}

func allValues() []slog.Value {
	all := []slog.Value{
		slog.Int64Value(0), slog.Int64Value(math.MinInt64), slog.Uint64Value(math.MaxUint64), slog.BoolValue(true), slog.DurationValue(time.Second),
		slog.TimeValue(time.Unix(1, 2)), slog.AnyValue(nil), slog.GroupValue(), slog.GroupValue(slog.String("a", "b")),
	}
	for _, w := range words {
		all = append(all, slog.StringValue(w), slog.AnyValue(errors.New(w)))
	}
	for _, n := range numbers {
		all = append(all, slog.Float64Value(n))
	}
	return all
}

var times = []time.Time{
	{}, time.Unix(0, 0).UTC(), time.Unix(1, 1_000_000), time.Unix(1, 999_999_999), time.Unix(1, 120_000_000).In(time.FixedZone("", -5400)),
	time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), time.Now(),
}

// A line with one thing in it that is out of the ordinary, wherever it stands, is to the byte what slog writes behind redact.
func TestOddLinesAreSlogs(t *testing.T) {
	now := time.Now()
	for _, format := range []logline.Format{logline.Text, logline.JSON} {
		ours, slogs, a, b := pair(format)
		same := func(what any) {
			if a.String() != b.String() {
				t.Errorf("%q:\nours   %sslog's %s", what, a, b)
			}
			a.Reset()
			b.Reset()
		}
		plain := []slog.Attr{slog.String("id", "x")}
		for _, w := range words {
			write(t, now, slog.LevelInfo, w, plain, ours, slogs)
			same(w)
			write(t, now, slog.LevelInfo, "call", []slog.Attr{slog.Int(w, 1)}, ours, slogs)
			same(w)
			write(t, now, slog.LevelInfo, "call", plain, ours.With(w, 1), slogs.With(w, 1))
			same(w)
			write(t, now, slog.LevelInfo, "call", plain, ours.WithGroup(w), slogs.WithGroup(w))
			same(w)
		}
		for _, v := range allValues() {
			attrs := []slog.Attr{{Key: "k", Value: v}}
			write(t, now, slog.LevelInfo, "call", attrs, ours, slogs)
			same(v)
			write(t, now, slog.LevelInfo, "call", plain, ours.With(attrs[0]), slogs.With(attrs[0]))
			same(v)
		}
		for _, at := range times {
			write(t, at, slog.LevelInfo, "call", plain, ours, slogs)
			same(at)
		}
		for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, 1, 9} {
			write(t, now, level, "call", plain, ours, slogs)
			same(level)
		}
	}
}

// texts, values and attributes of which most need nothing, so that lines are written in either way.
var texts = rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9._/:-]{1,20}`), rapid.StringMatching(`[A-Za-z0-9._/:-]{1,20}`), rapid.StringMatching(`[ -~]{0,20}`), rapid.SampledFrom(words))

var values = rapid.OneOf(
	rapid.Map(texts, slog.StringValue),
	rapid.Map(rapid.Int64(), slog.Int64Value),
	rapid.Map(rapid.Int64Range(0, 1_000_000_000), func(n int64) slog.Value { return slog.Float64Value(float64(n) / 1000) }),
	rapid.Map(rapid.Float64Range(0, 2e6), slog.Float64Value),
)

var attrs = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) slog.Attr {
	return slog.Attr{Key: texts.Draw(t, "key"), Value: values.Draw(t, "value")}
}), 0, 3)

// And so are lines of all sorts.
func TestLinesAreSlogs(t *testing.T) {
	for _, format := range []logline.Format{logline.Text, logline.JSON} {
		rapid.Check(t, func(t *rapid.T) {
			ours, slogs, a, b := pair(format)
			for range rapid.IntRange(0, 3).Draw(t, "withs") {
				if rapid.IntRange(0, 9).Draw(t, "group") == 0 {
					name := texts.Draw(t, "name")
					ours, slogs = ours.WithGroup(name), slogs.WithGroup(name)
				}
				for _, with := range attrs.Draw(t, "with") {
					ours, slogs = ours.With(with), slogs.With(with)
				}
			}
			at := time.Unix(rapid.Int64Range(0, 4_000_000_000).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
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
