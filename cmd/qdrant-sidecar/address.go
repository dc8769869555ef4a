package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// upstream is the Qdrant that calls go to.
type upstream struct {
	memory bool   // the embedded one; nothing below is set then
	socket string // the path of a Unix socket; nothing below is set then
	tls    bool
	dns    bool // host is a name of which every address is a node
	host   string
	port   int // the gRPC port
}

// Qdrant's ports. An URL with either names the whole Qdrant, as in the SDKs.
const (
	restPort = 6333
	grpcPort = 6334
)

// String returns host:port, dns:///host:port, unix:///path or memory://.
func (u upstream) String() string {
	switch {
	case u.dns:
		return "dns:///" + u.authority()
	case u.memory:
		return "memory://"
	case u.socket != "":
		return "unix://" + u.socket
	}
	return u.authority()
}

// authority returns host:port.
func (u upstream) authority() string { return net.JoinHostPort(u.host, strconv.Itoa(u.port)) }

// parseUpstreams reads a URL in which several hosts may stand, separated by commas.
func parseUpstreams(v string) ([]upstream, error) {
	var all []upstream
	scheme := ""
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part == "" {
			return nil, errors.New("has an empty place in its list of hosts")
		}
		if own, _, ok := strings.Cut(part, "://"); ok && scheme == "" {
			scheme = own
		} else if !ok && scheme != "" {
			part = scheme + "://" + part
		}
		u, err := parseUpstream(part)
		if err != nil {
			return nil, err
		}
		if len(all) > 0 && (u.tls != all[0].tls || u.host == "" || u.dns || all[0].host == "" || all[0].dns) {
			return nil, errors.New("must have one scheme for all its hosts, http or https; other schemes take no list")
		}
		if slices.Contains(all, u) {
			return nil, fmt.Errorf("names %s twice", u)
		}
		all = append(all, u)
	}
	return all, nil
}

// parseDNS reads dns:///name[:port], and dns+https:///name[:port] for TLS.
func parseDNS(u *url.URL) (upstream, error) {
	host, port, err := strings.TrimPrefix(u.Path, "/"), strconv.Itoa(grpcPort), error(nil)
	if strings.Contains(host, ":") {
		host, port, err = net.SplitHostPort(host)
	}
	n, portErr := strconv.Atoi(port)
	switch {
	case u.Host != "":
		return upstream{}, fmt.Errorf("names the DNS server %q; only the system's is asked: want %s:///name[:port]", u.Host, u.Scheme)
	case err != nil || host == "" || strings.ContainsAny(host, "/@") || u.RawQuery != "" || u.Fragment != "":
		return upstream{}, fmt.Errorf("must be %s:///name[:port], such as %s:///qdrant-headless:6334", u.Scheme, u.Scheme)
	case portErr != nil || n < 1 || n > 65535:
		return upstream{}, fmt.Errorf("has the port %q; it must be from 1 to 65535", port)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return upstream{}, fmt.Errorf("has the address %s where a name is to be resolved; addresses are listed as http://%s", host, host)
	}
	if n == restPort {
		n = grpcPort
	}
	return upstream{dns: true, tls: u.Scheme == dnsTLS, host: host, port: n}, nil
}

// dnsTLS is the scheme of a name whose nodes speak TLS.
const dnsTLS = "dns+https"

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
	case u.Scheme == "dns" || u.Scheme == dnsTLS:
		return parseDNS(u)
	case u.User != nil:
		return upstream{}, errors.New("must not hold a user or password; an API key belongs into QDRANT_API_KEY")
	case u.Scheme == "memory":
		if v != "memory://" {
			return upstream{}, errors.New("memory:// takes neither host nor path")
		}
		return upstream{memory: true}, nil
	case u.Scheme != "http" && u.Scheme != "https":
		return upstream{}, fmt.Errorf("has the scheme %q; it must be http, https, dns, dns+https, unix or memory", u.Scheme)
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
