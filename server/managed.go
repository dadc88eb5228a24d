package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"google.golang.org/grpc"

	"github.com/amlgate/amlgate/server/api"
)

// In managed mode callers show a key of this service's, and the upstream's own is known to the service alone.

// maxKey is the longest key taken from a file, in bytes; AzureML's have some 90.
const maxKey = 4 << 10

// readKey reads a key from a file: its text without blanks at either end.
func readKey(flag, file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	b = bytes.TrimSpace(b)
	if len(b) == 0 || len(b) > maxKey || bytes.ContainsFunc(b, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s %s: one key is wanted, of at most %d printable characters without blanks", flag, file, maxKey)
	}
	return string(b), nil
}

// gate lets callers in by their key; nil lets everybody in, and the upstream decides.
type gate struct{ key [sha256.Size]byte }

// openGate reads both keys of managed mode; without their flags there is no gate.
func openGate(cfg *Config) (g *gate, upstreamKey string, err error) {
	if cfg.UpstreamKeyFile == "" && cfg.CallerKeyFile == "" {
		return nil, "", nil
	}
	if cfg.UpstreamKeyFile == "" || cfg.CallerKeyFile == "" {
		return nil, "", errors.New("--upstream-key-file and --caller-key-file go together; one is missing")
	}
	if upstreamKey, err = readKey("--upstream-key-file", cfg.UpstreamKeyFile); err != nil {
		return nil, "", err
	}
	callerKey, err := readKey("--caller-key-file", cfg.CallerKeyFile)
	if err != nil {
		return nil, "", err
	}
	return &gate{sha256.Sum256([]byte(callerKey))}, upstreamKey, nil
}

// check lets a call in, and takes its keys off: none of them is the upstream's.
func (g *gate) check(call *api.Call) *api.Failure {
	if g == nil {
		return nil
	}
	given := call.Keys
	call.Keys = nil
	if a := call.Header.Get("Authorization"); a != "" {
		scheme, key, _ := strings.Cut(strings.TrimSpace(a), " ")
		if !strings.EqualFold(scheme, "bearer") {
			return api.Refuse(api.KeyInvalid, "", "the key is not one of this service's")
		}
		given = append(given, strings.TrimSpace(key))
	}
	call.Header.Del("Authorization")
	if len(given) == 0 {
		return api.Refuse(api.NoCredential, "", "a key is needed: Authorization: Bearer, Ocp-Apim-Subscription-Key, or subscription-key in the query")
	}
	first := sha256.Sum256([]byte(given[0]))
	for _, key := range given[1:] {
		if other := sha256.Sum256([]byte(key)); subtle.ConstantTimeCompare(first[:], other[:]) != 1 {
			return api.Refuse(api.InvalidHeader, "subscription-key", "given in several places, and not the same; give one")
		}
	}
	if subtle.ConstantTimeCompare(first[:], g.key[:]) != 1 {
		return api.Refuse(api.KeyInvalid, "", "the key is not one of this service's")
	}
	return nil
}

// unary is the gate as a link of the chain.
func (g *gate) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if f := g.check(api.CallFrom(ctx)); f != nil {
		return nil, f
	}
	return next(ctx, req)
}

// restKeys are the subscription keys of a REST call; the query's is taken out.
func restKeys(h http.Header, form map[string][]string) []string {
	keys := append([]string(nil), h["Ocp-Apim-Subscription-Key"]...)
	keys = append(keys, form["subscription-key"]...)
	delete(form, "subscription-key")
	return keys
}

// upstreamName tells this upstream's jobs from another's in the journal. An embedded emulator is the same one wherever it
// listens.
func (s *Server) upstreamName() string {
	if s.box != nil {
		return "emulator"
	}
	sum := sha256.Sum256([]byte(strings.TrimRight(s.cfg.Upstream, "/")))
	return hex.EncodeToString(sum[:6])
}
