package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"qdrant-sidecar/internal/h2"
)

// connectTimeout bounds one attempt to connect, from the DNS query to the first
// HTTP/2 frame. Qdrant's own nodes give each other the same two seconds.
const connectTimeout = 2 * time.Second

// Endpoint is one Qdrant node and how to reach it.
type Endpoint struct {
	// Address is host:port. It names the endpoint in errors, metrics and the
	// HTTP/2 :authority, also where Dial is set.
	Address string
	// Authority, if set, is the HTTP/2 :authority instead.
	Authority string
	// ReadyURL, if set, is Qdrant's /readyz, asked until it answers 200 for once. That
	// nothing answers says nothing.
	ReadyURL string
	// TLS returns the client configuration of a new connection, so that certificates
	// can change; nil means plaintext. ServerName must be set in it unless verification
	// is off.
	TLS func() *tls.Config
	// Dial opens the byte stream; nil means TCP to Address.
	Dial func(ctx context.Context) (net.Conn, error)
}

// ConnectError says why no connection to an endpoint could be made.
type ConnectError struct {
	Address string
	// Reason is a short phrase for people: "connection refused".
	Reason string
	Err    error

	outcome DialOutcome
}

// Error is a clause such as "no connection to Qdrant at db:6334: no such host".
func (e *ConnectError) Error() string {
	return fmt.Sprintf("no connection to Qdrant at %s: %s", e.Address, e.Reason)
}

// Unwrap returns what the dial, the TLS handshake or the preface failed with.
func (e *ConnectError) Unwrap() error { return e.Err }

// Open opens a byte stream, over TLS if there is a configuration for it. A failure is
// a [*ConnectError], unless ctx itself was cancelled.
func (e *Endpoint) Open(ctx context.Context) (conn net.Conn, err error) {
	err = e.attempt(ctx, func(ctx context.Context) error {
		conn, err = e.open(ctx)
		return err
	})
	return conn, err
}

// connect opens one HTTP/2 connection, whose bytes traffic counts. Failures are as of Open.
func (e *Endpoint) connect(ctx context.Context, pingInterval time.Duration, traffic *h2.Traffic) (t *transport, err error) {
	err = e.attempt(ctx, func(ctx context.Context) error {
		t, err = e.speak(ctx, pingInterval, traffic)
		return err
	})
	return t, err
}

// attempt bounds an attempt to connect, and says why it failed.
func (e *Endpoint) attempt(ctx context.Context, try func(context.Context) error) error {
	attempt, cancel := context.WithTimeoutCause(ctx, connectTimeout, errNoAnswer)
	defer cancel()
	err := try(attempt)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if attempt.Err() != nil {
		// The step that was under way reports the expiry in words of its own.
		err = errors.Join(context.Cause(attempt), err)
	}
	outcome, why := reason(err, e.TLS != nil)
	return &ConnectError{Address: e.Address, Reason: why, Err: err, outcome: outcome}
}

func (e *Endpoint) open(ctx context.Context) (net.Conn, error) {
	dial := e.Dial
	if dial == nil {
		dial = func(ctx context.Context) (net.Conn, error) {
			return dialTCP(ctx, e.Address)
		}
	}
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	if e.TLS == nil {
		return conn, nil
	}
	secured := tls.Client(conn, e.TLS())
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// speak opens a stream and HTTP/2 on it.
func (e *Endpoint) speak(ctx context.Context, pingInterval time.Duration, traffic *h2.Traffic) (*transport, error) {
	conn, err := e.open(ctx)
	if err != nil {
		return nil, err
	}
	if secured, ok := conn.(*tls.Conn); ok && secured.ConnectionState().NegotiatedProtocol != "h2" {
		conn.Close()
		return nil, errNoALPN
	}
	return newTransport(ctx, conn, e, pingInterval, traffic)
}

var (
	errNoAnswer = fmt.Errorf("no answer within %v", connectTimeout)
	errNoALPN   = errors.New("TLS works, but the server does not offer HTTP/2 (ALPN h2)")
)
