package target

import (
	"fmt"
	"path/filepath"
)

func haproxy() Target {
	return Target{
		Name:    HAProxy,
		Find:    find("haproxy", "/usr/sbin/haproxy"),
		Install: "apt-get install haproxy",
		Version: []string{"-v"},
		Command: func(s Setup) Command {
			const name = "haproxy.cfg"
			return Command{
				Args:  []string{s.Program, "-db", "-f", filepath.Join(s.Dir, name)},
				Files: map[string]string{name: fmt.Sprintf(haproxyConfig, s.Threads, s.Listen, s.Upstream)},
			}
		},
	}
}

// haproxyConfig takes the threads, the listener and the upstream. 100 streams is
// its default, and holds for its own connections to the upstream too: with more
// of them than the upstream's connection window has room for, calls of 2.6.12
// were now and then never sent.
const haproxyConfig = `global
  nbthread %d
  maxconn 4096
  tune.h2.initial-window-size 1048576
  tune.h2.max-concurrent-streams 100
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
  http-reuse always
frontend in
  bind %s proto h2
  default_backend qdrant
backend qdrant
  server qdrant %s proto h2
`
