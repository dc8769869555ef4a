package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2/hpack"

	"qdrant-sidecar/internal/h2"
)

// Connections are pinged so that a NAT or load balancer between us and Qdrant
// neither forgets an idle one nor hides that it is dead.
const (
	// DefaultPingInterval is below what the quiet ones among them wait: Azure's four
	// minutes, AWS's 350 s.
	DefaultPingInterval = 20 * time.Second
	// pingTimeout is how long nothing may come while a PING is under way, and silentLooks
	// how often that is looked at.
	pingTimeout = 5 * time.Second
	silentLooks = 10
)

// transport is one HTTP/2 connection to an endpoint.
type transport struct {
	conn    *h2.ClientConn
	address string // of the endpoint
	host    string // as :authority
	scheme  string
	// suspect asks for a PING now.
	suspect chan struct{}
	pinging sync.WaitGroup
	mourned atomic.Bool  // a call has been told that the connection is lost
	ping    atomic.Int64 // what the newest PING took, in ns; 0 before there was one
	stop    context.CancelFunc
}

// newTransport speaks HTTP/2 on conn, which it owns from here on, and returns
// when the server's preface has arrived.
func newTransport(ctx context.Context, conn net.Conn, e *Endpoint, pingInterval time.Duration, traffic *h2.Traffic) (*transport, error) {
	client, err := h2.NewClientConn(ctx, conn, h2.Limits{Traffic: traffic})
	if failure, ok := errors.AsType[*h2.PrefaceError](err); ok {
		return nil, &prefaceError{cause: failure.Err, got: failure.Got, tls: e.TLS != nil}
	}
	t := &transport{
		conn: client, address: e.Address, host: cmp.Or(e.Authority, e.Address), scheme: "http",
		suspect: make(chan struct{}, 1),
	}
	if e.TLS != nil {
		t.scheme = "https"
	}
	var keep context.Context
	keep, t.stop = context.WithCancel(context.Background())
	t.pinging.Go(func() { t.keepAlive(keep, cmp.Or(pingInterval, DefaultPingInterval)) })
	return t, nil
}

// keepAlive pings the connection, and closes it when nothing comes back.
func (t *transport) keepAlive(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-t.suspect:
		case <-t.conn.Down():
			return
		case <-ctx.Done():
			return
		}
		took, err := t.roundTrip(ctx)
		if err == nil {
			t.ping.Store(int64(took))
		}
		if errors.Is(err, errNoPong) {
			t.conn.Fail(errNoPong)
			return
		}
	}
}

// roundTrip measures one. It gives up when nothing at all has come for pingTimeout: the
// answer to a PING may be behind megabytes of others, or wait behind our own. What counts
// is looks, and not the clock: while this process stands still there are none, and what
// has come meanwhile has to be read first.
func (t *transport) roundTrip(ctx context.Context) (time.Duration, error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(pingTimeout / silentLooks)
		defer tick.Stop()
		reads := t.conn.Reads()
		for silent := 0; silent < silentLooks; silent++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if n := t.conn.Reads(); n != reads {
				reads, silent = n, -1
			}
		}
		giveUp(errNoPong)
	})
	defer watching.Wait()
	defer giveUp(nil)
	return t.conn.Ping(ctx)
}

// pingNow has the connection pinged before it is time.
func (t *transport) pingNow() {
	select {
	case t.suspect <- struct{}{}:
	default:
	}
}

var errNoPong = fmt.Errorf("no answer to a PING within %v", pingTimeout)

// maxCalls returns how many calls the server allows on the connection at once.
func (t *transport) maxCalls() int { return t.conn.MaxStreams() }

// isDown reports whether the connection takes no new calls any more.
func (t *transport) isDown() bool {
	select {
	case <-t.conn.Down():
		return true
	default:
		return false
	}
}

// close cuts whatever is still in flight. The socket is closed when it returns.
func (t *transport) close() {
	t.stop()
	t.pinging.Wait()
	t.conn.Close()
}

// front puts the pseudo-fields of a request into req, and returns them.
func (t *transport) front(req *Request) h2.Fields {
	authority := req.Authority
	if authority == "" || t.scheme == "https" {
		authority = t.host
	}
	req.front = [...]hpack.HeaderField{
		{Name: ":method", Value: cmp.Or(req.Verb, http.MethodPost)},
		{Name: ":scheme", Value: t.scheme},
		{Name: ":path", Value: req.Method},
		{Name: ":authority", Value: authority},
	}
	return req.front[:]
}

// open begins a call.
func (t *transport) open(ctx context.Context, req *Request) (*Stream, error) {
	s, err := t.conn.Open(t.front(req), withTimeout(req), false)
	if err != nil {
		return nil, lost(ctx, t, err, false)
	}
	s.Share() // one goroutine sends, another receives
	return &Stream{s: s, transport: t, ctx: ctx}, nil
}

// withTimeout says in grpc-timeout what is left of the caller's deadline. A value
// that was malformed set no deadline, and passes as it is.
func withTimeout(req *Request) h2.Fields {
	fields := req.Header
	if req.Deadline.IsZero() {
		return fields
	}
	// It is never the same twice, so it is kept out of the table of compression.
	left := hpack.HeaderField{Name: "grpc-timeout", Value: h2.EncodeTimeout(time.Until(req.Deadline)), Sensitive: true}
	out := make(h2.Fields, 0, len(fields)+1)
	said := false
	for _, f := range fields {
		switch {
		case f.Name != left.Name:
			out = append(out, f)
		case !said:
			out, said = append(out, left), true // where the caller had it, and once
		}
	}
	if !said {
		out = append(out, left)
	}
	return out
}

// unary makes one attempt of a call. The error is a [*LostError], or the cause
// of ctx's end; everything that the upstream said is in r.
func (t *transport) unary(ctx context.Context, req *Request, r *Response) error {
	s, err := t.send(ctx, req)
	if err == nil {
		err = s.Answer(ctx, &r.Answer)
	}
	if err != nil {
		return lost(ctx, t, err, false)
	}
	r.stream = Stream{s: s, transport: t, ctx: ctx, header: r.Header, only: r.HeaderOnly}
	return nil
}

// send begins a unary call. It is not part of unary because what it needs of the
// stack would be held for as long as that waits.
func (t *transport) send(ctx context.Context, req *Request) (*h2.Stream, error) {
	return t.conn.Call(ctx, t.front(req), withTimeout(req), req.Body, maxStoredAnswer)
}

var (
	errGone = errors.New("the connection is gone")
	// errNotHere says that another endpoint is better off.
	errNotHere = errors.New("its connections are gone, and another endpoint has some")
)

// prefaceError says that bytes flow but not those of HTTP/2.
type prefaceError struct {
	cause error
	got   []byte
	tls   bool
}

func (e *prefaceError) Error() string {
	// A server that does not like our certificate, or wants one, says so after the
	// handshake.
	alert, alerted := errors.AsType[*net.OpError](e.cause)
	switch {
	case alerted && alert.Op == "remote error":
		return "TLS: the server said " + strings.TrimPrefix(alert.Err.Error(), "tls: ") + " (see --upstream-cert-file)"
	case len(e.got) == 0 && errors.Is(e.cause, errNoAnswer):
		return errNoAnswer.Error() + ", although the port is open"
	case len(e.got) == 0 && e.tls:
		return "the server closed the connection before speaking HTTP/2"
	case len(e.got) == 0:
		// How Go's TLS servers take leave of a client without TLS.
		return "the server closed the connection before speaking HTTP/2 (if it wants TLS, use an https:// URL)"
	case string(e.got[:min(len(e.got), 5)]) == "HTTP/":
		return "not HTTP/2: the server answered HTTP/1 (Qdrant's gRPC port is 6334, its REST port 6333)"
	case e.got[0] == 0x15: // a TLS alert record
		return "not HTTP/2: the server speaks TLS there (use an https:// URL)"
	case len(e.got) > 3 && e.got[3] == 0x04: // a SETTINGS frame
		return fmt.Sprintf("the HTTP/2 connection ended while it was being set up: %v", e.cause)
	default:
		return fmt.Sprintf("not HTTP/2: the server's first bytes were %q", e.got)
	}
}

func (e *prefaceError) Unwrap() error { return e.cause }
