package emulator

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"reflect"
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
		{"negative jobs", Config{MaxJobs: -1}, "--max-jobs is -1; allowed is 1 to 10000"},
		{"large jobs", Config{MaxJobs: 10001}, "--max-jobs is 10001; allowed"},
		{"no public URL", Config{BlobPublicURL: "blobs.example.com"}, "--blob-public-url is \"blobs.example.com\"; allowed is a URL like"},
		{"public URL with a token", Config{BlobPublicURL: "http://b/?sig=planted"}, "--blob-public-url is \"http://b/?sig=[redacted]\"; allowed"},
		{"public URL with user info", Config{BlobPublicURL: "http://a@b/"}, "--blob-public-url is"},
		{"URL as a host", Config{AllowBlobHosts: []string{"http://a/"}}, "--allow-blob-host is \"http://a/\"; allowed is a host or host:port"},
		{"no host", Config{AllowBlobHosts: []string{"a", ""}}, "--allow-blob-host is \"\""},
		{"negative job start", Config{Faults: Faults{JobStart: -1}}, "--fault-job-start is -1ns; allowed is 0 to 24h0m0s"},
		{"long job run", Config{Faults: Faults{JobRun: 25 * time.Hour}}, "--fault-job-run is 25h0m0s"},
		{"large job fail", Config{Faults: Faults{JobFail: 1.1}}, "--fault-job-fail is 1.1; allowed is 0 to 1"},
		{"no job fail", Config{Faults: Faults{JobFail: math.NaN()}}, "--fault-job-fail is NaN; allowed is 0 to 1"},
		{"negative job lost", Config{Faults: Faults{JobLost: -1}}, "--fault-job-lost is -1; allowed is 0 (never) or more"},
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

// What is set by programs and not by flags is named as they name it.
func TestNewRefusesPrograms(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		`BlobURL is "127.0.0.1:10000"; allowed is a URL like http://127.0.0.1:10000, without a path`: {BlobURL: "127.0.0.1:10000"},
		`BlobURL is "http://a/path"`:           {BlobURL: "http://a/path"},
		`BlobURL is "http://a?b"`:              {BlobURL: "http://a?b"},
		`BlobURL is "ftp://a"`:                 {BlobURL: "ftp://a"},
		`BlobAccount is "A"; allowed are 3 to`: {BlobAccount: "A"},
		"BlobKey is not base64":                {BlobKey: "planted!"},
	} {
		if _, err := New(cfg); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "planted") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestNewTakesTheEndsOfRanges(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{
		{},
		{Workspace: "0123456789abcdef0123456789abcdef", Key: "!~", Concurrency: 1, MaxBody: 1, Timeout: time.Millisecond},
		{BlobURL: "http://[::1]:10000/", BlobPublicURL: "https://blobs.example.com", BlobAccount: "abc", BlobKey: "AA==", AllowBlobHosts: []string{"Storage.Example", "[::1]:80", "10.0.0.1:1"}},
		{MaxJobs: 10000, Faults: Faults{JobStart: 24 * time.Hour, JobRun: 24 * time.Hour, JobFail: 1, JobHang: true, JobFlap: true, JobLost: 1}},
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
		if len(cfg.AllowBlobHosts) == 0 {
			cfg.AllowBlobHosts = nil // kong makes an empty list of none
		}
		return cfg, err
	}
	var defaults Config
	defaults.fillDefaults()
	defaults.Logger, defaults.BlobAccount, defaults.BlobKey = nil, "", ""
	if got, err := parse(); err != nil || !reflect.DeepEqual(got, defaults) {
		t.Errorf("no flags: %+v, %v", got, err)
	}
	got, err := parse("--workspace=w", "--key=k", "--concurrency=3", "--max-body=9", "--timeout=2s", "--fault-latency=1s",
		"--fault-throttle-after=4", "--fault-error-rate=0.5", "--fault-hang", "--fault-cut-answer",
		"--max-jobs=5", "--blob-public-url=http://b/", "--allow-blob-host=a", "--allow-blob-host=b:1", "--fault-job-start=3s", "--fault-job-run=4s",
		"--fault-job-fail=0.25", "--fault-job-hang", "--fault-job-flap", "--fault-job-lost=6")
	want := Config{Workspace: "w", Key: "k", Concurrency: 3, MaxBody: 9, Timeout: 2 * time.Second,
		MaxJobs: 5, BlobPublicURL: "http://b/", AllowBlobHosts: []string{"a", "b:1"},
		Faults: Faults{Latency: time.Second, ThrottleAfter: 4, ErrorRate: 0.5, Hang: true, CutAnswer: true,
			JobStart: 3 * time.Second, JobRun: 4 * time.Second, JobFail: 0.25, JobHang: true, JobFlap: true, JobLost: 6}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("all flags: %+v, %v", got, err)
	}
	var unknown *kong.ParseError
	if _, err := parse("--logger=x"); !errors.As(err, &unknown) {
		t.Errorf("Logger is a flag: %v", err)
	}
}

func newLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// The log has a line a request and neither keys, nor bodies, nor paths.
func TestLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	e := mustNew(t, Config{Logger: newLogger(&log)})
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
