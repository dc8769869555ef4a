package statistics

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
)

// between returns what was counted between two looks.
func between(base, now *sample) *adminv1.Statistics {
	window := now.at.Sub(base.at)
	stats := &adminv1.Statistics{
		Time: timestamppb.New(now.at), Window: durationpb.New(window),
		Methods:     traffics(base.methods, now.methods, window),
		Collections: traffics(base.collections, now.collections, window),
		RestRoutes:  traffics(base.routes, now.routes, window),
	}
	var all counts
	all.codes, all.stages = map[string]float64{}, map[string]float64{}
	for name, c := range now.methods {
		all.merge(c.sub(base.methods[name]))
	}
	stats.Total = all.traffic("", window)
	return stats
}

// traffics tells each group apart, that with most calls first.
func traffics(base, now map[string]*counts, window time.Duration) []*adminv1.Traffic {
	var list []*adminv1.Traffic
	for name, c := range now {
		list = append(list, c.sub(base[name]).traffic(name, window))
	}
	slices.SortFunc(list, func(a, b *adminv1.Traffic) int {
		return cmp.Or(cmp.Compare(b.GetCalls(), a.GetCalls()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return list
}

// sub takes away what had been counted before; nil is nothing.
func (c *counts) sub(before *counts) *counts {
	if before == nil {
		return c
	}
	d := &counts{
		seconds: c.seconds.sub(before.seconds), attempts: max(0, c.attempts-before.attempts), staged: c.staged - before.staged,
		qdrant: c.qdrant - before.qdrant, way: c.way - before.way, answers: c.answers - before.answers,
		codes: map[string]float64{}, stages: map[string]float64{},
	}
	for code, n := range c.codes {
		d.codes[code] = max(0, n-before.codes[code])
	}
	for stage, s := range c.stages {
		d.stages[stage] = s - before.stages[stage]
	}
	return d
}

func (c *counts) merge(other *counts) {
	c.seconds.merge(other.seconds)
	c.attempts += other.attempts
	c.staged += other.staged
	c.qdrant += other.qdrant
	c.way += other.way
	c.answers += other.answers
	for code, n := range other.codes {
		c.codes[code] += n
	}
	for stage, s := range other.stages {
		c.stages[stage] += s
	}
}

func (c *counts) traffic(name string, window time.Duration) *adminv1.Traffic {
	// Calls are counted by code, so that none of them is more than all; what is gathered
	// while calls end is not of one moment.
	calls := 0.0
	for _, n := range c.codes {
		calls += n
	}
	t := &adminv1.Traffic{Name: name, Calls: int64(calls), Attempts: int64(c.attempts)}
	if window > 0 {
		t.Rate = calls / window.Seconds()
	}
	if c.seconds.count > 0 {
		t.P50, t.P99 = durationpb.New(c.seconds.quantile(0.5)), durationpb.New(c.seconds.quantile(0.99))
	}
	for code, n := range c.codes {
		if code != "OK" && n > 0 {
			t.Errors = append(t.Errors, &adminv1.CodeCount{Code: code, Calls: int64(n)})
		}
	}
	slices.SortFunc(t.Errors, func(a, b *adminv1.CodeCount) int {
		return cmp.Or(cmp.Compare(b.GetCalls(), a.GetCalls()), cmp.Compare(a.GetCode(), b.GetCode()))
	})
	if c.staged > 0 {
		mean := func(stage string) *durationpb.Duration { return durationpb.New(seconds(c.stages[stage] / c.staged)) }
		t.Stages = &adminv1.Stages{
			Receive: mean("receive"), Queue: mean("queue"), Backoff: mean("backoff"), Upstream: mean("upstream"), Own: mean("own"),
		}
	}
	if c.answers > 0 {
		t.ServerTime = &adminv1.ServerTime{
			Answers: int64(c.answers), Qdrant: durationpb.New(seconds(c.qdrant / c.answers)), Way: durationpb.New(seconds(c.way / c.answers)),
		}
	}
	return t
}
