package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"google.golang.org/grpc"

	"github.com/amlgate/amlgate/server/api"
)

// In managed mode callers show a key of this service's, and the upstream's own is known to the service alone.

// gate lets callers in by their key; nil lets everybody in, and the upstream decides.
type gate struct{ key *keyFile }

// openGate reads both keys of managed mode; without their flags there is no gate.
func openGate(cfg *Config, log *slog.Logger) (g *gate, upstreamKey *keyFile, err error) {
	if cfg.UpstreamKeyFile == "" && cfg.CallerKeyFile == "" {
		return nil, nil, nil
	}
	if cfg.UpstreamKeyFile == "" || cfg.CallerKeyFile == "" {
		return nil, nil, errors.New("--upstream-key-file and --caller-key-file go together; one is missing")
	}
	if upstreamKey, err = openKeyFile("--upstream-key-file", cfg.UpstreamKeyFile, log); err != nil {
		return nil, nil, err
	}
	callerKey, err := openKeyFile("--caller-key-file", cfg.CallerKeyFile, log)
	if err != nil {
		return nil, nil, err
	}
	return &gate{callerKey}, upstreamKey, nil
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
	if own := sha256.Sum256([]byte(g.key.get())); subtle.ConstantTimeCompare(first[:], own[:]) != 1 {
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
