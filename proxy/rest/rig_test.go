package rest_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/rest"
	"qdrant-sidecar/resilience"
)

// patience bounds every wait for something that must happen.
const patience = time.Minute

// upstream is a Qdrant of raw bytes: it records each request as it came and gives
// the bytes that its script says.
type upstream struct {
	lis     net.Listener
	serving sync.WaitGroup
	// answer gets the number of the request, from 1, and all of it. "" closes the
	// connection, and so does cut at the end.
	answer   func(n int, request string) string
	accepted atomic.Int64

	mu       sync.Mutex
	requests []string
	conns    []net.Conn
}

func newUpstream(t testing.TB, answer func(n int, request string) string) *upstream {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{lis: lis, answer: answer}
	u.serving.Go(func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			u.accepted.Add(1)
			u.mu.Lock()
			u.conns = append(u.conns, conn)
			u.mu.Unlock()
			u.serving.Go(func() { u.serve(conn) })
		}
	})
	t.Cleanup(u.stop)
	return u
}

// always gives every request the same answer.
func always(answer string) func(int, string) string {
	return func(int, string) string { return answer }
}

func (u *upstream) address() string { return u.lis.Addr().String() }

func (u *upstream) stop() {
	u.lis.Close()
	u.mu.Lock()
	for _, conn := range u.conns {
		conn.Close()
	}
	u.mu.Unlock()
	u.serving.Wait()
}

func (u *upstream) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		request, err := readMessage(r, conn)
		if err != nil {
			return
		}
		u.mu.Lock()
		u.requests = append(u.requests, request)
		n := len(u.requests)
		u.mu.Unlock()
		answer := u.answer(n, request)
		if answer == "" {
			return
		}
		text, broken := strings.CutSuffix(answer, cut)
		if _, err := io.WriteString(conn, text); err != nil || broken {
			return
		}
	}
}

// cut ends an answer that breaks off.
const cut = "[the connection ends here]"

// seen returns the requests so far.
func (u *upstream) seen() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.requests)
}

// readMessage reads a request with its body and trailers, as it is on the wire.
// Who waits for 100 (Continue) gets it.
func readMessage(r *bufio.Reader, w io.Writer) (string, error) {
	var raw bytes.Buffer
	tee := bufio.NewReader(io.TeeReader(r, &raw))
	request, err := http.ReadRequest(tee)
	if err != nil {
		return "", err
	}
	if request.Header.Get("Expect") != "" {
		if _, err := io.WriteString(w, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return "", err
		}
	}
	if _, err := io.Copy(io.Discard, request.Body); err != nil {
		return "", err
	}
	return raw.String(), nil
}

// observed collects what the Server tells.
type observed struct {
	mu      sync.Mutex
	begun   int
	ended   []rest.Observation
	changes []resilience.Change
	signal  chan struct{}
}

func newObserved() *observed { return &observed{signal: make(chan struct{}, 1000)} }

func (o *observed) observer() rest.Observer {
	return rest.Observer{
		Begun: func() { o.mu.Lock(); defer o.mu.Unlock(); o.begun++ },
		Ended: func(e rest.Observation) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.ended = append(o.ended, e)
			o.signal <- struct{}{}
		},
		BreakerChanged: func(c resilience.Change) { o.mu.Lock(); defer o.mu.Unlock(); o.changes = append(o.changes, c) },
	}
}

// last waits until so many requests have ended and returns the last.
func (o *observed) last(t testing.TB, count int) rest.Observation {
	t.Helper()
	timeout := time.After(patience)
	for {
		o.mu.Lock()
		ended := slices.Clone(o.ended)
		o.mu.Unlock()
		if len(ended) >= count {
			return ended[len(ended)-1]
		}
		select {
		case <-o.signal:
		case <-timeout:
			t.Fatalf("%d requests have ended, want %d", len(ended), count)
		}
	}
}

// rig is a Server in front of an upstream.
type rig struct {
	*observed
	server *rest.Server
	budget *resilience.Budget
	addr   string
}

// patient is a policy that repeats soon.
func patient() *rest.Resilience {
	return &rest.Resilience{Policy: resilience.Policy{Max: 3, Base: time.Millisecond, Cap: 5 * time.Millisecond}}
}

func newRig(t testing.TB, address string, change ...func(*rest.Config)) *rig {
	t.Helper()
	r := &rig{observed: newObserved(), budget: resilience.NewBudget(time.Now())}
	cfg := rest.Config{
		Upstream: pool.Endpoint{Address: address}, Budget: r.budget, Resilience: patient(),
		Observer: r.observer(), Logger: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&cfg)
	}
	r.server = rest.New(cfg)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = lis.Addr().String()
	var served sync.WaitGroup
	served.Go(func() {
		if err := r.server.Serve(lis); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r.server.Drain(ctx)
		served.Wait()
		r.last(t, r.begun)
		if state := r.budget.State(time.Now()); state.Calls != 0 || state.Retrying != 0 {
			t.Errorf("the budget was not given back: %+v", state)
		}
	})
	return r
}

// answer is an answer as it came.
type answer struct {
	code    int
	header  http.Header
	body    string
	trailer http.Header
	// length and encoding are how the body's end was told.
	length   int64
	encoding []string
}

// exchange writes raw bytes to an address and reads the answer to it.
func exchange(t testing.TB, address, raw string) answer {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(raw, " ")
	return readAnswer(t, bufio.NewReader(conn), method)
}

func readAnswer(t testing.TB, r *bufio.Reader, method string) answer {
	t.Helper()
	got, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("reading an answer: %v", err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatalf("reading the body of an answer: %v", err)
	}
	return answer{got.StatusCode, got.Header, string(text), got.Trailer, got.ContentLength, got.TransferEncoding}
}

// plain is a request with no surprises; body is empty for none.
func plain(method, path, body string) string {
	length := ""
	if body != "" || method != http.MethodGet {
		length = "Content-Length: " + itoa(len(body)) + "\r\n"
	}
	return method + " " + path + " HTTP/1.1\r\nHost: localhost:6333\r\n" + length + "\r\n" + body
}

// reply is an answer with a body of known length.
func reply(code int, body string, fields ...string) string {
	text := "HTTP/1.1 " + itoa(code) + " " + http.StatusText(code) + "\r\n"
	for _, f := range fields {
		text += f + "\r\n"
	}
	return text + "Content-Length: " + itoa(len(body)) + "\r\n\r\n" + body
}

// canonical is a message with what may differ brought into one form: the order and
// the spelling of the names of its fields.
func canonical(raw string) string {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	for i, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		lines[1+i] = textproto.CanonicalMIMEHeaderKey(name) + ": " + strings.TrimSpace(value)
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n") + "\n\n" + body
}
