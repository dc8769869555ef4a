package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/test/bufconn"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/rest"
)

// restHeading heads the settings of this file in the manual.
const restHeading = "REST"

// aboutREST introduces them there.
const aboutREST = "Qdrant's REST API is passed through beside gRPC, for what SDKs do over it, the dashboard and snapshots. " +
	"The API key, --timeout for reads, retries of reads, the breaker and the drain apply as they do to gRPC; " +
	"writes are never sent twice."

// restConfig is the configuration of the REST side.
type restConfig struct {
	listen address
	// upstream is where it goes if that does not follow from --url.
	upstream restUpstream
	requests int
	// off says why it is off although nobody said so, for the log.
	off string
}

// restUpstream is where Qdrant's REST API is. The zero value is nowhere.
type restUpstream struct {
	tls  bool
	host string
	port int
}

// String returns host:port.
func (u restUpstream) String() string { return net.JoinHostPort(u.host, strconv.Itoa(u.port)) }

var restSettings = []*setting{
	{
		name: "rest-listen", value: "ADDRESS", initial: "127.0.0.1:6333",
		help: "Where Qdrant's REST API is served, HTTP/1 and HTTP/2 without TLS: host:port or unix:///path. \"off\" switches it off. " +
			"Left at its default it is off, too, where Qdrant itself has that address, or where it is not known where Qdrant's REST API is.",
		set: one(func(c *config, v string) (err error) { c.rest.listen, err = parseOptionalAddress(v); return err }),
	},
	{
		name: "rest-url", value: "URL",
		help: "Qdrant's REST API, http(s)://host[:port]. Without it, port 6333 of the host of --url, or of each of its nodes: a caller's connection stays with one that is well, " +
			"and snapshots are those of the first.",
		set: one(func(c *config, v string) (err error) { c.rest.upstream, err = parseRESTURL(v); return err }),
	},
	{
		name: "rest-max-requests", value: "N", initial: "128", live: true,
		help: "Most REST requests in flight to Qdrant, each on a connection of its own; probes are not counted. As many again wait for --queue-timeout, " +
			"and one more is answered 429. 0 is any number.",
		set: one(func(c *config, v string) (err error) { c.rest.requests, err = parseFrom0(v, maxCount); return err }),
	},
}

// parseRESTURL reads the URL of a REST API.
func parseRESTURL(v string) (restUpstream, error) {
	u, err := url.Parse(v)
	switch {
	case err != nil:
		return restUpstream{}, errors.New("is not a URL: want http(s)://host[:port]")
	case u.User != nil:
		return restUpstream{}, errors.New("must not hold a user or password; an API key belongs into QDRANT_API_KEY")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return restUpstream{}, errors.New("must be http(s)://host[:port]")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return restUpstream{}, errors.New("must end after host and port: requests bring their own path")
	}
	port := restPort
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
			return restUpstream{}, fmt.Errorf("has the port %q; it must be from 1 to 65535", p)
		}
	}
	return restUpstream{tls: u.Scheme == "https", host: u.Hostname(), port: port}, nil
}

// restUpstream is where requests go; nowhere for what has no REST API, or none that
// can be reached over the network.
func (c *config) restUpstream() restUpstream {
	switch {
	case c.rest.upstream != (restUpstream{}):
		return c.rest.upstream
	case c.upstream.host == "":
		return restUpstream{}
	}
	return restUpstream{tls: c.upstream.tls, host: c.upstream.host, port: restPort}
}

// restAsked says whether the user wants the REST side, and not only its default.
func (c *config) restAsked() bool {
	for _, e := range c.effective {
		if e.name == "rest-listen" {
			return e.source != fromDefault
		}
	}
	return false
}

// restOff says why the REST side is off though its address is set; "" when it is
// on. Nobody who did not ask for it is to be stopped by it.
func (c *config) restOff() string {
	up := c.restUpstream()
	switch {
	case c.upstream.memory && up == (restUpstream{}):
		return ""
	case up == (restUpstream{}):
		return fmt.Sprintf("a socket, %s, has no REST API beside it: say with --rest-url where that is", c.upstream)
	case c.restLoops(up):
		return fmt.Sprintf("Qdrant's REST API at %s is the sidecar's own --rest-listen %s, so every request would loop: "+
			"listen elsewhere, for instance --rest-listen 127.0.0.1:6335, say with --rest-url where Qdrant's is, or switch it off", up, c.rest.listen)
	}
	return ""
}

// restLoops reports whether the REST API, or that of any node, is what the sidecar itself
// listens on.
func (c *config) restLoops(up restUpstream) bool {
	hosts := []string{up.host}
	if c.rest.upstream == (restUpstream{}) {
		for _, other := range c.others {
			hosts = append(hosts, other.host)
		}
	}
	return slices.ContainsFunc(hosts, func(host string) bool {
		return upstream{host: host, port: up.port}.reaches(c.rest.listen)
	})
}

// checkREST adds the problems of the REST side, and switches it off where nobody
// asked for it and it makes no sense.
func (c *config) checkREST(found *problems) {
	if c.rest.listen == (address{}) || c.upstream == (upstream{}) {
		return
	}
	if why := c.restOff(); why != "" {
		if c.restAsked() {
			found.add("%s.", why)
		}
		c.rest.listen = address{}
		c.rest.off = why
	}
}

// checkRESTKey finds ways that the REST side would give the API key away.
func (c *config) checkRESTKey(found *problems) {
	up := c.restUpstream()
	if c.apiKey == "" || c.rest.listen == (address{}) {
		return
	}
	// Of a --url without TLS it has been told.
	told := up.host == c.upstream.host && !c.upstream.tls
	if up.host != "" && !up.tls && !told && !c.allowKeyPlaintext && !(upstream{host: up.host}).loopback() {
		found.add("The API key would cross the network to --rest-url %s in plaintext: use an https:// URL, "+
			"or accept the danger with --insecure-api-key-plaintext.", up)
	}
	if !c.rest.listen.loopback() && !c.allowKeyAnyCaller {
		found.add("Whoever reaches --rest-listen %s could use the API key: listen on a loopback address, "+
			"or accept the danger with --insecure-api-key-any-caller.", c.rest.listen)
	}
}

// restSecurity is security for the REST API.
func (s *sidecar) restSecurity(up restUpstream) func() *tls.Config {
	if !up.tls {
		return nil
	}
	return func() *tls.Config {
		conf := s.current.Load().tlsConfig(upstream{tls: true, host: up.host})
		conf.NextProtos = []string{"http/1.1"}
		return conf
	}
}

// startREST serves the REST side, unless it is off.
func (s *sidecar) startREST(tracer trace.Tracer) {
	c := s.config
	if c.rest.listen == (address{}) {
		if c.rest.off != "" {
			s.log.Info("REST is off", "because", c.rest.off)
		}
		return
	}
	up := pool.Endpoint{Address: c.restUpstream().String(), TLS: s.restSecurity(c.restUpstream())}
	if s.memory != nil && c.restUpstream() == (restUpstream{}) {
		lis := bufconn.Listen(1 << 20)
		s.serve(func() error { return s.memory.ServeREST(lis) })
		up = pool.Endpoint{Address: c.upstream.String(), Dial: func(ctx context.Context) (net.Conn, error) { return lis.DialContext(ctx) }}
	}
	s.rest = rest.New(rest.Config{
		Upstream: up, Nodes: s.restNodes(), APIKey: c.apiKey, Budget: s.proxy.Budget(), Pauser: s.proxy.Pauser(), Resilience: c.restResilience(),
		WriteStall: c.limits.WriteStall, Slow: rest.Slow(c.slow), Observer: s.proxy.RESTObserver(), Tracer: tracer, Logger: s.log,
	})
	for _, lis := range s.listeners {
		if lis.name == restListener {
			s.serve(func() error { return s.rest.Serve(lis) })
		}
	}
}

// restNodes returns the nodes of the REST side: those of the gRPC side, each at its REST
// port; nil where --rest-url names one place for all, or there is one only.
func (s *sidecar) restNodes() *rest.Nodes {
	c := s.config
	if c.rest.upstream != (restUpstream{}) || !c.upstream.dns && len(c.others) == 0 {
		return nil
	}
	secured := map[string]bool{} // by host
	for _, u := range c.upstreams() {
		secured[u.host] = u.tls
	}
	return &rest.Nodes{Pool: s.pool, Upstream: func(address string) pool.Endpoint {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = address // of nothing that was ever parsed
		}
		at := restUpstream{tls: secured[host], host: host, port: restPort}
		if c.upstream.dns {
			name := restUpstream{tls: c.upstream.tls, host: c.upstream.host, port: restPort}
			return pool.Endpoint{Address: at.String(), Authority: name.String(), TLS: s.restSecurity(name)}
		}
		return pool.Endpoint{Address: at.String(), TLS: s.restSecurity(at)}
	}}
}

// drainREST ends the REST side beside the rest. Its requests in flight that had to
// be cut are counted in what comes.
func (s *sidecar) drainREST(ctx context.Context) <-chan int {
	cut := make(chan int, 1)
	if s.rest == nil {
		cut <- 0
		return cut
	}
	go func() { cut <- s.rest.Drain(ctx) }()
	return cut
}

// restListener is the name of the listener, as in logs.
const restListener = "rest"

// bindREST opens the listener.
func (s *sidecar) bindREST() error {
	return s.bind(s.config.rest.listen, "rest-listen", restListener, adminv1.Listener_ROLE_REST)
}

// restResilience returns the policy of the REST side; nil when it is off.
func (c *config) restResilience() *rest.Resilience {
	r := c.resilience()
	if r == nil {
		return nil
	}
	r.Admission.Limit, r.Admission.Queue = c.rest.requests, c.rest.requests
	return &rest.Resilience{
		Policy: r.Retry, ReadTimeout: r.Deadlines.Read, BreakerThreshold: r.BreakerThreshold, Admission: r.Admission,
	}
}
