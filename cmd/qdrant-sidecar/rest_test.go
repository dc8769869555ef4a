package main

import (
	"strings"
	"testing"
)

// TestRESTUpstream says where Qdrant's REST API is taken to be.
func TestRESTUpstream(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		want string // host:port, "" for nowhere
		tls  bool
	}{
		{[]string{"--url=http://q.test"}, "q.test:6333", false},
		{[]string{"--url=http://q.test:6334"}, "q.test:6333", false},
		{[]string{"--url=http://q.test:6333"}, "q.test:6333", false},
		{[]string{"--url=http://q.test:7000"}, "q.test:6333", false},
		{[]string{"--url=https://q.test"}, "q.test:6333", true},
		{[]string{"--url=http://[::1]:7000", "--rest-listen=off"}, "[::1]:6333", false},
		{[]string{"--url=http://q.test", "--rest-url=https://r.test"}, "r.test:6333", true},
		{[]string{"--url=https://q.test", "--rest-url=http://r.test:7001/"}, "r.test:7001", false},
		{[]string{"--url=memory://"}, "", false},
		{[]string{"--url=memory://", "--rest-url=http://r.test:80"}, "r.test:80", false},
		{[]string{"--url=unix:///tmp/q.sock"}, "", false},
		{[]string{"--url=unix:///tmp/q.sock", "--rest-url=http://r.test"}, "r.test:6333", false},
	} {
		c, found := configured(tt.args, nil)
		if len(found) > 0 {
			t.Errorf("%q: %q", tt.args, found)
			continue
		}
		up := c.restUpstream()
		got := ""
		if up != (restUpstream{}) {
			got = up.String()
		}
		if got != tt.want || up.tls != tt.tls {
			t.Errorf("%q: %s, TLS %v, want %s, TLS %v", tt.args, got, up.tls, tt.want, tt.tls)
		}
		s := new(sidecar)
		s.current.Store(c)
		security := s.restSecurity(up)
		if (security != nil) != tt.tls {
			t.Errorf("%q: TLS %v", tt.args, security != nil)
			continue
		}
		if security == nil {
			continue
		}
		if conf := security(); conf.ServerName != up.host || conf.NextProtos[0] != "http/1.1" {
			t.Errorf("%q: TLS %+v", tt.args, conf)
		}
	}
}

// TestRESTOff switches the REST side off where it would loop or knows no upstream,
// and objects only if it was asked for.
func TestRESTOff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		url, listen string // listen is "" for the default
		off         string // part of the reason, "" when it is on
		problem     bool
	}{
		{"memory://", "", "", false},
		{"http://q.test", "", "", false},
		{"http://localhost:7000", "", "loop", false},
		{"http://127.0.0.1:7000", "", "loop", false},
		{"http://127.0.0.1:7000", "127.0.0.1:6333", "loop", true},
		{"http://127.0.0.1:7000", ":6333", "loop", true},
		{"http://127.0.0.1:7000", "127.0.0.1:6335", "", false},
		{"unix:///tmp/q.sock", "", "--rest-url", false},
		{"unix:///tmp/q.sock", "127.0.0.1:6335", "--rest-url", true},
	} {
		args := []string{"--url=" + tt.url}
		if tt.listen != "" {
			args = append(args, "--rest-listen="+tt.listen)
		}
		c, found := configured(args, nil)
		if !strings.Contains(c.rest.off, tt.off) || (c.rest.off == "") != (tt.off == "") {
			t.Errorf("%q is off because of %q, want %q", args, c.rest.off, tt.off)
		}
		if (c.rest.listen == address{}) != (tt.off != "") {
			t.Errorf("%q listens at %v", args, c.rest.listen)
		}
		if (len(found) > 0) != tt.problem {
			t.Errorf("%q: problems %q, want some: %v", args, found, tt.problem)
		}
	}
}
