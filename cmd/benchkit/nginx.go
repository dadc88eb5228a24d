package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"text/template"
)

// nginxConfig keeps connections alive on both sides and bodies in memory, knows 1,000 keys, and limits rates so high that
// the limit never fires. It keeps no log.
var nginxConfig = template.Must(template.New("nginx.conf").Parse(`daemon off;
worker_processes auto;
pid {{.Dir}}/nginx.pid;
error_log {{.Dir}}/error.log warn;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path {{.Dir}}/body; proxy_temp_path {{.Dir}}/proxy;
  fastcgi_temp_path {{.Dir}}/fastcgi; uwsgi_temp_path {{.Dir}}/uwsgi; scgi_temp_path {{.Dir}}/scgi;
  keepalive_requests 1000000; keepalive_timeout 300s; tcp_nodelay on;
  client_body_buffer_size 2m; client_max_body_size 8m;
  proxy_buffers 16 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 128k; proxy_max_temp_file_size 0;
  map_hash_max_size 4096;
  map $http_x_api_key $client {
    default "";
    {{- range .Keys}}
    "{{.}}" "{{.}}";
    {{- end}}
  }
  limit_req_zone $client zone=keys:10m rate=500000r/s;
  limit_req_status 429;
  upstream azureml { server {{.Upstream}}; keepalive 64; keepalive_requests 1000000; }
  server {
    listen {{.Listen}} backlog=1024;
    location / {
      if ($client = "") { return 401; }
      limit_req zone=keys burst=100000 nodelay;
      proxy_pass {{if .CA}}https{{else}}http{{end}}://azureml;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Api-Key "";
      {{- if .CA}}
      proxy_ssl_trusted_certificate {{.CA}}; proxy_ssl_verify on; proxy_ssl_name localhost;
      proxy_ssl_protocols TLSv1.2 TLSv1.3; proxy_ssl_session_reuse on;
      {{- end}}
    }
  }
}
`))

// startNginx starts an nginx in front of an upstream; ca is the certificate to trust, empty for a cleartext upstream.
func (k *kids) startNginx(name, program, upstream, ca string) (*kid, error) {
	dir := filepath.Join(k.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	var config bytes.Buffer
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = callerKey(i)
	}
	err = nginxConfig.Execute(&config, map[string]any{"Dir": dir, "Keys": keys, "Upstream": upstream, "Listen": listen, "CA": ca})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, config.Bytes(), 0o644); err != nil {
		return nil, err
	}
	n, err := k.start(name, nil, program, "-c", file, "-e", filepath.Join(dir, "error.log"))
	if err != nil {
		return nil, err
	}
	n.address = listen
	return n, n.await(func(string) bool {
		conn, err := net.Dial("tcp", listen)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// freeAddress is a loopback address that was free a moment ago, for programs that cannot choose one themselves.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("no free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}
