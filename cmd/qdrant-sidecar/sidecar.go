package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/memqdrant"
	"qdrant-sidecar/internal/tracing"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy"
	"qdrant-sidecar/proxy/admin"
	"qdrant-sidecar/proxy/rest"
)

// sidecar is the running program between start and stop.
type sidecar struct {
	config *config // as it was at the start: what cannot change
	// current has what can change as it is now, and the rest as at the start.
	current   atomic.Pointer[config]
	log       *slog.Logger
	level     *slog.LevelVar // of log
	started   time.Time
	pool      *pool.Pool
	proxy     *proxy.Server
	rest      *rest.Server      // nil when it is off
	memory    *memqdrant.Server // nil when Qdrant is elsewhere
	traces    *tracing.Provider // nil when it is off
	listeners []boundListener
	serving   sync.WaitGroup
	// broken receives the failure of a listener that was to serve on.
	broken chan error
	// teardown is what stop does once the data path has drained, last first.
	teardown []func()
}

// boundListener is an open listener and what it is for.
type boundListener struct {
	net.Listener
	name string // as in logs: grpc, rest, metrics, admin
	role adminv1.Listener_Role
}

// Address returns the bound address as a client would write it.
func (l boundListener) Address() string {
	if l.Addr().Network() == "unix" {
		return "unix://" + l.Addr().String()
	}
	return l.Addr().String()
}

// start binds every listener before anything is served, so that a sidecar
// either runs whole or says why not. It is one straight line on purpose.
func start(inv invocation, c *config) (*sidecar, error) {
	s := &sidecar{config: c, level: new(slog.LevelVar), started: time.Now()}
	s.current.Store(c)
	s.level.Set(c.logLevel)
	s.log = slog.New(slog.NewJSONHandler(inv.stderr, &slog.HandlerOptions{Level: s.level}))
	log := s.log
	if err := s.bindAll(); err != nil {
		s.closeListeners()
		return nil, err
	}
	// One place for each listener and for memory://, so that none waits for a reader.
	s.broken = make(chan error, len(s.listeners)+1)

	cluster := s.cluster()
	log.Info("starting", "version", version, "upstream", c.upstream.String(), "nodes_listed", len(c.upstreams()), "tls", c.upstream.tls)
	tracer, err := s.startTracing()
	if err != nil {
		s.closeListeners()
		return nil, err
	}
	s.pool = pool.New(cluster)
	s.onStop(s.pool.Close)
	s.proxy = proxy.New(proxy.Config{
		Pool: s.pool, MinReady: c.connections.minReady, Limits: c.limits, Replay: c.replay,
		APIKey: c.apiKey, Resilience: c.resilience(), Slow: c.slow, Collections: c.collections, Tracer: tracer, Version: version, Logger: log,
	})
	s.startREST(tracer)
	s.serveMetrics()
	s.serveAdmin(s.record())
	for _, lis := range s.listenersOf(adminv1.Listener_ROLE_DATA) {
		s.serve(func() error { return s.proxy.Serve(lis) })
	}
	for _, lis := range s.listeners {
		log.Info("listening", "listener", lis.name, "address", lis.Address())
	}
	return s, nil
}

func (s *sidecar) onStop(f func()) { s.teardown = append(s.teardown, f) }

// serve runs f until the sidecar is stopped.
func (s *sidecar) serve(f func() error) {
	s.serving.Go(func() {
		if err := f(); err != nil {
			s.broken <- err
		}
	})
}

// stop drains and ends everything. The probes and metrics go on until the calls
// are done: the last scrape is often the interesting one. Calls in flight are
// cut when impatient ends, at the latest after the drain timeout.
func (s *sidecar) stop(impatient context.Context) {
	timeout := s.current.Load().drainTimeout
	ctx, cancel := context.WithTimeoutCause(impatient, timeout, errDrainTimeout)
	defer cancel()
	s.log.Info("draining", "in_flight", s.proxy.InFlight(), "timeout_seconds", timeout.Seconds())
	drained := s.drainREST(ctx)
	cut := s.proxy.Drain(ctx) + <-drained
	if cut > 0 {
		s.log.Warn("cut calls in flight", "calls", cut, "because", context.Cause(ctx).Error())
	}
	s.flushTraces(ctx)
	for _, end := range slices.Backward(s.teardown) {
		end()
	}
	s.serving.Wait()
	s.log.Info("stopped", "calls_cut", cut)
}

func (s *sidecar) bindAll() error {
	for _, a := range s.config.listen {
		if err := s.bind(a, "listen", "grpc", adminv1.Listener_ROLE_DATA); err != nil {
			return err
		}
	}
	if err := s.bindREST(); err != nil {
		return err
	}
	if err := s.bind(s.config.metricsListen, "metrics-listen", "metrics", adminv1.Listener_ROLE_METRICS); err != nil {
		return err
	}
	return s.bind(s.config.adminListen, "admin-listen", "admin", adminv1.Listener_ROLE_ADMIN)
}

func (s *sidecar) bind(a address, setting, name string, role adminv1.Listener_Role) error {
	if a == (address{}) {
		return nil
	}
	if a.network == "unix" {
		removeStaleSocket(a.address)
	}
	lis, err := net.Listen(a.network, a.address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("cannot listen on %s: the address is in use, perhaps by another qdrant-sidecar or by Qdrant itself; "+
			"stop that or choose another --%s", a, setting)
	}
	if err != nil {
		return fmt.Errorf("cannot listen on --%s %s: %w", setting, a, err)
	}
	s.listeners = append(s.listeners, boundListener{lis, name, role})
	return nil
}

// removeStaleSocket removes the socket of a process that was killed. That of a
// living one, and any other file, stays and makes the bind fail.
func removeStaleSocket(path string) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		os.Remove(path)
	}
}

func (s *sidecar) closeListeners() {
	for _, lis := range s.listeners {
		lis.Close()
	}
}

func (s *sidecar) listenersOf(role adminv1.Listener_Role) []boundListener {
	var found []boundListener
	for _, lis := range s.listeners {
		if lis.role == role {
			found = append(found, lis)
		}
	}
	return found
}

func (s *sidecar) serveMetrics() {
	server := &http.Server{
		Handler:           admin.Handler(s.proxy.Ready, s.proxy.Gatherer()),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.onStop(func() { server.Close() })
	for _, lis := range s.listenersOf(adminv1.Listener_ROLE_METRICS) {
		s.serve(func() error {
			if err := server.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
}

// openListeners tells the admin API what is bound. Draining closes the data
// listeners first.
func (s *sidecar) openListeners() []*adminv1.Listener {
	var open []*adminv1.Listener
	for _, lis := range s.listeners {
		if (lis.role == adminv1.Listener_ROLE_DATA || lis.name == restListener) && s.proxy.Draining() {
			continue
		}
		open = append(open, &adminv1.Listener{Role: lis.role, Address: lis.Address()})
	}
	return open
}

func (c *config) forAdmin() []*adminv1.Setting {
	sources := map[source]adminv1.Setting_Source{
		fromDefault: adminv1.Setting_SOURCE_DEFAULT,
		fromFile:    adminv1.Setting_SOURCE_FILE,
		fromEnv:     adminv1.Setting_SOURCE_ENV,
		fromFlag:    adminv1.Setting_SOURCE_FLAG,
	}
	var shown []*adminv1.Setting
	for _, e := range c.effective {
		value := e.shown()
		if e.secret {
			value = ""
		}
		shown = append(shown, &adminv1.Setting{Name: e.name, Value: value, Source: sources[e.source], Secret: e.secret})
	}
	return shown
}
