package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/amlgate/amlgate/server/emulator"
	"github.com/amlgate/amlgate/server/emulator/blob"
)

// Box is an AzureML in the box: the emulator and the blob endpoint that its jobs read and write, each on a listener.
type Box struct {
	cfg       BoxConfig
	emulator  *emulator.Emulator
	servers   [2]*http.Server
	listeners [2]net.Listener
}

// BoxConfig says where a Box listens and how it behaves.
type BoxConfig struct {
	// HTTP is where the emulator listens, HTTPFlag what its address is called in errors. Blob is where the blob endpoint
	// does.
	HTTP, HTTPFlag string
	Blob           string

	// InsecureDevKeys lets it listen beyond loopback with keys that everyone knows.
	InsecureDevKeys bool

	Emulator emulator.Config
}

// OpenBox opens both listeners; Serve answers on them. Errors name the flag.
func OpenBox(cfg BoxConfig, log *slog.Logger) (_ *Box, err error) {
	b := &Box{cfg: cfg}
	defer func() {
		if err != nil {
			b.closeListeners()
		}
	}()
	for i, l := range []struct{ flag, addr, key string }{{cfg.HTTPFlag, cfg.HTTP, "demo-key"}, {"--blob", cfg.Blob, "the published development key"}} {
		known := i == 1 || cfg.Emulator.Key == "" || cfg.Emulator.Key == "demo-key"
		if known && !loopback(l.addr) && !cfg.InsecureDevKeys {
			return nil, fmt.Errorf("%s %q: not a loopback address, and %s is known to everyone; give another --key, or --insecure-dev-keys", l.flag, l.addr, l.key)
		}
		if b.listeners[i], err = listen(l.flag, l.addr); err != nil {
			return nil, err
		}
	}
	if cfg.Emulator.BlobURL == "" {
		cfg.Emulator.BlobURL = "http://" + b.BlobAddr()
	}
	if b.emulator, err = emulator.New(cfg.Emulator); err != nil {
		return nil, err
	}
	storage, err := blob.New(blob.Config{Logger: cfg.Emulator.Logger})
	if err != nil {
		return nil, err
	}
	for i, handler := range []http.Handler{b.emulator, storage} {
		b.servers[i] = &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	}
	return b, nil
}

// URL is the emulator's base URL.
func (b *Box) URL() string { return "http://" + b.listeners[0].Addr().String() }

// BlobAddr is where the blob endpoint listens.
func (b *Box) BlobAddr() string { return b.listeners[1].Addr().String() }

// Serve answers until a listener breaks or Close is called, which is no error.
func (b *Box) Serve() error {
	ended := make(chan error, len(b.servers))
	for i, s := range b.servers {
		go func() { ended <- s.Serve(b.listeners[i]) }()
	}
	var errs []error
	for range b.servers {
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
			b.Close()
		}
	}
	return errors.Join(errs...)
}

// Close gives calls in flight a moment, cuts those that hang, as a fault may have them do, and stops all jobs.
func (b *Box) Close() {
	grace, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range b.servers {
		if s.Shutdown(grace) != nil {
			_ = s.Close()
		}
	}
	b.emulator.Close()
}

func (b *Box) closeListeners() {
	for _, l := range b.listeners {
		if l != nil {
			_ = l.Close()
		}
	}
}
