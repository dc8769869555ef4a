package admin_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/admin"
	"qdrant-sidecar/proxy/statistics"
	"qdrant-sidecar/proxy/tap"
	"qdrant-sidecar/resilience"
)

// newStatistics is of a sidecar that does nothing. pinged is called for each PING.
func newStatistics(pinged func()) *admin.Statistics {
	return admin.NewStatistics(statistics.NewRecorder(statistics.Source{
		Gather:   func() ([]*dto.MetricFamily, error) { return nil, nil },
		Pool:     func() pool.State { return pool.State{} },
		Queue:    func() (resilience.AdmissionState, bool) { return resilience.AdmissionState{}, false },
		Budget:   func() (resilience.BudgetState, bool) { return resilience.BudgetState{}, false },
		Breakers: func() map[string][]resilience.Status { return nil },
		Failures: func() []tap.Call { return nil },
		InFlight: func() int { return 0 },
		Draining: func() bool { return false },
		Ready:    func() error { return nil },

		PausedSince: func() time.Time { return time.Time{} },
	}), pinged)
}

func TestHosts(t *testing.T) {
	pages := admin.Pages(newStatistics(func() {}))
	for host, want := range map[string]int{
		"localhost": 200, "localhost:9092": 200, "LOCALHOST:1": 200, "a.localhost:9092": 200,
		"127.0.0.1:9092": 200, "127.1.2.3": 200, "[::1]:9092": 200, "[::1]": 200, "[::ffff:127.0.0.1]:80": 200,
		"evil.example": 421, "evil.example:9092": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "10.0.0.1": 421, "": 421, "notlocalhost": 421,
	} {
		for _, path := range []string{"/", "/nothing"} {
			request := httptest.NewRequest(http.MethodGet, path, http.NoBody)
			request.Host = host
			recorder := httptest.NewRecorder()
			pages.ServeHTTP(recorder, request)
			if got := recorder.Code; got != want && (path == "/" || got != 404) {
				t.Errorf("%q for %s: %d, want %d", host, path, got, want)
			}
		}
	}
}

// The policy lets run what is on the page, and nothing else; and the page asks nobody.
func TestPageIsSelfContained(t *testing.T) {
	request := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	request.Host = "localhost"
	recorder := httptest.NewRecorder()
	admin.Pages(newStatistics(func() {})).ServeHTTP(recorder, request)
	page, policy := recorder.Body.String(), recorder.Header().Get("Content-Security-Policy")
	for element, directive := range map[string]string{"script": "script-src", "style": "style-src"} {
		found := regexp.MustCompile(`(?s)<` + element + `>(.*)</` + element + `>`).FindStringSubmatch(page)
		if found == nil {
			t.Fatalf("no %s", element)
		}
		sum := sha256.Sum256([]byte(found[1]))
		if want := directive + " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("%s is not in %s", want, policy)
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %s", policy)
	}
	if outside := regexp.MustCompile(`(?i)(src|href)\s*=\s*"[^d]|@import|url\(|innerHTML|insertAdjacentHTML|\seval\(`).FindString(page); outside != "" {
		t.Errorf("the page has %q", outside)
	}
}

func TestEvents(t *testing.T) {
	pinged := make(chan struct{}, 100)
	server := httptest.NewServer(admin.Pages(newStatistics(func() { pinged <- struct{}{} })))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var s adminv1.Statistics
		if err := protojson.Unmarshal([]byte(data), &s); err != nil || len(s.GetFindings()) == 0 {
			t.Errorf("%v: %s", err, data)
		}
		break
	}
	if len(pinged) == 0 {
		t.Error("the network was not measured")
	}
}

// serve returns a client of the API, beside the page on one listener.
func serve(t *testing.T, s *admin.Statistics, calls *admin.Calls) *grpc.ClientConn {
	t.Helper()
	api := grpc.NewServer()
	adminv1.RegisterStatisticsServiceServer(api, s)
	adminv1.RegisterCallsServiceServer(api, calls)
	server := httptest.NewUnstartedServer(admin.Both(api, admin.Pages(s)))
	server.Config.Protocols = admin.Protocols()
	server.Start()
	t.Cleanup(func() {
		server.Close()
		api.Stop()
	})
	response, err := server.Client().Get(server.URL)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the page: %v, %v", response, err)
	}
	response.Body.Close()
	conn := dialAdmin(t, strings.TrimPrefix(server.URL, "http://"))
	return conn
}

func TestTooManyWatch(t *testing.T) {
	conn := serve(t, newStatistics(func() {}), &admin.Calls{Tap: new(tap.Tap)})
	client := adminv1.NewStatisticsServiceClient(conn)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for {
		updates, err := client.WatchStatistics(ctx, &adminv1.WatchStatisticsRequest{})
		if err == nil {
			_, err = updates.Recv()
		}
		if status.Code(err) == codes.ResourceExhausted {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWatchCalls(t *testing.T) {
	tapped := new(tap.Tap)
	client := adminv1.NewCallsServiceClient(serve(t, newStatistics(func() {}), &admin.Calls{Tap: tapped}))
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	wrong, err := client.WatchCalls(ctx, &adminv1.WatchCallsRequest{Codes: []string{"nonsense"}})
	if err == nil {
		_, err = wrong.Recv()
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("a code that there is not: %v", err)
	}
	calls, err := client.WatchCalls(ctx, &adminv1.WatchCallsRequest{Codes: []string{"NOT_FOUND", "cancelled"}, Methods: []string{"QUERY"}})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := calls.Recv(); err != nil || first.GetCall() != nil {
		t.Fatalf("first %v, %v", first, err)
	}
	for _, c := range []tap.Call{
		{Method: "Points/Query", Code: codes.OK},
		{Method: "Points/Get", Code: codes.NotFound},
		{Method: "Points/Query", Code: codes.NotFound, Message: "words of Qdrant", Attempts: 2, Timed: true, Deadline: time.Second, Queue: time.Millisecond},
	} {
		tapped.Offer(&c, func() (request, answer []byte) { return []byte("secret"), nil })
	}
	told, err := calls.Recv()
	if c := told.GetCall(); err != nil || c.GetCode() != "NotFound" || c.GetAttempts() != 2 || c.GetDeadline().AsDuration() != time.Second ||
		c.GetStages().GetQueue().AsDuration() != time.Millisecond || c.GetMessage() != "" || c.GetRequest() != nil {
		t.Errorf("%v, %v", told, err)
	}
}
