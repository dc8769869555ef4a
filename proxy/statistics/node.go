package statistics

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/resilience"
)

// connStates has no entry for places that hold no connection.
var connStates = map[pool.ConnState]adminv1.Connection_State{
	pool.Connecting: adminv1.Connection_STATE_CONNECTING,
	pool.Backoff:    adminv1.Connection_STATE_BACKOFF,
	pool.Ready:      adminv1.Connection_STATE_READY,
	pool.Draining:   adminv1.Connection_STATE_DRAINING,
}

func nodes(state pool.State, base, now *sample) []*adminv1.Node {
	var list []*adminv1.Node
	for i := range state.Endpoints {
		e := &state.Endpoints[i]
		was, is := base.nodes[e.Address], now.nodes[e.Address]
		n := &adminv1.Node{
			Address: e.Address, Standing: e.Standing.String(), MaxConnections: int32(state.Size), Clients: int64(e.Clients),
			GoAways:       int64(is.goAways - was.goAways),
			TooManyResets: int64(is.tooManyResets - was.tooManyResets),
			Ejections:     int64(is.ejections - was.ejections),
			FailedChecks:  int64(is.failedChecks - was.failedChecks),
		}
		if e.LastFailure != nil {
			n.LastDialError = &adminv1.Failure{Message: e.LastFailure.Error(), Time: timestamppb.New(e.FailedAt)}
		}
		if e.CheckTook > 0 {
			n.HealthCheck = durationpb.New(e.CheckTook)
		}
		fastest := time.Duration(0)
		for _, c := range e.Connections {
			shown, exists := connStates[c.State]
			if !exists {
				continue
			}
			connection := &adminv1.Connection{Id: int32(c.ID), State: shown, InFlight: int32(c.InFlight), CallsTotal: int64(c.Calls)}
			if !c.Opened.IsZero() {
				connection.OpenedTime = timestamppb.New(c.Opened)
			}
			n.Connections = append(n.Connections, connection)
			// The fastest: on another one the PING may have waited behind what is large.
			if c.RoundTrip > 0 && (fastest == 0 || c.RoundTrip < fastest) {
				fastest = c.RoundTrip
			}
		}
		if fastest > 0 {
			n.RoundTrip = durationpb.New(fastest)
		}
		list = append(list, n)
	}
	return list
}

func breaker(node string, b resilience.Status) *adminv1.Breaker {
	shown := &adminv1.Breaker{
		Method: strings.TrimPrefix(strings.TrimPrefix(b.Method, "/"), "qdrant."), Node: node,
		State: b.State.String(), Failures: int32(b.Failures),
	}
	if b.State == resilience.Open {
		shown.Remaining = durationpb.New(b.Remaining)
	}
	return shown
}
