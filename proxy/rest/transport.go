package rest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"qdrant-sidecar/pool"
)

const (
	// upstreamIdle is how long an idle connection is kept. Qdrant closes one after 5 s
	// by default; to be the first keeps requests from crossing the end of theirs.
	upstreamIdle = 4 * time.Second
	// maxIdle is how many idle connections are kept.
	maxIdle = 32
	// continueTimeout is how long a request that expects 100 (Continue) waits for it.
	// A client is not to wait for ever (RFC 9110 §10.1.1), and curl waits a second.
	continueTimeout = time.Second
	// bufferSize is that of reads and writes of bodies: large enough for a system call
	// to cost little, small enough for hundreds of them.
	bufferSize = 64 << 10
)

// buffers are reused. It is the proxy's httputil.BufferPool, too.
type buffers struct{ pool sync.Pool }

// Get returns a buffer of bufferSize.
func (b *buffers) Get() []byte {
	if held, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return held[:]
	}
	return new([bufferSize]byte)[:]
}

// Put takes it back.
func (b *buffers) Put(buffer []byte) { b.pool.Put((*[bufferSize]byte)(buffer)) }

// newTransport returns a transport that leaves requests and answers as they are,
// and lets others decide what is sent again.
func newTransport(up pool.Endpoint, pooled *buffers) *http.Transport {
	open := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := up.Open(ctx)
		if failed, ok := errors.AsType[*pool.ConnectError](err); ok {
			return nil, &ConnectError{Address: failed.Address, Reason: failed.Reason + settingOf(err), Err: failed.Err}
		}
		if err != nil {
			return nil, err
		}
		return &countingConn{Conn: conn, pooled: pooled}, nil
	}
	return &http.Transport{
		DialContext:           open,
		DialTLSContext:        open,
		DisableCompression:    true, // or it would ask for gzip in the caller's name
		MaxIdleConns:          maxIdle,
		MaxIdleConnsPerHost:   maxIdle,
		IdleConnTimeout:       upstreamIdle,
		ExpectContinueTimeout: continueTimeout,
	}
}

// ConnectError says why no connection to the upstream could be made.
type ConnectError struct {
	Address string
	// Reason is a short phrase for people: "connection refused".
	Reason string
	Err    error
}

// Error is a clause such as "no connection to Qdrant's REST API at db:6333: no such host".
func (e *ConnectError) Error() string {
	return fmt.Sprintf("no connection to Qdrant's REST API at %s: %s", e.Address, e.Reason)
}

// Unwrap returns what the dial or the TLS handshake failed with.
func (e *ConnectError) Unwrap() error { return e.Err }

// settingOf names the setting that may be wrong.
func settingOf(err error) string {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, syscall.ECONNREFUSED) {
		return " (see --rest-url)"
	}
	return ""
}

// countingConn knows whether anything was sent on it. It is the outermost layer, so
// that what TLS says for itself does not count. A connection carries one request at
// a time, and the transport reports that it broke before an answer only when its
// writer has ended; an answer can come before the writer has counted.
type countingConn struct {
	net.Conn
	written atomic.Int64
	pooled  *buffers
}

func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// ReadFrom is how the transport sends bodies. It is here for its buffers: without it
// every upload would allocate one, and a smaller one.
func (c *countingConn) ReadFrom(r io.Reader) (int64, error) {
	buffer := c.pooled.Get()
	defer c.pooled.Put(buffer)
	return io.CopyBuffer(writerOnly{c}, r, buffer)
}

// writerOnly hides ReadFrom from io.CopyBuffer.
type writerOnly struct{ io.Writer }
