package admin

import (
	"context"
	"runtime"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/resilience"
)

// Service implements the admin API. Its fields are set before it is served and
// not changed afterwards; its functions are called concurrently.
type Service struct {
	adminv1.UnimplementedAdminServiceServer

	Version, Commit string
	Started         time.Time
	Settings        func() []*adminv1.Setting
	Listeners       func() []*adminv1.Listener
	Draining        func() bool
	Pool            func() pool.State
	Pause           func() resilience.PauseState
}

// GetInfo implements adminv1.AdminServiceServer.
func (s *Service) GetInfo(context.Context, *adminv1.GetInfoRequest) (*adminv1.GetInfoResponse, error) {
	return &adminv1.GetInfoResponse{
		Build:     &adminv1.Build{Version: s.Version, Commit: s.Commit, GoVersion: runtime.Version()},
		StartTime: timestamppb.New(s.Started),
		Uptime:    durationpb.New(time.Since(s.Started)),
		Listeners: s.Listeners(),
		Draining:  s.Draining(),
		Settings:  s.Settings(),
		Pool:      poolInfo(s.Pool()),
		Pause:     pauseInfo(s.Pause()),
	}, nil
}

// connStates has no entry for places that hold no connection.
var connStates = map[pool.ConnState]adminv1.Connection_State{
	pool.Connecting: adminv1.Connection_STATE_CONNECTING,
	pool.Backoff:    adminv1.Connection_STATE_BACKOFF,
	pool.Ready:      adminv1.Connection_STATE_READY,
	pool.Draining:   adminv1.Connection_STATE_DRAINING,
}

func poolInfo(state pool.State) *adminv1.Pool {
	info := &adminv1.Pool{
		MaxConnectionsPerEndpoint: int32(state.Size),
		TargetCallsPerConnection:  int32(state.CallsPerConnection),
	}
	if state.Unresolved != nil {
		info.Unresolved = state.Unresolved.Error()
	}
	for i := range state.Endpoints {
		info.Endpoints = append(info.Endpoints, endpointInfo(&state.Endpoints[i]))
	}
	return info
}

var standings = map[pool.Standing]adminv1.Standing{
	pool.Gone:    adminv1.Standing_STANDING_GONE,
	pool.Drained: adminv1.Standing_STANDING_DRAINED,
	pool.Down:    adminv1.Standing_STANDING_DOWN,
	pool.Sick:    adminv1.Standing_STANDING_SICK,
	pool.Hopeful: adminv1.Standing_STANDING_CONNECTING,
	pool.Ejected: adminv1.Standing_STANDING_EJECTED,
	pool.Good:    adminv1.Standing_STANDING_GOOD,
}

func endpointInfo(state *pool.EndpointState) *adminv1.Endpoint {
	endpoint := &adminv1.Endpoint{
		Address: state.Address, Tls: state.TLS,
		Standing:           standings[state.Standing],
		Clients:            int32(state.Clients),
		Ejections:          int64(state.Ejections),
		FailedHealthChecks: int64(state.FailedChecks),

		GracefulGoaways:      int64(state.GoAways),
		TooManyResetsGoaways: int64(state.TooManyResets),
		OtherGoaways:         int64(state.OtherGoAways),
	}
	if state.LastFailure != nil {
		endpoint.LastDialError = &adminv1.Failure{
			Message: state.LastFailure.Error(),
			Time:    timestamppb.New(state.FailedAt),
		}
	}
	for _, conn := range state.Connections {
		shown, exists := connStates[conn.State]
		if !exists {
			continue
		}
		info := &adminv1.Connection{
			Id:         int32(conn.ID),
			State:      shown,
			InFlight:   int32(conn.InFlight),
			CallsTotal: int64(conn.Calls),
		}
		if !conn.Opened.IsZero() {
			info.OpenedTime = timestamppb.New(conn.Opened)
		}
		endpoint.Connections = append(endpoint.Connections, info)
	}
	return endpoint
}
