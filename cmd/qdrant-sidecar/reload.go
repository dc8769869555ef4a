package main

import (
	"context"
	"os"
	"slices"
	"time"

	"qdrant-sidecar/proxy"
)

// lookInterval is how often the files of the configuration are read to see whether
// they have changed. Kubernetes takes a minute to bring a changed secret into a pod.
const lookInterval = 2 * time.Second

// reloadAsNeeded reads the configuration anew on SIGHUP, and when one of its files has
// changed, until ctx ends.
func (s *sidecar) reloadAsNeeded(ctx context.Context, inv invocation, hangups <-chan os.Signal) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	watched := watch{read: s.config.files}
	for {
		why := "SIGHUP"
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		case <-tick.C:
			if !watched.changed() {
				continue
			}
			why = "a file changed"
		}
		watched = watch{read: s.reload(ctx, inv, why)}
	}
}

// reload reads the configuration anew and puts in force what can change. Unless all of
// it is right, nothing changes. It returns the files that were read.
func (s *sidecar) reload(ctx context.Context, inv invocation, why string) files {
	log := s.log.With("because", why)
	fresh, found, err := load(inv, settings, nil)
	if err != nil { // the arguments ask for help, which they did not at the start
		return s.config.files
	}
	fresh.check(&found)
	read := fresh.files
	if len(found) > 0 {
		log.Error("the configuration is wrong; nothing was changed", "problems", []string(found))
		s.proxy.Reloaded(false)
		return read
	}
	before := s.current.Load()
	next, late := before.changeTo(fresh, &found)
	if len(found) > 0 {
		log.Error("the configuration is right only after a restart; nothing was changed", "problems", []string(found), "need_restart", late)
		s.proxy.Reloaded(false)
		return read
	}
	changed := s.apply(ctx, before, next)
	s.proxy.Reloaded(true)
	log.Info("configuration reloaded", "changed", changed)
	if len(late) > 0 {
		log.Warn("changed settings take effect only after a restart", "need_restart", late)
	}
	return read
}

// apply puts next in force, and returns the names of what differs from before.
func (s *sidecar) apply(ctx context.Context, before, next *config) (changed []string) {
	changed = before.differences(next)
	s.current.Store(next)
	s.level.Set(next.logLevel)
	s.proxy.Apply(proxy.Rules{APIKey: next.apiKey, Resilience: next.resilience(), MinReady: next.connections.minReady})
	if s.rest != nil {
		s.rest.Apply(next.apiKey, next.restResilience())
	}
	if before.secures(next) {
		return changed
	}
	// New connections have the new certificates; those that are open get there one by one.
	s.serving.Go(func() {
		replaced, err := s.pool.Reconnect(ctx, "")
		if err == nil {
			s.log.Info("connections were replaced because of TLS settings", "connections", replaced)
		}
	})
	return changed
}

// changeTo returns the configuration with those values of another that can change, and
// the names of those that differ and cannot. found are the problems of the two
// together.
func (c *config) changeTo(fresh *config, found *problems) (next *config, late []string) {
	next = &config{files: fresh.files}
	for i, e := range fresh.effective {
		old := c.effective[i]
		if !e.live {
			if !slices.Equal(e.values, old.values) {
				late = append(late, e.name)
			}
			e = old
		}
		next.effective = append(next.effective, e)
		if len(e.values) > 0 {
			// It was right by itself before.
			_ = e.set(next, e.values)
		}
	}
	next.check(found)
	return next, late
}

// differences are the names of what differs: settings, and, under the name of the
// setting that leads there, what files hold.
func (c *config) differences(next *config) (names []string) {
	names = []string{}
	for i, e := range next.effective {
		before := c.effective[i]
		held := e.file && len(e.values) > 0 && c.files[e.values[0]] != next.files[e.values[0]]
		if !slices.Equal(e.values, before.values) || held {
			names = append(names, e.name)
		}
	}
	return names
}

// secures reports whether next has connections secured in the same way.
func (c *config) secures(next *config) bool {
	for _, name := range c.differences(next) {
		if settingNamed(name).secures {
			return false
		}
	}
	return true
}
