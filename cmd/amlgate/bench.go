package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server/azureml"

	"github.com/amlgate/amlgate/cmd/internal/load"
)

// benchCmd is "amlgate bench".
type benchCmd struct {
	URL  string `name:"url" xor:"surface" required:"" placeholder:"URL" help:"Call this base URL over REST, for example http://127.0.0.1:8080; any that speaks AzureML's paths."`
	GRPC string `name:"grpc" env:"AMLGATE_BENCH_GRPC" xor:"surface" required:"" placeholder:"ADDR" help:"Call amlgate over gRPC at this address."`
	Lane string `default:"json" enum:"json,tables" help:"What is sent over gRPC: AzureML's JSON or typed tables."`
	credential
	Header map[string]string `placeholder:"NAME=VALUE" help:"Further headers, over gRPC metadata."`

	Workspace string    `required:"" help:"AzureML workspace id."`
	Service   string    `required:"" help:"AzureML service (endpoint) id."`
	Body      benchBody `embed:""`

	Concurrency int           `default:"32" help:"Calls under way at a time. Over REST each has a connection of its own."`
	Connections int           `placeholder:"N" help:"Connections over gRPC, shared by the calls. Default: one for 8 calls under way."`
	Rate        float64       `placeholder:"N" help:"Calls due a second, latency counted from the moment each was due. Default: each call follows the one before it."`
	Duration    time.Duration `placeholder:"TIME" help:"How long calls are begun. Default: 10s, or no limit with --requests."`
	Requests    int           `placeholder:"N" help:"How many calls are begun. Default: no limit."`
	Warmup      time.Duration `default:"1s" help:"How long calls are made before any counts."`
	Timeout     time.Duration `default:"30s" help:"Longest wait for an answer."`
	PID         []int         `name:"pid" placeholder:"PID" help:"Measure CPU time and memory of this process and its children (Linux); may be repeated."`
	Format      string        `default:"text" enum:"text,json,tsv" help:"How the report is printed: text, json or tsv."`
	Progress    bool          `help:"Print a line a second to standard error although it is no terminal."`
}

// benchBody says what is sent.
type benchBody struct {
	Input     string `xor:"body,rows,columns" placeholder:"FILE" help:"Send this: CSV with a header line, or, not as tables, JSON. - is standard input."`
	InputName string `default:"input1" help:"AzureML's name of the input that a CSV or a list of rows goes to."`
	Size      string `xor:"body,rows,columns" placeholder:"NAME" help:"Send a made-up table. Default: small (1 text); medium (100 x 20 numbers), large (1000 x 50), large-full (17 digits each)."`
	Rows      int    `xor:"rows" and:"dimensions" placeholder:"R" help:"Send a made-up table of R rows of numbers."`
	Columns   int    `xor:"columns" and:"dimensions" placeholder:"C" help:"The made-up table's columns."`
}

// Run loads the service and prints the report.
func (c *benchCmd) Run(ctx context.Context, std *streams) error {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	target, title, err := c.target(std.in)
	if err != nil {
		return err
	}
	defer target.Close()
	progress := c.progress(std.err)
	if c.Warmup > 0 {
		warm := plan
		warm.Duration, warm.Requests, warm.PIDs = c.Warmup, 0, nil
		if _, err := load.Run(ctx, target, warm, nil); err != nil {
			return err
		}
	}
	report, err := load.Run(ctx, target, plan, progress)
	if err != nil {
		return fmt.Errorf("--pid: %w", err)
	}
	if err := printReport(std.out, c.Format, title, plan, report); err != nil {
		return err
	}
	if report.Good == 0 {
		return errors.New("no call had a good answer")
	}
	return nil
}

// plan checks the numbers.
func (c *benchCmd) plan() (load.Plan, error) {
	plan := load.Plan{Concurrency: c.Concurrency, Rate: c.Rate, Duration: c.Duration, Requests: c.Requests, PIDs: c.PID}
	switch {
	case c.Concurrency < 1 || c.Concurrency > 10_000:
		return plan, fmt.Errorf("--concurrency %d: allowed are 1 to 10000", c.Concurrency)
	case c.Connections < 0 || c.Connections > c.Concurrency:
		return plan, fmt.Errorf("--connections %d: allowed are 1 to --concurrency", c.Connections)
	case c.Rate < 0 || c.Rate > 1e6:
		return plan, fmt.Errorf("--rate %v: allowed are 0 (none) to 1000000", c.Rate)
	case c.Duration < 0 || c.Requests < 0 || c.Warmup < 0:
		return plan, errors.New("--duration, --requests, --warmup: allowed is 0 or more")
	case c.Timeout <= 0:
		return plan, fmt.Errorf("--timeout %s: allowed is more than 0", c.Timeout)
	}
	if plan.Duration == 0 && plan.Requests == 0 {
		plan.Duration = 10 * time.Second
	}
	return plan, nil
}

// target returns what is called, and a line that says so.
func (c *benchCmd) target(stdin io.Reader) (*load.Target, string, error) {
	key, err := c.key()
	if err != nil {
		return nil, "", err
	}
	config, err := c.certificates()
	if err != nil {
		return nil, "", err
	}
	call := load.Call{Workspace: c.Workspace, Service: c.Service, Key: key, Header: c.Header, Timeout: c.Timeout, TLS: config}
	if c.URL != "" {
		body, err := c.Body.json(stdin)
		if err != nil {
			return nil, "", err
		}
		target, err := load.NewREST(c.URL, call, body, c.Concurrency)
		if err != nil {
			return nil, "", fmt.Errorf("--url: %w", err)
		}
		return target, fmt.Sprintf("REST, %s, %d calls at a time, a connection each", bytesText(len(body)), c.Concurrency), nil
	}
	if !c.TLS && c.TLSCA == "" {
		call.TLS = (*tls.Config)(nil)
	}
	req, err := c.request(stdin)
	if err != nil {
		return nil, "", err
	}
	connections := c.Connections
	if connections == 0 {
		connections = (c.Concurrency + 7) / 8
	}
	target, err := load.NewGRPC(c.GRPC, call, req, connections)
	if err != nil {
		return nil, "", fmt.Errorf("--grpc: %w", err)
	}
	return target, fmt.Sprintf("gRPC %s lane, %d calls at a time over %d connections", c.Lane, c.Concurrency, connections), nil
}

// request is what is sent over gRPC.
func (c *benchCmd) request(stdin io.Reader) (*v1.ExecuteRequest, error) {
	if c.Lane == "json" {
		body, err := c.Body.json(stdin)
		return &v1.ExecuteRequest{Payload: &v1.ExecuteRequest_Json{Json: body}}, err
	}
	tables, err := c.Body.tables(stdin)
	return &v1.ExecuteRequest{Payload: &v1.ExecuteRequest_Tables{Tables: tables}}, err
}

// made is the made-up table.
func (b *benchBody) made() (load.Size, error) {
	if b.Rows != 0 || b.Columns != 0 {
		if b.Rows < 1 || b.Columns < 1 || b.Rows > 10_000_000/b.Columns {
			return load.Size{}, fmt.Errorf("--rows %d --columns %d: allowed are 1 to 10000000 cells", b.Rows, b.Columns)
		}
		return load.Size{Rows: b.Rows, Columns: b.Columns}, nil
	}
	for _, s := range load.Sizes {
		if s.Name == cmp.Or(b.Size, "small") {
			return s, nil
		}
	}
	return load.Size{}, fmt.Errorf("--size %q: allowed are small, medium, large, large-full", b.Size)
}

// json returns AzureML's JSON of what is sent.
func (b *benchBody) json(stdin io.Reader) ([]byte, error) {
	if b.Input != "" {
		return (&executeCmd{Input: b.Input, InputName: b.InputName}).request(stdin)
	}
	s, err := b.made()
	return s.Request(), err
}

// tables returns typed tables of what is sent.
func (b *benchBody) tables(stdin io.Reader) (*v1.ScoringInput, error) {
	if b.Input == "" {
		s, err := b.made()
		return s.Tables(), err
	}
	raw, err := readInput(b.Input, stdin)
	if err != nil {
		return nil, err
	}
	table, err := readCSV(raw, b.InputName)
	if err != nil {
		return nil, fmt.Errorf("--input: the tables lane takes CSV: %w", err)
	}
	return &v1.ScoringInput{Inputs: map[string]*v1.Table{table.Name: typed(&table)}}, nil
}

// typed is a CSV's table as the contract has it.
func typed(t *azureml.Table) *v1.Table {
	out := &v1.Table{RowCount: uint32(t.Rows)}
	for _, c := range t.Columns {
		out.Columns = append(out.Columns, &v1.Column{Name: c.Name, Missing: c.Missing, Values: &v1.Column_Strings{Strings: &v1.Strings{Values: c.Strings}}})
	}
	return out
}

// progress returns what prints a line a second, or nil for nothing.
func (c *benchCmd) progress(stderr io.Writer) func(load.Progress) {
	if f, ok := stderr.(*os.File); !c.Progress && (!ok || !term.IsTerminal(int(f.Fd()))) {
		return nil
	}
	return func(p load.Progress) {
		_, _ = fmt.Fprintf(stderr, "%4.0f s  %d calls, %.0f/s, p50 %s ms, p99 %s ms, %d failed\n",
			p.Elapsed.Seconds(), p.Calls, p.Rate, millis(p.P50), millis(p.P99), p.Failed)
	}
}
