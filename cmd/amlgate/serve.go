package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/amlgate/amlgate/server"
	"github.com/amlgate/amlgate/server/emulator"
	"github.com/amlgate/amlgate/server/logline"
)

// serveCmd is "amlgate serve".
type serveCmd struct {
	server.Config `embed:""`
	Log           logFlags `embed:""`
}

// logDelay is how late a line of the log may be written: a system call for each is about a twentieth of a small call's CPU.
const logDelay = 5 * time.Millisecond

// Run serves until it is told to stop.
func (c *serveCmd) Run(ctx context.Context, std *streams) error {
	lines := logline.NewGatherer(std.err, logDelay)
	defer func() { _ = lines.Flush() }()
	log := c.Log.logger(lines)
	// In a container the garbage collector should know the container's limit; GOMEMLIMIT, if set, goes before it. Where
	// there is neither, nothing is limited.
	if _, err := memlimit.Set(); err != nil && !errors.Is(err, memlimit.ErrNoCgroup) && !errors.Is(err, memlimit.ErrCgroupsNotSupported) {
		log.Warn("the container's memory limit cannot be read; set GOMEMLIMIT", "error", err)
	}
	defer runtime.KeepAlive(ballast())
	s, err := server.New(c.Config, log)
	if err != nil {
		return err
	}
	if tuned() {
		s.PaceCollector()
	}
	return s.Run(ctx)
}

// tuned reports whether the garbage collector is ours to tune: GOGC, if set, is what is wanted instead.
func tuned() bool { return os.Getenv("GOGC") == "" }

// ballast is memory that is never touched, and so takes none of the machine's. The garbage collector runs whenever the
// heap has doubled, and a gateway keeps so little that it would run dozens of times a second under load, for a twentieth
// of the CPU. With the ballast counted in, it lets as much garbage again gather first. Where memory is limited, it is a small
// part of the limit, against which it counts.
func ballast() []byte {
	if !tuned() {
		return nil
	}
	return make([]byte, min(32<<20, debug.SetMemoryLimit(-1)/32))
}

// emulatorCmd is "amlgate emulator".
type emulatorCmd struct {
	HTTP            string `name:"http" default:"127.0.0.1:8090" placeholder:"ADDR" help:"Where the emulator listens."`
	Blob            string `name:"blob" default:"127.0.0.1:10000" placeholder:"ADDR" help:"Where its blob endpoint listens."`
	InsecureDevKeys bool   `name:"insecure-dev-keys" help:"Listen beyond loopback although the keys are published ones."`
	emulator.Config `embed:""`
	Log             logFlags `embed:""`
}

// Run serves until it is told to stop.
func (c *emulatorCmd) Run(ctx context.Context, std *streams) error {
	log := c.Log.logger(std.err)
	c.Config.Logger = log
	box, err := server.OpenBox(server.BoxConfig{HTTP: c.HTTP, HTTPFlag: "--http", Blob: c.Blob, InsecureDevKeys: c.InsecureDevKeys, Emulator: c.Config}, log)
	if err != nil {
		return err
	}
	log.Info("ready", "url", box.URL(), "blob", box.BlobAddr(), "workspace", c.Workspace)
	ended := make(chan error, 1)
	go func() { ended <- box.Serve() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		box.Close()
		return <-ended
	}
}
