package admin_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/admin"
	"qdrant-sidecar/resilience"
)

// newControl is one over a pool of two nodes that are never reached.
func newControl(t *testing.T, pauser *resilience.Pauser) *admin.Control {
	t.Helper()
	nowhere := func(context.Context) (net.Conn, error) { return nil, errors.New("nowhere") }
	p := pool.New(pool.Config{
		Endpoints: []pool.Endpoint{{Address: "a:1", Dial: nowhere}, {Address: "b:1", Dial: nowhere}},
		Size:      1, Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(p.Close)
	return &admin.Control{Pool: p, Pauser: pauser, Logger: slog.New(slog.DiscardHandler)}
}

func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pauser := resilience.NewPauser(func(resilience.PauseState) {})
		c := newControl(t, pauser)
		now := time.Now()
		paused, err := c.Pause(t.Context(), &adminv1.PauseRequest{MaxDuration: durationpb.New(time.Minute)})
		if p := paused.GetPause(); err != nil || !p.GetStartTime().AsTime().Equal(now) || !p.GetEndTime().AsTime().Equal(now.Add(time.Minute)) {
			t.Errorf("%v, %v", paused, err)
		}
		paused, err = c.Pause(t.Context(), &adminv1.PauseRequest{})
		if p := paused.GetPause(); err != nil || p.GetStartTime() == nil || p.GetEndTime() != nil {
			t.Errorf("without an end: %v, %v", paused, err)
		}
		for _, want := range []bool{true, false} {
			resumed, err := c.Resume(t.Context(), &adminv1.ResumeRequest{})
			if err != nil || (resumed.GetPause() != nil) != want {
				t.Errorf("%v, %v", resumed, err)
			}
		}
		for _, bad := range []*durationpb.Duration{durationpb.New(-1), {Seconds: 1, Nanos: -1}} {
			if _, err := c.Pause(t.Context(), &adminv1.PauseRequest{MaxDuration: bad}); status.Code(err) != codes.InvalidArgument {
				t.Errorf("%v: %v", bad, err)
			}
		}
		pauser.Refuse()
		if _, err := c.Pause(t.Context(), &adminv1.PauseRequest{}); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("while ending: %v", err)
		}
	})
}

// TestRefusedControl has a code for each reason.
func TestRefusedControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newControl(t, nil)
		drain := func(address string, force bool) error {
			_, err := c.DrainEndpoint(t.Context(), &adminv1.DrainEndpointRequest{Address: address, Force: force})
			return err
		}
		undrain := func(address string) error {
			_, err := c.UndrainEndpoint(t.Context(), &adminv1.UndrainEndpointRequest{Address: address})
			return err
		}
		reconnect := func(address string) error {
			_, err := c.Reconnect(t.Context(), &adminv1.ReconnectRequest{Address: address})
			return err
		}
		_, pause := c.Pause(t.Context(), &adminv1.PauseRequest{})
		for i, test := range []struct {
			err  error
			want codes.Code
		}{
			{pause, codes.FailedPrecondition},
			{drain("c:1", true), codes.NotFound},
			{undrain("c:1"), codes.NotFound},
			{reconnect("c:1"), codes.NotFound},
			{drain("", true), codes.NotFound},
			{drain("a:1", false), codes.FailedPrecondition}, // b is not good
			{drain("a:1", true), codes.OK},
			{drain("a:1", false), codes.OK}, // it is drained already
			{undrain("a:1"), codes.OK},
			{undrain("b:1"), codes.OK},
			{reconnect("b:1"), codes.OK}, // there is no connection
		} {
			if status.Code(test.err) != test.want {
				t.Errorf("%d: %v, want %v", i, test.err, test.want)
			}
		}
	})
}
