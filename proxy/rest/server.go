// Package rest passes the REST API of Qdrant, port 6333, through to it: for the
// SDKs that use it beside gRPC, for those that use nothing else, for the
// dashboard, curl, and snapshots of any size. Bytes are not parsed; bodies of
// which not all is stored are passed on as they come.
//
// net/http/httputil.ReverseProxy does the forwarding. Around it this package puts
// back what that changes (see rewrite.go), and decides what may be done again: what
// was certainly not sent, and what certainly changes nothing.
package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/resilience"
)

// Limits on callers. They are far from what HTTP clients do.
const (
	// headerTimeout is how long the header of a request may take to come.
	headerTimeout = 10 * time.Second
	// maxHeaderBytes is how large it may be: as large as Qdrant's own may be.
	maxHeaderBytes = 128 << 10
	// idleTimeout is how long a caller's connection may be idle. It is longer than
	// any SDK keeps one (10 s), so that it is they who close it: a request cannot
	// cross the end of its connection then.
	idleTimeout = 2 * time.Minute
	// maxStreams is how many requests a connection of HTTP/2 may carry at once.
	maxStreams = 256
)

// Nodes are those of a cluster, as the gRPC side knows them: which there are, which are
// well, and which clients stay with which.
type Nodes struct {
	Pool *pool.Pool
	// Upstream returns the REST API of the node whose gRPC API has this address.
	Upstream func(address string) pool.Endpoint
}

// Resilience is what a Server does about failures.
type Resilience struct {
	// Policy says how often and how fast reads are repeated.
	Policy resilience.Policy
	// ReadTimeout is how long the beginning of an answer may take to come, for
	// requests of which it is known that they take no time of their own; 0 is no
	// limit. What the timeout parameter of a request asks for comes on top.
	ReadTimeout time.Duration
	// BreakerThreshold is how many failures in a row open a route's breaker; 0 means
	// no breakers.
	BreakerThreshold int
	// Admission bounds the requests in flight.
	Admission resilience.AdmissionConfig
}

// Config is what a Server is made of.
type Config struct {
	// Upstream is Qdrant's REST API. Its Authority is, over TLS, the host of requests,
	// if it is set, and else its Address. Its TLS must not offer h2: over HTTP/1 each
	// request has a connection, and snapshots no window, to itself.
	Upstream pool.Endpoint
	// Nodes, if set, are many of which each request goes to one, instead of Upstream.
	Nodes *Nodes
	// APIKey is sent with requests whose callers sent no credentials; "" for none.
	APIKey string
	// Pauser, if set, has requests wait with whatever else it pauses.
	Pauser *resilience.Pauser
	// Budget bounds what is repeated, together with whatever else it is shared with.
	Budget *resilience.Budget
	// Resilience is what to do about failures; nil makes the Server a plain
	// forwarder, which only sends what was certainly never sent another way.
	Resilience *Resilience
	// WriteStall is how long a caller may take no byte of an answer before its
	// connection is closed; 0 is for ever.
	WriteStall time.Duration
	// Slow says which requests are slow enough to be logged for that.
	Slow Slow
	// Observer is told of requests; the zero value is nobody.
	Observer Observer
	// Tracer makes the spans of requests; nil for none.
	Tracer trace.Tracer
	Logger *slog.Logger
}

// Slow says from when on a request is told of although nothing is wrong but that. A
// zero field means never.
type Slow struct {
	// Read is for reads that are quick as a rule, Write for whatever changes something,
	// Long for other reads.
	Read, Write, Long time.Duration
}

// of returns when a request of a route is slow.
func (s Slow) of(r *route) time.Duration {
	switch {
	case r.class != resilience.Read:
		return s.Write
	case r.quick || r.health:
		return s.Read
	default:
		return s.Long
	}
}

// Observer is told of requests, by many goroutines at once. Funcs may be nil.
type Observer struct {
	// Begun is called when a request has come.
	Begun func()
	// Ended is called once for each that has begun.
	Ended func(Observation)
	// BreakerChanged is called when a route's breaker has changed.
	BreakerChanged func(resilience.Change)
}

// Observation is what there is to know of a request that has ended.
type Observation struct {
	// Route is the name of one of [Routes].
	Route string
	// Code is the status of the answer, 0 if there was none.
	Code int
	// Duration is the time from its arrival to the end of its answer.
	Duration time.Duration
	// Attempts is what each attempt came to.
	Attempts []resilience.Cause
	// Repeated says that at least one followed an attempt that may have arrived.
	Repeated bool
	// Reason says why the sidecar failed it; "" for Qdrant's own answers.
	Reason Reason
	// NotRetried says why its last failure was the last one; "" for success.
	NotRetried resilience.NotRetried
}

// Server takes requests and forwards them. Its methods may be called concurrently.
type Server struct {
	cfg      Config
	log      *slog.Logger
	warnings *rate.Limiter
	lines    *rate.Limiter
	late     *rate.Limiter // of those that were only slow
	http     *http.Server
	sites    sites
	buffers  buffers
	store    atomic.Int64 // bytes of stored requests
	inFlight atomic.Int64
	cutting  atomic.Bool // what is in flight is ended
	rules    atomic.Pointer[rules]
	// Of Config.Resilience, or doing nothing.
	admission *resilience.Admission
}

// rules are what a request is under from its beginning to its end. They are replaced
// as a whole.
type rules struct {
	apiKey string
	// Of Resilience, or doing nothing.
	policy  resilience.Policy
	timeout time.Duration
}

// Apply puts another key and policy in force, for requests that come from now on;
// bounds and breakers change at once, and what they have counted counts. Idle
// connections are closed, for TLS may have changed as well. Whether there is a policy
// cannot change. It is not called concurrently.
func (s *Server) Apply(apiKey string, r *Resilience) {
	if r == nil || s.cfg.Resilience == nil {
		r = &Resilience{}
	}
	s.rules.Store(&rules{apiKey: apiKey, policy: r.Policy, timeout: r.ReadTimeout})
	s.admission.Resize(r.Admission.Limit, r.Admission.Queue)
	s.admission.SetMaxWait(r.Admission.MaxWait)
	s.sites.apply(r.BreakerThreshold)
}

// While Qdrant is down every request fails: what is logged of that is bounded,
// each kind by itself, so that what is of less interest hides none.
const (
	linesPerSecond = 10
	lineBurst      = 50
)

// New returns a Server that waits for [Server.Serve].
func New(cfg Config) *Server {
	s := &Server{
		cfg: cfg, log: cfg.Logger,
		warnings: rate.NewLimiter(linesPerSecond, lineBurst), lines: rate.NewLimiter(linesPerSecond, lineBurst),
		late: rate.NewLimiter(linesPerSecond, lineBurst),
	}
	s.admission = resilience.NewAdmission(resilience.AdmissionConfig{})
	if cfg.Nodes == nil {
		s.sites.only = s.newSite(cfg.Upstream)
		s.sites.only.breakers.SetAlone(true) // there is no other Qdrant to ask meanwhile
	}
	s.Apply(cfg.APIKey, cfg.Resilience)
	if cfg.Pauser != nil {
		cfg.Pauser.Add(s.admission)
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{
		Handler:           s,
		ConnContext:       withHome,
		Protocols:         &protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// OPTIONS * is Qdrant's to answer, like anything else.
		DisableGeneralOptionsHandler: true,
		// What it has to say is about callers that break off or send nonsense.
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve takes requests from lis until the Server is drained; it returns nil then.
// It may be called for several listeners.
func (s *Server) Serve(lis net.Listener) error {
	if s.cfg.WriteStall > 0 {
		lis = patientListener{lis, s.cfg.WriteStall}
	}
	if s.cfg.Nodes != nil {
		lis = homeListener{lis}
	}
	if err := s.http.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", lis.Addr(), err)
	}
	return nil
}

// Drain stops taking requests and returns when those in flight have ended. When
// ctx ends first they are cut, and their number is returned. It is called once.
func (s *Server) Drain(ctx context.Context) (cut int) {
	if s.http.Shutdown(ctx) != nil {
		cut = s.InFlight()
		s.cutting.Store(true)
		_ = s.http.Close()
	}
	s.sites.closeIdle()
	return cut
}

// InFlight returns how many requests are under way.
func (s *Server) InFlight() int { return int(s.inFlight.Load()) }

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	x := newExchange(s, w, r)
	defer x.end()
	if !x.begin() {
		return
	}
	proxy := httputil.ReverseProxy{
		Rewrite:        x.rewrite,
		Transport:      x,
		ModifyResponse: x.answered,
		ErrorHandler:   x.fail,
		BufferPool:     &s.buffers,
		ErrorLog:       s.http.ErrorLog,
	}
	proxy.ServeHTTP(x.writer, x.request)
}
