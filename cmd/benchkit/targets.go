package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"

	"github.com/amlgate/amlgate/cmd/internal/load"
)

// target is one way to the upstream.
type target struct {
	name string
	via  *kid // nil for the direct way
	open func(size load.Size, concurrency int) (*load.Target, error)
}

// pids are the processes whose CPU time is the target's.
func (t *target) pids() []int {
	if t.via == nil {
		return nil
	}
	return []int{t.via.cmd.Process.Pid}
}

// overTLS marks targets whose upstream speaks TLS.
const overTLS = "-tls"

// names of targets, in the order of tables; those of further amlgates come behind amlgate's own.
var peers = []string{"direct", "reverseproxy", "nginx", "grpc-struct"}

// lanes are the ways through amlgate: over REST, over gRPC with JSON, over gRPC with tables.
var lanes = []string{"", "-grpc-json", "-grpc-tables"}

// startTargets starts what the chosen targets need and returns them. nginx is left out where it is not installed.
func startTargets(ctx context.Context, k *kids, o *options) ([]*target, error) {
	s := &starter{ctx: ctx, kids: k, options: o}
	var err error
	if s.plain, err = k.startRole("upstream", "upstream"); err != nil {
		return nil, err
	}
	if s.cert, s.key, err = writeCertificate(k.dir); err != nil {
		return nil, err
	}
	for _, suffix := range []string{"", overTLS} {
		for _, name := range peers {
			if err := s.peer(name, suffix); err != nil {
				return nil, err
			}
		}
		if err := s.amlgate("amlgate", o.amlgate, suffix); err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(o.also)) {
			if err := s.amlgate(name, o.also[name], suffix); err != nil {
				return nil, err
			}
		}
	}
	if len(s.targets) == 0 {
		return nil, fmt.Errorf("-only %s: no target is called so", o.only)
	}
	return s.targets, nil
}

// starter is what startTargets has in hand.
type starter struct {
	ctx       context.Context
	kids      *kids
	options   *options
	plain     *kid
	secure    *kid
	cert, key string
	targets   []*target
}

// upstream is where proxies call, and the certificate they trust.
func (s *starter) upstream(suffix string) (address, ca string, err error) {
	if suffix == "" {
		return s.plain.address, "", nil
	}
	if s.secure == nil {
		s.secure, err = s.kids.startRole("upstream"+overTLS, "upstream", "-cert", s.cert, "-key", s.key)
		if err != nil {
			return "", "", err
		}
	}
	return s.secure.address, s.cert, nil
}

// peer starts one of the peers, if it is wanted.
func (s *starter) peer(name, suffix string) error {
	full := name + suffix
	if !s.options.wants(full) || suffix != "" && (name == "direct" || name == "grpc-struct") {
		return nil
	}
	upstream, ca, err := s.upstream(suffix)
	if err != nil {
		return err
	}
	var via *kid
	address := upstream
	switch name {
	case "reverseproxy":
		via, err = s.kids.startRole(full, name, "-upstream", baseURL(upstream, ca), "-ca", ca)
	case "grpc-struct":
		via, err = s.kids.startRole(full, name, "-upstream", baseURL(upstream, ca))
	case "nginx":
		program, missing := exec.LookPath("nginx")
		if missing != nil {
			return nil
		}
		via, err = s.kids.startNginx(full, program, upstream, ca)
	}
	if err != nil {
		return err
	}
	if via != nil {
		address = via.address
	}
	s.targets = append(s.targets, &target{full, via, func(size load.Size, concurrency int) (*load.Target, error) {
		if name == "grpc-struct" {
			return openStruct(address, size, concurrency)
		}
		return load.NewREST("http://"+address, caller(size, false), size.Request(), concurrency)
	}})
	return nil
}

// amlgate starts an amlgate, if one of its lanes is wanted.
func (s *starter) amlgate(name, program, suffix string) error {
	var wanted []string
	for _, lane := range lanes {
		if s.options.wants(name + lane + suffix) {
			wanted = append(wanted, lane)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	upstream, ca, err := s.upstream(suffix)
	if err != nil {
		return err
	}
	if program == "" {
		if program, err = s.build(); err != nil {
			return err
		}
	}
	via, err := s.kids.startAmlgate(name+suffix, program, baseURL(upstream, ca), ca, s.options.flags)
	if err != nil {
		return err
	}
	for _, lane := range wanted {
		s.targets = append(s.targets, &target{name + lane + suffix, via, func(size load.Size, concurrency int) (*load.Target, error) {
			return openAmlgate(via, lane, size, concurrency)
		}})
	}
	return nil
}

// build builds amlgate from the tree that the command is run in.
func (s *starter) build() (string, error) {
	program := filepath.Join(s.kids.dir, "amlgate")
	if s.options.amlgate == program {
		return program, nil
	}
	out, err := exec.CommandContext(s.ctx, "go", "build", "-o", program, "github.com/amlgate/amlgate/cmd/amlgate").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building amlgate: %w\n%s", err, out)
	}
	s.options.amlgate = program
	return program, nil
}

// openAmlgate opens a target at an amlgate. Calls over gRPC share one connection for 8 of them.
func openAmlgate(via *kid, lane string, size load.Size, concurrency int) (*load.Target, error) {
	call := caller(size, true)
	connections := (concurrency + 7) / 8
	switch lane {
	case "-grpc-json":
		return load.NewGRPC(via.grpc, call, &v1.ExecuteRequest{Payload: &v1.ExecuteRequest_Json{Json: size.Request()}}, connections)
	case "-grpc-tables":
		return load.NewGRPC(via.grpc, call, &v1.ExecuteRequest{Payload: &v1.ExecuteRequest_Tables{Tables: size.Tables()}}, connections)
	}
	return load.NewREST("http://"+via.address, call, size.Request(), concurrency)
}

// caller is who calls: the service's name tells the upstream the size.
func caller(size load.Size, bearer bool) load.Call {
	c := load.Call{Workspace: "w1", Service: size.Name, Timeout: 10 * time.Second}
	if bearer {
		c.Key = callerKey(7)
	} else {
		c.Header = map[string]string{keyHeader: callerKey(7)}
	}
	return c
}

// baseURL is an upstream's base URL; one with a certificate speaks TLS.
func baseURL(address, ca string) string {
	if ca == "" {
		return "http://" + address
	}
	return "https://" + address
}

// wants reports whether -only chooses a target.
func (o *options) wants(name string) bool {
	if o.only == "" {
		return true
	}
	for pattern := range strings.SplitSeq(o.only, ",") {
		prefix, open := strings.CutSuffix(pattern, "*")
		if name == pattern || open && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// chosen returns the sizes of -sizes, the usual ones where it is empty.
func (o *options) chosen(usual string) ([]load.Size, error) {
	var sizes []load.Size
	for name := range strings.SplitSeq(cmp.Or(o.sizes, usual), ",") {
		i := slices.IndexFunc(load.Sizes, func(s load.Size) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("-sizes: there is no size %q", name)
		}
		sizes = append(sizes, load.Sizes[i])
	}
	return sizes, nil
}
