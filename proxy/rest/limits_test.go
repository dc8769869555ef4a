package rest_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/rest"
	"qdrant-sidecar/resilience"
)

// pipeListener is a listener whose connections are in memory, so that time can be
// of a bubble.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (l *pipeListener) dial(context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours, nil
}

// inBubble runs a test with a Server in front of a handler, all of it in memory and
// in a time of its own.
func inBubble(t *testing.T, handler http.HandlerFunc, test func(t *testing.T, r *rig, dial func() net.Conn), change ...func(*rest.Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		upstream := newPipeListener()
		qdrant := &http.Server{Handler: handler}
		var serving sync.WaitGroup
		serving.Go(func() { _ = qdrant.Serve(upstream) })
		r := &rig{observed: newObserved(), budget: resilience.NewBudget(time.Now())}
		cfg := rest.Config{
			Upstream: pool.Endpoint{Address: "qdrant:6333", Dial: upstream.dial}, Budget: r.budget, WriteStall: writeStall,
			Observer: r.observer(), Logger: slog.New(slog.DiscardHandler),
		}
		for _, c := range change {
			c(&cfg)
		}
		r.server = rest.New(cfg)
		lis := newPipeListener()
		serving.Go(func() {
			if err := r.server.Serve(lis); err != nil {
				t.Errorf("serve: %v", err)
			}
		})
		test(t, r, func() net.Conn {
			conn, err := lis.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return conn
		})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r.server.Drain(ctx)
		qdrant.Close()
		serving.Wait()
	})
}

// writeStall is the time of a bubble's Server for callers who take nothing.
const writeStall = 30 * time.Second

// talk writes raw bytes to a connection and reads the answer to it.
func talk(t *testing.T, conn net.Conn, raw string) answer {
	t.Helper()
	defer conn.Close()
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(raw, " ")
	return readAnswer(t, bufio.NewReader(conn), method)
}

func empty(http.ResponseWriter, *http.Request) {}

// closedAfter reads to the end of a connection, which must come at that time.
func closedAfter(t *testing.T, conn net.Conn, want time.Duration) string {
	t.Helper()
	start := time.Now()
	got, _ := io.ReadAll(conn)
	if after := time.Since(start); after < want || after > want+want/4 {
		t.Errorf("the connection ended after %v, want %v", after, want)
	}
	return string(got)
}

// TestSilentCallers ends connections that ask for nothing.
func TestSilentCallers(t *testing.T) {
	t.Parallel()
	t.Run("header", func(t *testing.T) {
		inBubble(t, empty, func(t *testing.T, _ *rig, dial func() net.Conn) {
			conn := dial()
			defer conn.Close()
			if _, err := io.WriteString(conn, "GET /collections HTTP/1.1\r\nHost: h\r\nX-Slow: "); err != nil {
				t.Fatal(err)
			}
			closedAfter(t, conn, 10*time.Second)
		})
	})
	t.Run("idle", func(t *testing.T) {
		inBubble(t, empty, func(t *testing.T, _ *rig, dial func() net.Conn) {
			conn := dial()
			defer conn.Close()
			if _, err := io.WriteString(conn, plain("GET", "/collections", "")); err != nil {
				t.Fatal(err)
			}
			if got := closedAfter(t, conn, 2*time.Minute); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") {
				t.Errorf("got %q", got)
			}
		})
	})
}

// TestLargeHeader refuses one that Qdrant would not take either.
func TestLargeHeader(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, always(reply(200, "ok")))
	r := newRig(t, u.address())
	ask := func(size int) answer {
		return exchange(t, r.addr, "GET / HTTP/1.1\r\nHost: h\r\nX-Large: "+strings.Repeat("x", size)+"\r\n\r\n")
	}
	if got := ask(100 << 10); got.code != 200 {
		t.Errorf("100 KiB: %d", got.code)
	}
	if got := ask(200 << 10); got.code != 431 || len(u.seen()) != 1 {
		t.Errorf("200 KiB: %d", got.code)
	}
}

// TestStalledCaller closes the connection of a caller that takes nothing, and waits
// for one that takes little.
func TestStalledCaller(t *testing.T) {
	t.Parallel()
	const size = 256 << 10
	serve := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", itoa(size))
		_, _ = w.Write(make([]byte, size))
	}
	t.Run("takes nothing", func(t *testing.T) {
		inBubble(t, serve, func(t *testing.T, r *rig, dial func() net.Conn) {
			conn := dial()
			defer conn.Close()
			start := time.Now()
			if _, err := io.WriteString(conn, plain("GET", "/snapshots/x", "")); err != nil {
				t.Fatal(err)
			}
			<-r.signal
			if after := time.Since(start); after != writeStall {
				t.Errorf("ended after %v", after)
			}
		})
	})
	t.Run("takes little", func(t *testing.T) {
		inBubble(t, serve, func(t *testing.T, r *rig, dial func() net.Conn) {
			conn := dial()
			defer conn.Close()
			if _, err := io.WriteString(conn, plain("GET", "/snapshots/x", "")); err != nil {
				t.Fatal(err)
			}
			// All of it takes ten minutes.
			got, err := http.ReadResponse(bufio.NewReaderSize(slowReader{conn}, 16<<10), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Body.Close()
			if n, err := io.Copy(io.Discard, got.Body); err != nil || n != size {
				t.Errorf("got %d bytes, %v", n, err)
			}
			if o := r.last(t, 1); o.Duration < 5*time.Minute || o.Reason != "" {
				t.Errorf("observed %+v", o)
			}
		})
	})
}

// TestStalledStream resets a stream of HTTP/2 whose caller takes nothing of it, and
// waits for Qdrant as long as it takes.
func TestStalledStream(t *testing.T) {
	t.Parallel()
	serve := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begin")
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/slow" {
			<-time.After(3 * writeStall)
			_, _ = io.WriteString(w, "end")
			return
		}
		_, _ = w.Write(make([]byte, 64<<20)) // beyond any window
	}
	inBubble(t, serve, func(t *testing.T, r *rig, dial func() net.Conn) {
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: &protocols, DialContext: func(context.Context, string, string) (net.Conn, error) { return dial(), nil }}
		defer transport.CloseIdleConnections()
		get := func(path string) *http.Response {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://sidecar"+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := transport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			return answer
		}
		slow, stalled := get("/slow"), get("/stalled")
		defer slow.Body.Close()
		defer stalled.Body.Close()
		if o := r.last(t, 1); o.Attempts[0] != resilience.OK || o.Duration != writeStall {
			t.Errorf("observed %+v", o)
		}
		if _, err := io.Copy(io.Discard, stalled.Body); err == nil {
			t.Error("the stalled answer came whole")
		}
		if text, err := io.ReadAll(slow.Body); err != nil || string(text) != "beginend" {
			t.Errorf("got %q, %v", text, err)
		}
	})
}

// slowReader takes up to 8 KiB every 20 seconds.
type slowReader struct{ io.Reader }

func (r slowReader) Read(p []byte) (int, error) {
	<-time.After(20 * time.Second)
	return r.Reader.Read(p[:min(len(p), 8<<10)])
}

// TestDrain waits for requests, and cuts what takes too long.
func TestDrain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		take time.Duration
		cut  int
	}{{"in time", time.Second, 0}, {"too long", time.Hour, 1}} {
		t.Run(tt.name, func(t *testing.T) {
			begun := make(chan struct{})
			slow := func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).Flush()
				close(begun)
				select {
				case <-time.After(tt.take):
					_, _ = io.WriteString(w, "ok")
				case <-r.Context().Done():
				}
			}
			inBubble(t, slow, func(t *testing.T, r *rig, dial func() net.Conn) {
				begun = make(chan struct{}) // of the bubble
				conn := dial()
				defer conn.Close()
				ended := make(chan string)
				go func() {
					got, _ := io.ReadAll(conn)
					ended <- string(got)
				}()
				if _, err := io.WriteString(conn, plain("GET", "/snapshots/x", "")); err != nil {
					t.Fatal(err)
				}
				<-begun
				if n := r.server.InFlight(); n != 1 {
					t.Errorf("%d in flight", n)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if cut := r.server.Drain(ctx); cut != tt.cut {
					t.Errorf("%d were cut, want %d", cut, tt.cut)
				}
				got := <-ended
				if whole := strings.HasSuffix(got, "0\r\n\r\n"); whole != (tt.cut == 0) {
					t.Errorf("the caller got %q", got)
				}
				if o := r.last(t, 1); (o.Reason == rest.ShuttingDown) != (tt.cut == 1) {
					t.Errorf("observed %+v", o)
				}
			})
		})
	}
}

// TestBrokenAnswer breaks the caller's answer off where Qdrant's did: what is not
// whole must not look whole.
func TestBrokenAnswer(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"known length": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
		"chunked":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lis, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer lis.Close()
			go func() {
				conn, err := lis.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.WriteString(conn, answer)
				}
			}()
			r := newRig(t, lis.Addr().String())
			_, reader := dial(t, r.addr, plain("GET", "/snapshots/x", ""))
			got, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Body.Close()
			if text, err := io.ReadAll(got.Body); err == nil || string(text) != "half" {
				t.Errorf("got %q, %v", text, err)
			}
			if o := r.last(t, 1); o.Reason != rest.UpstreamLost || o.Code != 200 {
				t.Errorf("observed %+v", o)
			}
		})
	}
}

// TestConnect is refused: this is no proxy for anything else.
func TestConnect(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, always(reply(200, "ok")))
	r := newRig(t, u.address())
	checkOwnError(t, exchange(t, r.addr, "CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n"), 405, "CONNECT")
	if len(u.seen()) != 0 {
		t.Error("it arrived")
	}
}

// TestBrokenRequest is not Qdrant's fault, and asks nothing of it if it can be known.
func TestBrokenRequest(t *testing.T) {
	t.Parallel()
	t.Run("not HTTP", func(t *testing.T) {
		t.Parallel()
		u := newUpstream(t, always(reply(200, "ok")))
		r := newRig(t, u.address())
		checkOwnError(t, exchange(t, r.addr, "POST /snapshots/upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n"), 400, "whole")
		if o := r.last(t, 1); !slices.Equal(o.Attempts, []resilience.Cause{resilience.CallerGone}) {
			t.Errorf("observed %+v", o)
		}
	})
	for _, tt := range []struct {
		name, request string
		arrives       bool
	}{
		{"stored", "POST " + query + " HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf", false},
		{"streamed", "POST /snapshots/upload HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\nhalf", true},
		{"chunked", "POST /snapshots/upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, always(reply(200, "ok")))
			r := newRig(t, u.address())
			conn, _ := dial(t, r.addr, tt.request)
			conn.Close()
			if o := r.last(t, 1); o.Reason != rest.Cancelled || tt.arrives != slices.Equal(o.Attempts, []resilience.Cause{resilience.CallerGone}) {
				t.Errorf("observed %+v", o)
			}
			if len(u.seen()) != 0 {
				t.Error("it arrived whole")
			}
		})
	}
}
