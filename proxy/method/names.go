package method

import (
	"maps"
	"sync"
	"sync/atomic"
)

// maxNames is how many names are remembered. An application has a handful of
// collections; one with more pays for those beyond with an allocation a call.
const maxNames = 256

// Names remembers names of collections, so that reading one that was seen before
// costs no allocation. It forgets none: what is in it is bounded, and somebody
// who makes up names gets no more of it than others. The zero value is ready, and
// nil remembers nothing. Safe for concurrent use.
type Names struct {
	// known is never changed, only replaced: all calls read it, and few add to it.
	known atomic.Pointer[map[string]string]
	mu    sync.Mutex // held to replace it
}

// name returns the bytes as a string.
func (n *Names) name(b []byte) string {
	if n == nil || len(b) == 0 {
		return string(b)
	}
	if known := n.known.Load(); known != nil {
		if name, ok := (*known)[string(b)]; ok { // the compiler looks it up without making a string
			return name
		}
		if len(*known) >= maxNames {
			return string(b)
		}
	}
	return n.add(string(b))
}

func (n *Names) add(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	more := map[string]string{}
	if known := n.known.Load(); known != nil {
		maps.Copy(more, *known)
	}
	if len(more) < maxNames {
		more[name] = name
		n.known.Store(&more)
	}
	return name
}
