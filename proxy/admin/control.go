package admin

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/resilience"
)

// Control implements the control API. Its fields are set before it is served and not
// changed afterwards. What is asked of it is logged, for it changes what callers see.
type Control struct {
	adminv1.UnimplementedControlServiceServer

	Pool *pool.Pool
	// Pauser is nil where calls cannot be paused.
	Pauser *resilience.Pauser
	Logger *slog.Logger
}

// Pause implements adminv1.ControlServiceServer.
func (c *Control) Pause(_ context.Context, request *adminv1.PauseRequest) (*adminv1.PauseResponse, error) {
	if c.Pauser == nil {
		return nil, status.Error(codes.FailedPrecondition, "calls cannot be paused, because with --resilience=off there is no queue where they could wait")
	}
	var most time.Duration
	if d := request.GetMaxDuration(); d != nil {
		if most = d.AsDuration(); d.CheckValid() != nil || most < 0 {
			return nil, status.Error(codes.InvalidArgument, "max_duration must be a duration from 0 on; 0 is no end")
		}
	}
	pause, err := c.Pauser.Pause(most)
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, "the sidecar is shutting down")
	}
	c.Logger.Warn("calls are paused by an operator", "at_most_seconds", most.Seconds())
	return &adminv1.PauseResponse{Pause: pauseInfo(pause)}, nil
}

// Resume implements adminv1.ControlServiceServer.
func (c *Control) Resume(context.Context, *adminv1.ResumeRequest) (*adminv1.ResumeResponse, error) {
	if c.Pauser == nil {
		return &adminv1.ResumeResponse{}, nil
	}
	was := c.Pauser.Resume()
	if !was.Began.IsZero() {
		c.Logger.Info("calls are resumed by an operator", "paused_seconds", time.Since(was.Began).Seconds(), "waited", was.Waiting)
	}
	return &adminv1.ResumeResponse{Pause: pauseInfo(was)}, nil
}

// DrainEndpoint implements adminv1.ControlServiceServer.
func (c *Control) DrainEndpoint(_ context.Context, request *adminv1.DrainEndpointRequest) (*adminv1.DrainEndpointResponse, error) {
	state, err := c.Pool.Drain(request.GetAddress(), request.GetForce())
	if err != nil {
		return nil, refusal(err)
	}
	return &adminv1.DrainEndpointResponse{Endpoint: endpointInfo(&state)}, nil
}

// UndrainEndpoint implements adminv1.ControlServiceServer.
func (c *Control) UndrainEndpoint(_ context.Context, request *adminv1.UndrainEndpointRequest) (*adminv1.UndrainEndpointResponse, error) {
	state, err := c.Pool.Undrain(request.GetAddress())
	if err != nil {
		return nil, refusal(err)
	}
	return &adminv1.UndrainEndpointResponse{Endpoint: endpointInfo(&state)}, nil
}

// Reconnect implements adminv1.ControlServiceServer.
func (c *Control) Reconnect(ctx context.Context, request *adminv1.ReconnectRequest) (*adminv1.ReconnectResponse, error) {
	c.Logger.Info("connections are replaced because of an operator", "upstream", request.GetAddress())
	replaced, err := c.Pool.Reconnect(ctx, request.GetAddress())
	switch {
	case err == nil:
		return &adminv1.ReconnectResponse{Connections: int32(replaced)}, nil
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	default:
		return nil, refusal(err)
	}
}

// refusal is the status of an error of the pool.
func refusal(err error) error {
	code := codes.Internal
	switch {
	case errors.Is(err, pool.ErrNoEndpoint):
		code = codes.NotFound
	case errors.Is(err, pool.ErrLastGood):
		code = codes.FailedPrecondition
	case errors.Is(err, pool.ErrClosed):
		code = codes.FailedPrecondition
	}
	return status.Error(code, err.Error())
}

// pauseInfo is nil for no pause.
func pauseInfo(p resilience.PauseState) *adminv1.Pause {
	if p.Began.IsZero() {
		return nil
	}
	info := &adminv1.Pause{StartTime: timestamppb.New(p.Began), Waiting: int32(p.Waiting)}
	if !p.Ends.IsZero() {
		info.EndTime = timestamppb.New(p.Ends)
	}
	return info
}
