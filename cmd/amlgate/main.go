// Command amlgate serves AzureML scoring over gRPC and REST, and calls it. "amlgate serve" is the service, "amlgate
// emulator" an AzureML to try it on, the other subcommands are a client. What they do is in package server and in the
// files beside this one; nothing is decided here.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/amlgate/amlgate/server/logline"
	"github.com/amlgate/amlgate/server/redact"
)

type cli struct {
	Serve    serveCmd    `cmd:"" help:"Run the service."`
	Emulator emulatorCmd `cmd:"" help:"Run an AzureML to try things on."`
	Execute  executeCmd  `cmd:"" help:"Score data and print the answer."`
	Job      jobCmd      `cmd:"" help:"Run and watch batch jobs."`
	Bench    benchCmd    `cmd:"" help:"Load a service with scoring calls and measure it."`

	Version kong.VersionFlag `help:"Print the version and leave."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the whole program; it returns the exit code: 0, 1 for a failure, 2 for wrong arguments.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("amlgate"),
		kong.Description("AzureML scoring over gRPC and REST. Every flag can be given as an environment variable too, for example AMLGATE_HTTP."),
		kong.DefaultEnvars("AMLGATE"),
		kong.Vars{"version": version()},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
	)
	if err != nil {
		return fail(stderr, err)
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // --help and --version end here
		return exited
	}
	if err != nil {
		fail(stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(&streams{stdin, stdout, stderr}); err != nil {
		return fail(stderr, err)
	}
	return 0
}

// streams are the program's own, so that tests can have others.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// fail prints an error; keys that found their way into it are taken out.
func fail(stderr io.Writer, err error) int {
	_, _ = io.WriteString(stderr, "amlgate: "+redact.String(err.Error())+"\n")
	return 1
}

// logFlags choose how logs look.
type logFlags struct {
	Format string     `name:"log-format" default:"text" enum:"text,json" help:"How log lines look: text or json."`
	Level  slog.Level `name:"log-level" default:"info" help:"Least level logged: debug, info, warn, error."`
}

// logger writes to w; no secret gets past it.
func (f logFlags) logger(w io.Writer) *slog.Logger {
	format := logline.Text
	if f.Format == "json" {
		format = logline.JSON
	}
	return slog.New(logline.New(w, format, f.Level))
}

// version is what the Go tool chain knows of the build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "amlgate (devel)"
	}
	return "amlgate " + info.Main.Version
}
