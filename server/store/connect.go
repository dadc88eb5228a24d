package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// startTimeout is how long a store may take to be there: recovery of a million records takes two seconds.
const startTimeout = 2 * time.Minute

// minMessage is the largest value with what travels along.
const minMessage = 128 << 10

// connect opens the connection that all else goes over.
func (s *Store) connect(ctx context.Context, cfg Config) error {
	if cfg.NATS != "" {
		return s.connectCluster(ctx, cfg)
	}
	dir := cfg.Data
	if dir == "" {
		// Memory storage makes the folder and leaves it empty.
		temp, err := os.MkdirTemp("", "amlgate-")
		if err != nil {
			return fmt.Errorf("an empty folder for temporary files is needed, or --data: %w", err)
		}
		s.temp, dir = temp, temp
	}
	srv, err := server.NewServer(&server.Options{
		ServerName: "amlgate", DontListen: true, NoSigs: true, JetStream: true, StoreDir: filepath.Join(dir, "jetstream"), DisableJetStreamBanner: true,
		SyncAlways: true, JetStreamMaxMemory: maxBytes() + 64<<20, JetStreamMaxStore: maxBytes() + 64<<20,
	})
	if err != nil {
		return fmt.Errorf("the embedded store: %w", err)
	}
	s.server = srv
	srv.SetLoggerV2(&logger{s.log, s.fail}, false, false, false)
	srv.Start()
	if err := s.awaitServer(ctx); err != nil {
		return err
	}
	s.conn, err = nats.Connect("", append(s.options(), nats.InProcessServer(srv))...)
	if err != nil {
		return fmt.Errorf("the embedded store: %w", err)
	}
	return nil
}

// awaitServer waits until the embedded server has read its files, or says why it never will.
func (s *Store) awaitServer(ctx context.Context) error {
	deadline := time.Now().Add(startTimeout)
	for !s.server.ReadyForConnections(50 * time.Millisecond) {
		switch {
		case s.Err() != nil:
			return s.Err()
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return fmt.Errorf("the embedded store was not ready after %s", startTimeout)
		}
	}
	if s.Err() != nil {
		return s.Err()
	}
	if !s.server.JetStreamEnabled() {
		return errors.New("the embedded store did not start; its log lines say why")
	}
	return nil
}

// connectCluster connects to an external cluster and checks that it is fit for the work.
func (s *Store) connectCluster(ctx context.Context, cfg Config) error {
	options := s.options()
	if cfg.NATSCreds != "" {
		if _, err := os.ReadFile(cfg.NATSCreds); err != nil {
			return fmt.Errorf("--nats-creds: %w", err)
		}
		options = append(options, nats.UserCredentials(cfg.NATSCreds))
	}
	if cfg.NATSCA != "" {
		if _, err := os.ReadFile(cfg.NATSCA); err != nil {
			return fmt.Errorf("--nats-ca: %w", err)
		}
		options = append(options, nats.RootCAs(cfg.NATSCA))
	}
	if cfg.NATSCert != "" {
		options = append(options, nats.ClientCert(cfg.NATSCert, cfg.NATSKey))
	}
	options = append(options, nats.PingInterval(time.Second), nats.Timeout(askTimeout))
	err := s.ask(ctx, func(context.Context) (err error) {
		s.conn, err = nats.Connect(cfg.NATS, options...)
		return err
	})
	if err != nil {
		return fmt.Errorf("--nats: %w", err)
	}
	if v := s.conn.ConnectedServerVersion(); !atLeast(v, 2, 14) {
		return fmt.Errorf("--nats: the server is version %s; 2.14 or newer is needed", v)
	}
	if n := s.conn.MaxPayload(); n < minMessage {
		return fmt.Errorf("--nats: the server's max_payload is %d bytes; %d or more are needed", n, minMessage)
	}
	js, err := jetstream.New(s.conn)
	if err != nil {
		return fmt.Errorf("--nats: %w", err)
	}
	err = s.ask(ctx, func(ctx context.Context) error {
		_, err := js.AccountInfo(ctx)
		return err
	})
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return errors.New("--nats: JetStream is not enabled for this account; it is what state is kept in")
	case err != nil:
		return fmt.Errorf("--nats: JetStream does not answer: %w", err)
	}
	return nil
}

// How long one request of the start may take, and how long it is repeated. A cluster that starts together with this
// process leaves unanswered what comes before it has chosen its leaders.
const (
	askTimeout  = 2 * time.Second
	askPatience = 30 * time.Second
)

// ask makes a request of the start, again and again while nobody answers or the answer is that nobody can yet. The error says
// how often it was made and how the last one failed.
func (s *Store) ask(ctx context.Context, request func(context.Context) error) error {
	began := time.Now()
	for n := 1; ; n++ {
		own, cancel := context.WithTimeout(ctx, askTimeout)
		err := request(own)
		cancel()
		if err == nil || !soon(err) {
			return err
		}
		if n == 1 {
			s.log.Warn("the store does not answer yet", "error", err)
		}
		if time.Since(began) > askPatience || ctx.Err() != nil {
			return fmt.Errorf("%d tries in %s, the last: %w", n, time.Since(began).Round(time.Second), err)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// codeNoPeers is JetStream's for a cluster of fewer servers than copies are asked for: they may be on their way.
const codeNoPeers = 10005

// soon reports whether the same request may succeed in a while.
func soon(err error) bool {
	var said *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrAuthorization):
		return false
	case errors.As(err, &said):
		return said.Code == 503 || said.ErrorCode == codeNoPeers
	}
	var network net.Error
	for _, e := range []error{context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrNoServers, nats.ErrDisconnected, nats.ErrConnectionReconnecting, nats.ErrConnectionClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.As(err, &network)
}

// options are both connections'. It is never given up: a cluster comes back, and the embedded server only ends with the
// process.
func (s *Store) options() []nats.Option {
	return []nats.Option{
		nats.Name("amlgate"), nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond), nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2), nats.Timeout(5 * time.Second),
		// A write is unknown as soon as the connection is gone; keeping it back for later would hide that.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			s.presence.gone()
			if err != nil {
				s.log.Warn("the store is away", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			s.presence.back()
			s.log.Info("the store is back")
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { s.log.Warn("the store", "error", err) }),
	}
}

// atLeast compares a server's version, for example "2.14.0-beta.1".
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	a, err1 := strconv.Atoi(parts[0])
	b, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (a > major || a == major && b >= minor)
}

// silent is the logger of a store that was given none.
func silent(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
