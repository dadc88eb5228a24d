package azureml

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// secureUpstream answers with what it was sent, and notes the connections and how they are secured.
func secureUpstream(t *testing.T, config *tls.Config) (_ *httptest.Server, versions func() []uint16) {
	t.Helper()
	var mu sync.Mutex
	var seen []uint16
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(body)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = config
	s.TLS.Certificates = []tls.Certificate{trusted}
	s.TLS.VerifyConnection = func(c tls.ConnectionState) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, c.Version)
		return nil
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, func() []uint16 {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

// An https upstream is reached with the system's trust, by TLS 1.2 or 1.3, and bodies of all sizes come and go whole over
// one connection.
func TestUpstreamOverTLS(t *testing.T) {
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			s, versions := secureUpstream(t, &tls.Config{MinVersion: version, MaxVersion: version})
			c, err := NewClient(Options{BaseURL: s.URL})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for _, size := range []int{2, 10_000, maxRecord - 1, maxRecord, maxRecord + 1, 466_000, maxHeld, 3} {
				body := "{" + letters(size) + "}"
				answer, err := c.Execute(t.Context(), &Request{Workspace: "w", Service: "s", Body: []byte(body)})
				if err != nil {
					t.Fatalf("%d bytes: %v", size, err)
				}
				if string(answer.Body) != body {
					t.Errorf("%d bytes came back as %d others", size, len(answer.Body))
				}
				answer.Release()
			}
			if v := versions(); len(v) != 1 || v[0] != version {
				t.Errorf("connections are of %x, want one of %x", v, version)
			}
		})
	}
}

// A certificate for another name, one that nobody vouches for, and an old TLS end the call before anything is sent.
func TestUpstreamNotTrusted(t *testing.T) {
	other, _ := secureUpstream(t, &tls.Config{MinVersion: tls.VersionTLS12})
	at, err := url.Parse(other.URL)
	if err != nil {
		t.Fatal(err)
	}
	old, _ := secureUpstream(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	for name, tc := range map[string]struct{ base, want string }{
		"another name": {"https://localhost:" + at.Port(), "localhost"},
		"an old TLS":   {old.URL, "protocol version"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := NewClient(Options{BaseURL: tc.base})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.Execute(t.Context(), &Request{Workspace: "w", Service: "s", Body: []byte("{}")})
			var e *Error
			if !errors.As(err, &e) || e.Kind != Unreachable || !strings.Contains(e.Err.Error(), tc.want) {
				t.Errorf("%v, caused by %v", err, e)
			}
		})
	}
}

// A caller who gives up does not wait for a handshake.
func TestHandshakeGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	up, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	over := make(chan struct{})
	defer close(over)
	go func() {
		conn, err := up.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		var hello [1]byte
		_, _ = conn.Read(hello[:])
		cancel()
		<-over // it never answers
	}()
	c, err := NewClient(Options{BaseURL: "https://" + up.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Execute(ctx, &Request{Workspace: "w", Service: "s", Body: []byte("{}")}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
