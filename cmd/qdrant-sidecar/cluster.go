package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"qdrant-sidecar/internal/memqdrant"
	"qdrant-sidecar/pool"
)

// connectionsHeading heads the settings of this file in the manual.
const connectionsHeading = "Connections to Qdrant"

// aboutConnections introduces them there.
const aboutConnections = "How long connections live, and how it is noticed that they, or the nodes behind them, do not. " +
	"Which node a call goes to is no setting: all calls of a caller's connection go to one for as long as that is well (docs/architecture.md)."

// connections are the settings of the pool's connections. Zero means never.
type connections struct {
	idle, age, ping, health time.Duration
	minReady                int
}

var connectionSettings = []*setting{
	{
		name: "pool-idle-timeout", value: "DURATION", initial: "5m",
		help: "How long a connection to Qdrant must have carried no call to be closed, at most half as long again. The last one to a node stays. 0 is never.",
		set:  one(func(c *config, v string) (err error) { c.connections.idle, err = parseDuration(v); return err }),
	},
	{
		name: "pool-max-age", value: "DURATION", initial: "0",
		help: "How old a connection to Qdrant gets, give or take a tenth. Then it takes no more calls and is closed after its last one; another is opened before, " +
			"if there is a place for it. 0 is any age.",
		set: one(func(c *config, v string) (err error) { c.connections.age, err = parseDuration(v); return err }),
	},
	{
		name: "pool-ping-interval", value: "DURATION", initial: "20s",
		help: "Time between PINGs on each connection to Qdrant, so that no NAT or load balancer forgets it and a dead one is noticed. " +
			"One on which nothing at all comes for 5s then is closed.",
		set: one(func(c *config, v string) (err error) { c.connections.ping, err = parseInterval(v); return err }),
	},
	{
		name: "health-interval", value: "DURATION", initial: "2s",
		help: "Time between HealthChecks of each node, which need no API key and which no call waits for. A node that answers two in a row not within 1s " +
			"gets no calls while there are others, until it answers again. 0 is never.",
		set: one(func(c *config, v string) (err error) {
			if c.connections.health, err = parseDuration(v); c.connections.health > 0 {
				c.connections.health, err = parseInterval(v)
			}
			return err
		}),
	},
	{
		name: "min-ready", value: "N", initial: "1", live: true,
		help: "How many nodes must be connected for /readyz to say that the sidecar is ready. One that was lost counts for 3s more.",
		set:  one(func(c *config, v string) (err error) { c.connections.minReady, err = parseCount[int](v); return err }),
	},
}

// minInterval keeps a slip of the finger from being an attack on Qdrant.
const minInterval = 10 * time.Millisecond

// parseInterval takes the time between things that cost Qdrant something.
func parseInterval(v string) (time.Duration, error) {
	d, err := parseDuration(v)
	if err == nil && d < minInterval {
		err = fmt.Errorf("must be at least %v, not %q", minInterval, v)
	}
	return d, err
}

// cluster returns what the pool is made of. For memory:// the upstream is started.
func (s *sidecar) cluster() pool.Config {
	c := s.config
	conf := pool.Config{
		Size: c.poolSize, Logger: s.log,
		IdleTimeout: c.connections.idle, MaxAge: c.connections.age,
		PingInterval: c.connections.ping, HealthInterval: c.connections.health,
	}
	switch u := c.upstream; {
	case u.memory:
		conf.Endpoints = []pool.Endpoint{s.embedded()}
	case u.socket != "":
		conf.Endpoints = []pool.Endpoint{{Address: u.String(), Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", u.socket)
		}}}
	case u.dns:
		conf.Resolver = &pool.Resolver{Name: u.host, Port: u.port, Endpoint: func(at netip.AddrPort) pool.Endpoint {
			return pool.Endpoint{
				Address: at.String(), Authority: u.authority(), TLS: s.security(u),
				ReadyURL: readyURL(u, at.Addr().String()),
			}
		}}
	default:
		for _, u := range c.upstreams() {
			conf.Endpoints = append(conf.Endpoints, pool.Endpoint{
				Address: u.String(), TLS: s.security(u), ReadyURL: readyURL(u, u.host),
			})
		}
	}
	return conf
}

// security returns what says how to connect to a node, each time that is done; nil
// for plaintext.
func (s *sidecar) security(u upstream) func() *tls.Config {
	if !u.tls {
		return nil
	}
	return func() *tls.Config { return s.current.Load().tlsConfig(u) }
}

// readyURL is where Qdrant says over REST whether it is ready, for a node at its
// usual ports; "" for others, of which nobody knows where that is. Without TLS only:
// a certificate for REST may be another one.
func readyURL(u upstream, host string) string {
	if u.port != grpcPort || u.tls {
		return ""
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(restPort)) + "/readyz"
}

// embedded starts the in-memory Qdrant.
func (s *sidecar) embedded() pool.Endpoint {
	lis := bufconn.Listen(1 << 20)
	database := memqdrant.New()
	s.memory = database
	s.serve(func() error { return database.Serve(lis) })
	s.onStop(database.Stop)
	return pool.Endpoint{Address: s.config.upstream.String(), Dial: lis.DialContext}
}
