package target

import (
	"fmt"
	"path/filepath"
)

func nginx() Target { return nginxWith(nginxCalls) }

// Files returns nginx as a proxy for bodies of any size over HTTP/1, which it passes on as they come. It is none of
// [All].
func Files() Target { return nginxWith(nginxFiles) }

// nginxWith takes the part of the configuration that is about what is passed on: a format with the upstream and the
// listener.
func nginxWith(part string) Target {
	return Target{
		Name:    Nginx,
		Find:    find("nginx", "/usr/sbin/nginx"),
		Install: "apt-get install nginx-light",
		Version: []string{"-v"},
		Command: func(s Setup) Command {
			const name = "nginx.conf"
			return Command{
				Args:  []string{s.Program, "-p", s.Dir, "-c", filepath.Join(s.Dir, name)},
				Files: map[string]string{name: fmt.Sprintf(nginxConfig, s.Threads, fmt.Sprintf(part, s.Upstream, s.Listen))},
			}
		},
	}
}

// nginxConfig takes the workers and what is about one of the two.
const nginxConfig = `daemon off;
user root;
worker_processes %d;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log stderr crit;
events {
  worker_connections 18000;
}
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  client_max_body_size 0;
%s}
`

// nginxCalls is for gRPC. nginx makes one call at a time on an upstream connection,
// so it keeps many.
const nginxCalls = `  tcp_nodelay on;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  http2_max_concurrent_streams 1000;
  http2_body_preread_size 1m;
  client_body_buffer_size 1m;
  upstream qdrant {
    server %s;
    keepalive 128;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }
  server {
    listen %s http2 backlog=4096;
    location / {
      grpc_pass grpc://qdrant;
      grpc_read_timeout 1h;
      grpc_send_timeout 1h;
      grpc_buffer_size 64k;
    }
  }
`

const nginxFiles = `  upstream qdrant {
    server %s;
    keepalive 8;
  }
  server {
    listen %s;
    location / {
      proxy_pass http://qdrant;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_buffers 8 64k;
      proxy_buffer_size 64k;
      proxy_max_temp_file_size 0;
    }
  }
`
