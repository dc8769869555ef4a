package e2e_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/qdrant/go-client/qdrant"

	"qdrant-sidecar/internal/memqdrant"
	"qdrant-sidecar/test/sidecar"
)

var snapshotSize = flag.Int64("snapshot-size", 512<<20, "bytes of the snapshot that passes up and down, such as 2147483648")

// restUpstream is a Qdrant that speaks REST only, and says where.
func restUpstream(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	u := httptest.NewServer(handler)
	t.Cleanup(u.Close)
	return u.URL
}

// startREST starts a sidecar with a REST side in front of an upstream.
func startREST(t testing.TB, url string, o sidecar.Options) *sidecar.Sidecar {
	t.Helper()
	o.Upstream, o.REST, o.Unready = "http://"+unusedAddress(t), true, true
	o.Args = append(o.Args, "--rest-url="+url)
	return sidecar.Start(t, o)
}

// ask makes a REST request. A nil body is none.
func ask(t testing.TB, address, method, path string, body io.Reader) (*http.Response, string) {
	t.Helper()
	return askWith(t, address, method, path, nil, body)
}

// askWith is ask with fields in the header.
func askWith(t testing.TB, address, method, path string, header http.Header, body io.Reader) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(bounded(t), method, "http://"+address+path, body)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(request.Header, header)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer, string(text)
}

// TestRESTOfMemory asks the embedded Qdrant what SDKs ask over REST beside gRPC.
func TestRESTOfMemory(t *testing.T) {
	t.Parallel()
	s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", REST: true})
	client := newClient(t, s.GRPC)
	createCollection(t, client, "things")
	for path, want := range map[string]string{
		"/":                          memqdrant.Version,
		"/readyz":                    "all shards are ready",
		"/livez":                     "healthz check passed",
		"/healthz":                   "healthz check passed",
		"/collections":               `"name":"things"`,
		"/collections/things/exists": `"exists":true`,
		"/cluster":                   `"status":"disabled"`,
		"/telemetry":                 `"number_of_collections":1`,
	} {
		if answer, text := ask(t, s.REST, http.MethodGet, path, nil); answer.StatusCode != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %s %s, want %s", path, answer.Status, text, want)
		}
	}
	answer, text := ask(t, s.REST, http.MethodPost, "/snapshots", http.NoBody)
	if answer.StatusCode != http.StatusNotImplemented || !json.Valid([]byte(text)) || !strings.Contains(text, "memory://") {
		t.Errorf("a snapshot: %s %s", answer.Status, text)
	}
	eventually(t, "metrics of REST", func() error {
		text := mustGet(t, s.Metrics, "/metrics").text
		for _, want := range []string{
			`qdrant_sidecar_rest_requests_total{code="200",route="GET /collections"} 1`,
			`qdrant_sidecar_rest_requests_total{code="501",route="POST /snapshots"} 1`,
			`qdrant_sidecar_rest_attempts_total{outcome="ok",route="GET /"} 1`,
			`qdrant_sidecar_rest_request_seconds_count{route="GET /cluster"} 1`,
			"qdrant_sidecar_rest_requests_in_flight 0",
		} {
			if !strings.Contains(text, want) {
				return fmt.Errorf("no %s", want)
			}
		}
		return nil
	})
}

// TestRESTListen serves at an address, at a socket, and nowhere.
func TestRESTListen(t *testing.T) {
	t.Parallel()
	url := restUpstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "from there") })
	s := startREST(t, url, sidecar.Options{})
	if _, text := ask(t, s.REST, http.MethodGet, "/x", nil); text != "from there" {
		t.Errorf("got %q", text)
	}
	socket := socketPath(t)
	startREST(t, url, sidecar.Options{Env: []string{"QDRANT_REST_LISTEN=unix://" + socket}})
	if got, err := get(t, "unix://"+socket, "/x"); err != nil || got.text != "from there" {
		t.Errorf("got %+v, %v", got, err)
	}
	off := sidecar.Start(t, sidecar.Options{Upstream: "memory://"})
	if strings.Contains(off.Log().String(), `"listener":"rest"`) {
		t.Errorf("switched off, but: %s", off.Log())
	}
	// Qdrant's REST API has the port of its own, on the host of --url.
	const ip = "127.8.8.8"
	lis, err := net.Listen("tcp", ip+":6333")
	if err != nil {
		t.Skip(err)
	}
	known := &httptest.Server{Listener: lis, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "from 6333")
	})}}
	known.Start()
	defer known.Close()
	s = sidecar.Start(t, sidecar.Options{Upstream: "http://" + ip + ":7000", REST: true, Unready: true})
	if _, text := ask(t, s.REST, http.MethodGet, "/x", nil); text != "from 6333" {
		t.Errorf("got %q", text)
	}
}

// TestRESTProblems refuses what cannot work, and says what to change. Without being
// asked for, the REST side stands in nobody's way.
func TestRESTProblems(t *testing.T) {
	t.Parallel()
	check := func(args ...string) []string { return append([]string{"check-config"}, args...) }
	for _, tt := range []struct {
		args []string
		says []string
	}{
		{check("--url=http://127.0.0.1:7001", "--rest-listen=127.0.0.1:6333"), []string{"--rest-listen", "loop"}},
		{check("--url=http://q.test", "--rest-url=http://127.0.0.1:7001", "--rest-listen=127.0.0.1:7001"), []string{"--rest-listen", "--rest-url", "loop"}},
		{check("--url=unix:///tmp/q.sock", "--rest-listen=127.0.0.1:0"), []string{"--rest-url", "socket"}},
		{check("--url=memory://", "--listen=127.0.0.1:7001", "--rest-listen=127.0.0.1:7001"), []string{"--listen", "--rest-listen", "127.0.0.1:7001"}},
		{check("--url=memory://", "--rest-url=ftp://x"), []string{"--rest-url"}},
		{check("--url=memory://", "--rest-url=http://u:p@x"), []string{"--rest-url"}},
		{check("--url=memory://", "--rest-url=http://x/prefix"), []string{"--rest-url"}},
		{check("--url=memory://", "--rest-max-requests=-1"), []string{"--rest-max-requests"}},
	} {
		refused(t, nil, tt.args, tt.says)
	}
	env := []string{"QDRANT_API_KEY=" + secret}
	refused(t, env, check("--url=memory://", "--rest-listen=0.0.0.0:7002"), []string{"--rest-listen", "--insecure-api-key-any-caller"})
	for _, url := range []string{"http://r.test", "http://q.test"} {
		refused(t, env, check("--url=https://q.test", "--rest-url="+url), []string{"--rest-url", "--insecure-api-key-plaintext"})
	}

	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	taken := lis.Addr().String()
	if code, c := run(t, quiet(), "--listen=127.0.0.1:0", "--rest-listen="+taken); code != exitFailure ||
		!strings.Contains(c.stderr.String(), "in use") || !strings.Contains(c.stderr.String(), "--rest-listen") {
		t.Errorf("a port in use: exit code %d\n%s", code, &c.stderr)
	}
	for _, url := range []string{"http://127.0.0.1:7001", "unix:///tmp/q.sock"} {
		if code, c := run(t, nil, check("--url="+url)...); code != exitOK {
			t.Errorf("%s: exit code %d\n%s", url, code, &c.stderr)
		}
	}
}

// TestRESTDown answers in Qdrant's shape when there is no Qdrant.
func TestRESTDown(t *testing.T) {
	t.Parallel()
	s := startREST(t, "http://"+unusedAddress(t), sidecar.Options{Args: []string{"--retry-max=0"}})
	answer, text := ask(t, s.REST, http.MethodPost, "/collections/c/points/query", strings.NewReader("{}"))
	var body struct {
		Status struct{ Error string }
		Time   *float64
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil || body.Time == nil ||
		!strings.HasPrefix(body.Status.Error, "qdrant-sidecar: no connection") || answer.StatusCode != http.StatusServiceUnavailable ||
		answer.Header.Get("Retry-After") == "" {
		t.Errorf("got %s %s, %v", answer.Status, text, answer.Header)
	}
}

// TestRESTRepeats repeats reads, never writes.
func TestRESTRepeats(t *testing.T) {
	t.Parallel()
	var arrived atomic.Int64
	url := restUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if arrived.Add(1)%2 == 1 {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, "ok")
	})
	s := startREST(t, url, sidecar.Options{Args: []string{"--retry-base-delay=10ms"}})
	if answer, _ := ask(t, s.REST, http.MethodPost, "/collections/c/points/query", strings.NewReader("{}")); answer.StatusCode != 200 || arrived.Load() != 2 {
		t.Errorf("a query: %s, %d arrived", answer.Status, arrived.Load())
	}
	if answer, _ := ask(t, s.REST, http.MethodPut, "/collections/c/points", strings.NewReader("{}")); answer.StatusCode != 503 || arrived.Load() != 3 {
		t.Errorf("a write: %s, %d arrived", answer.Status, arrived.Load())
	}
}

// TestRESTKey lends the key over REST as over gRPC, and shows it nowhere.
func TestRESTKey(t *testing.T) {
	t.Parallel()
	url := restUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q %q", r.Header.Values("api-key"), r.Header.Values("authorization"))
	})
	s := startREST(t, url, sidecar.Options{Env: []string{"QDRANT_API_KEY=" + secret, "QDRANT_LOG_LEVEL=debug"}})
	if _, text := ask(t, s.REST, http.MethodGet, "/collections", nil); text != `["`+secret+`"] []` {
		t.Errorf("got %s", text)
	}
	s.Stop()
	if strings.Contains(s.Log().String(), secret) {
		t.Error("the key is in the log")
	}
}

// TestRESTAdmission bounds the requests in flight.
func TestRESTAdmission(t *testing.T) {
	t.Parallel()
	arrived, open := make(chan struct{}, 10), make(chan struct{})
	url := restUpstream(t, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-open
	})
	s := startREST(t, url, sidecar.Options{Args: []string{"--rest-max-requests=1", "--queue-timeout=10ms", "--timeout=0"}})
	done := make(chan int, 1)
	go func() {
		answer, _ := ask(t, s.REST, http.MethodGet, "/collections", nil)
		done <- answer.StatusCode
	}()
	receive(t, "the first request", arrived)
	if answer, text := ask(t, s.REST, http.MethodGet, "/collections", nil); answer.StatusCode != http.StatusTooManyRequests ||
		answer.Header.Get("Retry-After") == "" || !strings.Contains(text, "--rest-max-requests") {
		t.Errorf("one more: %s %s", answer.Status, text)
	}
	close(open)
	if code := receive(t, "the first answer", done); code != http.StatusOK {
		t.Errorf("the first: %d", code)
	}
}

// TestRESTDrain finishes what is in flight after SIGTERM, and counts what it cuts.
func TestRESTDrain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, timeout string
		cut           bool
	}{{"in time", "20s", false}, {"too long", "0", true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			arrived, open := make(chan struct{}), make(chan struct{})
			url := restUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).Flush()
				close(arrived)
				select {
				case <-open:
				case <-r.Context().Done():
				}
				fmt.Fprint(w, "whole")
			})
			s := startREST(t, url, sidecar.Options{Env: []string{"QDRANT_DRAIN_TIMEOUT=" + tt.timeout}})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.REST+"/snapshots/x", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			transport := &http.Transport{DisableKeepAlives: true}
			answer, err := transport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			receive(t, "the request", arrived)
			stopped := make(chan struct{})
			go func() {
				s.Stop()
				close(stopped)
			}()
			if !tt.cut {
				awaitLine(t, s, "draining")
				close(open)
			}
			text, err := io.ReadAll(answer.Body)
			if whole := err == nil && string(text) == "whole"; whole == tt.cut {
				t.Errorf("got %q, %v", text, err)
			}
			receive(t, "the end", stopped)
			if got := strings.Contains(s.Log().String(), `"calls_cut":1`); got != tt.cut {
				t.Errorf("cut %v, want %v: %s", got, tt.cut, s.Log())
			}
		})
	}
}

// TestRESTMemory passes a large snapshot up and down at once and looks at the most
// memory that the process has ever had.
func TestRESTMemory(t *testing.T) {
	t.Parallel()
	const most = 64 << 20
	size := *snapshotSize
	url := restUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		_, _ = io.CopyN(w, zeros{}, size)
	})
	s := startREST(t, url, sidecar.Options{Plain: true})
	const path = "/collections/c/snapshots/"
	transfer := func(method, name string, body io.Reader, length int64) (io.ReadCloser, error) {
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.REST+path+name, body)
		if err != nil {
			return nil, err
		}
		request.ContentLength = length
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
		if err != nil {
			return nil, err
		}
		return answer.Body, nil
	}
	up := make(chan error, 1)
	go func() {
		up <- func() error {
			answer, err := transfer(http.MethodPost, "upload", io.LimitReader(zeros{}, size), size)
			if err != nil {
				return err
			}
			defer answer.Close()
			text, err := io.ReadAll(answer)
			if want := fmt.Sprint(size, nil); string(text) != want {
				return fmt.Errorf("got %q, %w, want %q", text, err, want)
			}
			return nil
		}()
	}()
	answer, err := transfer(http.MethodGet, "x.snapshot", http.NoBody, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	if n, err := io.Copy(io.Discard, answer); err != nil || n != size {
		t.Errorf("down: %d bytes, %v", n, err)
	}
	if err := <-up; err != nil {
		t.Errorf("up: %v", err)
	}
	if got := s.PeakMemory(); got > most {
		t.Errorf("%d MiB were in memory at once, want at most %d", got>>20, most>>20)
	} else {
		t.Logf("%d MiB were in memory at once", got>>20)
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// createCollection makes an empty one.
func createCollection(t testing.TB, client *qdrant.Client, name string) {
	t.Helper()
	if err := client.CreateCollection(bounded(t), &qdrant.CreateCollection{CollectionName: name}); err != nil {
		t.Fatal(err)
	}
}

// awaitLine waits for a message in the log.
func awaitLine(t testing.TB, s *sidecar.Sidecar, message string) {
	t.Helper()
	if _, err := s.Log().Wait(bounded(t), func(l sidecar.Line) bool { return l.Message == message }); err != nil {
		t.Fatalf("%q: %v", message, err)
	}
}
