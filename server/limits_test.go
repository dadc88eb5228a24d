package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server"
)

// limitsServer is a server in front of an upstream that is content with everything.
func limitsServer(t *testing.T, change func(*server.Config)) (*server.Server, *scriptedUpstream) {
	t.Helper()
	up := newScriptedUpstream(t, okScript)
	cfg := testConfig()
	cfg.Upstream = up.url()
	if change != nil {
		change(&cfg)
	}
	return start(t, cfg), up
}

func post(length int) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", execute, length)
}

func TestLargeBodiesOverREST(t *testing.T) {
	srv, up := limitsServer(t, nil)
	c := connect(t, srv)
	usable := func() {
		t.Helper()
		if resp, body := c.exchange(t, append(post(2), "{}"...)); resp.StatusCode != 200 {
			t.Fatalf("the connection is not usable any more: %s %s", resp.Status, body)
		}
	}
	// The limit itself passes.
	if resp, body := c.exchange(t, append(post(4<<20), make([]byte, 4<<20)...)); resp.StatusCode != 200 {
		t.Errorf("4 MiB: %s %s", resp.Status, body)
	}
	for _, size := range []int{4<<20 + 1, 5_000_000, 64 << 20} {
		before := len(up.asked())
		resp, body := c.exchange(t, append(post(size), make([]byte, size)...))
		if d := envelope(t, resp, body); resp.StatusCode != 413 || d.Code != "RequestBodyTooLarge" || !strings.Contains(d.Message, "4194304 bytes") || !strings.Contains(d.Message, "--max-body") {
			t.Errorf("%d bytes: %s %+v", size, resp.Status, d)
		}
		if len(up.asked()) != before {
			t.Errorf("%d bytes reached the upstream", size)
		}
		usable()
	}
	// The same without an announced length.
	chunked := []byte("POST " + execute + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	for range 5 {
		chunked = fmt.Appendf(chunked, "%x\r\n%s\r\n", 1<<20, bytes.Repeat([]byte{' '}, 1<<20))
	}
	resp, body := c.exchange(t, append(chunked, "0\r\n\r\n"...))
	if d := envelope(t, resp, body); resp.StatusCode != 413 || d.Code != "RequestBodyTooLarge" {
		t.Errorf("chunked: %s %+v", resp.Status, d)
	}
	usable()
}

func TestExpectContinue(t *testing.T) {
	srv, _ := limitsServer(t, nil)
	c := connect(t, srv)
	head := "POST %s HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
	fmt.Fprintf(c, head, execute, 2)
	if line, err := c.r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("no 100 Continue: %q %v", line, err)
	}
	_, _ = c.r.ReadString('\n')
	_, _ = io.WriteString(c, "{}")
	if resp, body := c.read(t, "POST"); resp.StatusCode != 200 {
		t.Fatalf("%s %s", resp.Status, body)
	}
	// A body too large is refused before it is sent.
	fmt.Fprintf(c, head, execute, 64<<20)
	resp, body := c.read(t, "POST")
	if d := envelope(t, resp, body); resp.StatusCode != 413 {
		t.Errorf("%s %+v", resp.Status, d)
	}
}

func TestTornBodyIsNotScored(t *testing.T) {
	srv, up := limitsServer(t, nil)
	c := connect(t, srv)
	if _, err := c.Write(append(post(100), "{\"Inputs\""...)); err != nil {
		t.Fatal(err)
	}
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	resp, body := c.read(t, "POST")
	if d := envelope(t, resp, body); resp.StatusCode != 400 || d.Code != "RequestBodyInvalid" {
		t.Errorf("%s %+v", resp.Status, d)
	}
	if asked := up.asked(); len(asked) > 0 {
		t.Errorf("half a body was scored: %q", asked)
	}
}

func TestLargeMessagesOverGRPC(t *testing.T) {
	srv, up := limitsServer(t, nil)
	client := v1.NewScoringServiceClient(dial(t, srv))
	call := func(size int) error {
		_, err := client.Execute(t.Context(), &v1.ExecuteRequest{Workspace: "w1", Service: "s1", Payload: &v1.ExecuteRequest_Json{Json: make([]byte, size)}})
		return err
	}
	if err := call(4 << 20); err != nil {
		t.Errorf("4 MiB: %v", err)
	}
	asked := len(up.asked())
	if err := call(5_000_000); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "json: more than 4194304 bytes") || !strings.Contains(err.Error(), "--max-body") {
		t.Errorf("5 MB: %v", err)
	}
	// Beyond what a table could need, grpc-go refuses before it reads.
	if err := call(64 << 20); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "larger than max") {
		t.Errorf("64 MiB: %v", err)
	}
	// Two bytes of JSON a cell, eight here: as a message this is beyond 4 MiB, as JSON it is not.
	table := func(rows int) error {
		_, err := client.Execute(t.Context(), &v1.ExecuteRequest{Workspace: "w1", Service: "s1", Payload: &v1.ExecuteRequest_Tables{Tables: &v1.ScoringInput{
			Inputs: map[string]*v1.Table{"input1": {Columns: []*v1.Column{{Name: "a", Values: &v1.Column_Doubles{Doubles: &v1.Doubles{Values: make([]float64, rows)}}}}}}}}})
		return err
	}
	if err := table(1_000_000); err != nil {
		t.Errorf("8 MB of doubles, 4 MB of JSON: %v", err)
	}
	if err := table(1_500_000); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "tables: more than 4194304 bytes of JSON") {
		t.Errorf("6 MB of JSON: %v", err)
	}
	if got := len(up.asked()) - asked; got != 1 {
		t.Errorf("%d calls reached the upstream, want the one that fits", got)
	}
	if err := call(2); err != nil {
		t.Errorf("the connection is not usable any more: %v", err)
	}
}

// TestMaxMessage sends the largest message that is taken, and one that is a byte larger.
func TestMaxMessage(t *testing.T) {
	const limit = 10_000
	srv, up := limitsServer(t, func(c *server.Config) { c.MaxMessage = limit })
	conn := dial(t, srv)
	filled := func(make func([]byte) proto.Message, size int) proto.Message {
		room := size - proto.Size(make(nil))
		for proto.Size(make(bytes.Repeat([]byte{' '}, room))) > size {
			room--
		}
		return make(bytes.Repeat([]byte{' '}, room))
	}
	for method, make := range map[string]func([]byte) proto.Message{
		v1.ScoringService_Execute_FullMethodName: func(b []byte) proto.Message {
			return &v1.ExecuteRequest{Workspace: "w1", Service: "s1", Payload: &v1.ExecuteRequest_Json{Json: b}}
		},
		v1.JobService_SubmitJob_FullMethodName: func(b []byte) proto.Message {
			return &v1.SubmitJobRequest{Workspace: "w1", Service: "s1", Payload: &v1.SubmitJobRequest_Json{Json: b}}
		},
	} {
		within, beyond := filled(make, limit), filled(make, limit+1)
		if proto.Size(within) != limit || proto.Size(beyond) != limit+1 {
			t.Fatalf("the messages have %d and %d bytes", proto.Size(within), proto.Size(beyond))
		}
		before := len(up.asked())
		if err := conn.Invoke(t.Context(), method, within, &v1.ExecuteResponse{}); status.Code(err) == codes.ResourceExhausted || len(up.asked()) != before+1 {
			t.Errorf("%s within the limit: %v, and the upstream was asked %d times", method, err, len(up.asked())-before)
		}
		before = len(up.asked())
		err := conn.Invoke(t.Context(), method, beyond, &v1.ExecuteResponse{})
		if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "10001 bytes") || !strings.Contains(err.Error(), "allowed are 10000 (--max-message)") || len(up.asked()) != before {
			t.Errorf("%s beyond the limit: %v, and the upstream was asked %d times", method, err, len(up.asked())-before)
		}
	}
}

func TestLargeHeaders(t *testing.T) {
	srv, _ := limitsServer(t, nil)
	resp, _ := connect(t, srv).exchange(t, wire("POST "+execute+" HTTP/1.1\nHost: a\nX-A: "+strings.Repeat("a", 40<<10)+"\nContent-Length: auto\n\n{}"))
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("REST: %s", resp.Status)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-a", strings.Repeat("a", 40<<10))
	_, err := v1.NewScoringServiceClient(dial(t, srv)).Execute(ctx, &v1.ExecuteRequest{Workspace: "w1", Service: "s1", Payload: &v1.ExecuteRequest_Json{Json: []byte("{}")}})
	if err == nil {
		t.Error("gRPC: a header of 40 KiB passed")
	}
}

func TestAnswerTooLarge(t *testing.T) {
	srv, _ := limitsServer(t, func(c *server.Config) { c.MaxAnswer = 5 })
	resp, body := connect(t, srv).exchange(t, append(post(2), "{}"...))
	if d := envelope(t, resp, body); resp.StatusCode != 502 || d.Code != "AnswerTooLarge" || !strings.Contains(d.Message, "--max-answer") {
		t.Errorf("%s %+v", resp.Status, d)
	}
}

// certificate writes a self-signed certificate for 127.0.0.1 and returns its files and a pool that trusts it.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, _ := x509.ParseCertificate(der)
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return certFile, keyFile, pool
}

// TestTLSAndStreams speaks TLS to both listeners and reads the limit on streams that each announces.
func TestTLSAndStreams(t *testing.T) {
	certFile, keyFile, pool := certificate(t)
	srv, _ := limitsServer(t, func(c *server.Config) { c.TLSCert, c.TLSKey = certFile, keyFile })
	for name, addr := range map[string]string{"REST": srv.HTTPAddr(), "gRPC": srv.GRPCAddr()} {
		conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, http2.ClientPreface)
		framer := http2.NewFramer(conn, conn)
		_ = framer.WriteSettings()
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n, ok := frame.(*http2.SettingsFrame).Value(http2.SettingMaxConcurrentStreams); !ok || n != 250 {
			t.Errorf("%s takes %d streams a connection", name, n)
		}
		if old, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11, NextProtos: []string{"h2"}}); err == nil {
			_ = old.Close()
			t.Errorf("%s speaks TLS 1.1", name)
		}
	}
	conn, err := grpc.NewClient(srv.GRPCAddr(), grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(pool, "")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := v1.NewScoringServiceClient(conn).Execute(ctx, &v1.ExecuteRequest{Workspace: "w1", Service: "s1", Payload: &v1.ExecuteRequest_Json{Json: []byte("{}")}}); err != nil {
		t.Errorf("gRPC over TLS: %v", err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Post("https://"+srv.HTTPAddr()+execute, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
		t.Errorf("REST over TLS: %s over %s", resp.Status, resp.Proto)
	}
}
