package server

import (
	"log/slog"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics counts calls for Prometheus. Labels hold route templates and codes, never ids or keys, so their number is
// bounded.
type metrics struct {
	registry *prometheus.Registry
	calls    *prometheus.CounterVec
	took     *prometheus.HistogramVec
	upstream *prometheus.HistogramVec

	mu    sync.RWMutex
	known map[labels]*series
}

type labels struct {
	target
	code string
}

// series are the ones that a call counts in, looked up once.
type series struct {
	calls          prometheus.Counter
	took, upstream prometheus.Observer
}

// seconds are the histograms' buckets: from what a proxy adds to AzureML's longest call.
var seconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 25, 50, 100}

// newMetrics returns metrics that also tell the gauges given, by name and help.
func newMetrics(gauges map[[2]string]func() float64) *metrics {
	names := []string{"surface", "route"}
	m := &metrics{
		registry: prometheus.NewRegistry(), known: map[labels]*series{},
		calls:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "amlgate_calls_total", Help: "Calls answered, by surface (grpc, rest), route and gRPC code."}, append(names, "code")),
		took:     prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "amlgate_call_duration_seconds", Help: "From a call's head to its answer's end; watches included.", Buckets: seconds}, names),
		upstream: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "amlgate_upstream_duration_seconds", Help: "How long the upstream took of it, where it was asked.", Buckets: seconds}, names),
	}
	m.registry.MustRegister(m.calls, m.took, m.upstream, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for text, read := range gauges {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: text[0], Help: text[1]}, read))
	}
	return m
}

// count counts a call that has ended.
func (m *metrics) count(t target, code string, took, upstream time.Duration) {
	key := labels{t, code}
	m.mu.RLock()
	s := m.known[key]
	m.mu.RUnlock()
	if s == nil {
		name := t.String()
		s = &series{m.calls.WithLabelValues(t.surface, name, code), m.took.WithLabelValues(t.surface, name), m.upstream.WithLabelValues(t.surface, name)}
		m.mu.Lock()
		m.known[key] = s
		m.mu.Unlock()
	}
	s.calls.Inc()
	s.took.Observe(took.Seconds())
	if upstream > 0 {
		s.upstream.Observe(upstream.Seconds())
	}
}

// server answers /metrics, and Go's profiles where only this machine can ask for them.
func (m *metrics) server(profiles bool, log *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	if profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
}
