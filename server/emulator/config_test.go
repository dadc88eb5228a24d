package emulator

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		cfg  Config
		want string // the field and its range
	}{
		{"blank in workspace", Config{Workspace: "a b"}, "--workspace is \"a b\"; allowed are 1 to 128"},
		{"dot workspace", Config{Workspace: ".."}, "--workspace is \"..\"; allowed"},
		{"long workspace", Config{Workspace: strings.Repeat("w", 129)}, "allowed are 1 to 128"},
		{"blank in key", Config{Key: "a key"}, "--key has 5 bytes; allowed are 1 to 512 visible"},
		{"key in UTF-8", Config{Key: "schlüssel"}, "--key has 10 bytes"},
		{"long key", Config{Key: strings.Repeat("k", 513)}, "--key has 513 bytes"},
		{"negative concurrency", Config{Concurrency: -1}, "--concurrency is -1; allowed is 1 to 10000"},
		{"large concurrency", Config{Concurrency: 10001}, "--concurrency is 10001; allowed"},
		{"negative body", Config{MaxBody: -1}, "--max-body is -1; allowed is 1 to 1073741824 bytes"},
		{"large body", Config{MaxBody: 1<<30 + 1}, "--max-body is 1073741825"},
		{"negative timeout", Config{Timeout: -time.Second}, "--timeout is -1s; allowed is 1ms to 24h0m0s"},
		{"short timeout", Config{Timeout: time.Microsecond}, "--timeout is 1µs"},
		{"long timeout", Config{Timeout: 25 * time.Hour}, "--timeout is 25h0m0s"},
		{"negative latency", Config{Faults: Faults{Latency: -1}}, "--fault-latency is -1ns; allowed is 0 to 24h0m0s"},
		{"long latency", Config{Faults: Faults{Latency: 25 * time.Hour}}, "--fault-latency is 25h0m0s"},
		{"negative throttle", Config{Faults: Faults{ThrottleAfter: -1}}, "--fault-throttle-after is -1; allowed is 0 (never) or more"},
		{"negative rate", Config{Faults: Faults{ErrorRate: -0.1}}, "--fault-error-rate is -0.1; allowed is 0 to 1"},
		{"large rate", Config{Faults: Faults{ErrorRate: 1.1}}, "--fault-error-rate is 1.1; allowed is 0 to 1"},
		{"no rate", Config{Faults: Faults{ErrorRate: math.NaN()}}, "--fault-error-rate is NaN; allowed is 0 to 1"},
		{"hang and cut", Config{Faults: Faults{Hang: true, CutAnswer: true}}, "--fault-cut-answer and --fault-hang are both set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, err := New(tt.cfg)
			if e != nil || err == nil || !strings.HasPrefix(err.Error(), "--") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if tt.cfg.Key != "" && strings.Contains(err.Error(), tt.cfg.Key) {
				t.Errorf("the key is told: %v", err)
			}
		})
	}
}

func TestNewTakesTheEndsOfRanges(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{
		{},
		{Workspace: "0123456789abcdef0123456789abcdef", Key: "!~", Concurrency: 1, MaxBody: 1, Timeout: time.Millisecond},
		{Concurrency: 10000, MaxBody: 1 << 30, Timeout: 24 * time.Hour, Faults: Faults{Latency: 24 * time.Hour, ErrorRate: 1, Hang: true}},
	} {
		if _, err := New(cfg); err != nil {
			t.Error(err)
		}
	}
}

// The flags' defaults are those of the zero value.
func TestFlags(t *testing.T) {
	t.Parallel()
	parse := func(args ...string) (Config, error) {
		var cfg Config
		parser, err := kong.New(&cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parser.Parse(args)
		return cfg, err
	}
	var defaults Config
	defaults.fillDefaults()
	defaults.Logger = nil
	if got, err := parse(); err != nil || got != defaults {
		t.Errorf("no flags: %+v, %v", got, err)
	}
	got, err := parse("--workspace=w", "--key=k", "--concurrency=3", "--max-body=9", "--timeout=2s", "--fault-latency=1s",
		"--fault-throttle-after=4", "--fault-error-rate=0.5", "--fault-hang", "--fault-cut-answer")
	want := Config{Workspace: "w", Key: "k", Concurrency: 3, MaxBody: 9, Timeout: 2 * time.Second,
		Faults: Faults{Latency: time.Second, ThrottleAfter: 4, ErrorRate: 0.5, Hang: true, CutAnswer: true}}
	if err != nil || got != want {
		t.Errorf("all flags: %+v, %v", got, err)
	}
	var unknown *kong.ParseError
	if _, err := parse("--logger=x"); !errors.As(err, &unknown) {
		t.Errorf("Logger is a flag: %v", err)
	}
}

// The log has a line a request and neither keys, nor bodies, nor paths.
func TestLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	e := mustNew(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	execute(e, hashingPath, "subscription-key=planted", goodDay)
	r := newRequest("POST", "/workspaces/demo/services/planted/execute", "planted")
	r.Header.Set("Authorization", "Bearer planted")
	send(e, r)
	send(e, newRequest(http.MethodGet, "/planted", ""))
	text := log.String()
	if strings.Count(text, "\n") != 3 || strings.Contains(text, "planted") || strings.Contains(text, "demo-key") || strings.Contains(text, "good day") {
		t.Errorf("the log is\n%s", text)
	}
	for _, want := range []string{"operation=execute service=feature-hashing status=200", "status=401 code=ScoreRequestUnauthorized", "status=404 code=ResourceNotFound"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the log\n%s", want, text)
		}
	}
}
