package rest_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"qdrant-sidecar/proxy/rest"
	"qdrant-sidecar/resilience"
)

// TestBreaker refuses a route that failed too often, and no other.
func TestBreaker(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, func(_ int, request string) string {
		if strings.Contains(request, "query") {
			return qdrantError(500, "Service internal error: x")
		}
		return reply(200, "ok")
	})
	r := newRig(t, u.address(), func(c *rest.Config) { c.Resilience.Policy.Max, c.Resilience.BreakerThreshold = 0, 3 })
	for range 3 {
		exchange(t, r.addr, plain("POST", query, "{}"))
	}
	got := exchange(t, r.addr, plain("POST", query, "{}"))
	checkOwnError(t, got, 503, "POST /collections/{collection_name}/points/query failed too often")
	if got.header.Get("Retry-After") != "1" || len(u.seen()) != 3 {
		t.Errorf("fields %v, requests %d", got.header, len(u.seen()))
	}
	r.last(t, 4)
	if got := exchange(t, r.addr, plain("POST", writing, "{}")); got.code != 200 {
		t.Errorf("another route: %+v", got)
	}
	if o := r.last(t, 5); o.Reason != "" {
		t.Errorf("observed %+v", o)
	}
	if len(r.changes) != 1 || r.changes[0].To != resilience.Open {
		t.Errorf("changes %+v", r.changes)
	}
}

// TestBreakerReadsErrors does not blame Qdrant for a node behind it, also if the
// error comes compressed.
func TestBreakerReadsErrors(t *testing.T) {
	t.Parallel()
	const behind = `{"status":{"error":"Service internal error: Tonic status error: code: x"},"time":0.1}`
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, behind); err != nil {
		t.Fatal(err)
	}
	w.Close()
	for name, answer := range map[string]string{
		"plain":   reply(500, behind),
		"gzip":    reply(500, packed.String(), "Content-Encoding: gzip"),
		"chunked": "HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.ToLower(hex(len(behind))) + "\r\n" + behind + "\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, always(answer))
			r := newRig(t, u.address(), func(c *rest.Config) { c.Resilience.BreakerThreshold = 3 })
			for range 6 {
				if got := exchange(t, r.addr, plain("PUT", writing, "{}")); got.code != 500 || !strings.HasSuffix(answer, got.body) && name != "chunked" {
					t.Fatalf("got %+v", got)
				}
			}
			if o := r.last(t, 6); !slices.Equal(o.Attempts, []resilience.Cause{resilience.NodeBehind}) {
				t.Errorf("observed %+v", o)
			}
		})
	}
}

func hex(n int) string {
	const digits = "0123456789abcdef"
	text := ""
	for ; n > 0; n /= 16 {
		text = digits[n%16:n%16+1] + text
	}
	return text
}

// TestAdmission answers 429 to what is too much, but not to probes.
func TestAdmission(t *testing.T) {
	t.Parallel()
	arrived, open := make(chan struct{}), make(chan struct{})
	u := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			arrived <- struct{}{}
			<-open
		}
	}))
	defer u.Close()
	r := newRig(t, u.Listener.Addr().String(), func(c *rest.Config) {
		c.Resilience.Admission = resilience.AdmissionConfig{Limit: 1, Queue: 0, MaxWait: time.Second}
	})
	first := make(chan answer)
	go func() { first <- exchange(t, r.addr, plain("GET", "/collections", "")) }()
	<-arrived
	got := exchange(t, r.addr, plain("GET", "/collections", ""))
	checkOwnError(t, got, 429, "--rest-max-requests")
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("fields %v", got.header)
	}
	if got := exchange(t, r.addr, plain("GET", "/readyz", "")); got.code != 200 {
		t.Errorf("a probe got %+v", got)
	}
	close(open)
	if got := <-first; got.code != 200 {
		t.Errorf("the first got %+v", got)
	}
	r.last(t, 3)
	go func() { <-arrived }()
	if got := exchange(t, r.addr, plain("GET", "/collections", "")); got.code != 200 {
		t.Errorf("one after it got %+v", got)
	}
}

// TestAdmissionWhileWaiting lets others have the place of what waits to be repeated.
func TestAdmissionWhileWaiting(t *testing.T) {
	t.Parallel()
	asked := 0 // in vain
	serve := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			if asked++; asked == 1 {
				w.Header().Set("Retry-After", "2")
				w.WriteHeader(http.StatusTooManyRequests)
			}
		}
	}
	inBubble(t, serve, func(t *testing.T, _ *rig, dial func() net.Conn) {
		var repeating sync.WaitGroup
		repeating.Go(func() {
			if got := talk(t, dial(), plain("POST", query, "{}")); got.code != 200 || asked != 2 {
				t.Errorf("the repeated one got %+v after %d attempts", got, asked)
			}
		})
		<-time.After(time.Second)
		if got := talk(t, dial(), plain("GET", "/collections", "")); got.code != 200 {
			t.Errorf("another got %+v", got)
		}
		repeating.Wait()
	}, func(c *rest.Config) {
		c.Resilience = patient()
		c.Resilience.Admission = resilience.AdmissionConfig{Limit: 1, Queue: 1, MaxWait: time.Second / 2}
	})
}

// hasty has reads of which the answer does not begin within a second end.
func hasty(c *rest.Config) { c.Resilience = &rest.Resilience{ReadTimeout: time.Second} }

// TestReadTimeout ends reads that do not begin to answer, and nothing else.
func TestReadTimeout(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, method, path string
		code               int
	}{
		{"a query", "POST", query, 504},
		{"a list", "GET", "/collections", 504},
		{"a query that may take longer", "POST", query + "?timeout=30", 200},
		{"a write", "PUT", writing, 200},
		{"a download", "GET", "/collections/c/snapshots/x", 200},
		{"something else", "GET", "/dashboard/x", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			serve := func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				select {
				case <-time.After(4 * time.Second):
					_, _ = io.WriteString(w, "ok")
				case <-r.Context().Done():
				}
			}
			inBubble(t, serve, func(t *testing.T, r *rig, dial func() net.Conn) {
				got := talk(t, dial(), plain(tt.method, tt.path, ""))
				want := 4 * time.Second
				if tt.code == 504 {
					checkOwnError(t, got, 504, "--timeout")
					want = time.Second
				} else if got.code != tt.code || got.body != "ok" {
					t.Errorf("got %+v", got)
				}
				if o := r.last(t, 1); o.Duration != want {
					t.Errorf("it took %v, want %v", o.Duration, want)
				}
			}, hasty)
		})
	}
}

// TestSlowBody lets an answer that has begun take its time.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	serve := func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-time.After(4 * time.Second)
		_, _ = io.WriteString(w, "ok")
	}
	inBubble(t, serve, func(t *testing.T, _ *rig, dial func() net.Conn) {
		if got := talk(t, dial(), plain("POST", query, "")); got.code != 200 || got.body != "ok" {
			t.Errorf("got %+v", got)
		}
	}, hasty)
}

// TestApply: requests that come later are under another key and policy.
func TestApply(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, always(qdrantError(500, "Service internal error: x")))
	r := newRig(t, u.address(), func(c *rest.Config) {
		c.APIKey, c.Resilience.Policy.Max, c.Resilience.BreakerThreshold = "one", 0, 0
	})
	ask := func() answer { return exchange(t, r.addr, plain("POST", query, "{}")) }
	ask()
	if seen := u.seen(); len(seen) != 1 || !strings.Contains(seen[0], "Api-Key: one") {
		t.Errorf("Qdrant got %q", seen)
	}
	other := patient()
	other.Policy.Max, other.BreakerThreshold = 1, 2
	r.server.Apply("two", other)
	ask() // twice, since it is repeated
	if seen := u.seen(); len(seen) != 3 || !strings.Contains(seen[2], "Api-Key: two") {
		t.Errorf("Qdrant got %q", seen)
	}
	checkOwnError(t, ask(), 503, "failed too often")
	r.server.Apply("", &rest.Resilience{})
	ask()
	if seen := u.seen(); len(seen) != 4 || strings.Contains(seen[3], "Api-Key") {
		t.Errorf("Qdrant got %q", seen)
	}
}
