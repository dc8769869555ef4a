package rest_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"qdrant-sidecar/proxy/rest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// TestTransparent sends the same bytes directly and through the Server, and
// compares what Qdrant got and what the caller did.
func TestTransparent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, request, answer string
	}{
		{
			"names, order and values of fields",
			"GET /collections HTTP/1.1\r\nHost: localhost:6333\r\nX-Twice: b\r\nX-Twice: a\r\nX-Empty:\r\nuser-agent: python-client/1\r\nAccept: */*\r\n\r\n",
			reply(200, "{}", "content-type: application/json", "date: Mon, 23 Nov 2026 16:00:00 GMT", "X-Two: 2", "X-Two: 1", "X-Empty:"),
		},
		{"nothing is added", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"},
		{
			"what a proxy before us said",
			"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: x\r\nVia: 1.1 p\r\n\r\n",
			reply(200, "", "Via: 1.1 q"),
		},
		{
			"path and query to the byte",
			"GET /collections/a%2Fb%20c/points/%e4?x=%zz;y&&z={}|\"&a=1?2&b HTTP/1.1\r\nHost: h\r\n\r\n", reply(200, "ok"),
		},
		{"path with what no URL has", "GET /collections/{a}|^`<> HTTP/1.1\r\nHost: h\r\n\r\n", reply(200, "ok")},
		{"slashes", "GET //collections///x/../y/ HTTP/1.1\r\nHost: h\r\n\r\n", reply(200, "ok")},
		{"empty query", "GET /collections? HTTP/1.1\r\nHost: h\r\n\r\n", reply(200, "ok")},
		{
			"gzip asked for and given", "GET /telemetry HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip, br\r\n\r\n",
			reply(200, "\x1f\x8b\x08 no gzip at all", "Content-Encoding: gzip", "Vary: accept-encoding"),
		},
		{"gzip not asked for", "GET /telemetry HTTP/1.1\r\nHost: h\r\n\r\n", reply(200, "{}")},
		{
			"compressed request", "PUT /collections/c/points HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
			reply(200, "{}"),
		},
		{"head", "HEAD /snapshots/x HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\nAccept-Ranges: bytes\r\n\r\n"},
		{
			"range", "GET /snapshots/x HTTP/1.1\r\nHost: h\r\nRange: bytes=2-5\r\nIf-Range: \"tag\"\r\n\r\n",
			reply(206, "cdef", "Content-Range: bytes 2-5/10", "ETag: \"tag\""),
		},
		{"range out of range", "GET /snapshots/x HTTP/1.1\r\nHost: h\r\nRange: bytes=20-\r\n\r\n", reply(416, "", "Content-Range: bytes */10")},
		{"not modified", "GET /x HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"a\"\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"},
		{"no content", "DELETE /x HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"empty body of a post", "POST /snapshots HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", reply(200, "{}")},
		{"redirect is the caller's", "GET /dashboard HTTP/1.1\r\nHost: h\r\n\r\n", reply(302, "", "Location: /dashboard/")},
		{"a status of no name", "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", reply(599, "?")},
		{"an error of Qdrant's", plain("PUT", "/collections/c", "{}"), reply(409, `{"status":{"error":"Wrong input"},"time":0.1}`, "Content-Type: application/json")},
		{
			"chunked both ways",
			"POST /collections/c/snapshots/upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nworld\r\n0\r\n\r\n",
		},
		{
			"trailers",
			"POST /x HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTrailer: Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nSum: 1\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n5\r\nworld\r\n0\r\nSum: 2\r\n\r\n",
		},
		{"own credentials", "GET /x HTTP/1.1\r\nHost: h\r\napi-key: mine\r\nAuthorization: Bearer x\r\nopenai-api-key: y\r\n\r\n", reply(401, "no")},
		{"a key for repeating", "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nIdempotency-Key: 1\r\nX-Idempotency-Key: 2\r\n\r\n", reply(200, "{}")},
		{"options", "OPTIONS /collections HTTP/1.1\r\nHost: h\r\nOrigin: http://x\r\nAccess-Control-Request-Method: PUT\r\n\r\n", reply(200, "", "Access-Control-Allow-Origin: *")},
		{"options of all", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", reply(200, "", "Allow: GET")},
		{"an unknown method", "PROPFIND /x HTTP/1.1\r\nHost: h\r\n\r\n", reply(405, "")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, always(tt.answer))
			r := newRig(t, u.address())
			direct := exchange(t, u.address(), tt.request)
			through := exchange(t, r.addr, tt.request)
			if !reflect.DeepEqual(direct, through) {
				t.Errorf("answers differ:\ndirect  %+v\nthrough %+v", direct, through)
			}
			seen := u.seen()
			if len(seen) != 2 {
				t.Fatalf("%d requests arrived, want 2", len(seen))
			}
			if a, b := canonical(seen[0]), canonical(seen[1]); a != b {
				t.Errorf("requests differ:\ndirect\n%s\n\nthrough\n%s", a, b)
			}
		})
	}
}

// TestHopByHop shows that what belongs to a connection ends with it.
func TestHopByHop(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, always(reply(200, "ok", "Connection: X-Gone", "X-Gone: 1", "Keep-Alive: timeout=5")))
	r := newRig(t, u.address())
	got := exchange(t, r.addr, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings, X-Mine\r\nUpgrade: h2c\r\n"+
		"HTTP2-Settings: AA\r\nX-Mine: 1\r\nKeep-Alive: 1\r\nProxy-Connection: x\r\n\r\n")
	if want := (http.Header{"Content-Length": {"2"}}); !reflect.DeepEqual(got.header, want) {
		t.Errorf("the caller got %v, want %v", got.header, want)
	}
	if got, want := canonical(u.seen()[0]), "GET /x HTTP/1.1\nHost: h\n\n"; strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("Qdrant got %q, want %q", got, want)
	}
}

// TestContinue waits for Qdrant before it lets the caller send.
func TestContinue(t *testing.T) {
	t.Parallel()
	const header = "PUT /collections/c/points HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
	t.Run("told to go on", func(t *testing.T) {
		t.Parallel()
		u := newUpstream(t, always(reply(200, "ok")))
		r := newRig(t, u.address())
		conn, reader := dial(t, r.addr, header)
		if line, err := reader.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		if line, err := reader.ReadString('\n'); err != nil || line != "\r\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		if _, err := io.WriteString(conn, "hello"); err != nil {
			t.Fatal(err)
		}
		if got := readAnswer(t, reader, http.MethodPut); got.code != 200 || got.header.Get("Date") != "" {
			t.Errorf("got %+v", got)
		}
		if got := u.seen()[0]; !strings.HasSuffix(got, "hello") || !strings.Contains(got, "Expect: 100-continue") {
			t.Errorf("Qdrant got %q", got)
		}
	})
	t.Run("told to go on twice", func(t *testing.T) {
		t.Parallel()
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer lis.Close()
		r := newRig(t, lis.Addr().String())
		_, reader := dial(t, r.addr, header+"hello")
		upstream, err := lis.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer upstream.Close()
		if _, err := io.WriteString(upstream, strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 2)); err != nil {
			t.Fatal(err)
		}
		request, err := http.ReadRequest(bufio.NewReader(upstream))
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(request.Body); err != nil || string(body) != "hello" {
			t.Fatalf("Qdrant got %q, %v", body, err)
		}
		if _, err := io.WriteString(upstream, reply(200, "ok")); err != nil {
			t.Fatal(err)
		}
		const once = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 "
		got := make([]byte, len(once))
		if _, err := io.ReadFull(reader, got); err != nil || string(got) != once {
			t.Errorf("the caller got %q, %v", got, err)
		}
	})
	t.Run("told not to", func(t *testing.T) {
		t.Parallel()
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer lis.Close()
		more := make(chan string, 1)
		go refuse(lis, more)
		r := newRig(t, lis.Addr().String())
		_, reader := dial(t, r.addr, header)
		if got := readAnswer(t, reader, http.MethodPut); got.code != 503 || got.body != "too much" {
			t.Fatalf("got %+v", got)
		}
		if got := <-more; got != "" {
			t.Fatalf("the caller sent nothing, but Qdrant got %q", got)
		}
	})
}

// refuse answers a request before its body comes, on a connection that could go on,
// and says what came after the header.
func refuse(lis net.Listener, more chan<- string) {
	defer close(more)
	conn, err := lis.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	if _, err := http.ReadRequest(reader); err != nil {
		return
	}
	head, body, _ := strings.Cut(reply(503, "too much"), "too")
	_, _ = io.WriteString(conn, head)
	// A moment for what is not to come; an error of this kind is read whole before
	// it is passed on.
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, _ = reader.Peek(1)
	_ = conn.SetReadDeadline(time.Time{})
	_, _ = io.WriteString(conn, "too"+body)
	rest, _ := io.ReadAll(reader)
	more <- string(rest)
}

func dial(t testing.TB, address, raw string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// TestEarlyAnswer passes an answer on that comes while the caller still sends.
func TestEarlyAnswer(t *testing.T) {
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
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		_, _ = io.WriteString(conn, reply(413, "too much"))
		_, _ = io.Copy(io.Discard, conn)
	}()
	r := newRig(t, lis.Addr().String())
	_, reader := dial(t, r.addr, "POST /collections/c/snapshots/upload HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\nbegin")
	if got := readAnswer(t, reader, http.MethodPost); got.code != 413 || got.body != "too much" {
		t.Errorf("got %+v", got)
	}
}

// TestStreamsAtOnce shows that what Qdrant has written does not wait for more.
func TestStreamsAtOnce(t *testing.T) {
	t.Parallel()
	for name, length := range map[string]string{"known length": "Content-Length: 10", "chunked": "Transfer-Encoding: chunked"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := make(chan struct{})
			u := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if strings.HasPrefix(length, "Content") {
					w.Header().Set("Content-Length", "10")
				}
				_, _ = io.WriteString(w, "first")
				_ = http.NewResponseController(w).Flush()
				<-next
				_, _ = io.WriteString(w, "after")
			}))
			defer u.Close()
			r := newRig(t, u.Listener.Addr().String())
			_, reader := dial(t, r.addr, "GET /snapshots/x HTTP/1.1\r\nHost: h\r\n\r\n")
			got, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Body.Close()
			first := make([]byte, 5)
			if _, err := io.ReadFull(got.Body, first); err != nil || string(first) != "first" {
				t.Fatalf("got %q, %v", first, err)
			}
			close(next)
			if rest, err := io.ReadAll(got.Body); err != nil || string(rest) != "after" {
				t.Errorf("got %q, %v", rest, err)
			}
		})
	}
}

// TestHTTP2 takes HTTP/2 without TLS from callers, and speaks HTTP/1 upstream.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n5\r\nworld\r\n0\r\nSum: 2\r\n\r\n"))
	r := newRig(t, u.address())
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+r.addr+"/collections/c/points", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil || string(text) != "world" || got.ProtoMajor != 2 || got.Trailer.Get("Sum") != "2" {
		t.Errorf("got %q, %v, HTTP/%d, trailers %v", text, err, got.ProtoMajor, got.Trailer)
	}
	if seen := u.seen()[0]; !strings.HasPrefix(seen, "PUT /collections/c/points HTTP/1.1\r\n") || !strings.HasSuffix(seen, "hello") {
		t.Errorf("Qdrant got %q", seen)
	}
}

// TestAuthority sends the caller's host without TLS and Qdrant's with it.
func TestAuthority(t *testing.T) {
	t.Parallel()
	hosts := make(chan string, 2)
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { hosts <- r.Host })
	plaintext, secured := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plaintext.Close()
	defer secured.Close()
	address := secured.Listener.Addr().String()
	r := newRig(t, plaintext.Listener.Addr().String())
	exchange(t, r.addr, "GET / HTTP/1.1\r\nHost: app.local:6333\r\n\r\n")
	if got := <-hosts; got != "app.local:6333" {
		t.Errorf("without TLS Qdrant got %q", got)
	}
	roots := secured.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	r = newRig(t, address, func(c *rest.Config) {
		c.Upstream.TLS = func() *tls.Config { return &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"} }
	})
	exchange(t, r.addr, "GET / HTTP/1.1\r\nHost: app.local:6333\r\n\r\n")
	if got := <-hosts; got != address {
		t.Errorf("with TLS Qdrant got %q, want %q", got, address)
	}
}

// TestAPIKey shows to whom the key is lent.
func TestAPIKey(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, always(reply(200, "ok")))
	r := newRig(t, u.address(), func(c *rest.Config) { c.APIKey = "ours" })
	for fields, want := range map[string]string{
		"":                                      "Api-Key: ours",
		"openai-api-key: x\r\n":                 "Api-Key: ours",
		"api-key: own\r\n":                      "Api-Key: own",
		"api-key:\r\n":                          "Api-Key:",
		"Sec-Fetch-Site: same-origin\r\n":       "Api-Key: ours",
		"Sec-Fetch-Site: none\r\n":              "Api-Key: ours",
		"Sec-Fetch-Site: cross-site\r\n":        "",
		"Sec-Fetch-Site: same-site\r\n":         "",
		"authorization: Bearer own\r\n":         "Authorization: Bearer own",
		"api-key: x\r\nConnection: api-key\r\n": "", // taken away as its caller wanted
	} {
		exchange(t, r.addr, "GET /collections HTTP/1.1\r\nHost: h\r\n"+fields+"\r\n")
		seen := u.seen()
		got := seen[len(seen)-1]
		if !strings.Contains(got, want) || strings.Contains(got, "ours") != strings.Contains(want, "ours") {
			t.Errorf("%q: Qdrant got %q, want %q", fields, got, want)
		}
	}
}
