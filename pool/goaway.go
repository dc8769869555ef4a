package pool

import (
	"errors"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/h2"
)

// goAways counts how a node has taken leave of connections. Guarded by its mu.
type goAways struct {
	graceful      uint64
	tooManyResets uint64
	other         uint64
}

// goAway counts why a connection takes no more calls, if the server said so.
func (n *Node) goAway(why error) {
	said, ok := errors.AsType[*h2.GoAwayError](why)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case said.Code == http2.ErrCodeNo:
		n.goAways.graceful++
	case said.Code == http2.ErrCodeEnhanceYourCalm && said.Debug == "too_many_resets":
		// Qdrant's rule of 21 pending resets, which no connection of ours should meet.
		n.goAways.tooManyResets++
		n.log.Warn("Qdrant ended a connection because too many calls were cancelled at once")
	default:
		n.goAways.other++
	}
}
