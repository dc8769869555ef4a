package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// upstream is the Qdrant that calls go to.
type upstream struct {
	memory bool   // the embedded one; nothing below is set then
	socket string // the path of a Unix socket; nothing below is set then
	tls    bool
	host   string
	port   int // the gRPC port
}

// Qdrant's ports. An URL with either names the whole Qdrant, as in the SDKs.
const (
	restPort = 6333
	grpcPort = 6334
)

// String returns host:port, unix:///path or memory://.
func (u upstream) String() string {
	switch {
	case u.memory:
		return "memory://"
	case u.socket != "":
		return "unix://" + u.socket
	}
	return net.JoinHostPort(u.host, strconv.Itoa(u.port))
}

// parseUpstream reads a URL as the SDKs do. The value is not repeated in errors
// when it may hold a password.
func parseUpstream(v string) (upstream, error) {
	if !strings.Contains(v, "://") {
		if strings.Contains(v, "@") {
			return upstream{}, errors.New("needs a scheme, and must not hold a user or password")
		}
		return upstream{}, fmt.Errorf("needs a scheme: http://%s, or https:// for TLS", v)
	}
	if strings.HasPrefix(v, "unix://") {
		a, err := parseAddress(v)
		return upstream{socket: a.address}, err
	}
	u, err := url.Parse(v)
	if err != nil {
		return upstream{}, errors.New("is not a URL: want http(s)://host[:port]")
	}
	switch {
	case u.User != nil:
		return upstream{}, errors.New("must not hold a user or password; an API key belongs into QDRANT_API_KEY")
	case u.Scheme == "memory":
		if v != "memory://" {
			return upstream{}, errors.New("memory:// takes neither host nor path")
		}
		return upstream{memory: true}, nil
	case u.Scheme != "http" && u.Scheme != "https":
		return upstream{}, fmt.Errorf("has the scheme %q; it must be http, https, unix or memory", u.Scheme)
	case u.Hostname() == "":
		return upstream{}, errors.New("names no host")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return upstream{}, errors.New("must end after host and port: gRPC has no place for a path")
	}
	port := grpcPort
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
			return upstream{}, fmt.Errorf("has the port %q; it must be from 1 to 65535", p)
		}
	}
	if port == restPort {
		port = grpcPort
	}
	return upstream{tls: u.Scheme == "https", host: u.Hostname(), port: port}, nil
}

// loopback reports whether the upstream is on this machine for certain.
func (u upstream) loopback() bool {
	if u.memory || u.socket != "" {
		return true
	}
	ip, err := netip.ParseAddr(u.host)
	return u.host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// address is where to listen. The zero value means nowhere.
type address struct {
	network string // tcp or unix
	address string // host:port, or a path
}

// String returns the address as it is configured.
func (a address) String() string {
	if a.network == "unix" {
		return "unix://" + a.address
	}
	return a.address
}

func parseOptionalAddress(v string) (address, error) {
	if v == "off" {
		return address{}, nil
	}
	return parseAddress(v)
}

func parseAddress(v string) (address, error) {
	if path, ok := strings.CutPrefix(v, "unix://"); ok {
		if !filepath.IsAbs(path) {
			return address{}, fmt.Errorf("needs an absolute path, unix:///path, not %q", v)
		}
		return address{"unix", path}, nil
	}
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		return address{}, fmt.Errorf("must be host:port or unix:///path, not %q", v)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return address{}, fmt.Errorf("has the port %q; it must be from 0 to 65535 (0: any free port)", port)
	}
	return address{"tcp", v}, nil
}

// loopback reports whether only processes of this machine, or of this pod, can
// reach the address.
func (a address) loopback() bool {
	if a.network != "tcp" {
		return true
	}
	host, _, _ := net.SplitHostPort(a.address)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// resolveTimeout bounds the look-up that a loop check may need.
const resolveTimeout = time.Second

// reaches reports whether a connection to the upstream would end at the
// listener. A name that does not resolve now does not.
func (u upstream) reaches(a address) bool {
	if u.socket != "" {
		return a.network == "unix" && filepath.Clean(a.address) == filepath.Clean(u.socket)
	}
	host, port, err := net.SplitHostPort(a.address)
	if u.memory || a.network != "tcp" || err != nil || port != strconv.Itoa(u.port) {
		return false
	}
	if u.host == host {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	targets, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", u.host)
	var bound []netip.Addr
	if host != "" {
		bound, _ = net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	for _, target := range targets {
		target = target.Unmap()
		everywhere := host == ""
		for _, b := range bound {
			// Connecting to the unspecified address means connecting to loopback.
			if b = b.Unmap(); b == target || target.IsUnspecified() && b.IsLoopback() {
				return true
			}
			everywhere = everywhere || b.IsUnspecified()
		}
		if everywhere && isOurs(target) {
			return true
		}
	}
	return false
}

// isOurs reports whether an interface of this machine has the address.
func isOurs(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	own, _ := net.InterfaceAddrs()
	for _, a := range own {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap() == ip {
			return true
		}
	}
	return false
}
