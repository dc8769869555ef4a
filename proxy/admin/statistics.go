package admin

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/proxy/statistics"
	"qdrant-sidecar/proxy/verdict"
)

const (
	defaultInterval, leastInterval, mostInterval = 2 * time.Second, 200 * time.Millisecond, time.Minute
	// maxWatchers bounds what watching costs, however many do.
	maxWatchers = 16
	// pingEvery is the least time between two PINGs on a connection that watching
	// causes, and pingWait what the first message waits for their answers.
	pingEvery, pingWait = time.Second, 300 * time.Millisecond
)

// Statistics implements the statistics of the admin API.
type Statistics struct {
	adminv1.UnimplementedStatisticsServiceServer

	recorder *statistics.Recorder
	ping     func()
	pings    rate.Sometimes
	watchers atomic.Int64
}

// NewStatistics returns what tells of recorder. ping has the network measured.
func NewStatistics(recorder *statistics.Recorder, ping func()) *Statistics {
	return &Statistics{recorder: recorder, ping: ping, pings: rate.Sometimes{Interval: pingEvery}}
}

// watching is how to watch.
type watching struct {
	interval, window time.Duration
	history          bool
}

// watch sends until ctx ends or somebody fails.
func (s *Statistics) watch(ctx context.Context, how watching, send func(*adminv1.Statistics) error) error {
	defer s.watchers.Add(-1)
	if s.watchers.Add(1) > maxWatchers {
		return status.Errorf(codes.ResourceExhausted, "%d watch already", maxWatchers)
	}
	s.pings.Do(s.ping)
	if how.history {
		for _, past := range s.recorder.Past() {
			if err := send(past); err != nil {
				return err
			}
		}
	}
	timer := time.NewTimer(min(pingWait, how.interval))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
		timer.Reset(how.interval)
		stats, err := s.recorder.Now(how.window)
		if err != nil {
			return err
		}
		stats.Findings = verdict.Of(stats)
		if err := send(stats); err != nil {
			return err
		}
		s.pings.Do(s.ping)
	}
}

// WatchStatistics implements adminv1.StatisticsServiceServer.
func (s *Statistics) WatchStatistics(request *adminv1.WatchStatisticsRequest, to grpc.ServerStreamingServer[adminv1.WatchStatisticsResponse]) error {
	how := watching{
		interval: min(max(cmp.Or(request.GetInterval().AsDuration(), defaultInterval), leastInterval), mostInterval),
		window:   min(max(cmp.Or(request.GetWindow().AsDuration(), statistics.DefaultWindow), 0), statistics.MaxWindow),
		history:  request.GetHistory(),
	}
	return s.watch(to.Context(), how, func(stats *adminv1.Statistics) error {
		return to.Send(&adminv1.WatchStatisticsResponse{Statistics: stats})
	})
}
