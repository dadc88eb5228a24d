package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// keyHeader is where the peers look for the caller's key; amlgate takes it as a bearer token, as AzureML does.
const keyHeader = "X-Api-Key"

// callerKey is one of the 1,000 keys that the peers know.
func callerKey(i int) string { return fmt.Sprintf("key-%04d-5f2b9a", i) }

// reverseProxy is what a Go programmer would put in front of AzureML in an afternoon: httputil.ReverseProxy with a tuned
// transport and pooled buffers, behind a key check and a rate limiter for each key that never fires.
func reverseProxy(args []string) error {
	f := flag.NewFlagSet("reverseproxy", flag.ContinueOnError)
	to := f.String("upstream", "", "the upstream's URL")
	ca := f.String("ca", "", "certificate file to trust")
	if err := f.Parse(args); err != nil {
		return err
	}
	target, err := url.Parse(*to)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		MaxIdleConns: 512, MaxIdleConnsPerHost: 512, IdleConnTimeout: 90 * time.Second,
		DisableCompression: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
	}
	if *ca != "" {
		pem, err := os.ReadFile(*ca)
		if err != nil {
			return err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return errors.New("-ca: no certificate in the file")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return serve(keyed(&httputil.ReverseProxy{
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Header.Del(keyHeader) },
		Transport:  transport,
		BufferPool: &buffers{},
	}), "", "")
}

// keyed lets calls through that carry a known key.
func keyed(next http.Handler) http.Handler {
	limiters := map[string]*rate.Limiter{}
	for i := range 1000 {
		limiters[callerKey(i)] = rate.NewLimiter(1e6, 1e6)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limiter := limiters[r.Header.Get(keyHeader)]
		switch {
		case limiter == nil:
			http.Error(w, `{"error":{"code":"Unauthorized"}}`, http.StatusUnauthorized)
		case !limiter.Allow():
			http.Error(w, `{"error":{"code":"TooManyRequests"}}`, http.StatusTooManyRequests)
		default:
			// Without it net/http closes the request's body when the answer begins, while the transport may still be
			// reading it, which breaks some large answers.
			_ = http.NewResponseController(w).EnableFullDuplex()
			next.ServeHTTP(w, r)
		}
	})
}

// buffers is a pool as ReverseProxy wants it.
type buffers struct{ pool sync.Pool }

// Get lends a buffer of 64 KiB.
func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 64<<10)
}

// Put takes one back.
func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
