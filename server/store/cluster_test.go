package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// external runs a NATS server that listens.
func external(t *testing.T, jetStream bool, change ...func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, JetStream: jetStream, StoreDir: t.TempDir(), SyncAlways: true}
	for _, c := range change {
		c(o)
	}
	srv, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS is not ready")
	}
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	return srv
}

func TestExternalServerIsShared(t *testing.T) {
	url := external(t, true).ClientURL()
	a, b := open(t, Config{NATS: url, NATSReplicas: 1}), open(t, Config{NATS: url, NATSReplicas: 1})
	revision := create(t, a.Jobs(), "k", "v")
	if get(t, b.Jobs(), "k") != "v" || a.Secret() != b.Secret() || a.Epoch(a.Jobs()) != b.Epoch(b.Jobs()) {
		t.Error("two replicas have two truths")
	}
	if _, err := b.Jobs().Update(t.Context(), "k", []byte("w"), revision); err != nil {
		t.Error(err)
	}
	if a.Alone() || !open(t, Config{}).Alone() {
		t.Error("who is alone?")
	}
}

func TestExternalServerMustFit(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  Config
		says []string
	}{
		{"no JetStream", Config{NATS: external(t, false).ClientURL()}, []string{"--nats", "JetStream is not enabled"}},
		{"too old", Config{NATS: "nats://" + oldServer(t)}, []string{"--nats", "2.13.4", "2.14 or newer"}},
		{"small messages", Config{NATS: external(t, true, func(o *server.Options) { o.MaxPayload = 4096 }).ClientURL()}, []string{"--nats", "max_payload", "4096"}},
		{"three copies on one server", Config{NATS: external(t, true).ClientURL()}, []string{"--nats", "3 copies"}},
		{"no credentials file", Config{NATS: "nats://127.0.0.1:1", NATSCreds: "/does/not/exist"}, []string{"--nats-creds"}},
		{"no CA file", Config{NATS: "nats://127.0.0.1:1", NATSCA: "/does/not/exist"}, []string{"--nats-ca"}},
		{"a wrong password", Config{NATS: strings.Replace(external(t, true, func(o *server.Options) { o.Username, o.Password = "u", "p" }).ClientURL(), "//", "//u:hunter2@", 1)}, []string{"--nats", "uthoriz"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Open(background, tc.cfg, nil)
			if err == nil {
				t.Fatal("opened")
			}
			for _, want := range tc.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a password in an error: %v", err)
			}
		})
	}
}

// A server that is not there may be on its way; the error says how often it was looked for.
func TestNobodyThere(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := Open(ctx, Config{NATS: "nats://u:hunter2@127.0.0.1:1"}, nil)
	if err == nil || !strings.Contains(err.Error(), " tries in ") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("it says %v", err)
	}
}

// oldServer greets as an older NATS would.
func oldServer(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "INFO {\"server_id\":\"x\",\"version\":\"2.13.4\",\"proto\":1,\"max_payload\":1048576}\r\n")
			r := bufio.NewReader(c)
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					_ = c.Close()
					break
				}
				if strings.HasPrefix(line, "PING") {
					fmt.Fprint(c, "PONG\r\n")
				}
			}
		}
	}()
	return l.Addr().String()
}

// A server that goes away and comes back: writes meanwhile are unknown in the end, or found out; none is made twice.
func TestWriteAcrossARestartOfTheServer(t *testing.T) {
	srv := external(t, true)
	port, dir := srv.Addr().(*net.TCPAddr).Port, srv.StoreDir()
	s := open(t, Config{NATS: srv.ClientURL(), NATSReplicas: 1})
	first := create(t, s.Jobs(), "k", "1")
	srv.Shutdown()
	srv.WaitForShutdown()
	written := make(chan error, 1)
	go func() {
		_, err := s.Jobs().Update(background, "k", []byte("2"), first)
		written <- err
	}()
	external(t, true, func(o *server.Options) { o.Port, o.StoreDir = port, dir })
	if err := <-written; err != nil && !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	} else if err == nil && get(t, s.Jobs(), "k") != "2" {
		t.Error("acknowledged and not there")
	}
}

func TestConfig(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		says string
	}{
		{Config{Data: "d", NATS: "nats://a:1"}, "exclude each other"},
		{Config{NATSCreds: "f"}, "--nats-creds"},
		{Config{NATSKey: "f"}, "--nats-key"},
		{Config{AcceptLoss: true}, "--accept-loss"},
		{Config{NATS: "nats://a:1", AcceptLoss: true}, "--accept-loss"},
		{Config{NATS: "nats://a:1", NATSCert: "f"}, "go together"},
		{Config{NATS: "nats://a:1", NATSReplicas: 2}, "--nats-replicas 2"},
		{Config{NATS: "http://u:hunter2@a:1"}, "--nats"},
	} {
		err := tc.cfg.Validate()
		if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v", tc.cfg, err)
		}
	}
}

// A request of the start is repeated while nobody can answer it, and no longer than that.
func TestAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &lines{}
		s := &Store{log: out.logger()}
		tries := 0
		if err := s.ask(t.Context(), func(ctx context.Context) error {
			if tries++; tries == 4 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}); err != nil || tries != 4 || !strings.Contains(out.String(), "does not answer yet") {
			t.Errorf("%d tries: %v", tries, err)
		}
		tries = 0
		err := s.ask(t.Context(), func(context.Context) error {
			tries++
			return &jetstream.APIError{Code: 503, ErrorCode: 10008, Description: "temporarily unavailable"}
		})
		if want := fmt.Sprintf("%d tries in 30s, the last: ", tries); err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "temporarily unavailable") {
			t.Errorf("it says %v, want %s...", err, want)
		}
		tries = 0
		if err := s.ask(t.Context(), func(context.Context) error { tries++; return nats.ErrAuthorization }); !errors.Is(err, nats.ErrAuthorization) || tries != 1 {
			t.Errorf("%d tries: %v", tries, err)
		}
	})
}
