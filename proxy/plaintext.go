package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"
	"golang.org/x/time/rate"
)

// preface reads what a connection begins with, which is to speak HTTP/2 without
// TLS, and explains itself to those that speak something else: Java's client
// starts with TLS unless told otherwise, and people take this port for the REST
// one. A server speaks first in HTTP/2, and SETTINGS in front of an HTTP/1 answer
// would spoil it, so nothing is sent before.
func (h *hints) preface(conn net.Conn) error {
	got := make([]byte, 0, len(http2.ClientPreface))
	for len(got) < len(http2.ClientPreface) {
		n, err := conn.Read(got[len(got):cap(got)])
		got = got[:len(got)+n]
		h2 := strings.HasPrefix(http2.ClientPreface, string(got))
		switch {
		case !h2 && (err != nil || !isToken(got)):
			return h.refuse(conn, recognize(got))
		case err != nil:
			return err
		}
	}
	if string(got) != http2.ClientPreface {
		return h.refuse(conn, recognize(got))
	}
	return nil
}

// isToken reports whether the bytes may still become an HTTP/1 method.
func isToken(b []byte) bool {
	return len(bytes.Trim(b, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")) == 0
}

// stranger is what speaks where HTTP/2 was expected.
type stranger int

const (
	unknownProtocol stranger = iota
	tlsClient
	http1Client
)

// recognize names the protocol whose first bytes these are.
func recognize(first []byte) stranger {
	// A TLS record: type handshake, and a version whose major part is always 3.
	if first[0] == 0x16 && (len(first) == 1 || first[1] == 0x03) {
		return tlsClient
	}
	method, _, found := bytes.Cut(first, []byte(" "))
	if found && slices.Contains(httpMethods, string(method)) {
		return http1Client
	}
	return unknownProtocol
}

// httpMethods are those that people and libraries use.
var httpMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodConnect, http.MethodOptions, http.MethodTrace,
}

var errNotHTTP2 = errors.New("the client does not speak HTTP/2 without TLS")

// refuse tells client and log what is wrong, such that the client reads its end
// and no reset when the connection is closed.
func (h *hints) refuse(conn net.Conn, who stranger) error {
	h.give(who, conn.RemoteAddr())
	// Whatever happens below, it ends soon.
	_ = conn.SetDeadline(time.Now().Add(lingerTime))
	if who == http1Client {
		const text = "This is a gRPC port (HTTP/2): qdrant-sidecar forwards calls of Qdrant's gRPC API.\n" +
			"Qdrant's REST API is not served here; Qdrant itself serves it, by default on port 6333.\n"
		fmt.Fprintf(conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"+
			"Content-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
	}
	// Closing with unread bytes makes the kernel send a reset, which can
	// overtake the answer. So what the client still says is read away.
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, conn, lingerBytes)
	}
	return errNotHTTP2
}

// What a refused client may still take up of us.
const (
	lingerTime  = time.Second
	lingerBytes = 64 << 10
)

// hintInterval is the least time between two hints of one kind: a client that
// is configured wrongly usually tries again and again.
const hintInterval = 10 * time.Second

// strangers are their names, as a metric label.
var strangers = [...]string{unknownProtocol: "unknown", tlsClient: "tls", http1Client: "http1"}

// hints counts strangers and writes log lines about them, per kind no more than one
// an interval.
type hints struct {
	log   *slog.Logger
	count *prometheus.CounterVec
	kinds [3]struct {
		limit   rate.Sometimes
		skipped atomic.Int64
	}
}

func newHints(log *slog.Logger, count *prometheus.CounterVec) *hints {
	h := &hints{log: log, count: count}
	for i := range h.kinds {
		h.kinds[i].limit.Interval = hintInterval
	}
	return h
}

func (h *hints) give(who stranger, from net.Addr) {
	h.count.WithLabelValues(strangers[who]).Inc()
	kind := &h.kinds[who]
	kind.skipped.Add(1)
	kind.limit.Do(func() {
		hint := [...]string{
			unknownProtocol: "A client spoke neither gRPC nor anything known on the gRPC port.",
			tlsClient: "A client started TLS on the plaintext gRPC port. It is probably a Qdrant SDK with TLS left on: " +
				"turn it off there (an http:// URL, https=False in Python, newBuilder(host, port, false) in Java).",
			http1Client: "A client sent an HTTP/1 request to the gRPC port. It probably wants Qdrant's REST API, " +
				"which is on port 6333 of Qdrant itself.",
		}[who]
		h.log.Warn(hint, "peer", from.String(), "connections", kind.skipped.Swap(0))
	})
}
