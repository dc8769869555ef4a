package admin_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/admin"
	"qdrant-sidecar/resilience"
)

func TestPages(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "something_total", Help: "Something."}))
	var down error
	handler := admin.Handler(func() error { return down }, registry)

	get := func(method, page string) (int, string) {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(method, page, nil))
		return recorder.Code, recorder.Body.String()
	}
	for _, test := range []struct {
		down         error
		method, page string
		code         int
		body         string
	}{
		{nil, http.MethodGet, "/livez", 200, "ok\n"},
		{nil, http.MethodGet, "/readyz", 200, "ok\n"},
		{nil, http.MethodHead, "/readyz", 200, ""},
		{errors.New("connection refused"), http.MethodGet, "/readyz", 503, "not ready: connection refused\n"},
		{errors.New("connection refused"), http.MethodGet, "/livez", 200, "ok\n"},
		{nil, http.MethodGet, "/metrics", 200, "something_total 0\n"},
		{nil, http.MethodPost, "/metrics", 405, ""},
		{nil, http.MethodGet, "/", 404, ""},
	} {
		down = test.down
		if code, body := get(test.method, test.page); code != test.code || !strings.Contains(body, test.body) {
			t.Errorf("%s %s with %v: %d %q, want %d %q", test.method, test.page, test.down, code, body, test.code, test.body)
		}
	}
}

func TestGetInfo(t *testing.T) {
	opened := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	service := &admin.Service{
		Version:   "v1",
		Commit:    "abc",
		Started:   time.Now().Add(-time.Minute),
		Settings:  func() []*adminv1.Setting { return []*adminv1.Setting{{Name: "pool-size", Value: "3"}} },
		Listeners: func() []*adminv1.Listener { return []*adminv1.Listener{{Address: "127.0.0.1:1"}} },
		Draining:  func() bool { return true },
		Pause:     func() resilience.PauseState { return resilience.PauseState{Began: opened, Waiting: 5} },
		Pool: func() pool.State {
			return pool.State{Size: 3, CallsPerConnection: 100, Unresolved: &pool.ConnectError{Address: "q:6334", Reason: "no such host"}, Endpoints: []pool.EndpointState{{
				Address: "qdrant:6334", TLS: true, Standing: pool.Ejected, Clients: 4, Ejections: 2,
				FailedChecks: 6, GoAways: 7, TooManyResets: 8, OtherGoAways: 9,
				LastFailure: &pool.ConnectError{Address: "qdrant:6334", Reason: "connection refused"}, FailedAt: opened,
				Connections: []pool.Connection{
					{ID: 0, State: pool.Ready, InFlight: 7, Calls: 9, Opened: opened},
					{ID: 1, State: pool.Backoff},
					{ID: 2, State: pool.Unused},
				},
			}}}
		},
	}
	info, err := service.GetInfo(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := info.GetPool().GetEndpoints()[0]
	conns := endpoint.GetConnections()
	switch {
	case info.GetBuild().GetVersion() != "v1", info.GetBuild().GetCommit() != "abc", !info.GetDraining():
	case info.GetUptime().AsDuration() < time.Minute, len(info.GetSettings()) != 1, len(info.GetListeners()) != 1:
	case info.GetPool().GetMaxConnectionsPerEndpoint() != 3, info.GetPool().GetTargetCallsPerConnection() != 100:
	case info.GetPool().GetUnresolved() != "no connection to Qdrant at q:6334: no such host":
	case endpoint.GetAddress() != "qdrant:6334", !endpoint.GetTls():
	case endpoint.GetLastDialError().GetMessage() != "no connection to Qdrant at qdrant:6334: connection refused":
	case endpoint.GetStanding() != adminv1.Standing_STANDING_EJECTED, endpoint.GetClients() != 4, endpoint.GetEjections() != 2:
	case endpoint.GetFailedHealthChecks() != 6, endpoint.GetGracefulGoaways() != 7, endpoint.GetTooManyResetsGoaways() != 8, endpoint.GetOtherGoaways() != 9:
	case !info.GetPause().GetStartTime().AsTime().Equal(opened), info.GetPause().GetEndTime() != nil, info.GetPause().GetWaiting() != 5:
	case len(conns) != 2: // a place that was never used is no connection
	case conns[0].GetState() != adminv1.Connection_STATE_READY, conns[0].GetInFlight() != 7, conns[0].GetCallsTotal() != 9:
	case !conns[0].GetOpenedTime().AsTime().Equal(opened), conns[1].GetOpenedTime() != nil:
	case conns[1].GetState() != adminv1.Connection_STATE_BACKOFF, conns[1].GetId() != 1:
	default:
		return
	}
	t.Errorf("GetInfo = %v", info)
}
