package rest_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"qdrant-sidecar/proxy/rest"
	"qdrant-sidecar/resilience"
)

const (
	query   = "/collections/c/points/query"
	writing = "/collections/c/points"
)

// inOrder gives the answers one after the other, and the last one again and again.
func inOrder(answers ...string) func(int, string) string {
	return func(n int, _ string) string { return answers[min(n, len(answers))-1] }
}

func qdrantError(code int, message string, fields ...string) string {
	return reply(code, `{"status":{"error":"`+message+`"},"time":0.1}`, fields...)
}

// TestRepeats shows what is sent again, and what is not.
func TestRepeats(t *testing.T) {
	t.Parallel()
	ok := reply(200, "ok")
	const gone = "" // the connection is closed when the request has come
	for _, tt := range []struct {
		name     string
		method   string
		path     string
		answers  []string
		requests int
		code     int
		reason   resilience.NotRetried
	}{
		{"a lost search", "POST", query, []string{gone, ok}, 2, 200, ""},
		{"a lost read", "GET", "/collections", []string{gone, ok}, 2, 200, ""},
		{"a lost read of something else", "GET", "/dashboard/x", []string{gone, ok}, 2, 200, ""},
		{"a search lost again and again", "POST", query, []string{gone}, 4, 503, resilience.Attempts},
		{"a lost write", "PUT", writing, []string{gone, ok}, 1, 503, resilience.NotIdempotent},
		{"a lost deletion", "DELETE", "/collections/c", []string{gone, ok}, 1, 503, resilience.NotIdempotent},
		{"a lost snapshot without a body", "POST", "/snapshots", []string{gone, ok}, 1, 503, resilience.NotIdempotent},
		{"a lost request of something else", "POST", "/x", []string{gone, ok}, 1, 503, resilience.NotIdempotent},
		{"a lost probe", "GET", "/readyz", []string{gone, ok}, 1, 503, resilience.Disabled},
		{"an unavailable search", "POST", query, []string{qdrantError(503, "shard"), ok}, 2, 200, ""},
		{"an unavailable write", "PUT", writing, []string{qdrantError(503, "shard"), ok}, 1, 503, resilience.NotIdempotent},
		{"not ready", "GET", "/readyz", []string{reply(503, "some shards are not ready"), ok}, 1, 503, resilience.Disabled},
		{"a gateway that lost it", "POST", query, []string{reply(502, ""), ok}, 2, 200, ""},
		{"an internal error", "POST", query, []string{qdrantError(500, "x"), ok}, 2, 200, ""},
		{"an internal error twice", "POST", query, []string{qdrantError(500, "x")}, 2, 500, resilience.Attempts},
		{"an internal error of a write", "PUT", writing, []string{qdrantError(500, "x"), ok}, 1, 500, resilience.NotIdempotent},
		{
			"a change that was not proposed", "PUT", "/collections/c",
			[]string{qdrantError(500, "Service internal error: Failed to propose operation: leader is not established within 10s"), ok}, 1, 500, resilience.NotIdempotent,
		},
		{"a rate limit that says when", "POST", query, []string{qdrantError(429, "x", "Retry-After: 0"), ok}, 2, 200, ""},
		{"a rate limit that asks for long", "POST", query, []string{qdrantError(429, "x", "Retry-After: 60"), ok}, 1, 429, resilience.OutOfTime},
		{"a rate limit that does not", "POST", query, []string{qdrantError(429, "x"), ok}, 1, 429, resilience.Permanent},
		{"a full disk", "POST", query, []string{qdrantError(507, "x"), ok}, 1, 507, resilience.Permanent},
		{"a timeout of Qdrant's", "POST", query, []string{qdrantError(408, "x"), ok}, 1, 408, resilience.Permanent},
		{"a mistake", "POST", query, []string{qdrantError(400, "x"), ok}, 1, 400, resilience.Permanent},
		{"a failure that is too long to keep", "POST", query, []string{reply(503, strings.Repeat("x", 17<<10)), ok}, 1, 503, resilience.Answering},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, inOrder(tt.answers...))
			r := newRig(t, u.address())
			body := "{}"
			if tt.method == http.MethodGet || tt.path == "/snapshots" {
				body = ""
			}
			request := plain(tt.method, tt.path, body)
			got := exchange(t, r.addr, request)
			if got.code != tt.code {
				t.Errorf("the caller got %d %s, want %d", got.code, got.body, tt.code)
			}
			seen := u.seen()
			if len(seen) != tt.requests {
				t.Errorf("%d requests arrived, want %d", len(seen), tt.requests)
			}
			for _, s := range seen {
				if canonical(s) != canonical(request) {
					t.Errorf("Qdrant got %q, want %q", s, request)
				}
			}
			o := r.last(t, 1)
			if o.NotRetried != tt.reason || o.Code != tt.code || len(o.Attempts) != tt.requests || o.Repeated != (tt.requests > 1) {
				t.Errorf("observed %+v, want %q after %d", o, tt.reason, tt.requests)
			}
			if last := tt.answers[len(tt.answers)-1]; last != gone && last != ok && !strings.HasSuffix(last, got.body) {
				t.Errorf("the caller got %q", got.body)
			}
		})
	}
}

// TestReused loses requests on connections that were used before, where net/http
// repeats things by itself. Only what the table allows may arrive twice.
func TestReused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, request string
		arrivals      int
	}{
		{"read", plain("GET", "/collections", ""), 2},
		{"write with a key for repeating", "PUT " + writing + " HTTP/1.1\r\nHost: h\r\nIdempotency-Key: 1\r\nContent-Length: 2\r\n\r\n{}", 1},
		{"write with a key and no body", "POST /snapshots HTTP/1.1\r\nHost: h\r\nX-Idempotency-Key: 1\r\nContent-Length: 0\r\n\r\n", 1},
		{"large write", plain("PUT", writing, strings.Repeat("x", 5<<20)), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, inOrder(reply(200, "warm"), "", reply(200, "ok")))
			r := newRig(t, u.address())
			exchange(t, r.addr, plain("GET", "/", ""))
			r.last(t, 1)
			got := exchange(t, r.addr, tt.request)
			if arrivals := len(u.seen()) - 1; arrivals != tt.arrivals {
				t.Errorf("it arrived %d times, want %d", arrivals, tt.arrivals)
			}
			if o := r.last(t, 2); len(o.Attempts) != tt.arrivals {
				t.Errorf("attempts %v, want %d", o.Attempts, tt.arrivals)
			}
			if wantOK := tt.arrivals == 2; (got.code == 200) != wantOK {
				t.Errorf("the caller got %d %s", got.code, got.body)
			}
		})
	}
}

// TestNeverSent sends to another connection what an ended one did not take,
// whatever it is.
func TestNeverSent(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, always(reply(200, "ok")))
	var dials int
	r := newRig(t, u.address(), func(c *rest.Config) {
		c.Upstream.Dial = func(ctx context.Context) (net.Conn, error) {
			if dials++; dials <= 2 {
				return &deafConn{}, nil
			}
			return new(net.Dialer).DialContext(ctx, "tcp", u.address())
		}
	})
	if got := exchange(t, r.addr, plain("PUT", writing, "{}")); got.code != 200 {
		t.Errorf("the caller got %d %s", got.code, got.body)
	}
	want := []resilience.Cause{resilience.NeverSent, resilience.NeverSent, resilience.OK}
	if o := r.last(t, 1); !slices.Equal(o.Attempts, want) || o.Repeated {
		t.Errorf("observed %+v", o)
	}
	if n := len(u.seen()); n != 1 {
		t.Errorf("it arrived %d times", n)
	}
}

// deafConn is a connection that takes nothing.
type deafConn struct{ net.Conn }

func (*deafConn) Write([]byte) (int, error)       { return 0, io.ErrClosedPipe }
func (*deafConn) Read([]byte) (int, error)        { return 0, io.EOF }
func (*deafConn) Close() error                    { return nil }
func (*deafConn) SetDeadline(time.Time) error     { return nil }
func (*deafConn) SetReadDeadline(time.Time) error { return nil }

// TestUnreachable answers in Qdrant's shape that there is no Qdrant.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lis.Close()
	r := newRig(t, lis.Addr().String())
	for i, method := range []string{"PUT", "POST"} {
		got := exchange(t, r.addr, plain(method, query, "{}"))
		checkOwnError(t, got, 503, "connection refused")
		if got.header.Get("Retry-After") != "1" || got.header.Get("Qdrant-Sidecar-Reason") != "NO_HEALTHY_UPSTREAM" {
			t.Errorf("fields %v", got.header)
		}
		// Three at once, and three later.
		if o := r.last(t, i+1); o.Reason != rest.NoHealthyUpstream || len(o.Attempts) != 6 || o.NotRetried != resilience.Attempts {
			t.Errorf("observed %+v", o)
		}
	}
	// Who asks whether Qdrant is there hears at once that it is not.
	exchange(t, r.addr, plain("GET", "/readyz", ""))
	if o := r.last(t, 3); len(o.Attempts) != 3 || o.NotRetried != resilience.Disabled {
		t.Errorf("observed %+v", o)
	}
}

// checkOwnError wants an answer of the sidecar's own.
func checkOwnError(t testing.TB, got answer, code int, message string) {
	t.Helper()
	var body struct {
		Status struct{ Error string }
		Time   *float64
	}
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || body.Time == nil {
		t.Errorf("no error as Qdrant gives it: %q, %v", got.body, err)
	}
	if got.code != code || !strings.HasPrefix(body.Status.Error, "qdrant-sidecar: ") || !strings.Contains(body.Status.Error, message) {
		t.Errorf("got %d %q, want %d %q", got.code, body.Status.Error, code, message)
	}
	if got.header.Get("Content-Type") != "application/json" || got.header.Get("Date") == "" {
		t.Errorf("fields %v", got.header)
	}
}

// TestPlainForwarder repeats nothing without a policy but what was never sent.
func TestPlainForwarder(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, inOrder("", reply(200, "ok")))
	r := newRig(t, u.address(), func(c *rest.Config) { c.Resilience = nil })
	checkOwnError(t, exchange(t, r.addr, plain("POST", query, "{}")), 503, "lost before it answered")
	if o := r.last(t, 1); o.NotRetried != resilience.Disabled || o.Reason != rest.UpstreamLost {
		t.Errorf("observed %+v", o)
	}
}

// TestBudget gives up repeating when too much is repeated.
func TestBudget(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, always(reply(503, "{}")))
	r := newRig(t, u.address())
	now := time.Now()
	for range 3 {
		if !r.budget.Take(now) {
			t.Fatal("no budget")
		}
	}
	defer func() {
		for range 3 {
			r.budget.Return()
		}
	}()
	exchange(t, r.addr, plain("POST", query, "{}"))
	if o := r.last(t, 1); o.NotRetried != resilience.OverBudget || len(u.seen()) != 1 {
		t.Errorf("observed %+v", o)
	}
	r.budget.Return()
	defer r.budget.Take(now)
	exchange(t, r.addr, plain("POST", query, "{}"))
	if o := r.last(t, 2); len(o.Attempts) != 4 {
		t.Errorf("observed %+v", o)
	}
	if got := r.budget.State(time.Now()).RecentRetries; got != 3+3 {
		t.Errorf("%d were taken, want three here and one for each repetition", got)
	}
}

// TestBudgetOfLostConnections: that connections end is no sign of too much work, so those retries are not bounded by
// what is under way.
func TestBudgetOfLostConnections(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, inOrder("", reply(200, "ok")))
	r := newRig(t, u.address())
	for range 3 {
		if !r.budget.Take(time.Now()) {
			t.Fatal("no budget")
		}
		defer r.budget.Return()
	}
	if got := exchange(t, r.addr, plain("POST", query, "{}")); got.code != 200 {
		t.Errorf("%+v", got)
	}
}

const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

// TestShortAnswersComeWhole has the connection break in the middle of an answer.
func TestShortAnswersComeWhole(t *testing.T) {
	t.Parallel()
	broken := func(length int) string {
		return "HTTP/1.1 200 OK\r\nContent-Length: " + itoa(length) + "\r\n\r\nhalf" + cut
	}
	for name, tt := range map[string]struct {
		method, path string
		answer       string
		code         int // 0 is that the answer breaks off, for the caller as well
		reason       rest.Reason
		sent         int
	}{
		"a read is made again":      {method: "POST", path: query, answer: broken(8), code: 200, sent: 2},
		"a slow one as well":        {method: "GET", path: "/collections/c/snapshots", answer: broken(8), code: 200, sent: 2},
		"a write is not":            {method: "PUT", path: "/collections/c/points", answer: broken(8), code: 503, reason: rest.UpstreamLost, sent: 1},
		"what nobody knows passes":  {method: "POST", path: "/new", answer: broken(8), reason: rest.UpstreamLost, sent: 1},
		"downloads pass as is":      {method: "GET", path: "/collections/c/snapshots/x", answer: broken(8), reason: rest.UpstreamLost, sent: 1},
		"and so do long answers":    {method: "POST", path: query, answer: broken(1<<20 + 1), reason: rest.UpstreamLost, sent: 1},
		"one of unknown length":     {method: "POST", path: query, answer: chunked + "4\r\nhalf\r\n" + cut, code: 200, sent: 2},
		"that turns out to be long": {method: "POST", path: query, answer: chunked + "100001\r\n" + strings.Repeat("x", 1<<20+1) + "\r\n" + cut, reason: rest.UpstreamLost, sent: 1},
		"a longest one comes back":  {method: "POST", path: query, answer: reply(200, strings.Repeat("x", 1<<20)), code: 200, sent: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, inOrder(tt.answer, reply(200, "whole")))
			r := newRig(t, u.address())
			body := ""
			if tt.method != "GET" {
				body = "{}"
			}
			conn, reader := dial(t, r.addr, plain(tt.method, tt.path, body))
			defer conn.Close()
			got, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Body.Close()
			text, err := io.ReadAll(got.Body)
			if (err != nil) != (tt.code == 0) || err == nil && got.StatusCode != tt.code {
				t.Errorf("%d with %d bytes, %v", got.StatusCode, len(text), err)
			}
			if tt.code == 503 && !strings.HasPrefix(string(text), `{"status":{"error":"qdrant-sidecar: `) {
				t.Errorf("the answer is %s", text)
			}
			if o := r.last(t, 1); o.Reason != tt.reason || len(u.seen()) != tt.sent {
				t.Errorf("sent %d times: %+v", len(u.seen()), o)
			}
		})
	}
}

// TestAnsweredIsSent has the connection break in the middle of an answer that came
// before the writer of the request knew that it had written: what may have been done
// is not done again as if it had never been sent.
func TestAnsweredIsSent(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, inOrder("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"+cut, reply(200, "whole")))
	told := make(chan struct{})
	defer close(told)
	var dials int
	r := newRig(t, u.address(), func(c *rest.Config) {
		c.Upstream.Dial = func(ctx context.Context) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.address())
			if dials++; dials == 1 && err == nil {
				conn = &untoldConn{conn, told}
			}
			return conn, err
		}
	})
	got := exchange(t, r.addr, plain("PUT", writing, "{}"))
	checkOwnError(t, got, 503, "whether it has done what was asked is not known")
	if o := r.last(t, 1); !slices.Equal(o.Attempts, []resilience.Cause{resilience.Lost}) || len(u.seen()) != 1 {
		t.Errorf("sent %d times: %+v", len(u.seen()), o)
	}
}

// untoldConn writes, but does not say so until told is closed.
type untoldConn struct {
	net.Conn
	told <-chan struct{}
}

func (c *untoldConn) Write(p []byte) (int, error) {
	defer func() { <-c.told }()
	return c.Conn.Write(p)
}
