package tap

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// What watching may cost.
const (
	// maxWatchers is how many there may be at a time.
	maxWatchers = 16
	// maxWaiting is how many calls wait for a watcher, and maxHeld the bytes of their
	// bodies. What is more is missed.
	maxWaiting = 1024
	maxHeld    = 8 << 20
	// maxBody is the largest that is shown.
	maxBody = 1 << 20
)

// ErrTooMany says that as many watch already as may.
var ErrTooMany = errors.New("too many watch calls already")

// Tap is where calls pass by. The zero value is ready. Safe for concurrent use.
type Tap struct {
	// watchers is never changed, only replaced; nil while there are none, which is
	// what a call looks at.
	watchers atomic.Pointer[[]*Watcher]
	mu       sync.Mutex // held to replace it
	recent   ring
}

// Watched reports whether somebody watches.
func (t *Tap) Watched() bool { return t.watchers.Load() != nil }

// Offer shows a call to all who asked for such. If somebody asked for bodies, it
// calls for them, which copies them.
func (t *Tap) Offer(c *Call, bodies func() (request, answer []byte)) {
	if c.Failed() {
		t.recent.add(c)
	}
	watchers := t.watchers.Load()
	if watchers == nil {
		return
	}
	discreet := *c
	if !c.Own {
		discreet.Message = ""
	}
	copied := false
	for _, w := range *watchers {
		switch {
		case !w.filter.shows(c):
		case !w.filter.Bodies:
			w.offer(discreet)
		case !w.room():
			w.missed.Add(1)
		default:
			if !copied {
				copied = true
				c.Request, c.Answer = bodies()
			}
			w.offer(*c)
		}
	}
}

// Body returns the bytes that are shown of a body of that size, to be filled; nil
// when it is too large.
func Body(size int) []byte {
	if size > maxBody {
		return nil
	}
	return make([]byte, size)
}

// Watch begins to watch. The Watcher is to be closed.
func (t *Tap) Watch(f Filter) (*Watcher, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*Watcher
	if before := t.watchers.Load(); before != nil {
		all = *before
	}
	if len(all) >= maxWatchers {
		return nil, ErrTooMany
	}
	w := &Watcher{tap: t, filter: f, calls: make(chan Call, maxWaiting)}
	all = append(slices.Clip(all), w)
	t.watchers.Store(&all)
	return w, nil
}

// Recent returns the last calls that failed, the newest first. There is no Message
// in them that is not the sidecar's own.
func (t *Tap) Recent() []Call { return t.recent.all() }

// Watcher is somebody who watches. One goroutine uses it.
type Watcher struct {
	tap    *Tap
	filter Filter
	calls  chan Call
	held   atomic.Int64
	missed atomic.Int64
}

func (w *Watcher) room() bool { return len(w.calls) < cap(w.calls) && w.held.Load() < maxHeld }

// offer passes a call on if there is room for it.
func (w *Watcher) offer(c Call) {
	size := int64(len(c.Request) + len(c.Answer))
	w.held.Add(size)
	select {
	case w.calls <- c:
	default:
		w.held.Add(-size)
		w.missed.Add(1)
	}
}

// Next waits for a call, and returns how many were missed since the last one.
func (w *Watcher) Next(ctx context.Context) (c Call, missed int64, err error) {
	select {
	case c = <-w.calls:
		w.held.Add(-int64(len(c.Request) + len(c.Answer)))
		return c, w.missed.Swap(0), nil
	case <-ctx.Done():
		return Call{}, 0, context.Cause(ctx)
	}
}

// Close ends watching.
func (w *Watcher) Close() {
	t := w.tap
	t.mu.Lock()
	defer t.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(*t.watchers.Load()), func(other *Watcher) bool { return other == w })
	if len(left) == 0 {
		t.watchers.Store(nil)
		return
	}
	t.watchers.Store(&left)
}
