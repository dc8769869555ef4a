package target

import (
	"fmt"
	"path/filepath"
)

func nginx() Target {
	return Target{
		Name:    Nginx,
		Find:    find("nginx", "/usr/sbin/nginx"),
		Install: "apt-get install nginx-light",
		Version: []string{"-v"},
		Command: func(s Setup) Command {
			const name = "nginx.conf"
			return Command{
				Args:  []string{s.Program, "-p", s.Dir, "-c", filepath.Join(s.Dir, name)},
				Files: map[string]string{name: fmt.Sprintf(nginxConfig, s.Threads, s.Upstream, s.Listen)},
			}
		},
	}
}

// nginxConfig takes the workers, the upstream and the listener. nginx makes one
// call at a time on an upstream connection, so it keeps many.
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
  tcp_nodelay on;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  http2_max_concurrent_streams 1000;
  http2_body_preread_size 1m;
  client_max_body_size 0;
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
}
`
