package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rs/cors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip" // callers may compress
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	v1 "github.com/amlgate/amlgate/gen/amlgate/v1"
	"github.com/amlgate/amlgate/server/api"
	"github.com/amlgate/amlgate/server/azureml"
	"github.com/amlgate/amlgate/server/emulator"
	"github.com/amlgate/amlgate/server/jobs"
	"github.com/amlgate/amlgate/server/memory"
	"github.com/amlgate/amlgate/server/store"
)

// What both listeners hold callers to.
const (
	headerTimeout = 10 * time.Second
	maxHeader     = 32 << 10 // bytes
	maxStreams    = 250      // calls at a time on one HTTP/2 connection
	idleTimeout   = 2 * time.Minute
)

// Server is one amlgate: two listeners, what stands behind them, and the emulator if it is its own upstream.
type Server struct {
	cfg      Config
	log      *slog.Logger
	buffers  *memory.Pool // what bodies lie in
	upstream *azureml.Client
	store    *store.Store
	gate     *gate // nil in passthrough
	hub      *jobs.Hub
	health   *health.Server
	grpc     *grpc.Server
	rest     *http.Server
	metrics  *http.Server // nil where it is not configured
	box      *Box         // nil with an upstream of its own

	grpcListener, restListener, metricsListener net.Listener

	stopping atomic.Bool
}

// New checks the configuration and opens the listeners; calls are answered once Run runs. Errors name the flag.
func New(cfg Config, log *slog.Logger) (_ *Server, err error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: log, buffers: memory.NewPool(cfg.maxInFlight()), health: health.NewServer()}
	defer func() {
		if err != nil {
			s.closeListeners()
		}
	}()
	config, err := s.tls()
	if err != nil {
		return nil, err
	}
	if s.grpcListener, err = listen("--grpc", cfg.GRPC); err != nil {
		return nil, err
	}
	if s.restListener, err = listen("--http", cfg.HTTP); err != nil {
		return nil, err
	}
	if cfg.Metrics != "" {
		if s.metricsListener, err = listen("--metrics", cfg.Metrics); err != nil {
			return nil, err
		}
	}
	if err := s.connect(); err != nil {
		return nil, err
	}
	if s.store, err = store.Open(context.Background(), cfg.Store, log); err != nil {
		return nil, err
	}
	limits := api.Limits{Request: cfg.MaxBody, Answer: cfg.MaxAnswer, Buffers: s.buffers}
	s.hub, err = jobs.NewHub(s.store, jobs.Upstream{Name: s.upstreamName(), Ask: api.AskUpstream(s.upstream), Managed: s.gate != nil}, cfg.Watch, log)
	if err != nil {
		return nil, err
	}
	rooms := services{api.NewScoring(s.upstream, limits), api.NewJobs(s.upstream, s.hub, limits)}
	access := &accessLog{log: log, metrics: newMetrics(map[[2]string]func() float64{
		{"amlgate_in_flight_bytes", "Bytes of requests and answers held."}:                      func() float64 { return float64(s.buffers.Lent()) },
		{"amlgate_in_flight_limit_bytes", "Most bytes of requests and answers held at a time."}: func() float64 { return float64(s.buffers.Limit()) },
		{"amlgate_watches", "Watches open."}:                                                    func() float64 { return float64(s.hub.Watches()) },
	})}
	if s.metricsListener != nil {
		s.metrics = access.metrics.server(loopback(cfg.Metrics), log)
	}
	s.newGRPC(config, rooms, access)
	return s, s.newREST(config, rooms, access)
}

// services are what both listeners serve.
type services struct {
	scoring v1.ScoringServiceServer
	jobs    v1.JobServiceServer
}

func listen(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return l, nil
}

// tls loads the certificate, nil where none is configured.
func (s *Server) tls() (*tls.Config, error) {
	if s.cfg.TLSCert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(s.cfg.TLSCert, s.cfg.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// connect makes the upstream's client, and the emulator where no upstream is configured.
func (s *Server) connect() (err error) {
	base := s.cfg.Upstream
	if base == "" {
		// Silent: each call of it is one of ours, which is logged.
		s.box, err = OpenBox(BoxConfig{HTTP: "127.0.0.1:0", HTTPFlag: "embedded emulator", Blob: s.cfg.Blob, InsecureDevKeys: s.cfg.InsecureDevKeys, Emulator: emulator.Config{
			Faults: s.cfg.Faults, BlobPublicURL: s.cfg.BlobPublicURL, AllowBlobHosts: s.cfg.AllowBlobHosts}}, s.log)
		if err != nil {
			return err
		}
		base = s.box.URL()
	}
	gate, key, err := openGate(&s.cfg, s.log)
	if err != nil {
		return err
	}
	s.gate = gate
	options := azureml.Options{BaseURL: base, Timeout: s.cfg.UpstreamTimeout, MaxAnswer: int64(s.cfg.MaxAnswer), Buffers: s.buffers}
	if key != nil {
		options.Key = key.get
	}
	if s.upstream, err = azureml.NewClient(options); err != nil {
		return fmt.Errorf("--%w", err)
	}
	return nil
}

// newGRPC builds the native listener's server.
func (s *Server) newGRPC(config *tls.Config, rooms services, access *accessLog) {
	codec := newCodec(s.buffers, s.cfg.maxMessage())
	options := []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(append([]grpc.UnaryServerInterceptor{sendHead}, s.chain()...)...),
		grpc.ChainStreamInterceptor(sendStreamHead, streamChain(s.log, s.gate)),
		grpc.StatsHandler(access),
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
			return api.Refuse(api.NotImplemented, "", "there is no such RPC; see reflection or the contract for those there are")
		}),
		grpc.ForceServerCodecV2(codec),
		// Up to this the codec refuses in our words, which name the flag; beyond it grpc-go does, in its own.
		grpc.MaxRecvMsgSize(2 * s.cfg.maxMessage()),
		experimental.BufferPool(&frames{}),
		// A call on a new goroutine grows its stack anew, about a tenth of a small call's CPU. Calls beyond these have new ones;
		// a watch keeps what it got.
		grpc.NumStreamWorkers(64),
		// A scoring request of common size comes in one go. The connection's window bounds what a caller can have us hold.
		grpc.InitialWindowSize(1 << 20),
		grpc.InitialConnWindowSize(4 << 20),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.ConnectionTimeout(headerTimeout),
		// The default lets a client ping every five minutes and cuts it otherwise; watchers behind proxies need more.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: idleTimeout, Timeout: 20 * time.Second}),
	}
	if config != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	} else {
		// Two more frames with a system call. Through TLS, which reads a record at a time, it would only be memory.
		options = append(options, grpc.ReadBufferSize(64<<10))
	}
	s.grpc = grpc.NewServer(options...)
	s.grpc.RegisterService(codec.lent(v1.ScoringService_ServiceDesc), rooms.scoring)
	s.grpc.RegisterService(codec.lent(v1.JobService_ServiceDesc), rooms.jobs)
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	for name := range s.grpc.GetServiceInfo() {
		s.health.SetServingStatus(name, grpc_health_v1.HealthCheckResponse_SERVING)
	}
	if s.cfg.reflect() {
		reflection.Register(s.grpc)
	}
	access.methods = make(map[string]bool)
	for name, info := range s.grpc.GetServiceInfo() {
		for _, m := range info.Methods {
			access.methods["/"+name+"/"+m.Name] = true
		}
	}
}

// newREST builds the REST listener's server.
func (s *Server) newREST(config *tls.Config, rooms services, access *accessLog) error {
	chain := s.chain()
	guarded := services{newChained(rooms.scoring, chain), newChainedJobs(rooms.jobs, chain, streamChain(s.log, s.gate))}
	surface, err := newSurface(guarded, s.cfg.MaxBody, s.buffers, access, s.ready)
	if err != nil {
		return err
	}
	var handler http.Handler = surface
	if len(s.cfg.CORSOrigin) > 0 {
		handler = cors.New(cors.Options{
			AllowedOrigins: s.cfg.CORSOrigin,
			AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete},
			AllowedHeaders: []string{"Authorization", "Content-Type", "Grpc-Timeout", "X-Ms-Client-Request-Id", "Traceparent", "Azureml-Model-Deployment", "Last-Event-ID"},
			ExposedHeaders: []string{"X-Ms-Request-Id", "X-Ms-Client-Request-Id", "Retry-After"},
			MaxAge:         600,
		}).Handler(surface)
	}
	s.rest = &http.Server{
		Handler:                      handler,
		TLSConfig:                    config,
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeader,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	return nil
}

// kept is about how many bytes a server keeps besides bodies, the ballast of its command included.
const kept = 64 << 20

// PaceCollector keeps bodies in flight from taking a second share of memory as garbage. It sets the garbage collector's
// percentage of the whole process, which is the command's to allow.
func (s *Server) PaceCollector() { s.buffers.Pace(kept) }

// ready reports whether calls can be answered: the journal is read, the store is there, and no stop has begun.
func (s *Server) ready() bool {
	select {
	case <-s.hub.Loaded():
		return !s.stopping.Load() && s.store.Ready()
	default:
		return false
	}
}

// HTTPAddr is where REST listens, GRPCAddr where native gRPC does: with port 0 configured, the port that it became.
func (s *Server) HTTPAddr() string { return s.restListener.Addr().String() }

// GRPCAddr is where native gRPC listens.
func (s *Server) GRPCAddr() string { return s.grpcListener.Addr().String() }

// MetricsAddr is where metrics are told; empty where they are not.
func (s *Server) MetricsAddr() string {
	if s.metricsListener == nil {
		return ""
	}
	return s.metricsListener.Addr().String()
}

// BlobAddr is where the embedded blob endpoint listens; empty with an upstream of its own.
func (s *Server) BlobAddr() string {
	if s.box == nil {
		return ""
	}
	return s.box.BlobAddr()
}

// Run answers calls until ctx ends, then lets those in flight finish, for at most the drain timeout. It returns an error
// if a listener broke or calls had to be cut off.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 4)
	serve := func(what string, run func() error) {
		go func() {
			if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("%s: %w", what, err)
			}
		}()
	}
	if s.box != nil {
		serve("embedded emulator", s.box.Serve)
	}
	if s.metrics != nil {
		serve("metrics", func() error { return s.metrics.Serve(s.metricsListener) })
	}
	serve("grpc", func() error { return s.grpc.Serve(s.grpcListener) })
	serve("http", func() error {
		if s.cfg.TLSCert != "" {
			return s.rest.ServeTLS(s.restListener, "", "")
		}
		return s.rest.Serve(s.restListener)
	})
	s.announce()
	select {
	case err := <-failed:
		return errors.Join(err, s.drain())
	case <-s.store.Failed():
		return errors.Join(s.store.Err(), s.drain())
	case <-ctx.Done():
		return s.drain()
	}
}

// announce says where everything is.
func (s *Server) announce() {
	scheme := "http"
	if s.cfg.TLSCert != "" {
		scheme = "https"
	}
	attrs := []any{"rest", scheme + "://" + s.HTTPAddr(), "grpc", s.GRPCAddr()}
	if s.metricsListener != nil {
		attrs = append(attrs, "metrics", "http://"+s.MetricsAddr()+"/metrics")
	}
	if s.box != nil {
		attrs = append(attrs, "blob", s.box.BlobAddr(), "upstream", "embedded emulator at "+s.box.URL()+", workspace demo, key demo-key")
	} else {
		attrs = append(attrs, "upstream", s.cfg.Upstream)
	}
	s.log.Info("ready", attrs...)
}

// drain stops both listeners at once and waits for the calls that they have.
func (s *Server) drain() error {
	s.stopping.Store(true)
	s.health.Shutdown()
	s.log.Info("stopping", "drain_timeout", s.cfg.DrainTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	s.hub.Drain() // each watch ends with its reason and cursor, and then counts as a call in flight no more
	drained := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(drained)
	}()
	err := s.rest.Shutdown(ctx)
	if err != nil {
		_ = s.rest.Close()
	}
	select {
	case <-drained:
	case <-ctx.Done():
		s.grpc.Stop()
		<-drained
		err = ctx.Err()
	}
	s.upstream.Close()
	s.store.Close() // the writes of all calls are done
	if s.metrics != nil {
		_ = s.metrics.Close()
	}
	if s.box != nil {
		s.box.Close()
	}
	if err != nil {
		return fmt.Errorf("calls were cut off after --drain-timeout %s", s.cfg.DrainTimeout)
	}
	s.log.Info("stopped")
	return nil
}

func (s *Server) closeListeners() {
	for _, l := range []net.Listener{s.grpcListener, s.restListener, s.metricsListener} {
		if l != nil {
			_ = l.Close()
		}
	}
	if s.hub != nil {
		s.hub.Drain()
	}
	if s.store != nil {
		s.store.Close()
	}
	if s.box != nil {
		s.box.closeListeners()
	}
}
