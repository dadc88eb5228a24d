package emulator

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strings"
	"time"
)

// Config says how an Emulator behaves. The zero value works: New puts the
// default in the place of every zero. The tags are for a kong command line.
type Config struct {
	// Workspace is the id of the only workspace: 1 to 128 letters, digits,
	// '.', '_' or '-', beginning with a letter or digit. Default "demo".
	Workspace string `name:"workspace" help:"Id of the emulated workspace." default:"demo"`

	// Key is the API key that execute asks for: 1 to 512 visible ASCII
	// characters. Default "demo-key", which everyone knows.
	Key string `name:"key" help:"API key of every emulated service." default:"demo-key"`

	// Concurrency is how many execute calls a service answers at a time; more
	// are refused with 503 RequestThrottled, none is queued. 1 to 10000,
	// default 20, which is AzureML's.
	Concurrency int `name:"concurrency" help:"Execute calls answered at a time, per service." default:"20"`

	// MaxBody is the longest request body in bytes, after decompression too.
	// 1 to 1 GiB, default 4 MiB, which is AzureML's.
	MaxBody int64 `name:"max-body" help:"Longest request body in bytes." default:"4194304"`

	// Timeout is when a call is given up with 408 ScoreRequestTimeout. 1 ms to
	// 24 h, default 100 s, which is AzureML's. The models are fast, so only
	// Faults.Latency can make a call last this long.
	Timeout time.Duration `name:"timeout" help:"Time after which a call is answered 408." default:"100s"`

	// MaxJobs is how many jobs of a service run at a time; more wait, first in
	// first out. 1 to 10000, default 40, which is AzureML's.
	MaxJobs int `name:"max-jobs" help:"Batch jobs run at a time, per service." default:"40"`

	// BlobURL is the emulator's own blob endpoint as jobs reach it, for example
	// http://127.0.0.1:10000. It has no path: accounts are the first segment of
	// a URL's path. Whoever listens there sets it. Without one, the default,
	// only jobs with input and outputs at AllowBlobHosts are taken.
	BlobURL string `kong:"-"`

	// BlobPublicURL is the account at the own endpoint as clients reach it: the
	// BaseLocation of results. Default BlobURL with the account.
	BlobPublicURL string `name:"blob-public-url" help:"Base of result locations, as clients reach the blob endpoint." placeholder:"URL"`

	// BlobAccount and BlobKey are the account at the own endpoint that takes
	// outputs the request gave no place. Default the published development
	// account and its key.
	BlobAccount string `kong:"-"`
	BlobKey     string `kong:"-"`

	// AllowBlobHosts names hosts, with or without a port, that jobs may read
	// and write besides the own endpoint; without a port, 80 and 443. A host
	// whose name leads to a private address is refused unless the address is
	// named too. Redirects are never followed.
	AllowBlobHosts []string `name:"allow-blob-host" help:"Another host[:port] that jobs may read and write; may be repeated." placeholder:"HOST"`

	// Faults are the disturbances wanted; none by default.
	Faults Faults `embed:"" prefix:"fault-"`

	// Logger receives one line a request, without keys and bodies. Nil
	// discards them.
	Logger *slog.Logger `kong:"-"`
}

// Faults are disturbances. Those of execute touch calls with a good key, to a
// service that exists, whose body was read; those named Job touch jobs, and
// none of the others does. swagger.json is never disturbed.
type Faults struct {
	// Latency is waited before every answer of a call that got a slot, which
	// it holds meanwhile; throttled calls are refused at once. 0 to 24 h.
	// Longer than Config.Timeout, the answer is 408, at Timeout.
	Latency time.Duration `name:"latency" help:"Wait this long before each answer." default:"0s"`

	// ThrottleAfter lets this many calls through, over all services, and
	// answers every further one 503 RequestThrottled. 0, the default, never.
	ThrottleAfter int `name:"throttle-after" help:"Throttle every call after this many; 0 is never." default:"0"`

	// ErrorRate is the share of calls with a slot, 0 to 1, that is answered
	// 500 InternalError. It is spread evenly by counting, not by chance, so
	// that a test repeats: 0.25 is every fourth call. A millionth is its
	// finest step.
	ErrorRate float64 `name:"error-rate" help:"Share of calls answered 500, 0 to 1." default:"0"`

	// Hang never answers, not even past Config.Timeout. A call ends, holding
	// its slot till then, when the request's context does: the client goes
	// away, or the server closes the connection or cancels its base context.
	// http.Server.Shutdown alone does neither and waits for hung calls.
	Hang bool `name:"hang" help:"Read the request and never answer."`

	// CutAnswer announces the whole length of the answer, sends half of it
	// and cuts the connection. It excludes Hang.
	CutAnswer bool `name:"cut-answer" help:"Send half of each answer and cut the connection."`

	// JobStart is how long a job whose turn it is stays NotStarted, 0 to 24 h.
	// It counts as one of Config.MaxJobs meanwhile. AzureML was seen to take
	// between 1 s and 18 s.
	JobStart time.Duration `name:"job-start" help:"A started job stays NotStarted this long." default:"0s"`

	// JobRun is how long a job is Running before it reads its input, 0 to 24 h.
	JobRun time.Duration `name:"job-run" help:"A job runs at least this long." default:"0s"`

	// JobFail is the share of jobs, 0 to 1, that fails after JobRun. It is
	// spread like ErrorRate, over all services, in the order jobs begin to run.
	JobFail float64 `name:"job-fail" help:"Share of jobs that fail, 0 to 1." default:"0"`

	// JobHang leaves every job that does not fail by JobFail Running until it
	// is cancelled.
	JobHang bool `name:"job-hang" help:"Jobs run until they are cancelled."`

	// JobFlap answers every second status call for a job with the state before:
	// NotStarted while it is Running, Running after its end.
	JobFlap bool `name:"job-flap" help:"Every second status answer is one state behind."`

	// JobLost answers 404 to status calls for a job after this many. 0, the
	// default, never. The job itself goes on.
	JobLost int `name:"job-lost" help:"Answer 404 after this many status calls for a job; 0 is never." default:"0"`
}

const (
	maxConcurrency = 10_000
	maxBodyLimit   = 1 << 30
	maxWait        = 24 * time.Hour
)

var (
	idPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	keyPattern = regexp.MustCompile(`^[!-~]{1,512}$`)
)

// New builds an Emulator. Its error names the first flag that is out of its
// range, and the range.
func New(cfg Config) (*Emulator, error) {
	cfg.fillDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	storage, err := newStorage(&cfg)
	if err != nil {
		return nil, err
	}
	e := &Emulator{
		cfg: cfg, key: sha256.Sum256([]byte(cfg.Key)), services: map[string]*deployment{},
		runner: newRunner(storage, cfg.Faults, cfg.Logger),
	}
	for _, s := range []*service{featureHashing(), cardiovascularRisk()} {
		e.services[s.id] = &deployment{
			service: s,
			swagger: s.document(cfg.Workspace),
			slots:   make(chan struct{}, cfg.Concurrency),
			jobs:    newJobs(s, cfg.MaxJobs, e.runner),
		}
	}
	return e, nil
}

func (c *Config) fillDefaults() {
	if c.Workspace == "" {
		c.Workspace = "demo"
	}
	if c.Key == "" {
		c.Key = "demo-key"
	}
	if c.Concurrency == 0 {
		c.Concurrency = 20
	}
	if c.MaxBody == 0 {
		c.MaxBody = 4 << 20
	}
	if c.Timeout == 0 {
		c.Timeout = 100 * time.Second
	}
	if c.MaxJobs == 0 {
		c.MaxJobs = 40
	}
	if c.BlobAccount == "" {
		c.BlobAccount = developmentAccount
	}
	if c.BlobKey == "" {
		c.BlobKey = developmentKey
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// validate never quotes Key or BlobKey: its error goes to terminals and logs.
func (c *Config) validate() error {
	switch {
	case !idPattern.MatchString(c.Workspace):
		return fmt.Errorf("--workspace is %q; allowed are 1 to 128 letters, digits, '.', '_', '-', beginning with a letter or digit", c.Workspace)
	case !keyPattern.MatchString(c.Key):
		return fmt.Errorf("--key has %d bytes; allowed are 1 to 512 visible ASCII characters without blanks", len(c.Key))
	case c.Concurrency < 1 || c.Concurrency > maxConcurrency:
		return fmt.Errorf("--concurrency is %d; allowed is 1 to %d", c.Concurrency, maxConcurrency)
	case c.MaxBody < 1 || c.MaxBody > maxBodyLimit:
		return fmt.Errorf("--max-body is %d; allowed is 1 to %d bytes", c.MaxBody, maxBodyLimit)
	case c.Timeout < time.Millisecond || c.Timeout > maxWait:
		return fmt.Errorf("--timeout is %v; allowed is 1ms to %v", c.Timeout, maxWait)
	case c.MaxJobs < 1 || c.MaxJobs > maxConcurrency:
		return fmt.Errorf("--max-jobs is %d; allowed is 1 to %d", c.MaxJobs, maxConcurrency)
	}
	if err := c.validateBlobs(); err != nil {
		return err
	}
	return c.Faults.validate()
}

// validateBlobs leaves AllowBlobHosts to newStorage.
func (c *Config) validateBlobs() error {
	if c.BlobURL != "" {
		if u, err := parseURL(c.BlobURL); err != nil || strings.Trim(u.Path, "/") != "" || strings.Contains(c.BlobURL, "?") {
			return fmt.Errorf("BlobURL is %q; allowed is a URL like http://127.0.0.1:10000, without a path", redact(c.BlobURL))
		}
	}
	if c.BlobPublicURL != "" {
		if _, err := parseURL(c.BlobPublicURL); err != nil || strings.Contains(c.BlobPublicURL, "?") {
			return fmt.Errorf("--blob-public-url is %q; allowed is a URL like https://blobs.example.com/devstoreaccount1/, without a query", redact(c.BlobPublicURL))
		}
	}
	if !accountPattern.MatchString(c.BlobAccount) {
		return fmt.Errorf("BlobAccount is %q; allowed are 3 to 24 lower-case letters and digits", c.BlobAccount)
	}
	if key, err := base64.StdEncoding.DecodeString(c.BlobKey); err != nil || len(key) == 0 {
		return errors.New("BlobKey is not base64")
	}
	return nil
}

func (f *Faults) validate() error {
	switch {
	case f.Latency < 0 || f.Latency > maxWait:
		return fmt.Errorf("--fault-latency is %v; allowed is 0 to %v", f.Latency, maxWait)
	case f.ThrottleAfter < 0:
		return fmt.Errorf("--fault-throttle-after is %d; allowed is 0 (never) or more", f.ThrottleAfter)
	case math.IsNaN(f.ErrorRate) || f.ErrorRate < 0 || f.ErrorRate > 1:
		return fmt.Errorf("--fault-error-rate is %v; allowed is 0 to 1", f.ErrorRate)
	case f.Hang && f.CutAnswer:
		return errors.New("--fault-cut-answer and --fault-hang are both set; allowed is one of them, since a hung call has no answer to cut")
	case f.JobStart < 0 || f.JobStart > maxWait:
		return fmt.Errorf("--fault-job-start is %v; allowed is 0 to %v", f.JobStart, maxWait)
	case f.JobRun < 0 || f.JobRun > maxWait:
		return fmt.Errorf("--fault-job-run is %v; allowed is 0 to %v", f.JobRun, maxWait)
	case math.IsNaN(f.JobFail) || f.JobFail < 0 || f.JobFail > 1:
		return fmt.Errorf("--fault-job-fail is %v; allowed is 0 to 1", f.JobFail)
	case f.JobLost < 0:
		return fmt.Errorf("--fault-job-lost is %d; allowed is 0 (never) or more", f.JobLost)
	}
	return nil
}
