package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/amlgate/amlgate/server"
	"github.com/amlgate/amlgate/server/emulator"
)

// serveCmd is "amlgate serve".
type serveCmd struct {
	server.Config `embed:""`
	Log           logFlags `embed:""`
}

// Run serves until it is told to stop.
func (c *serveCmd) Run(ctx context.Context, std *streams) error {
	s, err := server.New(c.Config, c.Log.logger(std.err))
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// emulatorCmd is "amlgate emulator".
type emulatorCmd struct {
	HTTP            string `name:"http" default:"127.0.0.1:8090" placeholder:"ADDR" help:"Where the emulator listens."`
	InsecureDevKeys bool   `name:"insecure-dev-keys" help:"Listen beyond loopback although the key is the published demo-key."`
	emulator.Config `embed:""`
	Log             logFlags `embed:""`
}

// Run serves until it is told to stop.
func (c *emulatorCmd) Run(ctx context.Context, std *streams) error {
	log := c.Log.logger(std.err)
	c.Config.Logger = log
	em, err := emulator.New(c.Config)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.HTTP)
	if err != nil {
		return fmt.Errorf("--http: %w", err)
	}
	if addr, ok := listener.Addr().(*net.TCPAddr); ok && !addr.IP.IsLoopback() && c.Key == "demo-key" && !c.InsecureDevKeys {
		_ = listener.Close()
		return fmt.Errorf("--http %q: not a loopback address, and demo-key is known to everyone; give another --key, or --insecure-dev-keys", c.HTTP)
	}
	srv := &http.Server{Handler: em, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	log.Info("ready", "url", "http://"+listener.Addr().String(), "workspace", c.Workspace)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	// Calls in flight get a moment; a hanging one, which a fault may ask for, is cut.
	grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return srv.Close()
}
