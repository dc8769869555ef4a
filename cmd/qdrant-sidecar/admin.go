package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/proxy/admin"
	"qdrant-sidecar/proxy/statistics"
	"qdrant-sidecar/proxy/verdict"
	"qdrant-sidecar/resilience"
)

// serveAdmin serves the admin API and the status page.
func (s *sidecar) serveAdmin(recorder *statistics.Recorder) {
	listeners := s.listenersOf(adminv1.Listener_ROLE_ADMIN)
	if len(listeners) == 0 {
		return
	}
	told := admin.NewStatistics(recorder, s.pool.Ping)
	api := grpc.NewServer()
	adminv1.RegisterAdminServiceServer(api, &admin.Service{
		Version:   version,
		Commit:    commit(),
		Started:   s.started,
		Settings:  func() []*adminv1.Setting { return s.current.Load().forAdmin() },
		Listeners: s.openListeners,
		Draining:  s.proxy.Draining,
		Pool:      s.pool.State,
		Pause:     s.proxy.Paused,
	})
	adminv1.RegisterControlServiceServer(api, &admin.Control{Pool: s.pool, Pauser: s.proxy.Pauser(), Logger: s.log})
	adminv1.RegisterStatisticsServiceServer(api, told)
	adminv1.RegisterCallsServiceServer(api, &admin.Calls{Tap: s.proxy.Tap()})
	reflection.Register(api)
	server := &http.Server{
		Handler:           admin.Both(api, admin.Pages(told)),
		Protocols:         admin.Protocols(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.onStop(func() {
		server.Close()
		api.Stop()
	})
	for _, lis := range listeners {
		s.serve(func() error {
			if err := server.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
}

// record has what is counted remembered until the sidecar stops, and the log told what
// to make of it, also where nobody can ask.
func (s *sidecar) record() *statistics.Recorder {
	recorder := statistics.NewRecorder(statistics.Source{
		Gather:   s.proxy.Gatherer().Gather,
		Pool:     s.pool.State,
		Queue:    s.proxy.Queue,
		Budget:   s.budget,
		Breakers: s.proxy.Breakers,
		Failures: s.proxy.Tap().Recent,
		InFlight: s.proxy.InFlight,
		Draining: s.proxy.Draining,
		Ready:    s.proxy.Ready,

		PausedSince: func() time.Time { return s.proxy.Paused().Began },
	})
	ctx, stop := context.WithCancel(context.Background())
	s.onStop(stop)
	s.serve(func() error {
		recorder.Run(ctx, verdict.NewTeller(s.log).Tell)
		return nil
	})
	return recorder
}

// budget is the state of the budget of retries; false when there are none.
func (s *sidecar) budget() (resilience.BudgetState, bool) {
	return s.proxy.Budget().State(time.Now()), s.current.Load().resilience() != nil
}
